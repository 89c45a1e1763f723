//! Encoders that hand frames over, and readers of frames, with a scripted data plane.

mod fake;

use std::sync::Arc;

use fake::{Call, Node, room};
use inver_media::audio::{AacEncoder, Encoder as _};
use inver_media::{Codec, Config, Frame, Kind, MediaTime};
use inver_node::{Client, Credentials, Feed, PublishFeed, Read, ReadFrames, RefusalKind, Target};
use inver_proto::{CloseCause, Door, WarningKind};
use inver_shard::{CloseReason, Event};

/// Parameter sets of 320x180, which declare two reordered frames.
const SPS: [u8; 26] = [
    0x67, 0x64, 0x00, 0x0d, 0xac, 0xd9, 0x41, 0x41, 0x9f, 0x9f, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00,
    0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x42, 0x99, 0x60,
];
/// Parameter sets that declare nothing of order: constrained baseline.
const PLAIN_SPS: [u8; 10] = [0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x47, 0xfe, 0xc8];
const PPS: [u8; 6] = [0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];

fn h264(sps: &[u8]) -> Arc<Config> {
    Arc::new(Config::H264 {
        sps: vec![sps.to_vec()],
        pps: vec![PPS.to_vec()],
    })
}

fn picture(config: &Arc<Config>, ms: i64, keyframe: bool) -> Frame {
    let mut nal = vec![if keyframe { 0x65 } else { 0x41 }, 0x88, 0x84, 0x00];
    nal.resize(3000, 0x55);
    let mut data = (nal.len() as u32).to_be_bytes().to_vec();
    data.extend(nal);
    let at = MediaTime(ms * 1_000_000);
    Frame {
        config: Arc::clone(config),
        pts: at,
        dts: at,
        keyframe,
        data: data.into(),
    }
}

fn opus(ms: i64) -> Frame {
    let at = MediaTime(ms * 1_000_000);
    Frame {
        config: Arc::new(Config::Opus {
            channels: 2,
            pre_skip: 312,
        }),
        pts: at,
        dts: at,
        keyframe: true,
        data: vec![0xfc, 0xff, 0xfe].into(),
    }
}

/// A second of silence in AAC.
fn aac() -> Vec<Frame> {
    let mut encoder = AacEncoder::new(128_000).expect("a usual rate");
    let silence = vec![0.0; encoder.unit_len()];
    (0..47)
        .map(|unit| {
            let at = MediaTime::from_ticks(unit * silence.len() as i64, 48_000);
            Frame {
                config: Arc::clone(encoder.config()),
                pts: at,
                dts: at,
                keyframe: true,
                data: encoder.encode(&silence, &silence).expect("encodes"),
            }
        })
        .collect()
}

async fn feed(node: &Node, id: &str) -> Feed {
    let request = PublishFeed {
        target: Target::Room(room(id)),
        participant: None,
        credentials: Credentials::NONE,
        client: Client::default(),
        door: Door::Rtmp,
    };
    let feed = node
        .handle
        .publish_feed(request)
        .await
        .expect("open server");
    let session = feed.session();
    node.tell(Event::Connected { session }).await;
    feed
}

fn read(id: &str) -> ReadFrames {
    ReadFrames {
        room: room(id),
        participant: None,
        credentials: Credentials::NONE,
        client: Client::default(),
        door: Door::Rtmp,
    }
}

/// Waits until control has heard that media flows.
async fn live(node: &Node, feed: &Feed) {
    let calls = node.fake.calls();
    let source = calls.iter().find_map(|call| match call {
        Call::BeginFeed(session, source) if *session == feed.session() => Some(*source),
        _ => None,
    });
    let mut events = node.handle.events(None, None);
    node.tell(Event::Flowing {
        source: source.expect("was begun"),
        flowing: true,
    })
    .await;
    while node.handle.totals().0 == 0 {
        events.next().await.expect("the node runs");
    }
}

#[tokio::test]
async fn both_tracks_come_out_on_one_clock() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::open(folder.path(), true).await;
    let mut feed = feed(&node, "studio").await;
    let config = h264(&PLAIN_SPS);
    for frame in 0..10 {
        feed.video(0, &picture(&config, 5_000 + frame * 40, frame == 0));
        feed.audio(&opus(5_000 + frame * 20));
    }
    let batches = node.fake.batches();
    let packets: Vec<_> = batches.iter().flat_map(|batch| &batch.packets).collect();
    let moment = |routed: &inver_shard::Routed| {
        let clock = routed
            .packet
            .clock
            .expect("every packet is tied to the clock");
        let rate = f64::from(routed.packet.format.codec.clock_rate());
        (routed.packet.timestamp as f64 - clock.rtp as f64) / rate
    };
    for kind in [Kind::Video, Kind::Audio] {
        let of_kind: Vec<_> = packets
            .iter()
            .filter(|routed| routed.kind == kind)
            .collect();
        assert!(moment(of_kind[0]).abs() < 1e-6, "both begin at one moment");
        let numbers: Vec<u64> = of_kind.iter().map(|r| r.packet.sequence).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1));
        let clocks: std::collections::HashSet<_> = of_kind
            .iter()
            .map(|r| r.packet.clock.map(|c| c.ntp))
            .collect();
        assert_eq!(clocks.len(), 1);
    }
    let first = packets.iter().find(|r| r.kind == Kind::Video).expect("cut");
    assert!(
        first.packet.info.keyframe_start,
        "parameter sets come first"
    );
    assert!(packets.iter().all(|r| r.packet.payload.len() <= 1148));
    assert!(batches.iter().all(|batch| batch.epoch == 1));
}

