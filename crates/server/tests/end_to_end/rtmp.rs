//! FFmpeg publishes over RTMP and RTMPS, and Chromium sees the pictures and hears the tone.

use std::time::Instant;

use reqwest::StatusCode;
use serde_json::Value;

use crate::bad_requests::{OFFER, problem};
use crate::broadcast::{codecs, hears, lives, plays_aloud};
use crate::browser::{inbound, lags, pictures};
use crate::control::{make_room_with_key, sessions};
use crate::harness::{
    AAC, Builder, Client, Encoder, Ffmpeg, Flow, H264, H264_WITH_B_FRAMES, H265, PATIENCE, PICTURE,
    Server, TONE, stage,
};

/// Longest time from the answer to the first picture, with a keyframe only every ten seconds.
const FIRST_PICTURE: f64 = 2000.0;
/// Furthest that a browser may show sound and picture apart: a frame, a piece of sound, and what
/// the browser itself corrects only slowly.
const IN_STEP: f64 = 100.0;
/// Furthest that timestamps may place them apart, in milliseconds.
const EXACT: f64 = 10.0;
/// Three seconds of pictures.
const PICTURES: u64 = 90;

#[tokio::test]
async fn h264_and_aac_are_seen_and_heard() {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let h264 = H264.replace("-g 30", "-g 300 -sc_threshold 0");
    let began = Instant::now();
    let mut encoder = Ffmpeg::start(&[PICTURE, TONE, &h264, AAC, "-f flv", &server.rtmp("room")]);
    lives(&server, "room").await;
    let room = server
        .room_until("room", "codecs of both tracks", |room| {
            codecs(room).len() == 2
        })
        .await;
    assert_eq!(codecs(&room), ["AAC", "H264"], "{room:#}");
    assert_eq!(sessions(&room)[0]["door"], "rtmp", "{room:#}");

    let mut viewer = Client::browser(Flow::Watch, &server.url("/whep/room"), &["--hear", "1"]);
    let stats = viewer
        .stats("a first picture", |stats| {
            stats["shown"]["first"].is_number()
        })
        .await;
    let first = stats["shown"]["first"].as_f64();
    assert!(
        first < Some(FIRST_PICTURE),
        "the first picture came {first:?} ms after the answer, {:?} after the encoder began",
        began.elapsed()
    );
    plays_aloud(&mut viewer, "h264").await;
    encoder.assert_runs();
    server.assert_sound();
}

#[tokio::test]
async fn the_watch_page_plays_what_comes_over_rtmp() {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let mut viewer = Client::page(&server.url("/watch/room"));
    viewer.event("ready").await;
    let _encoder = Ffmpeg::rtmp(&server.rtmp("room"));
    viewer
        .stats("a first picture", |stats| pictures(stats) > 0)
        .await;
    viewer
        .command(serde_json::json!({"do": "click", "role": "button", "name": "unmute"}))
        .await;
    crate::browser::plays(&mut viewer, "h264").await;
    server.assert_sound();
}

#[tokio::test]
async fn rtmps_is_seen_and_heard() {
    let _stage = stage().await;
    let mut server = Builder::new().self_signed().start().await;
    let url = format!("rtmps://{}/live/room", server.encoder(Encoder::Rtmps));
    let mut encoder = Ffmpeg::start(&[PICTURE, TONE, H264, AAC, "-f flv -tls_verify 0", &url]);
    // Waits for the room by itself: the harness trusts no unknown certificate.
    let whep = server.url("/whep/room?wait=1");
    let mut viewer = Client::browser(Flow::Watch, &whep, &["--hear", "1"]);
    plays_aloud(&mut viewer, "h264").await;
    encoder.assert_runs();
    server.assert_sound();
}

/// A flash and a tone of 1 kHz at the beginning of every second.
pub(crate) const BEATS: [&str; 2] = [
    "-re -f lavfi -i color=black:size=320x180:rate=30,\
     drawbox=x=0:y=0:w=iw:h=ih:color=white:t=fill:enable='lt(mod(t,1),0.15)'",
    "-re -f lavfi -i aevalsrc='0.8*sin(2*PI*1000*t)*lt(mod(t,1),0.15)':s=44100",
];

#[tokio::test]
async fn sound_and_picture_are_in_step() {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let [picture, sound] = BEATS;
    let _encoder = Ffmpeg::start(&[picture, sound, H264, AAC, "-f flv", &server.rtmp("room")]);
    lives(&server, "room").await;
    let whep = server.url("/whep/room");
    let mut viewer = Client::browser(Flow::Watch, &whep, &["--beats", "1"]);
    viewer
        .stats("flashes and tones in step", |stats| {
            lags(stats).is_some_and(|lags| lags.iter().all(|lag| lag.abs() < IN_STEP))
        })
        .await;
    server.assert_sound();
}

