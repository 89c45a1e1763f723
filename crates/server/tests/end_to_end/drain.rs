//! SIGTERM: no new sessions, the old ones told, the end within its bound.

use std::time::Duration;

use reqwest::StatusCode;
use tokio::time::Instant;

use crate::bad_requests::OFFER;
use crate::harness::{Builder, Client, Fixture, Flow, Server, fixture, stage};
use crate::second_stack::enough;

/// What ending takes besides draining: closing files and threads on a busy machine.
const SLACK: Duration = Duration::from_secs(5);

#[tokio::test]
async fn an_idle_server_ends_at_once() {
    let mut server = Server::open().await;
    server.terminate().await;
    let status = server.ended(SLACK).await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_busy_server_refuses_new_sessions_and_ends_within_its_bound() {
    const DRAIN: Duration = Duration::from_secs(4);
    let _stage = stage().await;
    let file = fixture(Fixture::Vp8).await;
    let mut server = Builder::new().set("drain_timeout", "4s").start().await;
    let options = ["--codec", "vp8", "--file", &file];
    let mut publisher = Client::datachannel(Flow::Publish, &server.url("/whip/room"), &options);
    publisher.state("connected").await;
    server
        .room_until("room", "the room is live", |room| room["live"] == true)
        .await;
    let mut viewer = Client::datachannel(Flow::Watch, &server.url("/whep/room"), &options);
    viewer.stats("frames and sound", enough).await;

    server.terminate().await;
    let since = Instant::now();
    let draining = async { while server.json("/api/v1/server").await["draining"] != true {} };
    tokio::time::timeout(DRAIN, draining)
        .await
        .expect("the server says that it drains");
    let response = server.offer("/whip/other", None, OFFER).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));
    let status = server.ended(DRAIN + SLACK).await;
    assert!(status.success(), "{status}");
    assert!(since.elapsed() < DRAIN + SLACK);
    // DTLS tells both clients: neither has to find out by silence.
    viewer.state("closed").await;
    publisher.state("closed").await;
}
