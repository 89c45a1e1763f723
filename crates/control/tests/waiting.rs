//! Viewers that come before the publisher.

mod world;

use inver_control::{RefusalKind, Signal};
use inver_proto::{CreateRoom, RoomKind, SessionState};
use world::{World, publish, publish_as, room, subscribe, subscribe_to, waiting};

#[test]
fn who_waits_gets_the_first_publisher() {
    let mut world = World::open();
    let viewer = world.viewer(waiting(subscribe("studio")));
    let first = world.control.watch(viewer.session).expect("is alive");
    assert!(!first.active);
    let seen = world.room("studio").expect("the wait holds the room");
    assert_eq!(
        seen.participants[0].sessions[0].state,
        SessionState::Waiting
    );
    assert!(!seen.participants[0].publishing);
    world.seconds(3600);
    let refusal = world
        .begin_subscribe(subscribe("studio"))
        .expect_err("nobody is live");
    assert_eq!(refusal.kind, RefusalKind::Conflict);
    let publisher = world.live(publish("studio"));
    assert_eq!(publisher.source, viewer.source);
    assert!(
        world
            .signals
            .contains(&(vec![viewer.session], Signal::Active))
    );
}

#[test]
fn the_room_goes_with_the_last_who_waits() {
    let mut world = World::open();
    let viewer = world.viewer(waiting(subscribe("studio")));
    world.leave(&viewer);
    assert!(world.room("studio").is_none());
    assert!(world.forgotten(viewer.source));
}

#[test]
fn a_failed_publisher_leaves_who_waits_waiting() {
    let mut world = World::open();
    let viewer = world.viewer(waiting(subscribe("studio")));
    let publisher = world.begin_publish(publish("studio")).expect("free");
    world.fail(&publisher);
    assert!(world.alive(&viewer));
    let seen = world.room("studio").expect("is there");
    assert_eq!(seen.participants.len(), 1, "the failed one was never in");
    let other = world.live(publish_as("studio", "other"));
    assert_eq!(other.source, viewer.source);
}

#[test]
fn a_configured_room_lets_viewers_wait_if_it_says_so() {
    let mut world = World::keyed();
    let refusal = world
        .begin_subscribe(waiting(subscribe("studio")))
        .expect_err("no such room");
    assert_eq!(refusal.kind, RefusalKind::NotFound);
    let request = CreateRoom {
        id: Some(room("studio")),
        wait_for_publisher: Some(true),
        ..CreateRoom::default()
    };
    let now = world.now;
    let (plan, _) = world
        .control
        .plan_create_room(&request, now)
        .expect("is new");
    world.apply(plan);
    let viewer = world.viewer(subscribe("studio"));
    let key = world.key("studio");
    let publisher = world.live(world::publish_with("studio", &key.key));
    assert_eq!(publisher.source, viewer.source);
    world.lost(&publisher);
    world.seconds(40);
    assert!(world.alive(&viewer));
}

#[test]
fn in_a_call_one_can_wait_for_somebody_by_name() {
    let mut world = World::open();
    world.create("call", RoomKind::Call);
    let viewer = world.viewer(waiting(subscribe_to("call", "anna")));
    let names = |world: &World| {
        let room = world.room("call").expect("is configured");
        room.participants
            .iter()
            .map(|who| who.id.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(&world),
        [viewer.participant.to_string()],
        "anna is not here"
    );
    let ben = world.live(publish_as("call", "ben"));
    assert_ne!(ben.source, viewer.source);
    let anna = world.live(publish_as("call", "anna"));
    assert_eq!(anna.source, viewer.source);
    world.lost(&anna);
    world.seconds(40);
    assert!(world.alive(&viewer));
    let again = world.live(publish_as("call", "anna"));
    assert_eq!(again.source, viewer.source, "still waits for anna");
    world.leave(&viewer);
    world.leave(&again);
    world.leave(&ben);
    world.seconds(40);
    assert!(names(&world).is_empty());
    assert!(world.forgotten(again.source) && world.forgotten(ben.source));
}

#[test]
fn a_participant_who_does_not_publish_is_not_found() {
    let mut world = World::open();
    world.live(publish("studio"));
    let refusal = world
        .begin_subscribe(subscribe_to("studio", "anna"))
        .expect_err("is main");
    assert_eq!(refusal.kind, RefusalKind::NotFound);
    world.viewer(subscribe_to("studio", "main"));
}
