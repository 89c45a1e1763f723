//! What stands in for publishers: what is refused and hidden, what survives, who sees it.

mod fake;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fake::{Call, Node, room};
use inver_media::{Config as Codec, Frame, MediaTime};
use inver_node::{
    Client, Config, ConfiguredFallback, Credentials, FallbackRule, FallbackSource, Feed,
    PublishFeed, Read, RefusalKind, RestreamNews, RestreamPolicy, Secret, Target,
};
use inver_proto::{CloseCause, Door, RestreamState, SetFallback};
use inver_shard::{CloseReason, Event};

fn wish(url: &str) -> SetFallback {
    SetFallback {
        url: url.to_owned(),
        after_ms: Some(0),
        ..SetFallback::default()
    }
}

async fn open(folder: &Path, fallbacks: Vec<ConfiguredFallback>) -> Node {
    let settings = Config {
        restream: RestreamPolicy {
            files_dir: Some(folder.to_owned()),
            ..RestreamPolicy::default()
        },
        fallbacks,
        ..Config::default()
    };
    let node = Node::with_service(folder, true, settings).await;
    node.expect("opens")
}

#[tokio::test]
async fn it_survives_a_killed_process_and_its_key_is_not_on_the_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path(), Vec::new()).await;
    let studio = room("studio");
    let set = wish("rtmp://9.9.9.9/live/geheimgeheim");
    let set = node
        .handle
        .set_fallback(&studio, set)
        .await
        .expect("is fit");
    assert_eq!(set.url, "rtmp://9.9.9.9:1935/live/***");
    assert_eq!((set.after_ms, set.longest_seconds), (0, Some(600)));
    let left = tempfile::tempdir().expect("a folder");
    for file in fs::read_dir(folder.path()).expect("is there") {
        let file = file.expect("is readable");
        let bytes = fs::read(file.path()).expect("is readable");
        assert!(!bytes.windows(6).any(|bytes| bytes == b"geheim"));
        fs::copy(file.path(), left.path().join(file.file_name())).expect("there is room");
    }
    let again = open(left.path(), Vec::new()).await;
    assert_eq!(
        again.handle.fallback(&studio).expect("is there").url,
        set.url
    );
    again
        .handle
        .delete_fallback(&studio)
        .await
        .expect("is there");
    let none = again.handle.fallback(&studio).expect_err("is gone");
    assert_eq!(none.kind, RefusalKind::NotFound);
}

#[tokio::test]
async fn one_made_by_api_stands_before_those_of_the_file_and_both_are_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let configured = ConfiguredFallback {
        rooms: "st*".parse().expect("a pattern"),
        url: Secret::new("file:loop.ts"),
        rule: FallbackRule {
            after: Duration::from_secs(1),
            longest: None,
            always: false,
        },
    };
    let node = open(folder.path(), vec![configured]).await;
    let studio = room("studio");
    let shown = |node: &Node| node.handle.fallback(&studio).expect("is there").url;
    assert_eq!(shown(&node), "file:loop.ts");
    let kept = node.handle.delete_fallback(&studio).await;
    assert_eq!(kept.expect_err("is kept").kind, RefusalKind::Conflict);
    let set = node
        .handle
        .set_fallback(&studio, wish("file:slate.png"))
        .await;
    assert!(!set.expect("is fit").configured);
    assert_eq!(shown(&node), "file:slate.png");
    node.handle
        .delete_fallback(&studio)
        .await
        .expect("is there");
    assert_eq!(shown(&node), "file:loop.ts");

    for unfit in [
        wish("rtmp://127.0.0.1/live/x"),
        wish("http://9.9.9.9/x"),
        SetFallback {
            after_ms: Some(30_000),
            ..wish("file:slate.png")
        },
        SetFallback {
            longest_seconds: Some(u64::MAX),
            ..wish("file:slate.png")
        },
    ] {
        let refused = node.handle.set_fallback(&studio, unfit).await;
        let refused = refused.expect_err("is unfit");
        assert_eq!(refused.kind, RefusalKind::Unprocessable, "{refused:?}");
    }
}

