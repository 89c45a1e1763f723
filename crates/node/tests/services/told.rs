//! What the webhook is told of those who come and go.

use inver_node::Handle;
use inver_proto::SessionId;
use inver_shard::{CloseReason, Event};

use crate::fake::{Node, publish, room, subscribe};
use crate::receiver::Receiver;

/// A publisher whose media flows, with the stream that the webhook calls `s-1`.
pub(crate) async fn live(node: &Node) -> SessionId {
    let started = node.handle.publish(publish("studio", "any")).await;
    let session = started.expect("the webhook vouches").session;
    node.tell(Event::Connected { session }).await;
    let source = node.source(session);
    let flowing = true;
    node.tell(Event::Flowing { source, flowing }).await;
    session
}

fn vouch(kind: &str) -> (u16, &'static str) {
    match kind {
        "stream.start" => (200, r#"{"stream_id": "s-1"}"#),
        _ => (200, ""),
    }
}

async fn closed(node: &Node, session: SessionId) {
    let reason = CloseReason::Remote;
    node.tell(Event::Closed { session, reason }).await;
}

fn end(handle: &Handle, session: SessionId) {
    handle
        .end_session(&room("studio"), session)
        .expect("is there");
}

#[tokio::test]
async fn publishers_and_viewers_are_told_from_beginning_to_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let webhook = Receiver::start(|kind, _| vouch(kind)).await;
    let node = webhook.node(folder.path(), false).await;
    let publisher = live(&node).await;
    let started = webhook.told("publish.started").await;
    assert_eq!(started["room"], "studio");
    assert_eq!(started["session"], publisher.0);
    assert_eq!(started["door"], "whip");
    assert!(started.get("cause").is_none());
    let begun = webhook.told("stream.start").await;
    assert_eq!(begun["session"], publisher.0);

    let viewer = node.handle.subscribe(subscribe("studio")).await;
    let viewer = viewer.expect("the webhook vouches").session;
    node.tell(Event::Connected { session: viewer }).await;
    let read = webhook.told("read.started").await;
    assert_eq!(read["session"], viewer.0);
    // Contact that is lost and found is no second beginning.
    node.tell(Event::Disconnected { session: viewer }).await;
    node.tell(Event::Connected { session: viewer }).await;
    closed(&node, viewer).await;
    let unread = webhook.told("read.ended").await;
    assert_eq!(unread["cause"], "remote");
    assert_eq!(unread["duration_seconds"], 0);

    end(&node.handle, publisher);
    let ended = webhook.told("publish.ended").await;
    assert_eq!(ended["cause"], "kicked");
    assert_eq!(ended["stream_id"], "s-1");
    let over = webhook.told("stream.end").await;
    assert_eq!(over["stream_id"], "s-1");
    for kind in [
        "publish.started",
        "read.started",
        "read.ended",
        "publish.ended",
    ] {
        assert_eq!(webhook.data(kind).len(), 1, "{kind} is told once");
    }
}

#[tokio::test]
async fn who_never_sent_or_connected_is_not_told_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let webhook = Receiver::start(|kind, _| vouch(kind)).await;
    let node = webhook.node(folder.path(), false).await;
    let silent = node.handle.publish(publish("studio", "any")).await;
    let silent = silent.expect("the webhook vouches").session;
    node.tell(Event::Connected { session: silent }).await;
    let viewer = node.handle.subscribe(subscribe("studio")).await;
    let viewer = viewer.expect("the webhook vouches").session;
    end(&node.handle, viewer);
    end(&node.handle, silent);
    // What comes after them in the same room is told after them.
    live(&node).await;
    webhook.told("publish.started").await;
    for kind in ["publish.ended", "read.started", "read.ended"] {
        assert!(webhook.data(kind).is_empty(), "{kind}");
    }
}

#[tokio::test]
async fn a_publisher_that_takes_over_begins_a_stream_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let webhook = Receiver::start(|kind, _| vouch(kind)).await;
    let node = webhook.node(folder.path(), false).await;
    let first = live(&node).await;
    webhook.told("publish.started").await;
    let second = node.handle.publish(publish("studio", "any")).await;
    let second = second.expect("the same participant").session;
    let ended = webhook.told("publish.ended").await;
    assert_eq!(ended["session"], first.0);
    assert_eq!(ended["cause"], "taken_over");
    // Media never stopped flowing, so nothing but the connection tells of the second.
    node.tell(Event::Connected { session: second }).await;
    let started = webhook.nth("publish.started", 1).await;
    assert_eq!(started["session"], second.0);
}

#[tokio::test]
async fn a_stream_that_may_not_start_is_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let webhook = Receiver::start(|kind, _| match kind {
        "stream.start" => (403, r#"{"reason": "no more streams today"}"#),
        _ => (200, ""),
    })
    .await;
    let node = webhook.node(folder.path(), false).await;
    let session = live(&node).await;
    let ended = webhook.told("publish.ended").await;
    assert_eq!(ended["session"], session.0);
    assert_eq!(ended["cause"], "kicked");
    assert!(webhook.data("stream.end").is_empty(), "it never was");
}

#[tokio::test]
async fn the_end_of_the_server_is_told_before_it_is_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let webhook = Receiver::start(|kind, _| vouch(kind)).await;
    let node = webhook.node(folder.path(), false).await;
    live(&node).await;
    webhook.told("stream.start").await;
    node.handle.stop().await;
    // Nothing is waited for here: it has arrived.
    assert_eq!(webhook.data("stream.end").len(), 1);
    let ended = webhook.data("publish.ended");
    assert_eq!(ended[0]["cause"], "drained");
}
