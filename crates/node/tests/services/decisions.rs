//! Who comes in by the word of a webhook, and who does not.

use inver_node::{Credentials, Publish, PublishFeed, ReadFrames, RefusalKind, Secret, Target};
use inver_proto::{Direction, Door, ParticipantId};
use inver_service::WhenDown;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::fake::{publish, room, subscribe};
use crate::receiver::{Receiver, node};

/// Lets in whoever shows `good`, as `alice`.
fn by_key(kind: &str, data: &Value) -> (u16, &'static str) {
    match kind {
        "publish.authorize" | "read.authorize" if data["key"] == "good" => {
            (200, r#"{"participant": "alice"}"#)
        }
        "publish.authorize" | "read.authorize" => (403, r#"{"reason": "you are not on the list"}"#),
        _ => (200, ""),
    }
}

fn in_one_string(text: &str) -> Publish {
    Publish {
        target: Target::RoomWithKey(Secret::new(text)),
        ..publish("unused", "")
    }
}

fn feed(text: &str, door: Door) -> PublishFeed {
    PublishFeed {
        target: Target::RoomWithKey(Secret::new(text)),
        participant: Some("bob".parse().expect("a name")),
        credentials: Credentials::NONE,
        client: inver_node::Client::default(),
        door,
    }
}

#[tokio::test]
async fn the_webhook_lets_a_publisher_in_whom_no_key_of_ours_would() {
    let folder = tempfile::tempdir().expect("a folder");
    let webhook = Receiver::start(by_key).await;
    let node = webhook.node(folder.path(), false).await;
    let started = node.handle.publish(publish("studio", "good")).await;
    let started = started.expect("the webhook vouches");
    assert_eq!(started.participant.as_str(), "alice");
    let asked = webhook.data("publish.authorize");
    assert_eq!(asked[0]["room"], "studio");
    assert_eq!(asked[0]["proof"], "key");

    // The webhook's name wins over the one that the encoder gives.
    let rtmp = node
        .handle
        .publish_feed(feed("show-good", Door::Rtmp))
        .await;
    let rtmp = rtmp.expect("the webhook vouches");
    assert_eq!(rtmp.room(), &room("show"));
    assert_eq!(rtmp.participant().as_str(), "alice");
    let whip = node.handle.publish(in_one_string("other-good")).await;
    assert_eq!(whip.expect("the webhook vouches").room, room("other"));
}

#[tokio::test]
async fn the_webhook_refuses_in_its_own_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let webhook = Receiver::start(by_key).await;
    // A server without keys lets everybody in; its service decides all the same.
    for open in [false, true] {
        let folder = folder.path().join(open.to_string());
        let node = webhook.node(&folder, open).await;
        let refused = node.handle.publish(publish("studio", "bad")).await;
        let refused = refused.expect_err("not on the list");
        assert_eq!(refused.kind, RefusalKind::Forbidden);
        assert_eq!(refused.detail, "you are not on the list");
        let refused = node.handle.publish_feed(feed("show-bad", Door::Srt)).await;
        let refused = refused.expect_err("not on the list");
        assert_eq!(refused.detail, "you are not on the list");
        assert!(node.handle.rooms().is_empty(), "nothing was reserved");
        assert!(node.fake.calls().is_empty(), "no shard was asked");
    }
}

#[tokio::test]
async fn a_second_publisher_is_controls_matter_whoever_vouches() {
    let folder = tempfile::tempdir().expect("a folder");
    let webhook = Receiver::start(|_, data| match data["key"].as_str() {
        Some("one") => (200, r#"{"participant": "one"}"#),
        _ => (200, r#"{"participant": "two"}"#),
    })
    .await;
    let node = webhook.node(folder.path(), false).await;
    let first = node.handle.publish(publish("studio", "one")).await;
    first.expect("the webhook vouches");
    let second = node.handle.publish(publish("studio", "two")).await;
    assert_eq!(second.expect_err("is taken").kind, RefusalKind::Conflict);
}

#[tokio::test]
async fn tokens_of_ours_are_never_shown_to_the_webhook() {
    let folder = tempfile::tempdir().expect("a folder");
    let webhook = Receiver::start(|_, _| (403, "")).await;
    let node = webhook.node(folder.path(), false).await;
    let admin = node.handle.admin_token().reveal().to_owned();
    let started = node.handle.publish(publish("studio", &admin)).await;
    started.expect("the administrator may");
    assert!(webhook.heard().is_empty());
}

#[tokio::test]
async fn nobody_new_comes_in_while_the_webhook_is_down_unless_configured() {
    let folder = tempfile::tempdir().expect("a folder");
    // Bound and dropped: nobody listens there.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let nowhere = listener.local_addr().expect("is bound");
    drop(listener);
    let denying = node(&folder.path().join("deny"), false, nowhere, WhenDown::Deny).await;
    let refused = denying.handle.publish(publish("studio", "good")).await;
    let refused = refused.expect_err("nobody decided");
    assert_eq!(refused.kind, RefusalKind::Unavailable);
    assert!(refused.retry_after.is_some());
    let refused = denying.handle.keys_by_number(7).await;
    assert_eq!(
        refused.expect_err("nobody knows").kind,
        RefusalKind::Unavailable
    );
    let allowing = node(
        &folder.path().join("allow"),
        false,
        nowhere,
        WhenDown::Allow,
    )
    .await;
    let started = allowing.handle.publish(publish("studio", "good")).await;
    started.expect("everybody comes in");
}

#[tokio::test]
async fn viewers_are_asked_about_like_publishers() {
    let folder = tempfile::tempdir().expect("a folder");
    let webhook = Receiver::start(by_key).await;
    let node = webhook.node(folder.path(), false).await;
    let feed = node
        .handle
        .publish_feed(feed("studio-good", Door::Rtmp))
        .await;
    let _feed = feed.expect("the webhook vouches");
    let refused = node.handle.subscribe(subscribe("studio")).await;
    let refused = refused.expect_err("shows nothing");
    assert_eq!(refused.kind, RefusalKind::Unauthorized);
    assert_eq!(refused.detail, "you are not on the list");
    let mut welcome = subscribe("studio");
    welcome.credentials = Credentials::bearer("good");
    let viewer = node.handle.subscribe(welcome).await;
    let viewer = viewer.expect("the webhook vouches");
    assert_eq!(viewer.participant.as_str(), "alice");
    let mut read = ReadFrames {
        room: room("studio"),
        participant: None,
        credentials: Credentials::NONE,
        client: inver_node::Client::default(),
        door: Door::Srt,
    };
    let refused = node.handle.read_frames(read.clone()).await;
    assert_eq!(
        refused.expect_err("shows nothing").kind,
        RefusalKind::Unauthorized
    );
    read.credentials = Credentials::bearer("good");
    let reader = node.handle.read_frames(read).await;
    assert_eq!(
        reader.expect("the webhook vouches").participant().as_str(),
        "alice"
    );
    let view = node.handle.room(&room("studio")).expect("is there");
    let alice: ParticipantId = "alice".parse().expect("a name");
    let sessions = view.participants.iter().filter(|who| who.id == alice);
    let directions = sessions.flat_map(|who| &who.sessions).map(|s| s.direction);
    let watching = directions.filter(|d| *d == Direction::Subscribe).count();
    assert_eq!(watching, 1, "the reader was dropped");
}

#[tokio::test]
async fn a_rooms_key_is_looked_up_and_its_proof_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let webhook = Receiver::start(|kind, data| match kind {
        "key.lookup" if data["number"] == 77 => (200, r#"{"key": "secret of 77"}"#),
        "key.lookup" => (404, ""),
        _ => (200, ""),
    })
    .await;
    let node = webhook.node(folder.path(), false).await;
    let found = node.handle.keys_by_number(77).await.expect("is not down");
    let (id, keys) = found.expect("the webhook knows it");
    assert_eq!(id, room("77"), "no room of ours has the number");
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].reveal(), "secret of 77");
    let unknown = node.handle.keys_by_number(78).await.expect("is not down");
    assert!(unknown.is_none());
    let proved = PublishFeed {
        target: Target::Room(id),
        credentials: Credentials::bearer(keys[0].reveal()),
        ..feed("unused", Door::Ftl)
    };
    let _feed = node.handle.publish_feed(proved).await.expect("vouched for");
    let asked = webhook.told("publish.authorize").await;
    assert_eq!(asked["proof"], "challenge");
    assert!(asked.get("key").is_none(), "nobody needs to send it back");
}