fn picture(ms: i64) -> Frame {
    Frame {
        config: Arc::new(Codec::Vp8),
        pts: MediaTime(ms * 1_000_000),
        dts: MediaTime(ms * 1_000_000),
        keyframe: true,
        data: Arc::from([0x10, 0, 0, 0x9d, 1, 0x2a, 2, 0, 2, 0]),
    }
}

async fn begun(node: &Node, feed: &Feed) {
    let session = feed.session();
    node.tell(Event::Connected { session }).await;
    let calls = node.fake.calls();
    let source = calls.iter().find_map(|call| match call {
        Call::BeginFeed(of, source) if *of == session => Some(*source),
        _ => None,
    });
    let source = source.expect("was begun");
    let flowing = true;
    node.tell(Event::Flowing { source, flowing }).await;
}

async fn publish(node: &Node) -> Feed {
    let request = PublishFeed {
        target: Target::Room(room("studio")),
        participant: None,
        credentials: Credentials::NONE,
        client: Client::default(),
        door: Door::Rtmp,
    };
    let feed = node.handle.publish_feed(request).await.expect("is free");
    begun(node, &feed).await;
    feed
}

/// Waits until the room's state fulfils `reached`.
async fn until(node: &Node, reached: impl Fn(&inver_proto::Room) -> bool) {
    let studio = room("studio");
    let mut events = node.handle.events(Some(&studio), None);
    while !node.handle.room(&studio).is_ok_and(|room| reached(&room)) {
        // Facts that change nothing make no event.
        let _ = tokio::time::timeout(Duration::from_millis(20), events.next()).await;
    }
}

/// The times of the pictures that a reader has.
async fn pictures(reader: &mut inver_node::FrameReader) -> Vec<i64> {
    let mut times = Vec::new();
    while let Ok(Some(read)) = tokio::time::timeout(Duration::from_millis(50), reader.next()).await
    {
        if let Read::Video { frame, .. } = read {
            times.push(frame.pts.ticks(1000));
        }
    }
    times
}

#[tokio::test]
async fn it_is_shown_to_all_but_recorders_and_gives_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path(), Vec::new()).await;
    let studio = room("studio");
    let set = node
        .handle
        .set_fallback(&studio, wish("file:slate.png"))
        .await;
    set.expect("is fit");
    let early = node.handle.publish_fallback(&studio).await;
    assert_eq!(early.expect_err("is early").kind, RefusalKind::Conflict);

    let mut first = publish(&node).await;
    until(&node, |room| room.live).await;
    let mut all = node.handle.tap(&studio, None).expect("is live");
    let mut own = node.handle.tap_publisher(&studio, None).expect("is live");
    first.video(0, &picture(1));
    let session = first.session();
    let mut changes = node.handle.fallback_changes();
    changes.mark_unchanged();
    drop(first);
    let reason = CloseReason::Remote;
    node.tell(Event::Closed { session, reason }).await;
    changes.changed().await.expect("the node runs");
    let [wanted] = &node.handle.wanted_fallbacks()[..] else {
        panic!("one is wanted");
    };
    assert!(matches!(&wanted.source, FallbackSource::Picture(path) if path == "slate.png"));
    node.handle.tell_fallback(wanted.number, RestreamNews::Live);
    let state = node
        .handle
        .fallback(&studio)
        .expect("is there")
        .status
        .state;
    assert_eq!(state, RestreamState::Live);

    let mut slate = node
        .handle
        .publish_fallback(&studio)
        .await
        .expect("is wanted");
    begun(&node, &slate).await;
    until(&node, |room| room.live && room.fallback_since.is_some()).await;
    slate.video(0, &picture(2));
    let mut late = node.handle.tap_publisher(&studio, None).expect("goes on");
    assert!(!node.handle.has_publisher(&studio));

    let mut second = publish(&node).await;
    until(&node, |room| room.fallback_since.is_none()).await;
    assert_eq!(slate.closed().await, CloseCause::TakenOver);
    second.video(0, &picture(3));
    // What it still hands over is dropped.
    slate.video(0, &picture(4));
    drop(slate);
    second.video(0, &picture(5));
    assert!(node.handle.wanted_fallbacks().is_empty());
    assert_eq!(pictures(&mut all).await, [1, 2, 3, 5]);
    assert_eq!(pictures(&mut own).await, [1, 3, 5]);
    assert_eq!(pictures(&mut late).await, [3, 5]);
}
