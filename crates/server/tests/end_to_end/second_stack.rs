//! libdatachannel as publisher and as viewer: what arrives is what was sent, frame by frame.

use crate::harness::{Client, Fixture, Flow, Server, fixture, stage};

/// Three seconds at 30 frames a second: more than one group of pictures of the test files.
pub(crate) const ENOUGH: u64 = 90;

/// Whether a viewer that compares frames has seen enough of them.
pub(crate) fn enough(stats: &serde_json::Value) -> bool {
    stats["frames"].as_u64() >= Some(ENOUGH) && stats["audioPackets"].as_u64() >= Some(50)
}

/// Every frame was one of the file's, in the file's order, from a keyframe on.
#[track_caller]
pub(crate) fn assert_exact(stats: &serde_json::Value) {
    assert_eq!(
        stats["firstIsKey"], true,
        "a viewer starts with a keyframe: {stats}"
    );
    assert_eq!(
        stats["unknown"], 0,
        "frames arrive as they were sent: {stats}"
    );
    assert_eq!(
        stats["breaks"], 0,
        "frames arrive in order and complete: {stats}"
    );
}

async fn relays(codec: &str, file: Fixture) {
    let _stage = stage().await;
    let file = fixture(file).await;
    let mut server = Server::open().await;
    let options = ["--codec", codec, "--file", &file];
    let mut publisher = Client::datachannel(Flow::Publish, &server.url("/whip/room"), &options);
    publisher.state("connected").await;
    server
        .room_until("room", "the room is live", |room| room["live"] == true)
        .await;

    let mut viewer = Client::datachannel(Flow::Watch, &server.url("/whep/room"), &options);
    let stats = viewer.stats("frames and sound", enough).await;
    assert_exact(&stats);
    let stats = viewer
        .stats("sender reports", |stats| {
            stats["reports"].as_u64() >= Some(2)
        })
        .await;
    assert_exact(&stats);

    assert_eq!(viewer.end().await, 200);
    server
        .room_until("room", "no viewer is left", |room| room["viewers"] == 0)
        .await;
    assert_eq!(publisher.end().await, 200);
    server
        .room_until("room", "the room is offline", |room| room["live"] != true)
        .await;
    server.assert_sound();
}

#[tokio::test]
async fn vp8_arrives_as_it_was_sent() {
    relays("vp8", Fixture::Vp8).await;
}

#[tokio::test]
async fn h264_arrives_as_it_was_sent() {
    relays("h264", Fixture::H264).await;
}
