//! Chromium: the product's own pages, and bare WHIP and WHEP with every codec it can send.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Client, Flow, Loss, Relay, Server, stage};

/// Two seconds and more of pictures.
const PICTURES: u64 = 60;
/// Furthest that sound and picture may be apart on the viewer's side. People notice 125 ms of
/// early sound; frames and the browser's own corrections are some tens of milliseconds each.
const IN_STEP: f64 = 125.0;

/// The receiving peer connection of a viewer's page.
pub(crate) fn inbound(stats: &Value) -> Option<&Value> {
    let peers = stats["peers"].as_array()?;
    peers
        .iter()
        .map(|peer| &peer["inbound"])
        .find(|flows| flows["video"].is_object())
}

/// Decoded pictures.
pub(crate) fn pictures(stats: &Value) -> u64 {
    inbound(stats)
        .and_then(|flows| flows["video"]["frames"].as_u64())
        .unwrap_or(0)
}

pub(crate) fn energy(stats: &Value) -> f64 {
    inbound(stats)
        .and_then(|flows| flows["audio"]["energy"].as_f64())
        .unwrap_or(0.0)
}

/// How much later the latest tones came than the flashes that they belong to, in milliseconds;
/// `None` before there are enough.
pub(crate) fn lags(stats: &Value) -> Option<Vec<f64>> {
    const LATEST: usize = 4;
    let times = |name: &str| -> Option<Vec<f64>> {
        Some(
            stats["beats"][name]
                .as_array()?
                .iter()
                .filter_map(Value::as_f64)
                .collect(),
        )
    };
    let (flashes, tones) = (times("flashes")?, times("tones")?);
    let latest = flashes.len().checked_sub(LATEST)?;
    let near = |flash: &f64| {
        let lags = tones.iter().map(|tone| tone - flash);
        lags.min_by(|one, other| one.abs().total_cmp(&other.abs()))
    };
    flashes[latest..].iter().map(near).collect()
}

/// Whether sound and picture have been in step for some seconds.
fn in_step(stats: &Value) -> bool {
    lags(stats).is_some_and(|lags| lags.iter().all(|lag| lag.abs() < IN_STEP))
}

/// Whether an element shows something else than one colour.
pub(crate) fn shows_a_picture(stats: &Value) -> bool {
    let elements = stats["elements"].as_array();
    elements.is_some_and(|all| {
        all.iter().any(|element| {
            element["spread"]
                .as_f64()
                .is_some_and(|spread| spread > 5.0)
        })
    })
}

/// Waits until pictures flow and sound is heard.
pub(crate) async fn plays(viewer: &mut Client, codec: &str) {
    let stats = viewer
        .stats("decoded pictures", |stats| pictures(stats) >= PICTURES)
        .await;
    let video = &inbound(&stats).expect("pictures were counted there")["video"];
    assert_eq!(video["codec"], format!("video/{codec}"));
    viewer.stats("a picture on the page", shows_a_picture).await;
    viewer.stats("sound", |stats| energy(stats) > 0.0).await;
}

async fn pages(codec: &str) {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let page = server.url(&format!("/publish/room?autostart=1&codec={codec}"));
    let mut publisher = Client::page(&page);
    publisher.event("ready").await;
    server
        .room_until("room", "the page went live", |room| room["live"] == true)
        .await;

    let mut viewer = Client::page(&server.url("/watch/room"));
    viewer.event("ready").await;
    viewer
        .stats("a first picture", |stats| pictures(stats) > 0)
        .await;
    viewer
        .command(json!({"do": "click", "role": "button", "name": "unmute"}))
        .await;
    plays(&mut viewer, &codec.to_lowercase()).await;
    server.assert_sound();
}

#[tokio::test]
async fn one_page_publishes_vp8_and_another_plays_it() {
    pages("VP8").await;
}

#[tokio::test]
async fn one_page_publishes_h264_and_another_plays_it() {
    pages("H264").await;
}

