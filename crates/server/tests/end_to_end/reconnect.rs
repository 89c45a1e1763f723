//! A publisher that comes back: viewers stay attached and go on.

use std::time::Duration;

use crate::harness::{Builder, Client, Fixture, Flow, Server, fixture, stage};
use crate::second_stack::{ENOUGH, assert_exact, enough};

#[tokio::test]
async fn viewers_stay_attached_when_the_publisher_vanishes_and_comes_back() {
    let _stage = stage().await;
    let file = fixture(Fixture::Vp8).await;
    let mut server = Server::open().await;
    let options = ["--codec", "vp8", "--file", &file];
    let whip = server.url("/whip/room");
    let mut first = Client::datachannel(Flow::Publish, &whip, &options);
    first.state("connected").await;
    server
        .room_until("room", "the room is live", |room| room["live"] == true)
        .await;
    let mut viewer = Client::datachannel(Flow::Watch, &server.url("/whep/room"), &options);
    viewer.stats("frames and sound", enough).await;

    first.vanish().await;
    let room = server
        .room_until("room", "media stopped", |room| room["live"] != true)
        .await;
    assert_eq!(room["viewers"], 1, "the viewer is still there");
    let before = viewer.now().await;
    let frames = before["frames"].as_u64().expect("a count");

    let mut second = Client::datachannel(Flow::Publish, &whip, &options);
    second.state("connected").await;
    let after = viewer
        .stats("frames of the new session", |stats| {
            stats["frames"].as_u64() >= Some(frames + ENOUGH)
        })
        .await;
    assert_exact(&after);
    let room = server.json("/api/v1/rooms/room").await;
    assert_eq!(room["viewers"], 1);
    server.assert_sound();
}

#[tokio::test]
async fn viewers_stay_attached_when_the_new_session_has_another_codec() {
    let _stage = stage().await;
    let vp8 = fixture(Fixture::Vp8).await;
    let h264 = fixture(Fixture::H264).await;
    let mut server = Server::open().await;
    let whip = server.url("/whip/room");
    let mut first = Client::datachannel(Flow::Publish, &whip, &["--codec", "vp8", "--file", &vp8]);
    first.state("connected").await;
    server
        .room_until("room", "the room is live", |room| room["live"] == true)
        .await;
    let mut viewer = Client::browser(Flow::Watch, &server.url("/whep/room"), &[]);
    let codec = |stats: &serde_json::Value| stats["peers"][0]["inbound"]["video"]["codec"].clone();
    viewer
        .stats("VP8", |stats| codec(stats) == "video/vp8")
        .await;

    assert_eq!(first.end().await, 200);
    let options = ["--codec", "h264", "--file", &h264];
    let mut second = Client::datachannel(Flow::Publish, &whip, &options);
    second.state("connected").await;
    let stats = viewer
        .stats("H264", |stats| codec(stats) == "video/h264")
        .await;
    let frames = crate::browser::pictures(&stats);
    viewer
        .stats("pictures of the new codec", |stats| {
            crate::browser::pictures(stats) > frames + 30
        })
        .await;
    server.assert_sound();
}

#[tokio::test]
async fn viewers_are_let_go_when_the_publisher_stays_away() {
    let _stage = stage().await;
    let file = fixture(Fixture::Vp8).await;
    let mut server = Builder::new().set("rooms.grace", "1s").start().await;
    let options = ["--codec", "vp8", "--file", &file];
    let mut publisher = Client::datachannel(Flow::Publish, &server.url("/whip/room"), &options);
    publisher.state("connected").await;
    server
        .room_until("room", "the room is live", |room| room["live"] == true)
        .await;
    let mut viewer = Client::datachannel(Flow::Watch, &server.url("/whep/room"), &options);
    viewer.stats("frames and sound", enough).await;
    assert_eq!(publisher.end().await, 200);
    server
        .room_until("room", "the viewer is gone", |room| {
            room.is_null() || room["viewers"] == 0
        })
        .await;
    server.assert_sound();
}

#[tokio::test]
async fn a_viewer_that_came_early_gets_the_first_frames() {
    let _stage = stage().await;
    let file = fixture(Fixture::H264).await;
    let mut server = Server::open().await;
    let options = ["--codec", "h264", "--file", &file];
    let whep = server.url("/whep/room?wait=1");
    let mut viewer = Client::datachannel(Flow::Watch, &whep, &options);
    viewer.state("connected").await;
    let started = tokio::time::Instant::now();
    let mut publisher = Client::datachannel(Flow::Publish, &server.url("/whip/room"), &options);
    publisher.state("connected").await;
    let stats = viewer.stats("frames and sound", enough).await;
    assert_exact(&stats);
    assert!(started.elapsed() < Duration::from_secs(30));
    server.assert_sound();
}
