//! Stream keys: hashed, sealed, rotated, withdrawn, restored.

mod world;

use inver_control::{Change, Command, KeyRecord, Policy, RefusalKind, Stored};
use inver_proto::{CloseCause, CreateKey, CreateRoom, RoomKind};
use world::{World, keyed_policy, publish, publish_with, room};

fn record(changes: &[Change]) -> KeyRecord {
    let key = changes.iter().find_map(|change| match change {
        Change::PutKey(key) => Some(key.clone()),
        _ => None,
    });
    key.expect("a key is written")
}

/// Makes a key and gives its record and secret.
fn make(world: &mut World, id: &str) -> (KeyRecord, String) {
    let now = world.now;
    let request = CreateKey {
        label: Some("OBS".to_owned()),
    };
    let made = world.control.plan_create_key(&room(id), request, now);
    let (plan, key) = made.expect("the room is configured");
    let changes = world.apply(plan);
    (record(&changes), key.key)
}

#[test]
fn what_is_stored_does_not_hold_the_key_and_gives_it_back_with_the_servers_secret() {
    let mut world = World::keyed();
    let rooms = world.create("studio", RoomKind::Broadcast);
    let (stored, secret) = make(&mut world, "studio");
    let json = serde_json::to_string(&stored).expect("is plain");
    assert!(!json.contains(&secret));
    assert!(
        !stored
            .sealed
            .windows(secret.len())
            .any(|part| part == secret.as_bytes())
    );
    let revealed = world.control.reveal_keys(&room("studio")).expect("opens");
    assert_eq!(revealed.len(), 1);
    assert!(revealed[0].1.matches(&secret));

    let room_record = rooms.into_iter().find_map(|change| match change {
        Change::PutRoom(record) => Some(record),
        _ => None,
    });
    let stored = Stored {
        rooms: vec![room_record.expect("is written")],
        keys: vec![stored],
        next_number: None,
    };
    let mut again = World::restored(keyed_policy(), stored.clone());
    let seen = again.room("studio").expect("is restored");
    assert_eq!(
        (seen.number, seen.configured, seen.keyed),
        (Some(1001), true, true)
    );
    assert_eq!(again.control.room_by_number(1001), Some(&room("studio")));
    again
        .begin_publish(publish_with("studio", &secret))
        .expect("the key still opens");
    assert!(
        again.control.reveal_keys(&room("studio")).expect("opens")[0]
            .1
            .matches(&secret)
    );
    again.create("next", RoomKind::Broadcast);
    assert_eq!(
        again.room("next").expect("is there").number,
        Some(1002),
        "no number twice"
    );

    let mut changed = stored.clone();
    changed.keys[0].sealed[20] ^= 1;
    let mut moved = stored;
    moved.keys[0].id = "another".parse().expect("is a key id");
    for stored in [changed, moved] {
        let world = World::restored(keyed_policy(), stored);
        let refusal = world
            .control
            .reveal_keys(&room("studio"))
            .expect_err("was tampered with");
        assert_eq!(refusal.kind, RefusalKind::Internal);
    }
}

#[test]
fn a_rotated_key_replaces_the_old_one_and_lets_sessions_go_on() {
    let mut world = World::keyed();
    world.create("studio", RoomKind::Broadcast);
    let (stored, old) = make(&mut world, "studio");
    let publisher = world.live(publish_with("studio", &old));
    let now = world.now;
    let (plan, new) = world
        .control
        .plan_rotate_key(&room("studio"), &stored.id, now)
        .expect("is there");
    let refused_before_commit = world.begin_publish(publish_with("studio", &new.key));
    assert!(
        refused_before_commit.is_err(),
        "nothing holds until the store has it"
    );
    world.apply(plan);
    assert_eq!((new.id, new.label), (stored.id, Some("OBS".to_owned())));
    assert!(world.alive(&publisher));
    let refusal = world
        .begin_publish(publish_with("studio", &old))
        .expect_err("is replaced");
    assert_eq!(refusal.kind, RefusalKind::Unauthorized);
    world
        .begin_publish(publish_with("studio", &new.key))
        .expect("opens");
    assert_eq!(
        world.control.keys(&room("studio")).expect("is there").len(),
        1
    );
}

