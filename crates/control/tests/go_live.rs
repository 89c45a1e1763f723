//! From nothing to a live room with viewers, and back to nothing.

mod world;

use inver_control::{Command, MediaEvent, RefusalKind};
use inver_proto::{CloseCause, RoomKind, SessionState};
use world::{World, publish, room, subscribe};

#[test]
fn a_publisher_makes_the_room_and_the_last_one_out_closes_it() {
    let mut world = World::open();
    let publisher = world.begin_publish(publish("studio")).expect("open server");
    assert_eq!(world.event_names(), ["room.created"]);
    world.accept(&publisher);
    assert_eq!(
        world.event_names(),
        ["participant.joined", "session.started"]
    );
    world.media(MediaEvent::Connected(publisher.session));
    assert_eq!(world.event_names(), ["session.state"]);
    assert!(
        !world.room("studio").expect("is there").live,
        "no media yet"
    );
    world.media(MediaEvent::Flowing(publisher.source, true));
    assert_eq!(world.event_names(), ["room.live"]);

    let viewer = world.viewer(subscribe("studio"));
    assert_eq!(viewer.source, publisher.source);
    let seen = world.room("studio").expect("is there");
    assert!(seen.live && seen.live_since.is_some());
    assert_eq!(
        (seen.kind, seen.viewers, seen.configured),
        (RoomKind::Broadcast, 1, false)
    );
    assert_eq!(seen.participants.len(), 2);
    world.event_names();

    world.leave(&publisher);
    assert_eq!(world.closed(&publisher), Some(CloseCause::Asked));
    assert_eq!(world.event_names(), ["session.ended", "room.offline"]);
    world.leave(&viewer);
    assert!(
        world.room("studio").is_some(),
        "the publisher may come back"
    );
    world.seconds(30);
    assert!(world.room("studio").is_none());
    assert!(world.forgotten(publisher.source));
    assert_eq!(world.event_names().last(), Some(&"room.closed"));
    assert_eq!(world.control.session_counts(), Default::default());
    world.seconds(60);
    assert_eq!(
        world.control.poll_timeout(),
        None,
        "no timer is left behind"
    );
}

#[test]
fn watching_a_room_where_nobody_is_live_is_a_conflict_with_a_time_to_retry() {
    let mut world = World::open();
    let refusal = world
        .begin_subscribe(subscribe("studio"))
        .expect_err("nobody is live");
    assert_eq!(refusal.kind, RefusalKind::Conflict);
    assert!(refusal.retry_after.is_some());
    assert!(world.room("studio").is_none(), "asking makes no room");
    assert!(world.events.is_empty());
}

#[test]
fn a_publisher_that_the_data_plane_refuses_leaves_nothing() {
    let mut world = World::open();
    let publisher = world.begin_publish(publish("studio")).expect("open server");
    let refusal = world
        .begin_subscribe(subscribe("studio"))
        .expect_err("not live yet");
    assert_eq!(refusal.kind, RefusalKind::Conflict);
    world.fail(&publisher);
    assert_eq!(world.event_names(), ["room.created", "room.closed"]);
    assert!(world.commands.contains(&Command::ForgetSource {
        source: publisher.source
    }));
    assert!(world.control.find_session(&publisher.token).is_none());
}

#[test]
fn a_session_that_never_connects_is_dropped() {
    let mut world = World::open();
    let publisher = world.begin_publish(publish("studio")).expect("open server");
    world.accept(&publisher);
    world.seconds(46);
    assert_eq!(world.closed(&publisher), Some(CloseCause::NeverConnected));
    world.seconds(30);
    assert!(world.room("studio").is_none());
}

#[test]
fn contact_lost_and_found_is_told_and_late_facts_change_nothing() {
    let mut world = World::open();
    let publisher = world.live(publish("studio"));
    let viewer = world.viewer(subscribe("studio"));
    let state = |world: &World| {
        let room = world.room("studio").expect("is there");
        let mut sessions = room.participants.into_iter().flat_map(|who| who.sessions);
        sessions
            .find(|session| session.id == viewer.session)
            .map(|session| session.state)
    };
    assert_eq!(state(&world), Some(SessionState::Connected));
    world.media(MediaEvent::Disconnected(viewer.session));
    assert_eq!(state(&world), Some(SessionState::Reconnecting));
    assert_eq!(
        world.room("studio").expect("is there").viewers,
        1,
        "still counts"
    );
    world.media(MediaEvent::Connected(viewer.session));
    assert_eq!(state(&world), Some(SessionState::Connected));
    assert_eq!(
        world.room("studio").expect("is there").viewers,
        1,
        "not counted twice"
    );
    world.lost(&viewer);
    world.event_names();
    world.media(MediaEvent::Connected(viewer.session));
    world.media(MediaEvent::Closed(viewer.session, CloseCause::Remote));
    assert!(world.event_names().is_empty());
    world.lost(&publisher);
    world.event_names();
    world.media(MediaEvent::Flowing(publisher.source, true));
    assert!(
        world.event_names().is_empty(),
        "media without a publisher is late"
    );
    assert!(
        !world
            .control
            .room(&room("studio"), &())
            .expect("in grace")
            .live
    );
}

#[test]
fn operators_end_sessions_and_participants_of_the_room_they_name() {
    let mut world = World::open();
    let publisher = world.live(publish("studio"));
    let viewer = world.viewer(subscribe("studio"));
    let other = world.live(publish("other"));
    let now = world.now;
    let wrong = world
        .control
        .end_session(&room("studio"), other.session, now);
    assert_eq!(wrong.expect_err("is elsewhere").kind, RefusalKind::NotFound);
    world
        .control
        .end_session(&room("studio"), viewer.session, now)
        .expect("is there");
    world
        .control
        .kick(&room("studio"), &publisher.participant, now)
        .expect("is there");
    world.drain();
    assert_eq!(world.closed(&viewer), Some(CloseCause::Kicked));
    assert_eq!(world.closed(&publisher), Some(CloseCause::Kicked));
    assert!(world.alive(&other));
}
