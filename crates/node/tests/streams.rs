//! Event streams: a viewer's signals and the control API's events.

mod fake;

use std::time::Duration;

use fake::{Call, Node, publish, room, subscribe};
use inver_node::{EventItem, SessionEvent};
use inver_proto::{CloseCause, RoomEvent};
use inver_shard::{CloseReason, Event, LayerStats, Snapshot, SourceStats, TrackStats};

fn snapshot(source: inver_proto::SourceId, rids: &[&str]) -> Snapshot {
    let layer = |rid: &&str| LayerStats {
        rid: Some((*rid).to_owned()),
        ..LayerStats::default()
    };
    let track = TrackStats {
        kind: inver_media::Kind::Video,
        codec: Some(inver_media::Codec::Vp8),
        layers: rids.iter().map(layer).collect(),
        loss: 0.0,
    };
    let sources = vec![(
        source,
        SourceStats {
            tracks: vec![track],
        },
    )];
    Snapshot {
        sources,
        ..Snapshot::default()
    }
}

fn rids(event: Option<SessionEvent>) -> Vec<String> {
    let Some(SessionEvent::Layers(tracks)) = event else {
        panic!("{event:?} is no layers")
    };
    tracks
        .into_iter()
        .flat_map(|track| track.layers)
        .filter_map(|layer| layer.rid)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_viewer_is_told_the_state_and_then_every_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::open(folder.path(), true).await;
    let publisher = node
        .handle
        .publish(publish("studio", ""))
        .await
        .expect("open server");
    let source = node.source(publisher.session);
    node.fake.measure(snapshot(source, &["h"]));
    let viewer = node
        .handle
        .subscribe(subscribe("studio"))
        .await
        .expect("is published");
    let mut watch = node.handle.watch_session(&viewer.token).expect("is there");
    assert_eq!(watch.next().await, Some(SessionEvent::Inactive));
    assert_eq!(watch.next().await, Some(SessionEvent::ViewerCount(0)));
    assert_eq!(rids(watch.next().await), ["h"]);
    node.tell(Event::Flowing {
        source,
        flowing: true,
    })
    .await;
    assert_eq!(watch.next().await, Some(SessionEvent::Active));
    node.tell(Event::Connected {
        session: viewer.session,
    })
    .await;
    assert_eq!(watch.next().await, Some(SessionEvent::ViewerCount(1)));

    // The shards' figures follow a change within a second or so.
    node.tell(Event::Layers { source }).await;
    node.tell(Event::Layers { source }).await;
    let changed = tokio::spawn({
        let fake = node.fake.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            fake.measure(snapshot(source, &["q", "h"]));
        }
    });
    assert_eq!(rids(watch.next().await), ["q", "h"]);
    changed.await.expect("has run");
    node.tell(Event::Layers { source }).await;
    node.tell(Event::Closed {
        session: viewer.session,
        reason: CloseReason::ConnectionLost,
    })
    .await;
    let ended = SessionEvent::Ended(CloseCause::ConnectionLost);
    assert_eq!(
        watch.next().await,
        Some(ended),
        "the same layers again are no news"
    );
    assert_eq!(watch.next().await, None);
    assert!(node.handle.watch_session(&viewer.token).is_err());
}

#[tokio::test(start_paused = true)]
async fn two_readers_of_one_session_both_hear_and_leaving_is_no_loss_for_the_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::open(folder.path(), true).await;
    let publisher = node
        .handle
        .publish(publish("studio", ""))
        .await
        .expect("open server");
    let source = node.source(publisher.session);
    let viewer = node
        .handle
        .subscribe(subscribe("studio"))
        .await
        .expect("is published");
    let first = node.handle.watch_session(&viewer.token).expect("is there");
    let mut second = node.handle.watch_session(&viewer.token).expect("is there");
    drop(first);
    assert_eq!(second.next().await, Some(SessionEvent::Inactive));
    assert_eq!(second.next().await, Some(SessionEvent::ViewerCount(0)));
    node.tell(Event::Flowing {
        source,
        flowing: true,
    })
    .await;
    assert_eq!(second.next().await, Some(SessionEvent::Active));
    node.handle.drain();
    let reconnect = SessionEvent::Reconnect {
        url: None,
        after: Duration::ZERO,
    };
    assert_eq!(second.next().await, Some(reconnect));
}

#[tokio::test(start_paused = true)]
async fn events_are_replayed_filtered_and_end_with_the_node() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::open(folder.path(), true).await;
    let handle = &node.handle;
    let mut all = handle.events(None, None);
    let mut two = handle.events(Some(&room("two")), None);
    handle
        .publish(publish("one", ""))
        .await
        .expect("open server");
    handle
        .publish(publish("two", ""))
        .await
        .expect("open server");
    let Some(EventItem::Event(first)) = all.next().await else {
        panic!("no event")
    };
    assert!(matches!(first.what, RoomEvent::RoomCreated { .. }));
    let mut seen = 1;
    while let Some(EventItem::Event(event)) = all.next().await {
        seen += 1;
        if event.room == room("two") && event.what.name() == "session.started" {
            break;
        }
    }
    assert_eq!(seen, 6);
    let Some(EventItem::Event(event)) = two.next().await else {
        panic!("no event")
    };
    assert_eq!(
        (event.room, event.what.name()),
        (room("two"), "room.created")
    );
    let mut back = handle.events(None, Some(first.id));
    let Some(EventItem::Event(next)) = back.next().await else {
        panic!("no event")
    };
    assert_eq!(next.id, first.id + 1);
    let mut stale = handle.events(None, Some(1));
    assert_eq!(stale.next().await, Some(EventItem::Reset));
    handle.stop().await;
    handle.stop().await;
    assert!(node.fake.calls().contains(&Call::Stop));
    while all.next().await.is_some() {}
    let mut after = handle.events(None, None);
    assert_eq!(after.next().await, None);
    assert!(handle.publish(publish("three", "")).await.is_err());
}
