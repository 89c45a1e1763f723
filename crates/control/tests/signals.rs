//! What viewers and readers of the API are told: counts, warnings, drains, replays.

mod world;

use std::time::Duration;

use inver_control::{MediaEvent, RefusalKind, Replay, Signal};
use inver_proto::{CloseCause, RoomEvent, Warning, WarningKind};
use world::{World, publish, room, subscribe};

#[test]
fn viewer_counts_are_told_at_once_and_then_once_a_second() {
    let mut world = World::open();
    world.live(publish("studio"));
    let watched = world.viewer(subscribe("studio"));
    world.control.watch(watched.session).expect("is alive");
    world.event_names();
    let viewers: Vec<_> = (0..50).map(|_| world.viewer(subscribe("studio"))).collect();
    let counts = |world: &mut World| -> Vec<u32> {
        let events = world.event_list().into_iter();
        let counts = events.filter_map(|event| match event {
            RoomEvent::ViewersChanged { viewers } => Some(viewers),
            _ => None,
        });
        counts.collect()
    };
    assert_eq!(
        counts(&mut world),
        [] as [u32; 0],
        "the first was told just now"
    );
    world.seconds(1);
    assert_eq!(counts(&mut world), [51]);
    assert!(
        world
            .signals
            .contains(&(vec![watched.session], Signal::Viewers(51)))
    );
    world.seconds(5);
    world.leave(&viewers[0]);
    assert_eq!(counts(&mut world), [50], "after a calm it is told at once");
    let back = world.viewer(subscribe("studio"));
    world.leave(&back);
    world.seconds(2);
    assert_eq!(
        counts(&mut world),
        [] as [u32; 0],
        "up and down again is no change"
    );
    assert_eq!(world.control.totals(), (1, 50));
}

#[test]
fn signals_go_only_to_sessions_that_somebody_listens_to() {
    let mut world = World::open();
    let publisher = world.live(publish("studio"));
    let deaf = world.viewer(subscribe("studio"));
    let viewer = world.viewer(subscribe("studio"));
    let first = world.control.watch(viewer.session).expect("is alive");
    assert!(first.active && !first.draining);
    assert_eq!((first.source, first.viewers), (publisher.source, 2));
    world.media(MediaEvent::Flowing(publisher.source, false));
    world.media(MediaEvent::Flowing(publisher.source, false));
    world.media(MediaEvent::PublicationChanged(publisher.source));
    let expected = [Signal::Inactive, Signal::LayersChanged];
    assert_eq!(
        world.signals,
        expected.map(|signal| (vec![viewer.session], signal))
    );
    world.signals.clear();
    world.lost(&viewer);
    world.lost(&deaf);
    let ended = Signal::Ended(CloseCause::ConnectionLost);
    assert!(world.signals.contains(&(vec![viewer.session], ended)));
    assert!(
        !world
            .signals
            .iter()
            .any(|(sessions, _)| sessions.contains(&deaf.session))
    );
    assert!(world.control.watch(viewer.session).is_none());
}

#[test]
fn warnings_belong_to_the_publishers_session() {
    let mut world = World::open();
    let first = world.live(publish("studio"));
    let warn = |kind, message: &str| Warning {
        kind,
        message: message.to_owned(),
    };
    let b_frames = warn(WarningKind::BFrames, "no B-frames, please");
    world.media(MediaEvent::Warned(
        first.session,
        warn(WarningKind::Loss, "6 %"),
    ));
    world.media(MediaEvent::Warned(first.session, b_frames.clone()));
    world.media(MediaEvent::Warned(
        first.session,
        warn(WarningKind::Loss, "9 %"),
    ));
    let seen = world.room("studio").expect("is there").warnings;
    assert_eq!(
        seen,
        [b_frames.clone(), warn(WarningKind::Loss, "9 %")],
        "one of a kind"
    );
    world.lost(&first);
    assert!(world.room("studio").expect("in grace").warnings.is_empty());
    world.media(MediaEvent::Warned(first.session, b_frames.clone()));
    let second = world.live(publish("studio"));
    assert!(world.room("studio").expect("is there").warnings.is_empty());
    let viewer = world.viewer(subscribe("studio"));
    world.media(MediaEvent::Warned(viewer.session, b_frames));
    assert!(
        world.room("studio").expect("is there").warnings.is_empty(),
        "viewers publish nothing"
    );
    assert!(world.alive(&second));
}