/// The same measured where it is exact: RTP timestamps of keyframes and of tones' first samples, by
/// the sender reports.
#[tokio::test]
async fn reports_place_sound_and_picture_at_the_same_moments() {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let [picture, sound] = BEATS;
    let _encoder = Ffmpeg::start(&[picture, sound, H264, AAC, "-f flv", &server.rtmp("room")]);
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

/// Codecs of Enhanced RTMP, with what Chromium calls them where it plays them; a player of plain
/// RTMP is told which it would need.
async fn enhanced(video: &str, fourcc: &str, codec: &str, played: Option<&str>) {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let url = server.rtmp("room");
    let picture = PICTURE.replace("640x360", "320x180");
    let fourcc = format!("-f flv -rtmp_enhanced_codecs {fourcc}");
    let opus = "-c:a libopus -ar 48000 -ac 2 -b:a 64k";
    let mut encoder = Ffmpeg::start(&[&picture, TONE, video, opus, &fourcc, &url]);
    lives(&server, "room").await;
    let room = server
        .room_until("room", "codecs of both tracks", |room| {
            codecs(room).len() == 2
        })
        .await;
    assert_eq!(codecs(&room), [codec, "opus"], "{room:#}");
    if let Some(played) = played {
        let whep = server.url("/whep/room");
        let mut viewer = Client::browser(Flow::Watch, &whep, &["--hear", "1"]);
        plays_aloud(&mut viewer, played).await;
    }
    // This player does not say that it takes them.
    let (status, said) = Ffmpeg::play(&url).ended().await;
    assert!(!status.success(), "{said}");
    assert!(said.contains(codec), "the refusal names the codec: {said}");
    encoder.assert_runs();
    server.assert_sound();
}

#[tokio::test]
async fn vp9_and_opus_are_seen_and_heard() {
    let vp9 = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 400k -g 30 -pix_fmt yuv420p";
    enhanced(vp9, "vp09", "VP9", Some("vp9")).await;
}

#[tokio::test]
async fn av1_and_opus_are_seen_and_heard() {
    let av1 = "-c:v libaom-av1 -usage realtime -cpu-used 8 -b:v 400k -g 30 -pix_fmt yuv420p";
    enhanced(av1, "av01", "AV1", Some("av1")).await;
}

#[tokio::test]
async fn h265_and_opus_are_taken() {
    enhanced(H265, "hvc1", "H265", None).await;
}

fn warned(room: &Value, kind: &str) -> bool {
    let warnings = room["warnings"].as_array();
    warnings.is_some_and(|all| all.iter().any(|warning| warning["kind"] == kind))
}

#[tokio::test]
async fn b_frames_are_warned_about_and_shown_in_order() {
    let _stage = stage().await;
    let server = Server::open().await;
    let url = server.rtmp("room");
    b_frames_in_order(server, "-f flv", &url).await;
}

/// Publishes B-frames to `url`: a viewer over WebRTC sees all pictures in their order.
pub(crate) async fn b_frames_in_order(mut server: Server, format: &str, url: &str) {
    let _encoder = Ffmpeg::start(&[PICTURE, TONE, H264_WITH_B_FRAMES, AAC, format, url]);
    server
        .room_until("room", "a warning about B-frames", |room| {
            room["live"] == true && warned(room, "b_frames")
        })
        .await;
    let mut viewer = Client::browser(Flow::Watch, &server.url("/whep/room"), &["--hear", "1"]);
    plays_aloud(&mut viewer, "h264").await;
    let before = viewer.now().await;
    let after = viewer
        .stats("pictures go on", |stats| {
            pictures(stats) >= pictures(&before) + PICTURES
        })
        .await;
    assert_eq!(after["shown"]["backwards"], 0, "{after:#}");
    let freezes = |stats: &Value| inbound(stats).map(|flows| flows["video"]["freezes"].clone());
    assert_eq!(freezes(&before), freezes(&after), "{after:#}");
    server.assert_sound();
}

/// An offer to receive H264.
fn viewers_offer() -> String {
    OFFER
        .replace("a=sendonly", "a=recvonly")
        .replace("96 VP8/90000", "96 H264/90000")
        .replace(
            "a=rtcp-fb:96 nack\r\n",
            "a=fmtp:96 profile-level-id=42e01f;packetization-mode=1\r\na=rtcp-fb:96 nack\r\n",
        )
}

#[tokio::test]
async fn a_second_stream_with_b_frames_has_viewers_once_the_first_needs_no_coder() {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let urls = ["one", "two"].map(|room| server.rtmp(room));
    let picture = PICTURE.replace("640x360", "320x180");
    let _encoders = urls
        .each_ref()
        .map(|url| Ffmpeg::start(&[&picture, TONE, H264_WITH_B_FRAMES, AAC, "-f flv", url]));
    for room in ["one", "two"] {
        server
            .room_until(room, "a warning about B-frames", |room| {
                room["live"] == true && warned(room, "b_frames")
            })
            .await;
    }
    let mut viewer = Client::browser(Flow::Watch, &server.url("/whep/one"), &["--hear", "1"]);
    plays_aloud(&mut viewer, "h264").await;
    let response = server.offer("/whep/two", None, &viewers_offer()).await;
    assert_eq!(response.status(), StatusCode::CONFLICT);
    viewer.end().await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let response = server.offer("/whep/two", None, &viewers_offer()).await;
        if response.status() == StatusCode::CREATED {
            break;
        }
        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert!(Instant::now() < deadline, "the coder is not free again");
    }
    server.assert_sound();
}

