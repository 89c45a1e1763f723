//! The watch page by its two transports: WebRTC first, HLS where that cannot be or by choice.

use serde_json::Value;

use crate::broadcast::lives;
use crate::harness::{
    AAC, Builder, Client, Ffmpeg, H264_WITH_B_FRAMES, PICTURE, Server, TONE, stage,
};

/// Two seconds of pictures.
const PICTURES: u64 = 60;
/// Latest that a picture may be shown over HLS, in milliseconds after it came. Low latency is a
/// third of this; builds and browsers share the machine.
const LATEST: f64 = 8_000.0;

/// Whether pictures are decoded that no peer connection brings, and go on.
fn plays_hls(stats: &Value) -> bool {
    let elements = stats["elements"].as_array();
    elements.is_some_and(|all| {
        all.iter().any(|element| {
            element["streams"] == false
                && element["decoded"].as_u64() >= Some(PICTURES)
                && element["spread"].as_f64() > Some(5.0)
        })
    })
}

/// Waits until the page plays over HLS, moves on, and says so.
async fn is_over_hls(viewer: &mut Client) {
    let stats = viewer.stats("pictures over HLS", plays_hls).await;
    let player = &stats["players"][0];
    assert_eq!(player["transport"], "hls", "{stats:#}");
    let time = |stats: &Value| stats["elements"][0]["time"].as_f64();
    let begin = time(&stats);
    viewer
        .stats("two more seconds", |stats| {
            time(stats) > begin.map(|begin| begin + 2.0)
        })
        .await;
    let stats = viewer
        .stats("a measured delay", |stats| {
            stats["players"][0]["measured"] == true
        })
        .await;
    let latency = stats["players"][0]["latency"].as_f64();
    assert!(
        latency < Some(LATEST) && latency > Some(0.0),
        "{latency:?} ms"
    );
    viewer.shows("HLS ").await;
}

#[tokio::test]
async fn hls_takes_over_where_webrtc_cannot_show_what_comes() {
    let _stage = stage().await;
    let mut server = Builder::new()
        .set("rooms.recode_b_frames", "0")
        .start()
        .await;
    let url = server.rtmp("room");
    let mut encoder = Ffmpeg::start(&[PICTURE, TONE, H264_WITH_B_FRAMES, AAC, "-f flv", &url]);
    lives(&server, "room").await;
    let mut viewer = Client::page(&server.url("/watch/room"));
    is_over_hls(&mut viewer).await;
    encoder.assert_runs();
    server.assert_sound();
}

#[tokio::test]
async fn hls_takes_over_where_media_finds_no_way() {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let _encoder = Ffmpeg::rtmp(&server.rtmp("room"));
    lives(&server, "room").await;
    // Nobody answers at the port to which all media is told to go.
    let options = ["--relay", "127.0.0.1:9"];
    let mut viewer = Client::page_with(&server.url("/watch/room"), &options);
    is_over_hls(&mut viewer).await;
    server.assert_sound();
}

#[tokio::test]
async fn a_viewer_may_choose_hls_and_webrtc_again() {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let _encoder = Ffmpeg::rtmp(&server.rtmp("room"));
    lives(&server, "room").await;
    let mut viewer = Client::page(&server.url("/watch/room?transport=hls"));
    is_over_hls(&mut viewer).await;
    // Controls are gone while nobody moves.
    let hover = serde_json::json!({"do": "hover"});
    viewer.command(hover).await;
    for name in ["Quality", "WebRTC"] {
        let role = if name == "Quality" {
            "button"
        } else {
            "menuitemradio"
        };
        viewer
            .command(serde_json::json!({"do": "click", "role": role, "name": name}))
            .await;
    }
    viewer
        .stats("pictures over WebRTC", |stats| {
            stats["players"][0]["transport"] == "webrtc" && crate::browser::pictures(stats) > 0
        })
        .await;
    viewer.shows("WebRTC ").await;
    server.assert_sound();
}

/// What of the past the page's player can play, and how far behind live it is, in seconds.
fn window(stats: &Value) -> (f64, f64) {
    let window = &stats["players"][0]["window"];
    let number = |name: &str| window[name].as_f64().unwrap_or(0.0);
    (number("end") - number("start"), number("behind"))
}

#[tokio::test]
async fn a_viewer_winds_back_to_what_is_on_the_disk_and_returns() {
    let _stage = stage().await;
    let mut server = Builder::new()
        .set("hls.window", "10s")
        .set("hls.dvr", "5m")
        .start()
        .await;
    let mut encoder = Ffmpeg::rtmp(&server.rtmp("room"));
    lives(&server, "room").await;
    // Nobody has to ask for what is wound back to later.
    crate::hls::follow(
        &server,
        "/hls/room/v0.m3u8",
        21,
        inver_outputs::hls::check::check,
    )
    .await;
    // From the oldest segment on, as fast as it comes.
    let url = server.url("/hls/room/v0.m3u8");
    let words = ["-live_start_index 0 -i", &url, "-frames:v 300 -f null -"];
    let (ended, said) = Ffmpeg::start(&words).ended().await;
    assert!(ended.success(), "{said}");
    for complaint in ["Non-monoton", "error", "Invalid", "corrupt", "missing"] {
        assert!(!said.contains(complaint), "{said}");
    }

    let mut viewer = Client::page(&server.url("/watch/room?transport=hls"));
    is_over_hls(&mut viewer).await;
    let stats = viewer.stats("a past", |stats| window(stats).0 > 36.0).await;
    assert!(window(&stats).1 < 4.0, "it begins live: {stats:#}");
    viewer
        .command(serde_json::json!({"do": "wind", "back": 32}))
        .await;
    let time = |stats: &Value| stats["elements"][0]["time"].as_f64().unwrap_or(0.0);
    let back = viewer
        .stats("a position half a minute ago", |stats| {
            (25.0..40.0).contains(&window(stats).1)
        })
        .await;
    let decoded = |stats: &Value| stats["elements"][0]["decoded"].as_u64().unwrap_or(0);
    let played = viewer
        .stats("three more seconds from there", |stats| {
            time(stats) > time(&back) + 3.0 && decoded(stats) > decoded(&back) + PICTURES
        })
        .await;
    assert!(window(&played).1 > 20.0, "{played:#}");
    let hover = serde_json::json!({"do": "hover"});
    viewer.command(hover).await;
    viewer
        .command(serde_json::json!({"do": "click", "role": "button", "name": "Go live"}))
        .await;
    viewer
        .stats("live", |stats| {
            window(stats).1 < 4.0 && decoded(stats) > decoded(&played)
        })
        .await;
    encoder.assert_runs();
    server.assert_sound();
}
