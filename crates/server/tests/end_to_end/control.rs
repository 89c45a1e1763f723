//! The control API while media flows: what it tells, and what operators can do.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Client, Fixture, Flow, Server, fixture, stage};
use crate::second_stack::enough;

/// A stream key as the API hands it out once.
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
    /// The room's id and the secret in one.
    pub(crate) stream_key: String,
}

/// Makes a configured room and a key of it.
pub(crate) async fn make_room_with_key(server: &Server, room: &str) -> Key {
    server
        .post("/api/v1/rooms", &json!({"id": room}), StatusCode::CREATED)
        .await;
    let path = format!("/api/v1/rooms/{room}/keys");
    let key = server
        .post(&path, &json!({"label": "camera"}), StatusCode::CREATED)
        .await;
    let text = |name: &str| {
        key[name]
            .as_str()
            .unwrap_or_else(|| panic!("{key}"))
            .to_owned()
    };
    Key {
        id: text("id"),
        secret: text("key"),
        stream_key: text("stream_key"),
    }
}

/// All sessions of a room.
pub(crate) fn sessions(room: &Value) -> Vec<&Value> {
    let participants = room["participants"].as_array();
    participants
        .into_iter()
        .flatten()
        .filter_map(|participant| participant["sessions"].as_array())
        .flatten()
        .collect()
}

#[tokio::test]
async fn a_live_room_is_told_in_full_and_viewers_can_be_ended() {
    let _stage = stage().await;
    let file = fixture(Fixture::H264).await;
    let mut server = Server::open().await;
    let options = ["--codec", "h264", "--file", &file];
    let mut publisher = Client::datachannel(Flow::Publish, &server.url("/whip/room"), &options);
    publisher.state("connected").await;
    let mut viewer = Client::datachannel(Flow::Watch, &server.url("/whep/room?wait=1"), &options);
    viewer.stats("frames and sound", enough).await;

    let room = server
        .room_until("room", "figures of two sessions", |room| {
            let sessions = sessions(room);
            sessions.len() == 2
                && sessions
                    .iter()
                    .any(|one| one["stats"]["bitrate_in"].as_u64() > Some(100_000))
                && sessions
                    .iter()
                    .any(|one| one["stats"]["bitrate_out"].as_u64() > Some(100_000))
        })
        .await;
    assert_eq!(
        (&room["kind"], &room["viewers"]),
        (&json!("broadcast"), &json!(1)),
        "{room:#}"
    );
    let publisher_of = |one: &&Value| one["publishing"] == true;
    let participants = room["participants"].as_array().expect("a list");
    let publications = &participants.iter().find(publisher_of).expect("one")["publications"];
    let publications = publications.as_array().expect("a list");
    let video = publications
        .iter()
        .find(|one| one["kind"] == "video")
        .expect("video");
    assert_eq!(video["codec"], "H264");
    assert_eq!(video["layers"][0]["width"], 640);
    assert_eq!(video["layers"][0]["height"], 360);
    for session in sessions(&room) {
        assert_eq!(session["state"], "connected");
        assert_eq!(session["transport"], "udp");
    }

    let watching = sessions(&room)
        .into_iter()
        .find(|one| one["direction"] == "subscribe")
        .expect("one watches")["id"]
        .clone();
    let path = format!("/api/v1/rooms/room/sessions/{watching}");
    let response = server
        .request(Method::DELETE, &path)
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    server
        .room_until("room", "the viewer is gone", |room| room["viewers"] == 0)
        .await;
    let response = server
        .request(Method::DELETE, "/api/v1/rooms/room")
        .send()
        .await;
    assert_eq!(
        response.expect("an answer").status(),
        StatusCode::NO_CONTENT
    );
    server
        .room_until("room", "the room is gone", |room| {
            room.is_null() || sessions(room).is_empty()
        })
        .await;
    server.assert_sound();
}

#[tokio::test]
async fn events_tell_what_happens_in_order() {
    let _stage = stage().await;
    let file = fixture(Fixture::Vp8).await;
    let server = Server::open().await;
    let path = "/api/v1/events?room=room";
    let mut stream = server
        .request(Method::GET, path)
        .send()
        .await
        .expect("an answer");
    assert_eq!(stream.status(), StatusCode::OK);
    let options = ["--codec", "vp8", "--file", &file];
    let mut publisher = Client::datachannel(Flow::Publish, &server.url("/whip/room"), &options);
    publisher.state("connected").await;
    server
        .room_until("room", "the room is live", |room| room["live"] == true)
        .await;
    assert_eq!(publisher.end().await, 200);

    let mut expected = [
        "room.created",
        "session.started",
        "room.live",
        "session.ended",
        "room.offline",
    ]
    .into_iter()
    .collect::<Vec<_>>();
    let mut text = String::new();
    let reading = async {
        while !expected.is_empty() {
            let chunk = stream
                .chunk()
                .await
                .expect("the stream goes on")
                .expect("more");
            text.push_str(&String::from_utf8_lossy(&chunk));
            while let Some((line, rest)) = text.split_once('\n') {
                let name = line.trim().strip_prefix("event:").map(str::trim);
                // session.ended and room.offline come in either order: media stops, or DTLS does.
                if let Some(at) = expected
                    .iter()
                    .take(2)
                    .position(|event| Some(*event) == name)
                {
                    expected.remove(at);
                }
                text = rest.to_owned();
            }
        }
    };
    let done = tokio::time::timeout(crate::harness::PATIENCE, reading)
        .await
        .is_ok();
    assert!(done, "events that did not come: {expected:?}");
}
