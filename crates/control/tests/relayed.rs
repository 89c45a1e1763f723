//! A room that comes from another server: whom its place belongs to, and who may have it fetched.

mod world;

use std::time::Duration;

use inver_control::{
    ClientInfo, Credentials, PublishRequest, PublishTarget, RefusalKind, Ticket, Vouched,
};
use inver_proto::Door;
use world::{World, keyed_policy, publish, room, subscribe};

fn relay(world: &mut World) -> Result<Ticket, RefusalKind> {
    let wish = PublishRequest {
        target: PublishTarget::Room(room("studio")),
        participant: None,
        credentials: Credentials::NONE,
        client: ClientInfo::default(),
        door: Door::Relay,
        vouched: Some(Vouched::default()),
    };
    let now = world.now;
    let begun = world.control.begin_publish(wish, now);
    begun.map_err(|refusal| refusal.kind)
}

#[test]
fn a_relayed_room_is_there_for_viewers_without_being_configured() {
    let mut world = World::keyed();
    let ticket = relay(&mut world).expect("the operator's word is enough");
    let now = world.now;
    world
        .control
        .accepted(ticket.session, "", now)
        .expect("there");
    assert!(world.control.published(&room("studio"), None).is_some());
    assert_eq!(world.control.wanted_by(&room("studio")), 0);
    let viewer = world.control.begin_subscribe(subscribe("studio"), now);
    assert_eq!(viewer.expect("may watch").source, ticket.source);
    assert_eq!(world.control.wanted_by(&room("studio")), 1);
}

#[test]
fn a_relay_never_takes_a_publishers_place_and_takes_its_own_back() {
    let mut world = World::open();
    let now = world.now;
    let own = world
        .control
        .begin_publish(publish("studio"), now)
        .expect("free");
    world.control.accepted(own.session, "", now).expect("there");
    assert_eq!(relay(&mut world).map(drop), Err(RefusalKind::Conflict));
    world.control.failed(own.session, now);

    // After the publisher's grace the room is free; a relay that was lost comes back within its
    // own.
    world.now.elapsed += Duration::from_secs(31);
    let now = world.now;
    world.control.handle_timeout(now);
    let first = relay(&mut world).expect("free");
    world
        .control
        .accepted(first.session, "", now)
        .expect("there");
    world.control.failed(first.session, now);
    let second = relay(&mut world).expect("its own place");
    assert_eq!(first.source, second.source, "viewers stay attached");
}

#[test]
fn who_may_not_watch_has_nothing_fetched() {
    let mut policy = keyed_policy();
    policy.public_viewing = false;
    let world = World::new(policy);
    let asked = world
        .control
        .check_subscribe(&subscribe("studio"), world.now);
    assert_eq!(
        asked.map_err(|refusal| refusal.kind),
        Err(RefusalKind::Unauthorized)
    );
    let world = World::keyed();
    let asked = world
        .control
        .check_subscribe(&subscribe("studio"), world.now);
    assert!(asked.is_ok(), "{asked:?}");
    assert!(
        world.control.room(&room("studio"), &()).is_err(),
        "asking makes no room"
    );
}

#[test]
fn what_is_still_to_be_brought_gives_way_to_whoever_comes_here() {
    for accepted in [false, true] {
        let mut world = World::open();
        let now = world.now;
        let brought = relay(&mut world).expect("free");
        if accepted {
            world
                .control
                .accepted(brought.session, "", now)
                .expect("there");
        }
        let mut wish = publish("studio");
        wish.participant = Some("camera".parse().expect("a name"));
        let own = world.control.begin_publish(wish, now);
        let own = own.unwrap_or_else(|refusal| panic!("{accepted}: {refusal:?}"));
        world.control.accepted(own.session, "", now).expect("there");
        assert_eq!(relay(&mut world).map(drop), Err(RefusalKind::Conflict));
    }
}
