//! A crash in the middle of everything: what must survive does.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::bad_requests::OFFER;
use crate::control::make_room_with_key;
use crate::harness::{Builder, Client, Fixture, Flow, fixture, stage};
use crate::second_stack::enough;

#[tokio::test]
async fn keys_and_rooms_survive_a_crash_while_media_flows() {
    let _stage = stage().await;
    let file = fixture(Fixture::Vp8).await;
    let builder = Builder::new().keyed();
    let server = builder.start().await;
    let kept = make_room_with_key(&server, "kept").await;
    let path = format!("/api/v1/rooms/kept/keys/{}/rotate", kept.id);
    let rotated = server.post(&path, &json!({}), StatusCode::OK).await;
    let secret = rotated["key"].as_str().expect("a new secret").to_owned();
    let revoked = make_room_with_key(&server, "revoked").await;
    let path = format!("/api/v1/rooms/revoked/keys/{}", revoked.id);
    let response = server
        .request(Method::DELETE, &path)
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), StatusCode::NO_CONTENT);

    let options = ["--codec", "vp8", "--file", &file, "--token", &secret];
    let mut publisher = Client::datachannel(Flow::Publish, &server.url("/whip/kept"), &options);
    publisher.state("connected").await;
    let admin = server.admin.clone();
    server.kill().await;

    let mut server = builder.start().await;
    assert_eq!(server.admin, admin, "the administrator's token is the same");
    let rooms = server.json("/api/v1/rooms").await;
    let mut ids: Vec<_> = rooms["rooms"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|room| room["id"].as_str())
        .collect();
    ids.sort_unstable();
    // The first run of a server with keys made the room of its banner.
    assert_eq!(ids, ["kept", "live", "revoked"]);
    for (path, token) in [
        ("/whip/kept", &kept.secret),
        ("/whip/revoked", &revoked.secret),
    ] {
        let response = server.offer(path, Some(token), OFFER).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    let mut publisher = Client::datachannel(Flow::Publish, &server.url("/whip/kept"), &options);
    publisher.state("connected").await;
    let whep = server.url("/whep/kept?wait=1");
    let mut viewer = Client::datachannel(Flow::Watch, &whep, &options[..4]);
    viewer.stats("frames and sound", enough).await;
    server.assert_sound();
}