#[tokio::test]
async fn b_frames_that_are_not_coded_again_are_refused_by_name() {
    let _stage = stage().await;
    let mut server = Builder::new()
        .set("rooms.recode_b_frames", "0")
        .start()
        .await;
    let url = server.rtmp("room");
    let _encoder = Ffmpeg::start(&[PICTURE, TONE, H264_WITH_B_FRAMES, AAC, "-f flv", &url]);
    server
        .room_until("room", "a warning about B-frames", |room| {
            room["live"] == true && warned(room, "b_frames")
        })
        .await;
    let response = server.offer("/whep/room", None, &viewers_offer()).await;
    assert_eq!(response.status(), StatusCode::CONFLICT);
    let problem = problem(response).await;
    assert_eq!(problem["type"], "urn:inver:problem:unplayable");
    let detail = problem["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("bf"), "it names the setting: {detail}");
    let (_, address) = detail.split_once("/hls/room").unwrap_or_default();
    assert_eq!(address, "/index.m3u8", "it names where to watch: {detail}");
    server.assert_sound();
}

#[tokio::test]
async fn what_came_over_rtmp_plays_over_rtmp() {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let _encoder = Ffmpeg::rtmp(&server.rtmp("room"));
    lives(&server, "room").await;
    let (status, said) = Ffmpeg::play(&server.rtmp("room")).ended().await;
    assert!(status.success(), "{said}");
    assert!(said.contains("Video: h264"), "{said}");
    assert!(said.contains("Audio: aac"), "{said}");
    server.assert_sound();
}

#[tokio::test]
async fn wrong_keys_and_second_publishers_are_refused_and_the_room_goes_on() {
    let _stage = stage().await;
    let mut server = Builder::new().keyed().start().await;
    let key = make_room_with_key(&server, "room").await;
    let other = make_room_with_key(&server, "other").await;
    let url = server.rtmp(&key.stream_key);
    let mut first = Ffmpeg::rtmp(&url);
    lives(&server, "room").await;
    let mut viewer = Client::browser(Flow::Watch, &server.url("/whep/room"), &["--hear", "1"]);
    plays_aloud(&mut viewer, "h264").await;

    let (status, said) = Ffmpeg::rtmp(&server.rtmp("room-wrong")).ended().await;
    assert!(!status.success(), "{said}");
    server
        .logs(&["publisher was refused", "room=\"room\""])
        .await;
    let strange = format!("room-{}", other.secret);
    let (status, said) = Ffmpeg::rtmp(&server.rtmp(&strange)).ended().await;
    assert!(!status.success(), "{said}");
    // While the first sends, nobody takes its place.
    let (status, said) = Ffmpeg::rtmp(&url).ended().await;
    assert!(!status.success(), "{said}");
    first.assert_runs();

    // Stopped, it keeps its connection and sends nothing.
    first.stop().await;
    server
        .room_until("room", "the first is silent", |room| room["live"] != true)
        .await;
    let second = Ffmpeg::rtmp(&url);
    lives(&server, "room").await;
    let before = viewer.now().await;
    viewer
        .stats("pictures of the second", |stats| {
            pictures(stats) >= pictures(&before) + PICTURES
        })
        .await;
    hears(&mut viewer, 440.0).await;

    // One that is killed leaves its place at once.
    second.vanish().await;
    let mut third = Ffmpeg::rtmp(&url);
    let before = viewer.now().await;
    viewer
        .stats("pictures of the third", |stats| {
            pictures(stats) >= pictures(&before) + PICTURES
        })
        .await;
    third.assert_runs();
    server.assert_sound();
}
