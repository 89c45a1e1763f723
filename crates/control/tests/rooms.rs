//! Configured rooms come and go by the API.

mod world;

use inver_control::{Change, RefusalKind};
use inver_proto::{CloseCause, CreateRoom, RoomKind};
use world::{World, publish, publish_as, publish_with, room, subscribe, waiting};

#[test]
fn a_configured_room_stays_when_everybody_left() {
    let mut world = World::open();
    world.create("studio", RoomKind::Broadcast);
    let publisher = world.live(publish("studio"));
    world.leave(&publisher);
    world.seconds(60);
    let seen = world.room("studio").expect("is configured");
    assert!(seen.configured && seen.participants.is_empty());
    assert!(world.forgotten(publisher.source));
}

#[test]
fn a_name_in_use_is_a_conflict_and_a_name_that_is_only_waited_for_is_free() {
    let mut world = World::open();
    world.create("studio", RoomKind::Broadcast);
    world.live(publish("passing"));
    let viewer = world.viewer(waiting(subscribe("awaited")));
    let now = world.now;
    for id in ["studio", "passing"] {
        let request = CreateRoom {
            id: Some(room(id)),
            ..CreateRoom::default()
        };
        let refusal = world
            .control
            .plan_create_room(&request, now)
            .expect_err("is there");
        assert_eq!(refusal.kind, RefusalKind::Conflict);
    }
    world.create("awaited", RoomKind::Call);
    assert!(world.alive(&viewer));
    let anna = world.live(publish_as("awaited", "anna"));
    assert_eq!(world.control.source_of(viewer.session), Some(anna.source));
}

#[test]
fn closing_a_room_ends_everything_in_it_at_once() {
    let mut world = World::keyed();
    world.create("studio", RoomKind::Broadcast);
    let key = world.key("studio");
    let publisher = world.live(publish_with("studio", &key.key));
    let viewer = world.viewer(waiting(subscribe("studio")));
    let plan = world
        .control
        .plan_close_room(&room("studio"))
        .expect("is there");
    assert!(plan.durable);
    assert_eq!(
        plan.changes,
        [
            Change::RemoveKey(room("studio"), key.id.clone()),
            Change::RemoveRoom(room("studio")),
        ]
    );
    world.apply(plan);
    assert_eq!(world.closed(&publisher), Some(CloseCause::Kicked));
    assert_eq!(world.closed(&viewer), Some(CloseCause::Kicked));
    assert!(world.room("studio").is_none(), "no grace for a closed room");
    assert!(world.forgotten(publisher.source));
    assert_eq!(world.control.room_by_number(1001), None);
    assert_eq!(world.event_names().last(), Some(&"room.closed"));
    let refusal = world
        .begin_publish(publish_with("studio", &key.key))
        .expect_err("is gone");
    assert_eq!(refusal.kind, RefusalKind::Unauthorized);
    world.create("studio", RoomKind::Broadcast);
    assert!(
        world
            .begin_publish(publish_with("studio", &key.key))
            .is_err(),
        "keys went with it"
    );
    assert_eq!(
        world.room("studio").expect("is new").number,
        Some(1002),
        "no number twice"
    );
}

#[test]
fn a_passing_room_is_closed_without_the_store() {
    let mut world = World::open();
    let publisher = world.live(publish("studio"));
    world.lost(&publisher);
    let plan = world
        .control
        .plan_close_room(&room("studio"))
        .expect("in grace");
    assert!(!plan.durable);
    world.apply(plan);
    assert!(world.room("studio").is_none());
    world.seconds(60);
}

#[test]
fn a_room_without_a_name_gets_one() {
    let mut world = World::open();
    let now = world.now;
    let (plan, first) = world
        .control
        .plan_create_room(&CreateRoom::default(), now)
        .expect("is new");
    world.apply(plan);
    let (_, second) = world
        .control
        .plan_create_room(&CreateRoom::default(), now)
        .expect("is new");
    assert_ne!(first, second);
    assert!(world.control.room(&first, &()).is_ok());
    let none = CreateRoom {
        max_viewers: Some(0),
        ..CreateRoom::default()
    };
    let refusal = world
        .control
        .plan_create_room(&none, now)
        .expect_err("nobody could watch");
    assert_eq!(refusal.kind, RefusalKind::BadRequest);
}

#[test]
fn the_reduced_form_tells_who_publishes_and_nothing_of_sessions() {
    let mut world = World::keyed();
    world.create("studio", RoomKind::Broadcast);
    let key = world.key("studio");
    world.live(publish_with("studio", &key.key));
    let viewer = world.viewer(subscribe("studio"));
    let reduced = world.room("studio").expect("is there").reduced();
    let json = serde_json::to_value(&reduced).expect("is plain");
    assert_eq!(json["viewers"], 1);
    assert_eq!(json["live"], true);
    assert_eq!(json["participants"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        json["participants"][0]["sessions"].as_array().map(Vec::len),
        Some(0)
    );
    assert!(json.get("number").is_none());
    assert!(!json.to_string().contains(viewer.participant.as_str()));
}
