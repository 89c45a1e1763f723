//! Pushes and pulls: what is refused, what is hidden, what survives, who is waited for.

mod fake;

use std::fs;
use std::path::Path;
use std::time::Duration;

use fake::{Node, publish, room, subscribe};
use inver_node::{Config, RefusalKind, RestreamNews, RestreamPolicy, Way};
use inver_proto::{CreatePull, CreatePush, RestreamState};

fn push(url: &str) -> CreatePush {
    CreatePush {
        url: url.to_owned(),
        keep_opus: false,
    }
}

fn pull(url: &str, on_demand: bool) -> CreatePull {
    CreatePull {
        url: url.to_owned(),
        on_demand,
        participant: None,
    }
}

async fn open(folder: &Path, policy: RestreamPolicy) -> Node {
    let settings = Config {
        restream: policy,
        ..Config::default()
    };
    let node = Node::with_service(folder, true, settings).await;
    node.expect("opens")
}

fn private() -> RestreamPolicy {
    RestreamPolicy {
        allow_private: true,
        most: 3,
        most_per_room: 2,
        ..RestreamPolicy::default()
    }
}

#[tokio::test]
async fn a_push_survives_a_killed_process_and_its_key_is_not_on_the_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path(), private()).await;
    let studio = room("studio");
    let request = push("rtmp://127.0.0.1/live/geheimgeheim");
    let made = node.handle.create_push(&studio, request).await;
    let made = made.expect("is fit");
    assert_eq!(made.url, "rtmp://127.0.0.1:1935/live/***");
    let left = tempfile::tempdir().expect("a folder");
    for file in fs::read_dir(folder.path()).expect("is there") {
        let file = file.expect("is readable");
        let bytes = fs::read(file.path()).expect("is readable");
        assert!(!bytes.windows(6).any(|bytes| bytes == b"geheim"));
        fs::copy(file.path(), left.path().join(file.file_name())).expect("there is room");
    }
    let again = open(left.path(), private()).await;
    let found = again.handle.push(&studio, &made.id).expect("is there");
    assert_eq!((&found.url, found.created_at), (&made.url, made.created_at));
    let [restream] = &again.handle.restreams(Way::Push)[..] else {
        panic!("there is one");
    };
    let inver_node::Address::Rtmp(target) = &restream.address else {
        panic!("{restream:?}");
    };
    assert_eq!(target.address.name, "geheimgeheim");
    again
        .handle
        .delete_restream(&studio, Way::Push, &made.id)
        .await
        .expect("is there");
    assert!(again.handle.pushes(&studio).is_empty());
    assert!(again.handle.restreams(Way::Push).is_empty());
}

#[tokio::test]
async fn no_more_are_made_than_may_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path(), private()).await;
    let make = |name: &str| {
        let (handle, name) = (node.handle.clone(), room(name));
        async move { handle.create_push(&name, push("srt://127.0.0.1:9")).await }
    };
    make("a").await.expect("the first of this room");
    make("a").await.expect("the second of this room");
    let refusal = make("a").await.expect_err("a third of this room");
    assert_eq!(refusal.kind, RefusalKind::Conflict);
    make("b").await.expect("the third in all");
    let refusal = make("c").await.expect_err("a fourth in all");
    assert_eq!(refusal.kind, RefusalKind::Conflict);
    // Pulls are counted apart.
    let third = room("c");
    let pulled = node
        .handle
        .create_pull(&third, pull("srt://127.0.0.1:9", false));
    pulled.await.expect("the first pull");
}

