//! A client built to FTL's wire description streams with loss, and a viewer gets every frame.

use crate::broadcast::lives;
use crate::control::{make_room_with_key, sessions};
use crate::harness::{Builder, Client, Encoder, Fixture, Flow, Server, fixture, stage};
use crate::second_stack::{assert_exact, enough};

/// One packet of this many is sent only when it is asked for.
const WITHHOLD: &str = "20";

async fn publish(server: &Server, number: &str, key: &str, withhold: &str) -> Client {
    let file = fixture(Fixture::H264).await;
    let address = server.encoder(Encoder::Ftl).to_string();
    let options = ["--file", &file, "--withhold", withhold];
    Client::ftl(&address, number, key, &options)
}

async fn room_number(server: &Server) -> String {
    let room = server.json("/api/v1/rooms/room").await;
    room["number"]
        .as_u64()
        .unwrap_or_else(|| panic!("a keyed room has a number: {room:#}"))
        .to_string()
}

#[tokio::test]
async fn every_frame_arrives_though_packets_are_lost() {
    let _stage = stage().await;
    let file = fixture(Fixture::H264).await;
    let mut server = Builder::new().keyed().start().await;
    let key = make_room_with_key(&server, "room").await;
    let number = room_number(&server).await;
    let mut publisher = publish(&server, &number, &key.secret, WITHHOLD).await;
    publisher.event("streaming").await;
    let room = lives(&server, "room").await;
    assert_eq!(sessions(&room)[0]["door"], "ftl", "{room:#}");

    let options = ["--codec", "h264", "--file", &file];
    let mut viewer = Client::datachannel(Flow::Watch, &server.url("/whep/room"), &options);
    let stats = viewer.stats("frames and sound", enough).await;
    assert_exact(&stats);
    let sent = publisher
        .stats(
            "withheld packets were asked for, and pings answered",
            |stats| {
                stats["answered"].as_u64() >= Some(5)
                    && stats["pongs"].as_u64() >= Some(2)
                    && stats["replies"].as_u64() >= Some(5)
            },
        )
        .await;
    assert!(sent["withheld"].as_u64() >= sent["answered"].as_u64());

    // A second client of the same room is told that it is taken; one without the key nothing else.
    let mut second = publish(&server, &number, &key.secret, "0").await;
    let refused = second.event("refused").await;
    assert!(
        refused["line"]
            .as_str()
            .is_some_and(|line| line.starts_with("406")),
        "{refused}"
    );
    let mut stranger = publish(&server, &number, "wrong", "0").await;
    let refused = stranger.event("refused").await;
    assert!(
        refused["line"]
            .as_str()
            .is_some_and(|line| line.starts_with("405")),
        "{refused}"
    );
    server.logs(&["publisher was refused", "room=room "]).await;

    publisher
        .command(serde_json::json!({"do": "disconnect"}))
        .await;
    publisher.event("closed").await;
    server
        .room_until("room", "the room is offline", |room| room["live"] != true)
        .await;
    server.assert_sound();
}