#[test]
fn a_draining_server_refuses_the_new_and_tells_the_old() {
    let mut world = World::open();
    let publisher = world.live(publish("studio"));
    let viewers: Vec<_> = (0..4).map(|_| world.viewer(subscribe("studio"))).collect();
    for viewer in &viewers {
        world.control.watch(viewer.session).expect("is alive");
    }
    let now = world.now;
    world.control.drain(now);
    world.control.drain(now);
    world.drain();
    assert!(world.control.is_draining());
    for refusal in [
        world.begin_publish(publish("new")).expect_err("draining"),
        world
            .begin_subscribe(subscribe("studio"))
            .expect_err("draining"),
    ] {
        assert_eq!(refusal.kind, RefusalKind::Unavailable);
        assert!(refusal.retry_after.is_some());
    }
    let waits: Vec<Duration> = world
        .signals
        .iter()
        .filter_map(|(_, signal)| match signal {
            Signal::Reconnect { after } => Some(*after),
            _ => None,
        })
        .collect();
    assert_eq!(
        waits,
        [0, 500, 1000, 1500].map(Duration::from_millis),
        "told once, spread out"
    );
    assert!(world.alive(&publisher) && viewers.iter().all(|viewer| world.alive(viewer)));
    world.control.close_all(now);
    world.drain();
    assert_eq!(world.closed(&publisher), Some(CloseCause::Drained));
    assert!(
        viewers
            .iter()
            .all(|viewer| world.closed(viewer) == Some(CloseCause::Drained))
    );
    world.seconds(60);
    assert!(world.control.rooms(&()).is_empty());
}

#[test]
fn a_reader_that_comes_back_gets_what_it_missed_or_is_told_to_start_anew() {
    let mut world = World::open();
    world.live(publish("one"));
    world.live(publish("two"));
    let all = std::mem::take(&mut world.events);
    let last = all.last().expect("there were some").id;
    let numbers: Vec<u64> = all.iter().map(|event| event.id).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1));
    let replay = |last_seen: Option<u64>, of: Option<&str>| {
        world.control.replay(last_seen, of.map(room).as_ref())
    };
    assert_eq!(replay(None, None), Replay::Events(vec![]), "a new reader");
    assert_eq!(
        replay(Some(last), None),
        Replay::Events(vec![]),
        "up to date"
    );
    assert_eq!(
        replay(Some(all[0].id), None),
        Replay::Events(all[1..].to_vec())
    );
    let two: Vec<_> = all
        .iter()
        .filter(|event| event.room == room("two"))
        .cloned()
        .collect();
    assert_eq!(replay(Some(all[0].id), Some("two")), Replay::Events(two));
    assert_eq!(
        replay(Some(last + 1), None),
        Replay::Reset,
        "from the future"
    );
    assert_eq!(replay(Some(17), None), Replay::Reset, "from an earlier run");
    assert_eq!(replay(Some(u64::MAX - 1), None), Replay::Reset);
    assert_eq!(replay(Some(u64::MAX), None), Replay::Reset);
    for _ in 0..1000 {
        let ticket = world.begin_publish(publish("many")).expect("free");
        world.fail(&ticket);
        let ticket = world.begin_publish(publish("many")).expect("free");
        world.fail(&ticket);
    }
    assert_eq!(
        world.control.replay(Some(last), None),
        Replay::Reset,
        "too long ago"
    );
}
