//! Delay, jitter and loss by the kernel, between two network namespaces.

use crate::control::make_room_with_key;
use crate::harness::{Builder, Client, Fixture, Flow, Namespace, fixture, skip, stage};
use crate::second_stack::assert_exact;

#[tokio::test]
async fn a_viewer_far_away_gets_every_frame() {
    const NAME: &str = "network::a_viewer_far_away_gets_every_frame";
    let _stage = stage().await;
    let namespace = match Namespace::new("delay 30ms 5ms 25% loss 1%") {
        Ok(namespace) => namespace,
        Err(reason) => return skip(NAME, &reason),
    };
    let file = fixture(Fixture::Vp8).await;
    let listen = format!("{}:0", namespace.here);
    // An address that others can reach: rooms need keys without being told so.
    let mut server = Builder::new()
        .listen(&listen)
        .arguments(&["--show-admin-link"])
        .start()
        .await;
    let key = make_room_with_key(&server, "room").await;
    let options = ["--codec", "vp8", "--file", &file, "--token", &key.secret];
    let mut publisher = Client::datachannel(Flow::Publish, &server.url("/whip/room"), &options);
    publisher.state("connected").await;
    server
        .room_until("room", "the room is live", |room| room["live"] == true)
        .await;
    let whep = server.url("/whep/room");
    let mut viewer = Client::datachannel_by(&namespace.enter(), Flow::Watch, &whep, &options[..4]);
    let stats = viewer
        .stats("frames from afar", |stats| {
            stats["frames"].as_u64() >= Some(150) && stats["recovered"].as_u64() > Some(0)
        })
        .await;
    assert_exact(&stats);
    server.assert_sound();
}
