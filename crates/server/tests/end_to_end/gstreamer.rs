//! GStreamer's webrtcbin, whose certificates are RSA, as publisher and as viewer.

use serde_json::Value;

use crate::browser::plays;
use crate::harness::{Builder, Client, Flow, Server, stage};

fn decoded(stats: &Value, what: &str) -> u64 {
    stats["decoded"][what].as_u64().unwrap_or(0)
}

async fn relays(codec: &str, name: &str) {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let options = ["--codec", codec];
    let mut publisher = Client::gstreamer(Flow::Publish, &server.url("/whip/room"), &options);
    publisher.state("connected").await;
    server
        .room_until("room", "GStreamer is live", |room| room["live"] == true)
        .await;

    let mut viewer = Client::gstreamer(Flow::Watch, &server.url("/whep/room"), &options);
    viewer
        .stats("decoded frames and sound", |stats| {
            decoded(stats, name) >= 60 && decoded(stats, "OPUS") >= 50
        })
        .await;
    let mut browser = Client::browser(Flow::Watch, &server.url("/whep/room"), &[]);
    plays(&mut browser, codec).await;
    assert_eq!(viewer.end().await, 200);
    assert_eq!(publisher.end().await, 200);
    server.assert_sound();
}

#[tokio::test]
async fn vp8_from_gstreamer_plays_in_gstreamer_and_chromium() {
    relays("vp8", "VP8").await;
}

#[tokio::test]
async fn h264_from_gstreamer_plays_in_gstreamer_and_chromium() {
    relays("h264", "H264").await;
}

/// GStreamer checks consent rarely or never (RFC 7675); media that arrives shows as well that the
/// other side is there.
#[tokio::test]
async fn a_client_that_checks_no_consent_stays_while_media_flows() {
    let _stage = stage().await;
    let server = Builder::new()
        .set("webrtc.lost_timeout", "1s")
        .start()
        .await;
    let options = ["--codec", "vp8"];
    let mut publisher = Client::gstreamer(Flow::Publish, &server.url("/whip/room"), &options);
    publisher.state("connected").await;
    server
        .room_until("room", "GStreamer is live", |room| room["live"] == true)
        .await;
    let mut viewer = Client::gstreamer(Flow::Watch, &server.url("/whep/room"), &options);
    let half_a_minute = |stats: &Value| decoded(stats, "VP8") >= 30 * 25;
    viewer.stats("half a minute of frames", half_a_minute).await;
}
