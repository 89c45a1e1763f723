//! Data channels: what a publisher says reaches its viewers.

use serde_json::json;

use crate::harness::{Client, Fixture, Flow, Server, fixture, stage};

#[tokio::test]
async fn a_publishers_messages_reach_its_viewers() {
    let _stage = stage().await;
    let file = fixture(Fixture::Vp8).await;
    let mut server = Server::open().await;
    let options = ["--codec", "vp8", "--file", &file, "--channel", "scores"];
    let mut publisher = Client::datachannel(Flow::Publish, &server.url("/whip/room"), &options);
    publisher.event("channel").await;
    server
        .room_until("room", "the room is live", |room| room["live"] == true)
        .await;
    let mut viewer = Client::datachannel(Flow::Watch, &server.url("/whep/room"), &options);
    viewer.event("channel").await;
    let said = publisher
        .command(json!({"do": "say", "text": "two to one"}))
        .await;
    assert_eq!(said["sent"], true);
    assert_eq!(viewer.event("message").await["text"], "two to one");
    server.assert_sound();
}
