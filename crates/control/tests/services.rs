//! A service outside that vouches for others, and what it is told of them.

mod world;

use std::time::Duration;

use inver_control::{
    MediaEvent, Policy, PublishRequest, RefusalKind, SubscribeRequest, Ticket, Vouched, What,
};
use inver_proto::{CloseCause, RoomKind, SessionId};
use world::{ADMIN, World, keyed_policy, publish, publish_as, publish_with, subscribe, who};

fn vouched(participant: Option<&str>) -> Option<Vouched> {
    let participant = participant.map(who);
    Some(Vouched { participant })
}

fn let_in(id: &str, participant: Option<&str>) -> PublishRequest {
    PublishRequest {
        vouched: vouched(participant),
        ..publish(id)
    }
}

fn told(world: &mut World) -> Vec<(SessionId, What)> {
    let happenings = world.happenings.drain(..);
    happenings.map(|h| (h.session, h.what)).collect()
}

#[test]
fn whom_a_service_vouches_for_needs_no_key() {
    let mut world = World::keyed();
    world.create("studio", RoomKind::Broadcast);
    world.key("studio");
    let refused = world.begin_publish(publish("studio")).expect_err("no key");
    assert_eq!(refused.kind, RefusalKind::Unauthorized);
    let ticket = world.live(let_in("studio", None));
    assert_eq!(ticket.participant, who("main"));
    // Rooms that nobody has configured come to be.
    world.live(let_in("elsewhere", None));
}

#[test]
fn the_services_name_for_somebody_wins() {
    let mut world = World::keyed();
    let request = PublishRequest {
        vouched: vouched(Some("alice")),
        ..publish_as("studio", "bob")
    };
    let ticket = world.begin_publish(request).expect("is vouched for");
    assert_eq!(ticket.participant, who("alice"));
    let own = PublishRequest {
        vouched: vouched(None),
        ..publish_as("other", "bob")
    };
    let ticket = world.begin_publish(own).expect("is vouched for");
    assert_eq!(ticket.participant, who("bob"), "the service did not say");
}

#[test]
fn limits_and_second_publishers_are_no_matter_of_credentials() {
    let mut world = World::new(Policy {
        max_viewers: 1,
        public_viewing: false,
        ..keyed_policy()
    });
    world.live(let_in("studio", Some("alice")));
    let second = world.begin_publish(let_in("studio", Some("bob")));
    assert_eq!(second.expect_err("is taken").kind, RefusalKind::Conflict);
    let refused = world.begin_subscribe(subscribe("studio"));
    let kind = refused.expect_err("watching needs a token").kind;
    assert_eq!(kind, RefusalKind::Unauthorized);
    let watch = |world: &mut World| {
        world.begin_subscribe(SubscribeRequest {
            vouched: vouched(Some("carol")),
            ..subscribe("studio")
        })
    };
    let ticket = watch(&mut world).expect("is vouched for");
    assert_eq!(ticket.participant, who("carol"));
    let full = watch(&mut world).expect_err("one viewer fits");
    assert_eq!(full.kind, RefusalKind::Unavailable);
}

#[test]
fn only_tokens_of_our_own_keep_others_out_of_it() {
    let mut world = World::keyed();
    world.create("studio", RoomKind::Broadcast);
    let key = world.key("studio").key;
    let request = inver_proto::CreateToken {
        publish: true,
        ..inver_proto::CreateToken::default()
    };
    let token = world.control.issue_token(&request, world.now);
    let token = token.expect("is a right request").token;
    let own = |text: &str, world: &World| {
        let credentials = publish_with("studio", text).credentials;
        world.control.is_own_token(&credentials, world.now)
    };
    assert!(own(ADMIN, &world));
    assert!(own(&token, &world));
    for text in ["", "nonsense", &key, &format!("{token}x")] {
        assert!(!own(text, &world), "{text}");
    }
    let mut open = World::open();
    open.create("studio", RoomKind::Broadcast);
    assert!(!own("nonsense", &open), "an open server knows it no better");
}

#[test]
fn a_session_is_told_of_once_it_means_something_and_once_it_is_over() {
    let mut world = World::open();
    let publisher = world.begin_publish(publish("studio")).expect("may publish");
    world.accept(&publisher);
    world.media(MediaEvent::Connected(publisher.session));
    assert_eq!(told(&mut world), [], "no media flows");
    world.media(MediaEvent::Flowing(publisher.source, true));
    assert_eq!(told(&mut world), [(publisher.session, What::Published)]);
    let viewer = world.viewer(subscribe("studio"));
    assert_eq!(told(&mut world), [(viewer.session, What::Read)]);
    for event in [
        MediaEvent::Flowing(publisher.source, false),
        MediaEvent::Flowing(publisher.source, true),
        MediaEvent::Disconnected(viewer.session),
        MediaEvent::Connected(viewer.session),
    ] {
        world.media(event);
    }
    assert_eq!(told(&mut world), [], "nobody came or went");
    world.seconds(90);
    world.leave(&publisher);
    let lasted = Duration::from_secs(90);
    let cause = CloseCause::Asked;
    let gone = What::Unpublished { lasted, cause };
    assert_eq!(told(&mut world), [(publisher.session, gone)]);
    // The grace period runs out.
    world.seconds(60);
    let cause = CloseCause::PublisherGone;
    let lasted = Duration::from_secs(120);
    let gone = What::Unread { lasted, cause };
    assert_eq!(told(&mut world), [(viewer.session, gone)]);
}

#[test]
fn what_never_began_is_not_told_to_have_ended() {
    let mut world = World::open();
    let leave_both = |world: &mut World, one: &Ticket, other: &Ticket| {
        world.lost(one);
        world.fail(other);
    };
    let silent = world.begin_publish(publish("studio")).expect("may publish");
    world.accept(&silent);
    world.media(MediaEvent::Connected(silent.session));
    let viewer = world
        .begin_subscribe(subscribe("studio"))
        .expect("may watch");
    leave_both(&mut world, &silent, &viewer);
    assert_eq!(told(&mut world), []);
}

#[test]
fn a_takeover_ends_one_stream_and_begins_another() {
    let mut world = World::keyed();
    let first = world.live(let_in("studio", None));
    assert_eq!(told(&mut world), [(first.session, What::Published)]);
    let second = world
        .begin_publish(let_in("studio", None))
        .expect("takes over");
    world.accept(&second);
    let gone = What::Unpublished {
        lasted: Duration::ZERO,
        cause: CloseCause::TakenOver,
    };
    assert_eq!(told(&mut world), [(first.session, gone)]);
    // The data plane saw no pause in the source's media and tells of none.
    world.media(MediaEvent::Connected(second.session));
    assert_eq!(told(&mut world), [(second.session, What::Published)]);
}