#[tokio::test]
async fn a_page_that_chooses_by_itself_sends_what_hls_carries() {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let told = server.json("/api/v1/server").await;
    assert_eq!(told["hls"], true, "{told:#}");
    let page = server.url("/publish/room?autostart=1");
    let mut publisher = Client::page(&page);
    publisher.event("ready").await;
    server
        .room_until("room", "H264 is published", |room| {
            crate::broadcast::codecs(room).contains(&"H264".to_owned())
        })
        .await;
    let mut viewer = Client::browser(Flow::Watch, &server.url("/whep/room"), &[]);
    plays(&mut viewer, "h264").await;
    let index = crate::hls::text(&server, "/hls/room/index.m3u8").await;
    assert!(index.contains("avc1."), "{index}");
    server.assert_sound();
}

#[tokio::test]
async fn the_watch_page_waits_and_starts_by_itself_when_the_room_goes_live() {
    let _stage = stage().await;
    let server = Server::open().await;
    let mut viewer = Client::page(&server.url("/watch/room"));
    viewer.event("ready").await;
    viewer.stats("figures of the page", |_| true).await;
    let mut publisher = Client::browser(Flow::Publish, &server.url("/whip/room"), &[]);
    publisher.event("answered").await;
    viewer
        .stats("a first picture", |stats| pictures(stats) > 0)
        .await;
}

async fn bare(codec: &str) {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let whip = server.url("/whip/room");
    let mut publisher = Client::browser(Flow::Publish, &whip, &["--codec", codec]);
    publisher.event("answered").await;
    server
        .room_until("room", "the room is live", |room| room["live"] == true)
        .await;
    let mut viewer = Client::browser(Flow::Watch, &server.url("/whep/room"), &[]);
    plays(&mut viewer, codec).await;
    assert_eq!(viewer.end().await, 200);
    assert_eq!(publisher.end().await, 200);
    server.assert_sound();
}

#[tokio::test]
async fn vp8_plays() {
    bare("vp8").await;
}

#[tokio::test]
async fn h264_plays() {
    bare("h264").await;
}

#[tokio::test]
async fn vp9_plays() {
    bare("vp9").await;
}

#[tokio::test]
async fn av1_plays() {
    bare("av1").await;
}

#[tokio::test]
async fn media_goes_over_tcp_where_udp_does_not_work() {
    let _stage = stage().await;
    let server = Server::open().await;
    let whip = server.url("/whip/room");
    let mut publisher = Client::browser(Flow::Publish, &whip, &["--only", "tcp", "--codec", "vp8"]);
    publisher.event("answered").await;
    server
        .room_until("room", "the room is live", |room| room["live"] == true)
        .await;
    let whep = server.url("/whep/room");
    let mut viewer = Client::browser(Flow::Watch, &whep, &["--only", "tcp"]);
    plays(&mut viewer, "vp8").await;
    server
        .room_until("room", "both sessions are on TCP", |room| {
            let sessions = crate::control::sessions(room);
            sessions.len() == 2 && sessions.iter().all(|session| session["transport"] == "tcp")
        })
        .await;
}

async fn beats(loss: Option<Loss>) {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let whip = server.url("/whip/room");
    let options = ["--codec", "vp8", "--beats", "1"];
    let mut publisher = Client::browser(Flow::Publish, &whip, &options);
    publisher.event("answered").await;
    server
        .room_until("room", "the room is live", |room| room["live"] == true)
        .await;
    let relay = match loss {
        Some(loss) => Some(Relay::start(server.media(), loss).await),
        None => None,
    };
    let address = relay.as_ref().map(Relay::address);
    let mut options = vec!["--beats", "1"];
    options.extend(address.iter().flat_map(|address| ["--relay", address]));
    let mut viewer = Client::browser(Flow::Watch, &server.url("/whep/room"), &options);
    viewer.stats("flashes and tones in step", in_step).await;
    server.assert_sound();
}

#[tokio::test]
async fn sound_and_picture_are_in_step() {
    beats(None).await;
}

/// Only sender reports that tell the truth let a browser find out that they belong together.
#[tokio::test]
async fn sound_and_picture_come_into_step_when_sound_takes_longer() {
    const OPUS: u8 = 111;
    beats(Some(Loss::late(OPUS, Duration::from_millis(300)))).await;
}
