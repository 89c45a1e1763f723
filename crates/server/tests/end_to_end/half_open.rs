//! Thousands of offers whose senders never connect: bounded, forgotten in time, unnoticed.

use reqwest::StatusCode;

use crate::bad_requests::OFFER;
use crate::harness::{Builder, Client, Fixture, Flow, fixture, stage};
use crate::second_stack::{ENOUGH, assert_exact, enough};

/// Offers that are never followed up.
const OFFERS: usize = 3000;
/// How many of them the server is told to hold at once.
const HELD: usize = 500;
/// What a session that never connected may cost, with the slack of an allocator.
const BYTES_EACH: u64 = 200 * 1024;

#[tokio::test]
async fn thousands_of_half_open_sessions_are_bounded_while_a_room_goes_on() {
    let _stage = stage().await;
    let file = fixture(Fixture::Vp8).await;
    let mut server = Builder::new()
        .set("limits.half_open", &HELD.to_string())
        .set("limits.requests_per_second", "100000")
        .set("limits.request_burst", "100000")
        .set("webrtc.connect_timeout", "10s")
        .start()
        .await;
    let options = ["--codec", "vp8", "--file", &file];
    let mut publisher = Client::datachannel(Flow::Publish, &server.url("/whip/room"), &options);
    publisher.state("connected").await;
    server
        .room_until("room", "the room is live", |room| room["live"] == true)
        .await;
    let mut viewer = Client::datachannel(Flow::Watch, &server.url("/whep/room"), &options);
    let before = viewer.stats("frames and sound", enough).await;
    let memory = server.memory();

    let mut accepted = 0;
    for number in 0..OFFERS {
        let response = server
            .offer(&format!("/whip/open-{number}"), None, OFFER)
            .await;
        match response.status() {
            StatusCode::CREATED => accepted += 1,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                assert!(response.headers().contains_key("retry-after"));
            }
            status => panic!("offer {number} got {status}: {:?}", response.text().await),
        }
    }
    assert!(accepted >= HELD, "{accepted} of {HELD} places were given");
    let grown = server.memory().saturating_sub(memory);
    let bound = HELD as u64 * BYTES_EACH;
    assert!(
        grown < bound,
        "{grown} bytes more after {OFFERS} offers; {bound} is the most"
    );

    let frames = before["frames"].as_u64().expect("a count");
    let after = viewer
        .stats("frames go on", |stats| {
            stats["frames"].as_u64() >= Some(frames + ENOUGH)
        })
        .await;
    assert_exact(&after);
    // Their time runs out: the rooms that they made go as well, and offers are taken again.
    let room = "open-0";
    server
        .room_until(room, "a half-open session is forgotten", |room| {
            room.is_null() || crate::control::sessions(room).is_empty()
        })
        .await;
    let response = server.offer("/whip/after", None, OFFER).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    server.assert_sound();
}