#[test]
fn a_withdrawn_key_ends_the_sessions_it_let_in() {
    let mut world = World::keyed();
    world.create("studio", RoomKind::Broadcast);
    let (first, secret) = make(&mut world, "studio");
    let (second, _) = make(&mut world, "studio");
    let publisher = world.live(publish_with("studio", &secret));
    let plan = world
        .control
        .plan_delete_key(&room("studio"), &second.id)
        .expect("is there");
    world.apply(plan);
    assert!(world.alive(&publisher));
    let plan = world
        .control
        .plan_delete_key(&room("studio"), &first.id)
        .expect("is there");
    world.apply(plan);
    assert_eq!(world.closed(&publisher), Some(CloseCause::Kicked));
    assert!(
        world
            .begin_publish(publish_with("studio", &secret))
            .is_err()
    );
    let gone = world
        .control
        .plan_delete_key(&room("studio"), &first.id)
        .expect_err("is gone");
    assert_eq!(gone.kind, RefusalKind::NotFound);
}

#[test]
fn a_keys_use_is_noted_once_a_minute() {
    let mut world = World::keyed();
    world.create("studio", RoomKind::Broadcast);
    let (_, secret) = make(&mut world, "studio");
    let notes = |world: &World| {
        world
            .commands
            .iter()
            .filter(|command| matches!(command, Command::Note(_)))
            .count()
    };
    for _ in 0..5 {
        let ticket = world
            .begin_publish(publish_with("studio", &secret))
            .expect("opens");
        world.fail(&ticket);
        world.seconds(1);
    }
    assert_eq!(notes(&world), 1);
    let used = world.control.keys(&room("studio")).expect("is there")[0].last_used_at;
    assert_eq!(used, Some(world::start().wall));
    world.seconds(60);
    let ticket = world
        .begin_publish(publish_with("studio", &secret))
        .expect("opens");
    world.fail(&ticket);
    assert_eq!(notes(&world), 2);
}

#[test]
fn keys_are_for_configured_rooms_and_bounded() {
    let mut world = World::open();
    world.live(publish("passing"));
    let now = world.now;
    let request = CreateKey::default();
    let refusal = world
        .control
        .plan_create_key(&room("passing"), request, now);
    assert_eq!(
        refusal.expect_err("not configured").kind,
        RefusalKind::Conflict
    );
    let nowhere = world
        .control
        .plan_create_key(&room("nowhere"), CreateKey::default(), now);
    assert_eq!(nowhere.expect_err("no room").kind, RefusalKind::NotFound);
    world.create("studio", RoomKind::Broadcast);
    let long = CreateKey {
        label: Some("x".repeat(101)),
    };
    let refusal = world.control.plan_create_key(&room("studio"), long, now);
    assert_eq!(refusal.expect_err("too long").kind, RefusalKind::BadRequest);
    for _ in 0..100 {
        make(&mut world, "studio");
    }
    let more = world
        .control
        .plan_create_key(&room("studio"), CreateKey::default(), now);
    assert_eq!(more.expect_err("enough").kind, RefusalKind::Conflict);
}

#[test]
fn a_plan_alone_changes_nothing() {
    let mut world = World::new(Policy {
        open: false,
        ..Policy::default()
    });
    let request = CreateRoom {
        id: Some(room("studio")),
        ..CreateRoom::default()
    };
    let now = world.now;
    for _ in 0..2 {
        let (plan, id) = world
            .control
            .plan_create_room(&request, now)
            .expect("is new");
        assert!(plan.durable && id == room("studio"));
        let numbered = plan.changes.contains(&Change::NextNumber(1002));
        assert!(numbered, "a plan that was not committed takes no number");
    }
    world.drain();
    assert!(world.room("studio").is_none() && world.events.is_empty());
}
