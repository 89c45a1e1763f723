//! A publisher loses contact: viewers stay for the grace period, and no longer.

mod world;

use inver_control::{RefusalKind, Signal};
use inver_proto::{CloseCause, RoomEvent, SessionState};
use world::{World, publish, publish_as, subscribe, waiting};

#[test]
fn viewers_stay_while_the_publisher_reconnects() {
    let mut world = World::open();
    let first = world.live(publish("studio"));
    let viewer = world.viewer(subscribe("studio"));
    world.control.watch(viewer.session).expect("is alive");
    let since = world.room("studio").expect("is there").live_since;
    world.seconds(5);
    world.event_names();
    world.lost(&first);
    assert_eq!(world.event_names(), ["session.ended", "room.offline"]);
    assert_eq!(world.signals, [(vec![viewer.session], Signal::Inactive)]);
    let room = world.room("studio").expect("is there");
    assert!(!room.live);
    assert!(
        room.participants
            .iter()
            .any(|who| who.id == first.participant && who.publishing)
    );
    let states = room
        .participants
        .iter()
        .flat_map(|who| &who.sessions)
        .map(|s| s.state);
    assert_eq!(states.collect::<Vec<_>>(), [SessionState::Waiting]);

    world.seconds(29);
    let late = world.viewer(subscribe("studio"));
    let second = world.live(publish("studio"));
    assert_eq!(second.source, first.source);
    world.seconds(60);
    assert!(world.alive(&viewer) && world.alive(&late) && world.alive(&second));
    assert_eq!(
        world.room("studio").expect("is there").live_since,
        since,
        "one broadcast"
    );
    assert!(
        world
            .signals
            .contains(&(vec![viewer.session], Signal::Active))
    );
    let left = |event: &RoomEvent| matches!(event, RoomEvent::ParticipantLeft { .. });
    assert!(!world.event_list().iter().any(left));
}

#[test]
fn viewers_are_let_go_when_it_does_not_come_back_unless_they_wait() {
    let mut world = World::open();
    let publisher = world.live(publish("studio"));
    let viewer = world.viewer(subscribe("studio"));
    let patient = world.viewer(waiting(subscribe("studio")));
    world.lost(&publisher);
    world.event_names();
    world.seconds(30);
    assert_eq!(world.closed(&viewer), Some(CloseCause::PublisherGone));
    assert!(world.alive(&patient));
    let events = world.event_list();
    let publisher_left = RoomEvent::ParticipantLeft {
        participant: publisher.participant.clone(),
    };
    assert_eq!(
        events
            .iter()
            .filter(|event| **event == publisher_left)
            .count(),
        1
    );
    assert!(!world.forgotten(publisher.source), "somebody waits there");

    let next = world.live(publish_as("studio", "another"));
    assert_eq!(next.source, patient.source, "who waits sees whoever comes");
    let fresh = world.room("studio").expect("is there").live_since;
    assert_eq!(fresh, Some(world.now.wall), "a new broadcast");
}

#[test]
fn another_publisher_waits_for_the_grace_period_unless_the_first_left_on_purpose() {
    let mut world = World::open();
    let first = world.live(publish("studio"));
    world.lost(&first);
    world.seconds(10);
    let refusal = world
        .begin_publish(publish_as("studio", "guest"))
        .expect_err("may come back");
    assert_eq!(refusal.kind, RefusalKind::Conflict);
    assert_eq!(refusal.retry_after.map(|after| after.as_secs()), Some(20));
    let again = world.live(publish("studio"));
    let viewer = world.viewer(subscribe("studio"));
    world.leave(&again);
    let guest = world.live(publish_as("studio", "guest"));
    world.seconds(60);
    assert!(world.alive(&guest) && world.alive(&viewer));
    let room = world.room("studio").expect("is there");
    let publishing = room.participants.iter().filter(|who| who.publishing);
    assert_eq!(
        publishing.map(|who| who.id.as_str()).collect::<Vec<_>>(),
        ["guest"]
    );
}

#[test]
fn a_failed_reconnect_does_not_end_the_grace_period() {
    let mut world = World::open();
    let first = world.live(publish("studio"));
    let viewer = world.viewer(subscribe("studio"));
    world.lost(&first);
    world.seconds(10);
    let second = world
        .begin_publish(publish("studio"))
        .expect("its own place");
    world.fail(&second);
    world.seconds(19);
    assert!(world.alive(&viewer));
    world.seconds(1);
    assert_eq!(world.closed(&viewer), Some(CloseCause::PublisherGone));
    assert!(world.room("studio").is_none());
    let left = |event: &&RoomEvent| matches!(event, RoomEvent::ParticipantLeft { participant } if *participant == first.participant);
    assert_eq!(world.event_list().iter().filter(left).count(), 1);
}

#[test]
fn a_reconnect_that_fails_after_the_grace_period_lets_viewers_go() {
    let mut world = World::open();
    let first = world.live(publish("studio"));
    let viewer = world.viewer(subscribe("studio"));
    world.lost(&first);
    world.seconds(29);
    let second = world
        .begin_publish(publish("studio"))
        .expect("its own place");
    world.seconds(2);
    assert!(world.alive(&viewer), "somebody is on the way");
    world.fail(&second);
    assert_eq!(world.closed(&viewer), Some(CloseCause::PublisherGone));
    assert!(world.room("studio").is_none());
    let left = |event: &&RoomEvent| matches!(event, RoomEvent::ParticipantLeft { participant } if *participant == first.participant);
    assert_eq!(world.event_list().iter().filter(left).count(), 1);
}
