//! Rooms of one server, watched on another.

use std::net::TcpListener;

use inver_outputs::hls::check::check_uneven;
use reqwest::StatusCode;
use serde_json::Value;

use crate::bad_requests::OFFER;
use crate::browser::{pictures, plays};
use crate::harness::{Builder, Client, Ffmpeg, Fixture, Flow, Server, fixture, stage};
use crate::second_stack::{ENOUGH, assert_exact, enough};

/// A server that has all rooms from `origin`.
fn relaying(origin: &str) -> Builder {
    let rooms = format!("[{{ room = '*', url = '{origin}/whep/{{room}}' }}]");
    Builder::new().set("relay.rooms", &rooms)
}

/// An address that nobody listens on, for servers that must find one another or come back.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").to_string()
}

fn viewers(room: &Value) -> u64 {
    room["viewers"].as_u64().unwrap_or(0)
}

async fn live(server: &Server, room: &str) {
    server
        .room_until(room, "the room is live", |room| room["live"] == true)
        .await;
}

#[tokio::test]
async fn one_session_with_the_origin_serves_all_viewers_and_ends_with_the_last() {
    let _stage = stage().await;
    let file = fixture(Fixture::Vp8).await;
    let mut origin = Server::open().await;
    let mut edge = relaying(&origin.url("")).start().await;
    let options = ["--codec", "vp8", "--file", &file];
    let whip = origin.url("/whip/room");
    let mut publisher = Client::datachannel(Flow::Publish, &whip, &options);
    publisher.state("connected").await;
    live(&origin, "room").await;
    assert!(
        edge.room_until("room", "nothing", |_| true).await.is_null(),
        "nobody asked for the room yet"
    );

    let whep = edge.url("/whep/room");
    let mut first = Client::datachannel(Flow::Watch, &whep, &options);
    let mut second = Client::browser(Flow::Watch, &whep, &[]);
    assert_exact(&first.stats("frames and sound", enough).await);
    second
        .stats("decoded pictures", |stats| pictures(stats) > ENOUGH)
        .await;
    let room = origin.json("/api/v1/rooms/room").await;
    assert_eq!(viewers(&room), 1, "one session with the origin");
    let room = edge.json("/api/v1/rooms/room").await;
    assert_eq!(viewers(&room), 2);
    assert_eq!(room["relay"]["state"], "connected", "{room:#}");
    let host = origin.url("");
    let host = host.trim_start_matches("http://");
    assert_eq!(room["relay"]["origin"], host);

    assert_eq!(first.end().await, 200);
    assert_eq!(second.end().await, 200);
    origin
        .room_until("room", "the relay's session has ended", |room| {
            viewers(room) == 0
        })
        .await;
    edge.room_until("room", "the room is gone", Value::is_null)
        .await;
    edge.assert_sound();
    origin.assert_sound();
}

#[tokio::test]
async fn a_relayed_room_plays_without_webrtc_too() {
    let _stage = stage().await;
    let mut origin = Server::open().await;
    let mut edge = relaying(&origin.url("")).start().await;
    let mut encoder = Ffmpeg::rtmp(&origin.rtmp("room"));
    live(&origin, "room").await;

    // The first who asks brings the room here. FFmpeg knows whole segments only.
    crate::hls::text(&edge, "/hls/room/index.m3u8").await;
    crate::hls::follow(&edge, "/hls/room/v0.m3u8", 2, check_uneven).await;
    let (ended, said) = Ffmpeg::play(&edge.url("/hls/room/index.m3u8"))
        .ended()
        .await;
    assert!(ended.success(), "{said}");
    assert!(
        said.contains("Video: h264") && said.contains("Audio: opus"),
        "{said}"
    );
    let room = edge.json("/api/v1/rooms/room").await;
    assert_eq!(room["relay"]["state"], "connected", "{room:#}");
    let room = origin.json("/api/v1/rooms/room").await;
    assert_eq!(viewers(&room), 1, "one session with the origin");
    // Segments go on for a while, and a picture is looked at: neither keeps the room here.
    let picture = edge
        .request(reqwest::Method::GET, "/thumbnails/room.jpg")
        .send()
        .await;
    assert_eq!(picture.expect("an answer").status(), StatusCode::OK);
    origin
        .room_until("room", "the relay's session ends with its viewer", |room| {
            viewers(room) == 0
        })
        .await;
    edge.room_until("room", "the room is gone", Value::is_null)
        .await;

    let (ended, said) = Ffmpeg::play(&edge.rtmp("room")).ended().await;
    assert!(ended.success(), "{said}");
    assert!(said.contains("Video: h264"), "{said}");
    encoder.assert_runs();
    edge.assert_sound();
    origin.assert_sound();
}

