//! One publisher per broadcast; who may take its place, and when.

mod world;

use std::time::Duration;

use inver_control::{MediaEvent, RefusalKind};
use inver_proto::{CloseCause, CreateToken, RoomEvent};
use world::{ADMIN, World, publish, publish_as, publish_with, subscribe};

#[test]
fn another_participant_is_refused_and_the_first_goes_on() {
    let mut world = World::open();
    let first = world.live(publish("studio"));
    let refusal = world
        .begin_publish(publish_as("studio", "guest"))
        .expect_err("taken");
    assert_eq!(refusal.kind, RefusalKind::Conflict);
    assert!(refusal.retry_after.is_some());
    world.seconds(10);
    world.media(MediaEvent::Flowing(first.source, false));
    let refusal = world
        .begin_publish(publish_as("studio", "guest"))
        .expect_err("still taken");
    assert_eq!(refusal.kind, RefusalKind::Conflict);
    assert!(world.alive(&first));
}

#[test]
fn without_credentials_the_place_is_free_after_two_seconds_without_media() {
    let mut world = World::open();
    let first = world.live(publish("studio"));
    let viewer = world.viewer(subscribe("studio"));
    world.seconds(5);
    assert!(
        world.begin_publish(publish("studio")).is_err(),
        "media flows"
    );
    world.media(MediaEvent::Flowing(first.source, false));
    let second = world
        .begin_publish(publish("studio"))
        .expect("silent for two seconds");
    assert!(
        world.alive(&first),
        "until the data plane has taken the second"
    );
    world.accept(&second);
    assert_eq!(world.closed(&first), Some(CloseCause::TakenOver));
    assert_eq!(second.source, first.source, "viewers stay attached");
    assert!(world.alive(&viewer));
    world.seconds(40);
    assert!(
        world.alive(&second) && world.alive(&viewer),
        "the old one's end starts no grace"
    );
}

#[test]
fn a_publisher_that_never_sent_media_counts_from_its_start() {
    let mut world = World::open();
    let first = world.begin_publish(publish("studio")).expect("free");
    world.accept(&first);
    world.pass(Duration::from_millis(1900));
    assert!(world.begin_publish(publish("studio")).is_err());
    world.pass(Duration::from_millis(100));
    assert!(world.begin_publish(publish("studio")).is_ok());
}

#[test]
fn the_same_publisher_with_credentials_takes_over_at_once() {
    let mut world = World::keyed();
    world.create("studio", Default::default());
    let key = world.key("studio");
    let first = world.live(publish_with("studio", &key.key));
    world.event_names();
    let second = world
        .begin_publish(publish_with("studio", &key.key))
        .expect("its own place");
    world.accept(&second);
    assert_eq!(world.closed(&first), Some(CloseCause::TakenOver));
    let events = world.event_list();
    assert!(events.iter().any(|event| matches!(
        event,
        RoomEvent::SessionEnded {
            reason: CloseCause::TakenOver,
            ..
        }
    )));
    let joined = |event: &RoomEvent| {
        matches!(
            event,
            RoomEvent::ParticipantJoined { .. } | RoomEvent::ParticipantLeft { .. }
        )
    };
    assert!(!events.iter().any(joined), "the participant never left");
    assert!(
        world.room("studio").expect("is there").live,
        "no gap in media is no gap in live"
    );
}

#[test]
fn a_takeover_that_the_data_plane_refuses_leaves_the_first_in_place() {
    let mut world = World::keyed();
    world.create("studio", Default::default());
    let key = world.key("studio");
    let first = world.live(publish_with("studio", &key.key));
    let second = world
        .begin_publish(publish_with("studio", &key.key))
        .expect("its own place");
    world.fail(&second);
    assert!(world.alive(&first));
    let room = world.room("studio").expect("is there");
    assert!(room.live && room.participants[0].publishing);
}

#[test]
fn two_requests_at_once_do_not_both_get_the_place() {
    let mut world = World::keyed();
    world.create("studio", Default::default());
    let key = world.key("studio");
    let first = world
        .begin_publish(publish_with("studio", &key.key))
        .expect("free");
    let refusal = world
        .begin_publish(publish_with("studio", &key.key))
        .expect_err("being asked");
    assert_eq!(refusal.kind, RefusalKind::Conflict);
    world.accept(&first);
    world
        .begin_publish(publish_with("studio", &key.key))
        .expect("asked and answered");
}

#[test]
fn a_session_ended_while_the_data_plane_answers_is_not_accepted() {
    let mut world = World::open();
    let first = world.begin_publish(publish("studio")).expect("free");
    world.media(MediaEvent::Closed(first.session, CloseCause::Failed));
    let now = world.now;
    let refusal = world
        .control
        .accepted(first.session, "ours", now)
        .expect_err("is gone");
    assert_eq!(refusal.kind, RefusalKind::Conflict);
    world.drain();
    world
        .begin_publish(publish("studio"))
        .expect("the place is free");
}

#[test]
fn a_tokens_subject_is_the_publisher() {
    let mut world = World::keyed();
    world.create("studio", Default::default());
    let token = |world: &World, subject: &str| {
        let request = CreateToken {
            room: Some("studio".to_owned()),
            publish: true,
            subject: Some(subject.parse().expect("is a name")),
            ..CreateToken::default()
        };
        world
            .control
            .issue_token(&request, world.now)
            .expect("is well formed")
            .token
    };
    let (anna, ben) = (token(&world, "anna"), token(&world, "ben"));
    let first = world.live(publish_with("studio", &anna));
    assert_eq!(first.participant.as_str(), "anna");
    let refusal = world
        .begin_publish(publish_with("studio", &ben))
        .expect_err("anna's place");
    assert_eq!(refusal.kind, RefusalKind::Conflict);
    let mut as_anna = publish_with("studio", &ben);
    as_anna.participant = Some(first.participant.clone());
    let refusal = world.begin_publish(as_anna).expect_err("ben is not anna");
    assert_eq!(refusal.kind, RefusalKind::Forbidden);
    let second = world
        .begin_publish(publish_with("studio", &anna))
        .expect("anna again");
    world.accept(&second);
    assert_eq!(world.closed(&first), Some(CloseCause::TakenOver));
    let mut admin = publish_with("studio", ADMIN);
    admin.participant = Some(first.participant.clone());
    assert!(
        world.begin_publish(admin).is_ok(),
        "an admin may speak for anyone"
    );
}