#[tokio::test]
async fn what_leads_inside_or_nowhere_is_refused_without_its_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path(), RestreamPolicy::default()).await;
    for url in [
        "rtmp://127.0.0.1/live/geheim",
        "rtmp://localhost/live/geheim",
        "srt://[::1]:9000?streamid=geheim",
        "ftp://h/geheim",
        "rtsp://a:geheim@localhost/geheim",
        "https://:geheim@127.0.0.1/whep/geheim",
        "http://2130706433/whep/geheim",
        "file:loop.ts",
        "file:../geheim.ts",
    ] {
        let made = node.handle.create_pull(&room("a"), pull(url, false)).await;
        let refusal = made.expect_err(url);
        assert_eq!(refusal.kind, RefusalKind::Unprocessable, "{url}");
        assert!(!refusal.detail.contains("geheim"), "{}", refusal.detail);
    }
    assert!(node.handle.pulls(&room("a")).is_empty());
}

#[tokio::test]
async fn a_closed_room_takes_its_pushes_and_pulls_along() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path(), private()).await;
    let studio = room("studio");
    let created = node.handle.create_room(inver_proto::CreateRoom {
        id: Some(studio.clone()),
        ..inver_proto::CreateRoom::default()
    });
    created.await.expect("is new");
    let made = node.handle.create_push(&studio, push("srt://127.0.0.1:9"));
    made.await.expect("is fit");
    let other = room("other");
    let made = node.handle.create_push(&other, push("srt://127.0.0.1:9"));
    made.await.expect("is fit");
    node.handle.close_room(&studio).await.expect("is there");
    assert!(node.handle.pushes(&studio).is_empty());
    assert_eq!(node.handle.pushes(&room("other")).len(), 1);
}

#[tokio::test]
async fn a_failure_is_told_until_media_flows() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path(), private()).await;
    let studio = room("studio");
    let made = node.handle.create_push(&studio, push("srt://127.0.0.1:9"));
    let made = made.await.expect("is fit");
    let tell = |news| {
        node.handle.tell_restream(&made.id, news);
        node.handle
            .push(&studio, &made.id)
            .expect("is there")
            .status
    };
    let failed = tell(RestreamNews::Failed {
        reason: "no answer".to_owned(),
        after: Duration::from_secs(2),
    });
    assert_eq!(failed.state, RestreamState::Retrying);
    assert!(failed.retry_at > Some(failed.since));
    let connecting = tell(RestreamNews::Connecting);
    assert_eq!(connecting.reason.as_deref(), Some("no answer"));
    let behind = tell(RestreamNews::Behind {
        reason: "too slow".to_owned(),
    });
    assert_eq!(behind.state, RestreamState::Live);
    assert_eq!(behind.reason.as_deref(), Some("too slow"));
    let live = tell(RestreamNews::Live);
    assert_eq!((live.state, live.reason), (RestreamState::Live, None));
}

#[tokio::test(start_paused = true)]
async fn who_wants_what_comes_on_demand_is_kept_until_it_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path(), private()).await;
    let studio = room("studio");
    let made = node
        .handle
        .create_pull(&studio, pull("srt://127.0.0.1:9", true));
    made.await.expect("is fit");
    assert!(!node.handle.is_wanted(&studio));
    let viewer = tokio::spawn({
        let handle = node.handle.clone();
        async move { handle.subscribe(subscribe("studio")).await }
    });
    while !node.handle.is_wanted(&studio) {
        tokio::task::yield_now().await;
    }
    let published = node.handle.publish(publish("studio", "")).await;
    published.expect("is free");
    let viewer = viewer.await.expect("no panic");
    viewer.expect("has somebody to watch");
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_vain_is_told_that_nobody_is_live() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path(), private()).await;
    let studio = room("studio");
    let made = node
        .handle
        .create_pull(&studio, pull("srt://127.0.0.1:9", true));
    made.await.expect("is fit");
    let began = tokio::time::Instant::now();
    let refusal = node.handle.subscribe(subscribe("studio")).await;
    assert_eq!(
        refusal.expect_err("nobody came").kind,
        RefusalKind::Conflict
    );
    assert!(began.elapsed() >= Duration::from_secs(10));
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(!node.handle.is_wanted(&studio));
}
