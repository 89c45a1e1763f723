//! A call watched as a whole: who is on stage.

mod world;

use std::time::Duration;

use inver_control::{Command, MediaEvent, RefusalKind, Signal};
use inver_proto::{CloseCause, RoomKind};
use world::{World, publish, publish_as, subscribe, subscribe_to, waiting};

fn speak(world: &mut World, who: &inver_control::Ticket, time: Duration) {
    let step = Duration::from_millis(500);
    let mut spoken = Duration::ZERO;
    while spoken <= time {
        world.media(MediaEvent::Speaking(who.source));
        world.pass(step);
        spoken += step;
    }
}

#[test]
fn many_publish_and_the_most_recent_is_on_stage_until_somebody_speaks() {
    let mut world = World::open();
    world.create("call", RoomKind::Call);
    let early = world.viewer(waiting(subscribe("call")));
    let anna = world.live(publish_as("call", "anna"));
    assert_eq!(world.control.source_of(early.session), Some(anna.source));
    assert!(world.forgotten(early.source), "the place where one waited");
    let ben = world.live(publish_as("call", "ben"));
    let viewer = world.viewer(subscribe("call"));
    assert_eq!(viewer.source, ben.source);
    let named = world.viewer(subscribe_to("call", "anna"));
    assert_eq!(named.source, anna.source);

    world.control.watch(viewer.session).expect("is alive");
    speak(&mut world, &anna, Duration::from_millis(1500));
    assert_eq!(
        world.control.source_of(viewer.session),
        Some(ben.source),
        "not yet two seconds"
    );
    world.media(MediaEvent::Speaking(anna.source));
    assert_eq!(world.control.source_of(viewer.session), Some(anna.source));
    let switch = Command::SwitchSource {
        session: viewer.session,
        source: anna.source,
    };
    assert!(world.commands.contains(&switch));
    assert!(
        world
            .signals
            .contains(&(vec![viewer.session], Signal::LayersChanged))
    );
    let moved = |command: &Command| matches!(command, Command::SwitchSource { session, .. } if *session == named.session);
    assert!(
        !world.commands.iter().any(moved),
        "who asked for anna stays with anna"
    );
}

#[test]
fn a_cough_or_a_second_voice_does_not_switch() {
    let mut world = World::open();
    world.create("call", RoomKind::Call);
    let anna = world.live(publish_as("call", "anna"));
    let ben = world.live(publish_as("call", "ben"));
    let viewer = world.viewer(subscribe("call"));
    for _ in 0..5 {
        world.media(MediaEvent::Speaking(anna.source));
        world.seconds(5);
    }
    assert_eq!(
        world.control.source_of(viewer.session),
        Some(ben.source),
        "five coughs"
    );
    for _ in 0..20 {
        world.media(MediaEvent::Speaking(ben.source));
        world.media(MediaEvent::Speaking(anna.source));
        world.pass(Duration::from_millis(500));
    }
    assert_eq!(
        world.control.source_of(viewer.session),
        Some(ben.source),
        "both speak"
    );
    speak(&mut world, &anna, Duration::from_secs(3));
    assert_eq!(
        world.control.source_of(viewer.session),
        Some(anna.source),
        "anna speaks alone"
    );
}

#[test]
fn who_comes_does_not_push_the_speaker_off_stage() {
    let mut world = World::open();
    world.create("call", RoomKind::Call);
    let anna = world.live(publish_as("call", "anna"));
    let viewer = world.viewer(subscribe("call"));
    world.media(MediaEvent::Speaking(anna.source));
    let ben = world.live(publish_as("call", "ben"));
    assert_eq!(world.control.source_of(viewer.session), Some(anna.source));
    world.seconds(3);
    let cleo = world.live(publish_as("call", "cleo"));
    assert_eq!(world.control.source_of(viewer.session), Some(cleo.source));
    world.lost(&cleo);
    assert_eq!(
        world.control.source_of(viewer.session),
        Some(ben.source),
        "at once"
    );
    world.leave(&ben);
    assert_eq!(world.control.source_of(viewer.session), Some(anna.source));
    world.lost(&anna);
    assert_eq!(
        world.control.source_of(viewer.session),
        Some(anna.source),
        "may come back"
    );
    world.seconds(30);
    assert_eq!(world.closed(&viewer), Some(CloseCause::PublisherGone));
    for gone in [&anna, &ben, &cleo] {
        assert!(world.forgotten(gone.source));
    }
    assert!(
        world
            .room("call")
            .expect("is configured")
            .participants
            .is_empty()
    );
}

#[test]
fn publishers_of_a_call_are_bounded_and_each_has_a_place_of_its_own() {
    let policy = inver_control::Policy {
        max_publishers: 2,
        ..world::open_policy()
    };
    let mut world = World::new(policy);
    world.create("call", RoomKind::Call);
    world.live(publish_as("call", "anna"));
    let main = world.live(publish("call"));
    assert_eq!(main.participant.as_str(), "main");
    let refusal = world
        .begin_publish(publish_as("call", "anna"))
        .expect_err("anna is live");
    assert_eq!(refusal.kind, RefusalKind::Conflict);
    let refusal = world
        .begin_publish(publish_as("call", "cleo"))
        .expect_err("two are enough");
    assert_eq!(refusal.kind, RefusalKind::Unavailable);
}
