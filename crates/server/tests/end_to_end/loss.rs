//! Lost packets: asked for again and repaired, on the way to viewers and on the way here.

use crate::browser::pictures;
use crate::harness::{Client, Fixture, Flow, Loss, Relay, Server, fixture, stage};
use crate::second_stack::{assert_exact, enough};

/// Five seconds of pictures.
const LONG: u64 = 150;

async fn viewer_recovers(codec: &str, file: Fixture, loss: Loss) {
    let _stage = stage().await;
    let file = fixture(file).await;
    let mut server = Server::open().await;
    let options = ["--codec", codec, "--file", &file];
    let mut publisher = Client::datachannel(Flow::Publish, &server.url("/whip/room"), &options);
    publisher.state("connected").await;
    server
        .room_until("room", "the room is live", |room| room["live"] == true)
        .await;
    let relay = Relay::start(server.media(), loss).await;
    let address = relay.address();
    let lossy = [&options[..], &["--relay", &address]].concat();
    let mut viewer = Client::datachannel(Flow::Watch, &server.url("/whep/room"), &lossy);
    let stats = viewer
        .stats("frames through losses", |stats| {
            stats["frames"].as_u64() >= Some(LONG) && stats["recovered"].as_u64() >= Some(5)
        })
        .await;
    assert!(relay.dropped() > 0);
    assert_exact(&stats);
    server.assert_sound();
}

#[tokio::test]
async fn a_viewer_gets_every_frame_through_scattered_losses() {
    viewer_recovers("vp8", Fixture::Vp8, Loss::scattered(1, 5)).await;
}

#[tokio::test]
async fn a_viewer_gets_every_frame_through_bursts() {
    let loss = Loss {
        burst: 8,
        ..Loss::scattered(2, 1)
    };
    viewer_recovers("h264", Fixture::H264, loss).await;
}

#[tokio::test]
async fn packets_lost_on_the_way_here_are_asked_for_again() {
    let _stage = stage().await;
    let file = fixture(Fixture::H264).await;
    let mut server = Server::open().await;
    let loss = Loss {
        seed: 3,
        percent: 3,
        burst: 2,
        to_server: true,
        to_client: false,
        late: None,
    };
    let relay = Relay::start(server.media(), loss).await;
    let address = relay.address();
    let options = ["--codec", "h264", "--file", &file];
    let lossy = [&options[..], &["--relay", &address]].concat();
    let mut publisher = Client::datachannel(Flow::Publish, &server.url("/whip/room"), &lossy);
    publisher.state("connected").await;
    server
        .room_until("room", "the room is live", |room| room["live"] == true)
        .await;
    let mut viewer = Client::datachannel(Flow::Watch, &server.url("/whep/room"), &options);
    let stats = viewer
        .stats("frames through losses", |stats| {
            stats["frames"].as_u64() >= Some(LONG)
        })
        .await;
    assert!(server.metric("inver_nacks_sent_total").await > 0.0);
    let asked = publisher.now().await["nacked"].as_u64().expect("a count");
    assert!(asked > 0, "the server asked for lost packets: {stats}");
    assert_exact(&stats);
    assert!(enough(&stats), "sound came as well: {stats}");
    server.assert_sound();
}

#[tokio::test]
async fn chromium_plays_on_through_bursts_with_retransmissions() {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let whip = server.url("/whip/room");
    let mut publisher = Client::browser(Flow::Publish, &whip, &["--codec", "vp8"]);
    publisher.event("answered").await;
    server
        .room_until("room", "the room is live", |room| room["live"] == true)
        .await;
    let relay = Relay::start(
        server.media(),
        Loss {
            burst: 4,
            ..Loss::scattered(4, 2)
        },
    )
    .await;
    let options = ["--relay", &relay.address()];
    let mut viewer = Client::browser(Flow::Watch, &server.url("/whep/room"), &options);
    let stats = viewer
        .stats("pictures through losses", |stats| {
            let video = &stats["peers"][0]["inbound"]["video"];
            pictures(stats) >= LONG && video["retransmitted"].as_u64() >= Some(5)
        })
        .await;
    assert!(relay.dropped() > 0);
    let video = &stats["peers"][0]["inbound"]["video"];
    assert!(
        video["frozen"].as_f64() < Some(2.0),
        "it hardly ever froze: {video}"
    );
    server.assert_sound();
}
