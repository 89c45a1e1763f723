//! How much one client, one room and the server take.

mod world;

use std::net::IpAddr;

use inver_control::{ClientInfo, MediaEvent, Policy, RefusalKind, SubscribeRequest};
use inver_proto::{CreateRoom, RoomEvent};
use world::{World, open_policy, publish, room, subscribe, waiting};

fn from(address: &str) -> ClientInfo {
    let address: IpAddr = address.parse().expect("is an address");
    ClientInfo {
        address: Some(address),
        ..ClientInfo::default()
    }
}

fn watch_from(address: &str) -> SubscribeRequest {
    SubscribeRequest {
        client: from(address),
        ..subscribe("studio")
    }
}

#[test]
fn half_open_sessions_of_one_network_are_bounded_and_others_do_not_notice() {
    let mut world = World::new(Policy {
        max_half_open_per_prefix: 3,
        ..open_policy()
    });
    world.live(publish("studio"));
    let ask = |world: &mut World, address: &str| world.begin_subscribe(watch_from(address));
    for address in ["192.0.2.1", "192.0.2.2", "::ffff:192.0.2.3"] {
        ask(&mut world, address).expect("within the bound");
    }
    let refusal = ask(&mut world, "192.0.2.200").expect_err("same /24");
    assert_eq!(refusal.kind, RefusalKind::TooMany);
    assert!(refusal.retry_after.is_some());
    let other = ask(&mut world, "198.51.100.1").expect("another network");
    for address in ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:9::3"] {
        ask(&mut world, address).expect("within the bound");
    }
    ask(&mut world, "2001:db8::4").expect_err("same /64");
    ask(&mut world, "2001:db8:0:1::1").expect("another /64");
    for _ in 0..20 {
        ask(&mut world, "127.0.0.1").expect("loopback has no bound");
        ask(&mut world, "::1").expect("loopback has no bound");
    }
    world.accept(&other);
    world.seconds(46);
    ask(&mut world, "192.0.2.1").expect("what never connected is gone");
}

#[test]
fn connected_sessions_are_not_half_open() {
    let mut world = World::new(Policy {
        max_half_open_per_prefix: 1,
        ..open_policy()
    });
    world.live(publish("studio"));
    for _ in 0..10 {
        let viewer = world
            .begin_subscribe(watch_from("192.0.2.1"))
            .expect("the one before is connected");
        world.accept(&viewer);
        world.media(MediaEvent::Connected(viewer.session));
    }
    assert_eq!(world.room("studio").expect("is there").viewers, 10);
}

#[test]
fn half_open_sessions_in_all_are_bounded() {
    let mut world = World::new(Policy {
        max_half_open: 5,
        ..open_policy()
    });
    for number in 0..5 {
        world
            .begin_publish(publish(&format!("room{number}")))
            .expect("within the bound");
    }
    let refusal = world
        .begin_publish(publish("more"))
        .expect_err("five are connecting");
    assert_eq!(refusal.kind, RefusalKind::Unavailable);
    assert!(world.room("more").is_none());
}

#[test]
fn a_room_takes_as_many_viewers_as_it_says() {
    let mut world = World::open();
    let request = CreateRoom {
        id: Some(room("studio")),
        max_viewers: Some(2),
        wait_for_publisher: Some(true),
        ..CreateRoom::default()
    };
    let now = world.now;
    let (plan, _) = world
        .control
        .plan_create_room(&request, now)
        .expect("is new");
    world.apply(plan);
    let first = world.viewer(subscribe("studio"));
    world.viewer(subscribe("studio"));
    let refusal = world
        .begin_subscribe(subscribe("studio"))
        .expect_err("two are in");
    assert_eq!(refusal.kind, RefusalKind::Unavailable);
    world.leave(&first);
    world.viewer(subscribe("studio"));
}

#[test]
fn the_server_takes_as_many_rooms_as_it_says() {
    let mut world = World::new(Policy {
        max_rooms: 2,
        ..open_policy()
    });
    let one = world.begin_publish(publish("one")).expect("first");
    world
        .begin_subscribe(waiting(subscribe("two")))
        .expect("second");
    for refusal in [
        world.begin_publish(publish("three")).expect_err("full"),
        world
            .begin_subscribe(waiting(subscribe("three")))
            .expect_err("full"),
        world
            .control
            .plan_create_room(
                &CreateRoom {
                    id: Some(room("three")),
                    ..Default::default()
                },
                world.now,
            )
            .expect_err("full"),
    ] {
        assert_eq!(refusal.kind, RefusalKind::Unavailable);
    }
    world.fail(&one);
    world.begin_publish(publish("three")).expect("one is gone");
}

#[test]
fn a_long_user_agent_is_cut() {
    let mut world = World::open();
    let mut request = publish("studio");
    request.client = ClientInfo {
        user_agent: Some("x".repeat(10_000)),
        ..from("192.0.2.1")
    };
    let ticket = world.begin_publish(request).expect("free");
    world.accept(&ticket);
    let seen = world.room("studio").expect("is there");
    let agent = seen.participants[0].sessions[0]
        .user_agent
        .as_ref()
        .expect("was given");
    assert_eq!(agent.len(), 200);
}

#[test]
fn players_without_a_session_are_viewers_and_take_places() {
    let mut world = World::new(Policy {
        max_viewers: 3,
        ..open_policy()
    });
    let studio = room("studio");
    let now = world.now;
    world.control.set_players(&studio, 5, now).expect("no room");
    assert!(world.room("studio").is_none(), "they make no room");
    world.live(publish("studio"));
    world.viewer(subscribe("studio"));
    world.event_names();
    let now = world.now;
    world.control.set_players(&studio, 2, now).expect("places");
    world.drain();
    assert_eq!(world.room("studio").expect("is there").viewers, 3);
    assert_eq!(world.control.totals(), (1, 3));
    assert_eq!(world.control.wanted_by(&studio), 3);
    world.seconds(2);
    let told = world.event_list();
    assert!(
        told.contains(&RoomEvent::ViewersChanged { viewers: 3 }),
        "{told:?}"
    );
    let refusal = world.control.set_players(&studio, 3, world.now);
    assert_eq!(
        refusal.expect_err("it is full").kind,
        RefusalKind::Unavailable
    );
    world.control.check_place(&studio).expect_err("it is full");
    world
        .begin_subscribe(subscribe("studio"))
        .expect_err("it is full");
    let now = world.now;
    world.control.set_players(&studio, 1, now).expect("fewer");
    world.control.check_place(&studio).expect("a place");
    world.begin_subscribe(subscribe("studio")).expect("a place");
}