#[tokio::test]
async fn what_comes_by_rtmp_is_relayed_and_resumes_when_the_origin_returns() {
    let _stage = stage().await;
    let address = free_address();
    let builder = Builder::new().listen(&address);
    let origin = builder.start().await;
    let mut edge = relaying(&origin.url(""))
        .set("rooms.grace", "90s")
        .start()
        .await;
    let encoder = Ffmpeg::rtmp(&origin.rtmp("room"));
    live(&origin, "room").await;
    let mut viewer = Client::browser(Flow::Watch, &edge.url("/whep/room"), &[]);
    plays(&mut viewer, "h264").await;

    origin.kill().await;
    encoder.vanish().await;
    edge.room_until("room", "the origin's loss is noticed", |room| {
        room["relay"]["state"] == "waiting"
    })
    .await;
    let before = pictures(&viewer.now().await);
    let mut origin = builder.start().await;
    let mut encoder = Ffmpeg::rtmp(&origin.rtmp("room"));
    live(&origin, "room").await;
    viewer
        .stats("pictures of the origin that is back", |stats| {
            pictures(stats) > before + ENOUGH / 3
        })
        .await;
    encoder.assert_runs();
    let room = origin.json("/api/v1/rooms/room").await;
    assert_eq!(viewers(&room), 1);
    edge.assert_sound();
    origin.assert_sound();
}

#[tokio::test]
async fn servers_that_relay_from_one_another_refuse_a_room_that_neither_has() {
    let addresses = [free_address(), free_address()];
    let other = |address: &String| format!("http://{address}");
    let first = relaying(&other(&addresses[1])).listen(&addresses[0]);
    let second = relaying(&other(&addresses[0])).listen(&addresses[1]);
    let (mut first, mut second) = (first.start().await, second.start().await);
    for server in [&first, &second] {
        let response = server.offer("/whep/room", None, OFFER).await;
        assert_eq!(response.status(), StatusCode::LOOP_DETECTED);
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        for server in [&first, &second] {
            server
                .room_until("room", "nothing is left of it", Value::is_null)
                .await;
        }
    }
    first.assert_sound();
    second.assert_sound();
}

#[tokio::test]
async fn viewers_are_told_why_an_origin_gives_nothing() {
    let private = Builder::new()
        .keyed()
        .set("rooms.public_viewing", "false")
        .start()
        .await;
    let mut edge = relaying(&private.url("")).start().await;
    let refused = |path: &'static str, edge: &Server| {
        let asked = edge.url(path);
        let request = edge.bare(reqwest::Method::POST, &asked);
        async move {
            let request = request.header("content-type", "application/sdp");
            let response = request.body(OFFER).send().await.expect("an answer");
            let status = response.status();
            let text = response.text().await.expect("a body");
            (status, text)
        }
    };
    let (status, text) = refused("/whep/room", &edge).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
    assert!(text.contains("token"), "{text}");
    edge.assert_sound();

    let empty = Server::open().await;
    let mut edge = relaying(&empty.url("")).start().await;
    let (status, text) = refused("/whep/room", &edge).await;
    assert_eq!(status, StatusCode::CONFLICT, "{text}");
    assert!(text.contains("nobody publishes"), "{text}");
    edge.assert_sound();

    let mut edge = relaying(&format!("http://{}", free_address()))
        .start()
        .await;
    let (status, text) = refused("/whep/room", &edge).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
    assert!(text.contains("not reachable"), "{text}");
    edge.assert_sound();
}
