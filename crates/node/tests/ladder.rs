//! Layers that are made here join what the encoder sends.

mod fake;

use std::sync::Arc;

use fake::{Call, Node, room};
use inver_media::{Config, Frame, MediaTime};
use inver_node::{Client, Credentials, Feed, LadderPlan, PublishFeed, Read, Target};
use inver_proto::Door;
use inver_shard::Event;

/// Parameter sets of 320x180.
const SPS: [u8; 26] = [
    0x67, 0x64, 0x00, 0x0d, 0xac, 0xd9, 0x41, 0x41, 0x9f, 0x9f, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00,
    0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x42, 0x99, 0x60,
];
const PPS: [u8; 6] = [0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];

fn picture(ms: i64, keyframe: bool) -> Frame {
    let nal = [if keyframe { 0x65 } else { 0x41 }, 0x88, 0x84, 0x00];
    let mut data = vec![0, 0, 0, 4];
    data.extend(nal);
    let at = MediaTime(ms * 1_000_000);
    Frame {
        config: Arc::new(Config::H264 {
            sps: vec![SPS.to_vec()],
            pps: vec![PPS.to_vec()],
        }),
        pts: at,
        dts: at,
        keyframe,
        data: data.into(),
    }
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
    let session = feed.session();
    node.tell(Event::Connected { session }).await;
    let calls = node.fake.calls();
    let source = calls.iter().find_map(|call| match call {
        Call::BeginFeed(of, source) if *of == session => Some(*source),
        _ => None,
    });
    let source = source.expect("was begun");
    let mut events = node.handle.events(None, None);
    let flowing = true;
    node.tell(Event::Flowing { source, flowing }).await;
    while node.handle.totals().0 == 0 {
        events.next().await.expect("the node runs");
    }
    feed
}

#[tokio::test]
async fn they_are_wanted_while_somebody_asks_and_lie_on_the_encoders_line_of_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::open(folder.path(), true).await;
    let studio = room("studio");
    node.handle.set_ladder(LadderPlan {
        rooms: vec!["st*".parse().expect("a pattern")],
        heights: vec![720, 120, 96],
    });
    assert!(node.handle.add_layers(&studio).is_err(), "nobody publishes");
    let mut feed = publish(&node).await;
    feed.video(0, &picture(0, true));
    assert_eq!(node.handle.ladder_of(&studio), [120, 96], "lower ones only");
    assert!(node.handle.wanting_layers().is_empty(), "nobody asks");
    node.handle.want(&studio);
    assert_eq!(node.handle.wanting_layers(), std::slice::from_ref(&studio));
    assert_eq!(node.handle.layers_to_come(&studio), 2);
    node.handle.tell_ladder(&studio, true);
    assert_eq!(node.handle.layers_to_come(&studio), 0);

    let mut added = node.handle.add_layers(&studio).expect("is live");
    let mut reader = node.handle.tap(&studio, None).expect("is live");
    assert!(
        added.push(1, picture(0, false)),
        "without a keyframe no layer"
    );
    assert!(added.push(1, picture(0, true)));
    feed.video(0, &picture(40, false));
    assert!(added.push(1, picture(40, false)));
    feed.video(0, &picture(80, false));
    let mut seen = Vec::new();
    for _ in 0..5 {
        if let Some(Read::Video { layer, frame }) = reader.next().await {
            seen.push((layer, frame.pts.ticks(1000)));
        }
    }
    assert_eq!(seen, [(0, 0), (0, 40), (1, 0), (0, 80), (1, 40)]);
    // Its own layers are no reason to make none.
    assert_eq!(node.handle.ladder_of(&studio), [120, 96]);
    let batches = node.fake.batches();
    let packets = batches.iter().flat_map(|batch| &batch.packets);
    let second: Vec<u64> = packets
        .filter(|routed| routed.layer.0 == 1)
        .map(|routed| routed.packet.timestamp)
        .collect();
    assert_eq!(second[1] - second[0], 40 * 90, "{second:?}");

    drop(feed);
    added.closed().await;
    assert!(!added.push(1, picture(120, true)));
}
