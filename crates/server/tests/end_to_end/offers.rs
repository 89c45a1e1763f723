//! Who offers, and when ICE begins anew: the early WHEP draft, counter-offers, ICE restarts.

use serde_json::{Value, json};

use crate::browser::{pictures, plays};
use crate::harness::{Client, Flow, Server, stage};

async fn live(server: &Server) -> Client {
    let options = ["--codec", "vp8"];
    let publisher = Client::browser(Flow::Publish, &server.url("/whip/room"), &options);
    server
        .room_until("room", "Chromium is live", |room| room["live"] == true)
        .await;
    publisher
}

async fn plays_what_the_server_offers(options: &[&str], asked: u64) {
    let _stage = stage().await;
    let server = Server::open().await;
    let _publisher = live(&server).await;
    let mut viewer = Client::offered(&server.url("/whep/room"), options);
    let exchange = viewer.event("answered").await;
    assert_eq!(exchange["status"], asked, "{exchange}");
    assert_eq!(exchange["answered"], 204, "{exchange}");
    plays(&mut viewer, "vp8").await;
    assert_eq!(viewer.end().await, 200);
}

#[tokio::test]
async fn an_empty_post_gets_an_offer_that_a_patch_answers() {
    plays_what_the_server_offers(&["--answer", "PATCH"], 201).await;
}

#[tokio::test]
async fn an_empty_post_gets_an_offer_that_a_post_answers() {
    plays_what_the_server_offers(&["--answer", "POST"], 201).await;
}

#[tokio::test]
async fn a_counter_offer_plays() {
    plays_what_the_server_offers(&["--answer", "PATCH", "--counter", "1"], 406).await;
}

#[tokio::test]
async fn an_ice_restart_changes_the_names_and_nothing_else() {
    let _stage = stage().await;
    let server = Server::open().await;
    let mut publisher = live(&server).await;
    let mut viewer = Client::browser(Flow::Watch, &server.url("/whep/room"), &[]);
    plays(&mut viewer, "vp8").await;
    for client in [&mut publisher, &mut viewer] {
        let restart = client.command(json!({"do": "restart"})).await;
        assert_eq!(restart["status"], 200, "{restart}");
        assert_ne!(restart["before"], restart["after"], "{restart}");
        assert!(restart["etag"].is_string(), "{restart}");
    }
    let before = pictures(&viewer.now().await);
    let later = |stats: &Value| pictures(stats) >= before + 90;
    let stats = viewer.stats("three more seconds of pictures", later).await;
    assert_eq!(stats["peers"][0]["inbound"]["video"]["freezes"], 0);
    let room = server
        .room_until("room", "the room as it is", |room| room["live"] == true)
        .await;
    assert_eq!(room["viewers"], 1);
}
