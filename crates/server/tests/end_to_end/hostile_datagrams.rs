//! Datagrams of strangers at the media port: dropped without an answer, and nobody notices.

use std::io::ErrorKind;
use std::net::UdpSocket;

use crate::harness::{Client, Fixture, Flow, Server, fixture, stage};
use crate::second_stack::{ENOUGH, assert_exact, enough};

/// Datagrams of each kind.
const EACH: usize = 2000;

/// A STUN binding request with a username that nobody was told (RFC 8489).
fn stun(username: &str, random: &mut fastrand::Rng) -> Vec<u8> {
    let padded = username.len().div_ceil(4) * 4;
    let mut message = vec![0x00, 0x01];
    message.extend(u16::try_from(4 + padded + 24).expect("short").to_be_bytes());
    message.extend([0x21, 0x12, 0xa4, 0x42]);
    message.extend((0..12).map(|_| random.u8(..)));
    message.extend([0x00, 0x06]);
    message.extend(u16::try_from(username.len()).expect("short").to_be_bytes());
    message.extend(username.bytes());
    message.resize(20 + 4 + padded, 0);
    message.extend([0x00, 0x08, 0x00, 0x14]);
    message.extend((0..20).map(|_| random.u8(..)));
    message
}

fn noise(first: std::ops::RangeInclusive<u8>, random: &mut fastrand::Rng) -> Vec<u8> {
    let mut datagram = vec![random.u8(first)];
    let length = random.usize(0..1400);
    datagram.extend((0..length).map(|_| random.u8(..)));
    datagram
}

#[tokio::test]
async fn strangers_are_ignored_while_a_room_goes_on() {
    let _stage = stage().await;
    let file = fixture(Fixture::Vp8).await;
    let mut server = Server::open().await;
    let options = ["--codec", "vp8", "--file", &file];
    let mut publisher = Client::datachannel(Flow::Publish, &server.url("/whip/room"), &options);
    publisher.state("connected").await;
    server
        .room_until("room", "the room is live", |room| room["live"] == true)
        .await;
    let mut viewer = Client::datachannel(Flow::Watch, &server.url("/whep/room"), &options);
    let before = viewer.stats("frames and sound", enough).await;

    let unknown = server.metric("inver_datagrams_unknown_total").await;
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a free port on loopback");
    stranger
        .connect(server.media())
        .expect("loopback to loopback");
    let mut random = fastrand::Rng::with_seed(7);
    for number in 0..EACH {
        let username = format!("{}:{}", random.u32(..), random.u32(..));
        for datagram in [
            stun(&username, &mut random),
            // What looks like DTLS, like RTP or RTCP, and like nothing at all.
            noise(20..=63, &mut random),
            noise(128..=191, &mut random),
            noise(0..=255, &mut random),
            stun("", &mut random),
        ] {
            stranger.send(&datagram).expect("loopback takes datagrams");
        }
        // A pause for the other end keeps the kernel's queue, which viewers share, from filling.
        if number % 50 == 0 {
            tokio::task::yield_now().await;
            server.json("/api/v1/server").await;
        }
    }
    stranger.send(&[]).expect("loopback takes datagrams");
    // The kernel may drop some of a flood; what is counted shows that the server read on.
    let least = unknown + EACH as f64;
    server
        .metric_reaches("inver_datagrams_unknown_total", least)
        .await;

    let frames = before["frames"].as_u64().expect("a count");
    let after = viewer
        .stats("frames go on", |stats| {
            stats["frames"].as_u64() >= Some(frames + ENOUGH)
        })
        .await;
    assert_exact(&after);
    stranger.set_nonblocking(true).expect("a socket can be");
    let answer = stranger.recv(&mut [0; 2048]);
    let error = answer.expect_err("nothing was answered");
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    server.assert_sound();
}
