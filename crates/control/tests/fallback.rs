//! What stands in for a publisher that is gone: when it is wanted, and that it gives way.

mod world;

use std::time::Duration;

use inver_control::{Command, FallbackRule, MediaEvent, PublishRequest, RefusalKind, Vouched};
use inver_proto::{CloseCause, Door, RoomKind};
use world::{World, publish, publish_as, room, subscribe, waiting};

const RULE: FallbackRule = FallbackRule {
    after: Duration::from_secs(2),
    longest: Some(Duration::from_secs(60)),
    always: false,
};

const NOTHING: [bool; 0] = [];

fn rules(world: &mut World, pattern: &str, rule: FallbackRule) {
    let pattern = pattern.parse().expect("a pattern");
    let now = world.now;
    world.control.set_fallbacks(vec![(pattern, rule)], now);
    world.drain();
}

fn stand_in(id: &str) -> PublishRequest {
    PublishRequest {
        door: Door::Fallback,
        vouched: Some(Vouched::default()),
        ..publish(id)
    }
}

/// What was said of a room's fallback since the last look.
fn wanted(world: &mut World) -> Vec<bool> {
    let said = world.commands.iter().filter_map(|command| match command {
        Command::Fallback { wanted, .. } => Some(*wanted),
        _ => None,
    });
    let said = said.collect();
    world.commands.clear();
    said
}

fn world() -> World {
    let mut world = World::open();
    rules(&mut world, "st*", RULE);
    world
}

#[test]
fn it_begins_when_the_publisher_is_gone_and_gives_way_at_once() {
    let mut world = world();
    let first = world.live(publish("studio"));
    let viewer = world.viewer(subscribe("studio"));
    world.lost(&first);
    world.pass(Duration::from_millis(1999));
    assert_eq!(wanted(&mut world), NOTHING);
    assert!(
        world.begin_publish(stand_in("studio")).is_err(),
        "too early"
    );
    world.pass(Duration::from_millis(1));
    assert_eq!(wanted(&mut world), [true]);
    world.event_names();
    let slate = world.live(stand_in("studio"));
    assert_eq!(slate.source, first.source, "viewers stay attached");
    assert_eq!(slate.participant, first.participant);
    assert!(world.event_names().contains(&"fallback.began"));
    let shown = world.room("studio").expect("is there");
    assert!(shown.live && shown.fallback_since.is_some());
    world.seconds(50);
    assert!(world.alive(&viewer), "beyond the grace period");

    let second = world.begin_publish(publish("studio")).expect("its place");
    assert!(
        world.alive(&slate),
        "until the data plane has taken the other"
    );
    world.accept(&second);
    assert_eq!(world.closed(&slate), Some(CloseCause::TakenOver));
    world.media(MediaEvent::Connected(second.session));
    assert_eq!(wanted(&mut world), [false]);
    assert!(world.event_names().contains(&"fallback.ended"));
    assert!(
        world
            .room("studio")
            .expect("is there")
            .fallback_since
            .is_none()
    );
    assert!(world.alive(&viewer));
    world.seconds(100);
    assert_eq!(wanted(&mut world), NOTHING, "no timer is left");
    assert!(world.alive(&second) && world.alive(&viewer));
}

#[test]
fn services_outside_hear_nothing_of_it() {
    let mut world = world();
    let first = world.live(publish("studio"));
    world.lost(&first);
    world.seconds(3);
    world.happenings.clear();
    let slate = world.live(stand_in("studio"));
    world.leave(&slate);
    assert!(world.happenings.is_empty(), "{:?}", world.happenings);
}

#[test]
fn a_publisher_that_returns_in_time_needs_none() {
    let mut world = world();
    let first = world.live(publish("studio"));
    world.lost(&first);
    world.seconds(1);
    world.live(publish("studio"));
    world.seconds(10);
    assert_eq!(wanted(&mut world), NOTHING);
}

#[test]
fn anybody_who_may_publish_takes_its_place() {
    let mut world = world();
    let first = world.live(publish("studio"));
    world.lost(&first);
    world.seconds(3);
    let slate = world.live(stand_in("studio"));
    world.live(publish_as("studio", "guest"));
    assert_eq!(world.closed(&slate), Some(CloseCause::TakenOver));
}

#[test]
fn one_that_is_not_let_in_yet_gives_way_too() {
    let mut world = world();
    let first = world.live(publish("studio"));
    world.lost(&first);
    world.seconds(3);
    let slate = world.begin_publish(stand_in("studio")).expect("is wanted");
    let second = world.begin_publish(publish("studio")).expect("its place");
    assert_eq!(world.closed(&slate), Some(CloseCause::TakenOver));
    world.accept(&second);
    let refusal = world.begin_publish(stand_in("studio")).expect_err("taken");
    assert_eq!(refusal.kind, RefusalKind::Conflict);
}

