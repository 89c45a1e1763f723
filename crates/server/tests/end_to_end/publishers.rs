//! Who may publish: wrong tokens, a second publisher, the same one again.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::bad_requests::{OFFER, problem};
use crate::control::make_room_with_key;
use crate::harness::{Builder, Client, Fixture, Flow, Server, fixture, stage};
use crate::second_stack::enough;

#[tokio::test]
async fn wrong_tokens_are_refused_and_tell_nothing() {
    let mut server = Builder::new().keyed().start().await;
    let key = make_room_with_key(&server, "room").await;
    let other = make_room_with_key(&server, "other").await;
    for (path, token, expected) in [
        ("/whip/room", None, StatusCode::UNAUTHORIZED),
        ("/whip/room", Some("wrong"), StatusCode::UNAUTHORIZED),
        ("/whip/nowhere", Some("wrong"), StatusCode::UNAUTHORIZED),
        ("/whip/stream/room-wrong", None, StatusCode::UNAUTHORIZED),
    ] {
        let response = server.offer(path, token, OFFER).await;
        assert_eq!(response.status(), expected, "{path} with {token:?}");
        assert!(
            response.headers().contains_key("www-authenticate"),
            "{path}"
        );
        problem(response).await;
    }
    // A good key of another room.
    let response = server.offer("/whip/room", Some(&other.secret), OFFER).await;
    assert!(
        matches!(
            response.status(),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
        ),
        "{}",
        response.status()
    );
    for (path, token) in [
        ("/whip/room".to_owned(), Some(key.secret.as_str())),
        ("/whip/other".to_owned(), Some(other.stream_key.as_str())),
    ] {
        let response = server.offer(&path, token, OFFER).await;
        assert_eq!(response.status(), StatusCode::CREATED, "{path}");
    }
    server.assert_sound();
}

#[tokio::test]
async fn tokens_grant_what_they_say() {
    let server = Builder::new().keyed().start().await;
    make_room_with_key(&server, "room").await;
    let grant = json!({"room": "room", "publish": true, "subject": "camera", "ttl_seconds": 60});
    let issued = server
        .post("/api/v1/tokens", &grant, StatusCode::CREATED)
        .await;
    let token = issued["token"].as_str().expect("a token");
    let response = server.offer("/whip/room", Some(token), OFFER).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let response = server.offer("/whip/elsewhere", Some(token), OFFER).await;
    assert!(response.status().is_client_error(), "{}", response.status());
    let rooms = server
        .bare(reqwest::Method::POST, &server.url("/api/v1/rooms"))
        .bearer_auth(token)
        .header("content-type", "application/json")
        .body(json!({"id": "mine"}).to_string())
        .send()
        .await
        .expect("the server answers");
    assert_eq!(rooms.status(), StatusCode::FORBIDDEN);
    let mut tampered = token.to_owned();
    tampered.replace_range(token.len() - 4.., "AAAA");
    let response = server.offer("/whip/room", Some(&tampered), OFFER).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_second_publisher_is_refused_and_the_first_goes_on() {
    let _stage = stage().await;
    let file = fixture(Fixture::Vp8).await;
    let mut server = Server::open().await;
    let options = ["--codec", "vp8", "--file", &file];
    let mut publisher = Client::datachannel(Flow::Publish, &server.url("/whip/room"), &options);
    publisher.state("connected").await;
    server
        .room_until("room", "the room is live", |room| room["live"] == true)
        .await;
    for path in ["/whip/room", "/whip/room?participant=other"] {
        let response = server.offer(path, None, OFFER).await;
        assert_eq!(response.status(), StatusCode::CONFLICT, "{path}");
        problem(response).await;
    }
    let mut viewer = Client::datachannel(Flow::Watch, &server.url("/whep/room"), &options);
    viewer.stats("frames and sound", enough).await;
    let room = server.json("/api/v1/rooms/room").await;
    let publishing = |participant: &&Value| participant["publishing"] == true;
    let participants = room["participants"].as_array().expect("a list");
    assert_eq!(participants.iter().filter(publishing).count(), 1);
    server.assert_sound();
}

#[tokio::test]
async fn the_same_key_takes_over_its_old_session() {
    let _stage = stage().await;
    let file = fixture(Fixture::Vp8).await;
    let mut server = Builder::new().keyed().start().await;
    let key = make_room_with_key(&server, "room").await;
    let whip = server.url("/whip/room");
    let options = ["--codec", "vp8", "--file", &file, "--token", &key.secret];
    let mut first = Client::datachannel(Flow::Publish, &whip, &options);
    first.state("connected").await;
    server
        .room_until("room", "the room is live", |room| room["live"] == true)
        .await;
    let mut viewer = Client::datachannel(Flow::Watch, &server.url("/whep/room"), &options[..4]);
    viewer.stats("frames and sound", enough).await;

    let mut second = Client::datachannel(Flow::Publish, &whip, &options);
    second.state("connected").await;
    let frames = viewer.now().await["frames"].as_u64().expect("a count");
    let stats = viewer
        .stats("frames go on", |stats| {
            stats["frames"].as_u64() >= Some(frames + 60)
        })
        .await;
    crate::second_stack::assert_exact(&stats);
    server
        .room_until("room", "one publishing session is left", |room| {
            let sessions = crate::control::sessions(room);
            sessions
                .iter()
                .filter(|session| session["direction"] == "publish")
                .count()
                == 1
        })
        .await;
    server.assert_sound();
}