#[tokio::test]
async fn sound_becomes_opus_only_while_somebody_listens() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::open(folder.path(), true).await;
    let mut feed = feed(&node, "studio").await;
    feed.video(0, &picture(&h264(&PLAIN_SPS), 0, true));
    let sound = aac();
    let heard = |node: &Node| {
        let batches = node.fake.batches();
        let packets = batches.iter().flat_map(|batch| &batch.packets);
        let sound = packets.filter(|routed| routed.kind == Kind::Audio);
        sound
            .inspect(|routed| assert_eq!(routed.packet.format.codec, Codec::Opus))
            .count()
    };
    for frame in &sound[..20] {
        feed.audio(frame);
    }
    assert_eq!(heard(&node), 0, "nobody listens");
    node.fake.watch(1);
    for frame in &sound[20..] {
        feed.audio(frame);
    }
    let first = heard(&node);
    assert!((20..=30).contains(&first), "27 units of 21 ms: {first}");
    node.fake.watch(0);
    for frame in &sound {
        feed.audio(frame);
    }
    assert_eq!(heard(&node), first, "nobody listens any more");
}

#[tokio::test]
async fn sound_alone_goes_out_although_nobody_listens() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::open(folder.path(), true).await;
    let mut feed = feed(&node, "radio").await;
    for frame in aac() {
        feed.audio(&frame);
    }
    assert!(
        node.fake.batches().len() > 40,
        "or the room would never be live"
    );
}

#[tokio::test]
async fn pictures_out_of_order_are_marked_and_the_publisher_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::open(folder.path(), true).await;
    let mut declared = feed(&node, "declared").await;
    declared.video(0, &picture(&h264(&SPS), 0, true));
    let mut seen = feed(&node, "seen").await;
    let config = h264(&PLAIN_SPS);
    for ms in [0, 120, 40, 80] {
        let mut frame = picture(&config, ms, ms == 0);
        frame.dts = MediaTime(ms / 3);
        seen.video(0, &frame);
    }
    for id in ["declared", "seen"] {
        let view = node.handle.room(&room(id)).expect("is there");
        let kinds: Vec<WarningKind> = view.warnings.iter().map(|w| w.kind).collect();
        assert_eq!(kinds, [WarningKind::BFrames], "{id}");
    }
    let batches = node.fake.batches();
    let marked = batches
        .iter()
        .filter(|batch| batch.packets.iter().all(|r| r.packet.info.reordered));
    assert_eq!(marked.count(), 3, "all of the first, two of the second");
}

#[tokio::test]
async fn a_reader_begins_with_the_present_group_and_ends_with_control() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::open(folder.path(), true).await;
    let absent = node.handle.read_frames(read("studio")).await;
    assert_eq!(
        absent.expect_err("nobody is there").kind,
        RefusalKind::Conflict
    );
    let mut feed = feed(&node, "studio").await;
    let config = h264(&PLAIN_SPS);
    for frame in 0..8 {
        feed.video(0, &picture(&config, frame * 40, frame % 5 == 0));
        feed.audio(&opus(frame * 40));
    }
    live(&node, &feed).await;
    let mut reader = node
        .handle
        .read_frames(read("studio"))
        .await
        .expect("is live");
    feed.video(0, &picture(&config, 320, false));
    let mut got = Vec::new();
    for _ in 0..7 {
        match reader.next().await.expect("goes on") {
            Read::Video { frame, .. } => got.push((Kind::Video, frame.pts.0 / 1_000_000)),
            Read::Audio(frame) => got.push((Kind::Audio, frame.pts.0 / 1_000_000)),
            other => panic!("{other:?}"),
        }
    }
    let pictures: Vec<i64> = got
        .iter()
        .filter(|(kind, _)| *kind == Kind::Video)
        .map(|(_, ms)| *ms)
        .collect();
    assert_eq!(
        pictures,
        [200, 240, 280, 320],
        "from the keyframe on, then live"
    );
    drop(feed);
    assert!(matches!(reader.next().await, Some(Read::Idle)));
    node.handle
        .end_session(
            &room("studio"),
            reader.session().expect("a reader with rights has one"),
        )
        .expect("is there");
    assert!(reader.next().await.is_none());
    assert_eq!(reader.closed_by(), Some(CloseCause::Kicked));
}

#[tokio::test]
async fn an_encoder_hears_of_its_end_and_its_own_end_frees_the_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::open(folder.path(), true).await;
    let mut first = feed(&node, "studio").await;
    let second = PublishFeed {
        target: Target::Room(room("studio")),
        participant: None,
        credentials: Credentials::NONE,
        client: Client::default(),
        door: Door::Srt,
    };
    live(&node, &first).await;
    let refused = node.handle.publish_feed(second).await;
    assert_eq!(refused.expect_err("is taken").kind, RefusalKind::Conflict);
    node.handle
        .end_session(&room("studio"), first.session())
        .expect("is there");
    assert_eq!(first.closed().await, CloseCause::Asked);
    let session = first.session();
    drop(first);
    let end = Call::Close(session, CloseReason::Remote);
    assert!(node.fake.calls().contains(&end));
}