#[test]
fn it_ends_when_the_publisher_stays_away_and_viewers_are_let_go() {
    let mut world = world();
    let first = world.live(publish("studio"));
    let viewer = world.viewer(subscribe("studio"));
    world.lost(&first);
    world.seconds(3);
    let slate = world.live(stand_in("studio"));
    world.seconds(58);
    assert!(world.alive(&viewer));
    world.seconds(2);
    assert_eq!(world.closed(&slate), Some(CloseCause::PublisherGone));
    assert_eq!(world.closed(&viewer), Some(CloseCause::PublisherGone));
    assert_eq!(wanted(&mut world), [true, false]);
    assert!(world.room("studio").is_none());
    world.seconds(60);
    assert_eq!(world.control.poll_timeout(), None);
}

#[test]
fn one_that_fails_is_wanted_until_its_viewers_have_left() {
    let mut world = world();
    let first = world.live(publish("studio"));
    let viewer = world.viewer(subscribe("studio"));
    world.lost(&first);
    world.seconds(3);
    let slate = world.live(stand_in("studio"));
    world.lost(&slate);
    world.seconds(5);
    let again = world.live(stand_in("studio"));
    world.lost(&again);
    assert_eq!(wanted(&mut world), [true]);
    world.seconds(31);
    assert_eq!(world.closed(&viewer), Some(CloseCause::PublisherGone));
    assert_eq!(wanted(&mut world), [false]);
}

#[test]
fn an_operator_ends_it_and_the_publisher_needs_none_when_it_is_thrown_out() {
    let mut world = world();
    let first = world.live(publish("studio"));
    world.lost(&first);
    world.seconds(3);
    let slate = world.live(stand_in("studio"));
    let now = world.now;
    let ended = world
        .control
        .end_session(&room("studio"), slate.session, now);
    ended.expect("is there");
    world.drain();
    assert_eq!(wanted(&mut world), [true, false]);

    let second = world.live(publish("studio"));
    let now = world.now;
    let ended = world
        .control
        .end_session(&room("studio"), second.session, now);
    ended.expect("is there");
    world.seconds(10);
    assert_eq!(wanted(&mut world), NOTHING);
}

#[test]
fn a_room_that_was_never_live_has_none_unless_always() {
    let mut world = world();
    let first = world.begin_publish(publish("studio")).expect("free");
    world.accept(&first);
    world.lost(&first);
    world.seconds(60);
    assert_eq!(wanted(&mut world), NOTHING);

    let always = FallbackRule {
        always: true,
        ..RULE
    };
    rules(&mut world, "studio", always);
    world.seconds(2);
    assert_eq!(wanted(&mut world), [true]);
    let slate = world.live(stand_in("studio"));
    let viewer = world.viewer(subscribe("studio"));
    world.seconds(1000);
    assert!(world.alive(&slate) && world.alive(&viewer));
    let publisher = world.live(publish("studio"));
    assert_eq!(wanted(&mut world), [false]);
    world.lost(&publisher);
    world.seconds(2);
    assert_eq!(wanted(&mut world), [true]);
    rules(&mut world, "other", always);
    assert_eq!(wanted(&mut world), [false], "nobody asks for it any more");
}

#[test]
fn calls_have_none_and_other_rooms_neither() {
    let mut world = world();
    world.create("st-call", RoomKind::Call);
    let one = world.live(publish("st-call"));
    let other = world.live(publish("other"));
    world.lost(&one);
    world.lost(&other);
    world.seconds(10);
    assert_eq!(wanted(&mut world), NOTHING);
}

#[test]
fn a_room_that_is_closed_has_none() {
    let mut world = world();
    let first = world.live(publish("studio"));
    world.viewer(waiting(subscribe("studio")));
    world.lost(&first);
    world.seconds(3);
    let slate = world.live(stand_in("studio"));
    let plan = world.control.plan_close_room(&room("studio"));
    world.apply(plan.expect("is there"));
    assert_eq!(world.closed(&slate), Some(CloseCause::Kicked));
    world.seconds(60);
    assert_eq!(wanted(&mut world), [true, false]);
    assert_eq!(world.control.poll_timeout(), None);
}

#[test]
fn one_that_is_set_while_the_publisher_is_gone_begins_all_the_same() {
    let mut world = World::open();
    let first = world.live(publish("studio"));
    world.lost(&first);
    world.seconds(5);
    rules(&mut world, "studio", RULE);
    world.seconds(2);
    assert_eq!(wanted(&mut world), [true]);
    world.media(MediaEvent::Flowing(first.source, true));
    assert!(!world.room("studio").expect("is there").live, "late news");
}
