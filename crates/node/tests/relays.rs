//! Rooms of other servers: when they are fetched, when not, and what viewers are told.

mod fake;

use std::sync::{Arc, Mutex};

use fake::{Call, Node, publish, room, subscribe};
use inver_node::{Config, Fetching, Refusal, RefusalKind, Relays};
use inver_proto::{NodeId, Relay, RelayPath, RoomId};

/// Fetches the rooms that begin with `far`, as it is told.
#[derive(Default)]
struct Fetcher {
    asked: Mutex<Vec<(RoomId, RelayPath)>>,
    refusal: Mutex<Option<Refusal>>,
}

impl Relays for Fetcher {
    fn covers(&self, room: &RoomId) -> bool {
        room.as_str().starts_with("far")
    }

    fn fetch<'a>(&'a self, room: &'a RoomId, path: &'a RelayPath) -> Fetching<'a> {
        let mut asked = self.asked.lock().expect("no test panics within");
        asked.push((room.clone(), path.clone()));
        let refusal = self.refusal.lock().expect("no test panics within").clone();
        Box::pin(async move { refusal.map_or(Ok(()), Err) })
    }

    fn relay(&self, _: &RoomId) -> Option<Relay> {
        None
    }
}

impl Fetcher {
    fn refuse(&self, kind: RefusalKind) {
        let refusal = Refusal::new(kind, "the origin says so");
        *self.refusal.lock().expect("no test panics within") = Some(refusal);
    }

    fn asked(&self) -> Vec<(RoomId, RelayPath)> {
        self.asked.lock().expect("no test panics within").clone()
    }
}

async fn open(settings: Config, open: bool) -> (Node, Arc<Fetcher>, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::with_service(folder.path(), open, settings).await;
    let node = node.expect("opens");
    let fetcher = Arc::new(Fetcher::default());
    node.handle.set_relays(fetcher.clone());
    (node, fetcher, folder)
}

#[tokio::test]
async fn only_rooms_of_other_servers_are_fetched_and_the_way_is_told() {
    let (node, fetcher, _folder) = open(Config::default(), true).await;
    node.handle
        .publish(publish("near", ""))
        .await
        .expect("is free");
    node.handle
        .subscribe(subscribe("near"))
        .await
        .expect("somebody publishes");
    assert!(fetcher.asked().is_empty());

    // What is fetched is published by the time the fetcher says so.
    node.handle
        .publish(publish("far", ""))
        .await
        .expect("is free");
    let mut wish = subscribe("far");
    wish.relay_path = RelayPath::default().then(NodeId(7));
    node.handle.subscribe(wish).await.expect("it was fetched");
    let path = RelayPath::default().then(NodeId(7));
    assert_eq!(fetcher.asked(), [(room("far"), path)]);
}

#[tokio::test]
async fn a_room_that_would_come_back_is_refused_before_anybody_is_asked() {
    let (node, fetcher, _folder) = open(Config::default(), true).await;
    let own = node.handle.node_id();
    let away =
        |count: u64| (1..=count).fold(RelayPath::default(), |path, id| path.then(NodeId(id)));
    for path in [RelayPath::default().then(own), away(2).then(own), away(4)] {
        for name in ["far", "near"] {
            let mut wish = subscribe(name);
            wish.relay_path = path.clone();
            let refusal = node.handle.subscribe(wish).await;
            assert_eq!(refusal.expect_err("a loop").kind, RefusalKind::Loop);
        }
    }
    assert!(fetcher.asked().is_empty());
    let subscribed = |call: &Call| matches!(call, Call::Subscribe(..));
    assert!(!node.fake.calls().iter().any(subscribed));
}

#[tokio::test]
async fn what_the_origin_says_is_told_unless_the_viewer_waits_and_time_may_cure_it() {
    let (node, fetcher, _folder) = open(Config::default(), true).await;
    for kind in [
        RefusalKind::Conflict,
        RefusalKind::Unavailable,
        RefusalKind::Loop,
    ] {
        fetcher.refuse(kind);
        let refusal = node.handle.subscribe(subscribe("far")).await;
        let refusal = refusal.expect_err("the origin refuses");
        assert_eq!(
            (refusal.kind, refusal.detail.as_str()),
            (kind, "the origin says so")
        );
        let mut wish = subscribe("far");
        wish.wait = true;
        let waits = node.handle.subscribe(wish).await;
        assert_eq!(waits.is_ok(), kind != RefusalKind::Loop, "{kind:?}");
    }
}

#[tokio::test]
async fn nothing_is_fetched_for_whoever_may_not_watch() {
    let (node, fetcher, _folder) = open(Config::default(), false).await;
    let mut wish = subscribe("far");
    wish.credentials = inver_node::Credentials::bearer("no such key");
    let refusal = node.handle.subscribe(wish).await;
    assert_eq!(
        refusal.expect_err("a wrong key").kind,
        RefusalKind::Unauthorized
    );
    assert!(fetcher.asked().is_empty());
}
