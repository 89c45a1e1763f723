//! Readers of what is published over WebRTC, with a scripted data plane.

mod fake;

use std::sync::Arc;
use std::time::{Duration, Instant};

use fake::{Call, Node, publish, room};
use inver_media::codec::inspect;
use inver_media::{Codec, Extensions, Format, Kind, Packet};
use inver_node::Read;
use inver_proto::SourceId;
use inver_rtc::Layer;
use inver_shard::{Batch, Routed};

/// The only packet of a picture of VP8.
fn batch(epoch: u64, number: u64, keyframe: bool) -> Arc<Batch> {
    let mut payload = vec![0x10, u8::from(!keyframe), 2, 0];
    if keyframe {
        payload.extend([0x9d, 0x01, 0x2a, 64, 1, 180, 0]);
    }
    payload.extend([7; 20]);
    let packet = Packet {
        info: inspect(Codec::Vp8, &payload),
        payload: payload.into(),
        sequence: number,
        timestamp: number * 3600,
        marker: true,
        arrival: Instant::now(),
        format: Format::new(Codec::Vp8),
        extensions: Extensions::default(),
        clock: None,
    };
    Arc::new(Batch {
        epoch,
        packets: vec![Routed {
            kind: Kind::Video,
            layer: Layer(0),
            packet,
        }],
    })
}

async fn published(node: &Node) -> SourceId {
    let session = node.handle.publish(publish("studio", "")).await;
    node.source(session.expect("open server").session)
}

fn taps(node: &Node) -> usize {
    let calls = node.fake.calls().into_iter();
    calls.filter(|call| matches!(call, Call::Tap(_))).count()
}

#[tokio::test]
async fn packets_are_put_together_while_somebody_reads_and_no_longer() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::open(folder.path(), true).await;
    let source = published(&node).await;
    assert_eq!(
        node.fake.give(source, &batch(1, 1, true)),
        0,
        "nobody reads"
    );
    let mut first = node
        .handle
        .tap(&room("studio"), None)
        .expect("is published");
    node.fake.called(&Call::Tap(source)).await;
    node.fake
        .called(&Call::WantKeyframe(source, Layer(0)))
        .await;
    for number in 2..5 {
        node.fake.give(source, &batch(1, number, number == 3));
    }
    for keyframe in [true, false] {
        match first.next().await {
            Some(Read::Video { layer: 0, frame }) => assert_eq!(frame.keyframe, keyframe),
            read => panic!("{read:?} is no picture"),
        }
    }
    let mut second = node
        .handle
        .tap(&room("studio"), None)
        .expect("is published");
    match second.next().await {
        Some(Read::Video { frame, .. }) => assert!(frame.keyframe, "the group is replayed"),
        read => panic!("{read:?} is no picture"),
    }
    assert_eq!(taps(&node), 1, "both read the same");
    drop((first, second));
    // A batch finds out who is gone, here as in a shard.
    let noticed = async {
        let mut number = 5;
        while node.fake.give(source, &batch(1, number, false)) > 0 {
            number += 1;
            tokio::task::yield_now().await;
        }
    };
    let noticed = tokio::time::timeout(Duration::from_secs(10), noticed).await;
    noticed.expect("nobody reads any more");
    let mut third = node
        .handle
        .tap(&room("studio"), None)
        .expect("is published");
    while taps(&node) < 2 {
        tokio::task::yield_now().await;
    }
    node.fake.give(source, &batch(1, 1000, true));
    match third.next().await {
        Some(Read::Video { frame, .. }) => assert!(frame.keyframe, "nothing old is replayed"),
        read => panic!("{read:?} is no picture"),
    }
}

#[tokio::test]
async fn a_reader_goes_on_when_the_publisher_comes_back_and_ends_with_the_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::open(folder.path(), true).await;
    let source = published(&node).await;
    let mut reader = node
        .handle
        .tap(&room("studio"), None)
        .expect("is published");
    node.fake.called(&Call::Tap(source)).await;
    node.fake.give(source, &batch(1, 900, true));
    node.fake.give(source, &batch(2, 1, true));
    let mut times = Vec::new();
    let mut idle = 0;
    while times.len() < 2 {
        match reader.next().await {
            Some(Read::Video { frame, .. }) => times.push(frame.pts),
            Some(Read::Idle) => idle += 1,
            read => panic!("{read:?} is neither"),
        }
    }
    assert_eq!(idle, 1);
    assert!(times[1] > times[0], "{times:?}");
    node.handle.stop().await;
}
