//! Entity tags of ICE sessions: trickle, restart, and requests that come too late.

mod world;

use inver_control::{IcePatch, RefusalKind};
use world::{World, publish, subscribe, waiting};

#[test]
fn a_trickle_needs_the_tag_of_the_session_that_is_alive() {
    let mut world = World::open();
    let ticket = world.begin_publish(publish("studio")).expect("free");
    let tag = world.accept(&ticket);
    assert!(
        tag.starts_with('"') && tag.ends_with('"'),
        "a strong tag with its quotes"
    );
    let check = |if_match, ufrag| {
        let checked = world
            .control
            .check_ice_patch(ticket.session, if_match, ufrag);
        checked.map_err(|refusal| refusal.kind)
    };
    assert_eq!(check(Some(&tag), Some("theirs")), Ok(IcePatch::Trickle));
    assert_eq!(check(Some(&tag), None), Ok(IcePatch::Trickle));
    let several = format!("\"other\", {tag}");
    assert_eq!(check(Some(&several), None), Ok(IcePatch::Trickle));
    assert_eq!(check(Some("*"), Some("theirs")), Ok(IcePatch::Trickle));
    assert_eq!(
        check(None, Some("theirs")),
        Err(RefusalKind::PreconditionRequired)
    );
    assert_eq!(
        check(Some("\"stale\""), None),
        Err(RefusalKind::PreconditionFailed)
    );
    let weak = format!("W/{tag}");
    assert_eq!(
        check(Some(&weak), None),
        Err(RefusalKind::PreconditionFailed)
    );
    for star in ["*", "\"*\"", &tag] {
        assert_eq!(check(Some(star), Some("new")), Ok(IcePatch::Restart));
    }
}

#[test]
fn a_restart_changes_the_tag() {
    let mut world = World::open();
    let ticket = world.begin_publish(publish("studio")).expect("free");
    let old = world.accept(&ticket);
    let new = world
        .control
        .restarted(ticket.session, "ours-anew", Some("new".to_owned()));
    assert_ne!(old, new);
    let check = |if_match: &str, ufrag| {
        let checked = world
            .control
            .check_ice_patch(ticket.session, Some(if_match), ufrag);
        checked.map_err(|refusal| refusal.kind)
    };
    assert_eq!(
        check(&old, Some("new")),
        Err(RefusalKind::PreconditionFailed)
    );
    assert_eq!(check(&new, Some("new")), Ok(IcePatch::Trickle));
}

#[test]
fn after_an_offer_of_ours_the_answer_tells_the_clients_fragment() {
    let mut world = World::open();
    let viewer = world
        .begin_subscribe(waiting(subscribe("studio")))
        .expect("may wait");
    let tag = world.accept(&viewer);
    let check = |world: &World, if_match: &str| {
        world
            .control
            .check_ice_patch(viewer.session, Some(if_match), Some("theirs"))
    };
    assert_eq!(check(&world, &tag), Ok(IcePatch::Trickle));
    world
        .control
        .answered(viewer.session, Some("theirs".to_owned()));
    assert_eq!(check(&world, "*"), Ok(IcePatch::Trickle));
    world.leave(&viewer);
    assert_eq!(
        check(&world, &tag).expect_err("has ended").kind,
        RefusalKind::NotFound
    );
}
