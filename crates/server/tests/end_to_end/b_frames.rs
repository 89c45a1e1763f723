//! Frames coded out of presentation order: the publisher is told, and no viewer is shown them.

use crate::harness::{Client, Fixture, Flow, Server, fixture, stage};

#[tokio::test]
async fn a_publication_with_b_frames_is_warned_about() {
    let _stage = stage().await;
    let file = fixture(Fixture::BFrames).await;
    let mut server = Server::open().await;
    let options = ["--codec", "h264", "--file", &file];
    let mut viewer = Client::page(&server.url("/watch/room"));
    viewer.event("ready").await;
    let mut publisher = Client::datachannel(Flow::Publish, &server.url("/whip/room"), &options);
    publisher.state("connected").await;
    let room = server
        .room_until("room", "a warning about B-frames", |room| {
            let warnings = room["warnings"].as_array();
            warnings.is_some_and(|all| all.iter().any(|warning| warning["kind"] == "b_frames"))
        })
        .await;
    let message = room["warnings"][0]["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("B-frames"),
        "the warning names what is wrong: {message}"
    );
    viewer.shows("B-frames").await;
    server.assert_sound();
}

#[tokio::test]
async fn a_publication_without_b_frames_is_not() {
    let _stage = stage().await;
    let file = fixture(Fixture::H264).await;
    let server = Server::open().await;
    let options = ["--codec", "h264", "--file", &file];
    let mut publisher = Client::datachannel(Flow::Publish, &server.url("/whip/room"), &options);
    publisher
        .stats("a whole file", |stats| {
            stats["frames"].as_u64() >= Some(130)
        })
        .await;
    let room = server.json("/api/v1/rooms/room").await;
    assert_eq!(room["warnings"], serde_json::json!([]));
}
