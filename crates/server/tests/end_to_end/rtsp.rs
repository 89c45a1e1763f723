//! FFmpeg publishes and reads over RTSP, its media over TCP and over UDP.

use serde_json::Value;

use crate::broadcast::{codecs, lives, plays_aloud};
use crate::control::{make_room_with_key, sessions};
use crate::harness::{
    AAC, Builder, Client, Encoder, Ffmpeg, Flow, H264, H264_WITH_B_FRAMES, PICTURE, Server, TONE,
    stage,
};
use crate::rtmp::BEATS;

/// Furthest that timestamps may place sound and picture apart, in milliseconds. FFmpeg does not
/// tell over RTSP that its AAC begins with 1024 samples of the encoder's own, 23 ms, and its reports
/// tell times of its clock while it sends, which is no better than some 15 ms.
const EXACT: f64 = 40.0;

/// What a reader takes: a second and a half of each track.
const READ: &str = "-map 0 -frames:v 45 -frames:a 60 -f null -";

fn publish(transport: &str, url: &str) -> Ffmpeg {
    let format = format!("-f rtsp -rtsp_transport {transport}");
    Ffmpeg::start(&[PICTURE, TONE, H264, AAC, &format, url])
}

fn read(transport: &str, url: &str) -> Ffmpeg {
    let transport = format!("-rtsp_transport {transport}");
    Ffmpeg::start(&[&transport, "-i", url, READ])
}

/// What is published is seen and heard over WebRTC, and read again.
async fn published(transport: &str) {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let url = server.rtsp("room");
    let mut encoder = publish(transport, &url);
    lives(&server, "room").await;
    let room = server
        .room_until("room", "codecs of both tracks", |room| {
            codecs(room).len() == 2
        })
        .await;
    assert_eq!(codecs(&room), ["AAC", "H264"], "{room:#}");
    assert_eq!(sessions(&room)[0]["door"], "rtsp", "{room:#}");
    let whep = server.url("/whep/room");
    let mut viewer = Client::browser(Flow::Watch, &whep, &["--hear", "1"]);
    plays_aloud(&mut viewer, "h264").await;
    let (status, said) = read(transport, &url).ended().await;
    assert!(status.success(), "{said}");
    assert!(said.contains("Video: h264"), "{said}");
    assert!(said.contains("Audio: aac"), "{said}");
    encoder.assert_runs();
    server.assert_sound();
}

#[tokio::test]
async fn what_comes_over_tcp_is_seen_and_heard() {
    published("tcp").await;
}

#[tokio::test]
async fn what_comes_over_udp_is_seen_and_heard() {
    published("udp").await;
}

#[tokio::test]
async fn what_came_over_rtmp_is_read_over_both() {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let _encoder = Ffmpeg::rtmp(&server.rtmp("room"));
    lives(&server, "room").await;
    for transport in ["tcp", "udp"] {
        let (status, said) = read(transport, &server.rtsp("room")).ended().await;
        assert!(status.success(), "{said}");
        assert!(said.contains("Video: h264"), "{said}");
        assert!(said.contains("Audio: aac"), "{said}");
    }
    server.assert_sound();
}

#[tokio::test]
async fn sound_and_picture_are_placed_at_the_same_moments() {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let [picture, sound] = BEATS;
    let format = "-f rtsp -rtsp_transport udp";
    let _encoder = Ffmpeg::start(&[picture, sound, H264, AAC, format, &server.rtsp("room")]);
    lives(&server, "room").await;
    let mut viewer = Client::sync(&server.url("/whep/room"));
    let stats = viewer.event("stats").await;
    let lags: Vec<f64> = stats["lags"]
        .as_array()
        .map(|lags| lags.iter().filter_map(Value::as_f64).collect())
        .unwrap_or_default();
    assert!(lags.len() >= 4, "a tone each second: {stats:#}");
    assert!(lags.iter().all(|lag| lag.abs() < EXACT), "{lags:?}");
    server.assert_sound();
}

#[tokio::test]
async fn pictures_out_of_order_are_shown_in_order() {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let url = server.rtsp("room");
    let format = "-f rtsp -rtsp_transport tcp";
    let _encoder = Ffmpeg::start(&[PICTURE, TONE, H264_WITH_B_FRAMES, AAC, format, &url]);
    lives(&server, "room").await;
    let whep = server.url("/whep/room");
    let mut viewer = Client::browser(Flow::Watch, &whep, &["--hear", "1"]);
    plays_aloud(&mut viewer, "h264").await;
    let (status, said) = Ffmpeg::play(&server.rtmp("room")).ended().await;
    assert!(status.success(), "{said}");
    assert!(!said.contains("non monoton"), "{said}");
    server.assert_sound();
}

/// GStreamer publishes and reads.
async fn gstreamer(transport: &str) {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let url = server.rtsp("room");
    let options = ["--url", &url, "--transport", transport];
    let _publisher = Client::gstreamer_rtsp("publish", &options);
    lives(&server, "room").await;
    let room = server
        .room_until("room", "codecs of both tracks", |room| {
            codecs(room).len() == 2
        })
        .await;
    assert_eq!(codecs(&room), ["H264", "opus"], "{room:#}");
    let mut reader = Client::gstreamer_rtsp("watch", &options);
    let enough = |stats: &Value| {
        let count = |name: &str| stats["counts"][name].as_u64().unwrap_or(0);
        count("H264") >= 60 && count("OPUS") >= 50
    };
    reader.stats("decoded frames and sound", enough).await;
    server.assert_sound();
}

#[tokio::test]
async fn gstreamer_publishes_and_reads_over_tcp() {
    gstreamer("tcp").await;
}

#[tokio::test]
async fn gstreamer_publishes_and_reads_over_udp() {
    gstreamer("udp").await;
}

#[tokio::test]
async fn keys_count_in_the_address_and_as_digest() {
    let _stage = stage().await;
    let mut server = Builder::new().keyed().start().await;
    let key = make_room_with_key(&server, "room").await;
    let address = server.encoder(Encoder::Rtsp);
    let with = |password: &str| format!("rtsp://camera:{password}@{address}/room");

    let (status, said) = publish("tcp", &with("wrong")).ended().await;
    assert!(!status.success(), "{said}");
    assert!(said.contains("401"), "{said}");
    let (status, said) = publish("tcp", &server.rtsp("room-wrong")).ended().await;
    assert!(!status.success() && said.contains("401"), "{said}");

    let mut first = publish("tcp", &with(&key.secret));
    lives(&server, "room").await;
    let (status, said) = publish("tcp", &server.rtsp(&key.stream_key)).ended().await;
    assert!(!status.success() && said.contains("409"), "{said}");
    let (status, said) = read("tcp", &server.rtsp("nowhere")).ended().await;
    assert!(!status.success() && said.contains("404"), "{said}");
    let (status, said) = read("tcp", &server.rtsp("room")).ended().await;
    assert!(status.success(), "{said}");
    let admin = server.admin.clone().expect("a token");
    let (status, said) = read("tcp", &with(&admin)).ended().await;
    assert!(status.success(), "{said}");
    first.assert_runs();
    server.assert_sound();
}
