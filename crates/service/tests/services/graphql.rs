//! The GraphQL service over real connections: token, decisions, a stream's life.

use std::time::Duration;

use crate::support::{Asked, Local, publish, read, room, start};
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use inver_control::Secret;
use inver_service::{
    Approved, DeniedBy, Fault, GraphQl, GraphQlConfig, HmacRequest, KeyLookup, Metadata, Proof,
    Service, Verdict, WhenDown,
};
use serde_json::{Value, json};

const TOKEN: &str = "/base/api/oauth/token";
const GRAPH: &str = "/base/api/graph";

fn config(local: &Local) -> GraphQlConfig {
    GraphQlConfig {
        allow_private: true,
        ..GraphQlConfig::new(&local.url("/base/"), "an id", Secret::new("ge&heim"))
    }
}

fn service(local: &Local) -> GraphQl {
    GraphQl::new(config(local)).expect("a service")
}

/// A token that says which one it is.
fn granted(nth: usize) -> Response {
    let token = format!("token-{nth}");
    Json(json!({ "access_token": token, "token_type": "bearer", "expires_in": 3600 }))
        .into_response()
}

fn data(data: Value) -> Response {
    Json(json!({ "data": data })).into_response()
}

/// A platform with one channel, 1234, whose key is `key`.
fn platform(nth: usize, asked: &Asked) -> Response {
    if asked.path == TOKEN {
        return granted(nth);
    }
    assert_eq!(asked.path, GRAPH);
    if asked.header("content-type").starts_with("multipart/") {
        return data(json!({ "uploadStreamThumbnail": { "id": "77" } }));
    }
    let body = asked.json();
    let query = body["query"].as_str().expect("a document");
    if query.contains("startStream") {
        return data(json!({ "startStream": { "id": 77 } }));
    }
    if query.contains("endStream") || query.contains("logStreamMetadata") {
        return data(json!({ "any": { "id": "77" } }));
    }
    match body["variables"]["id"].as_str() {
        Some("1234") => data(json!({ "channel": { "hmacKey": "key" } })),
        Some("13") => {
            let errors = json!({ "data": null, "errors": [{ "message": "no such channel" }] });
            Json(errors).into_response()
        }
        _ => data(json!({ "channel": null })),
    }
}

#[tokio::test]
async fn a_channels_key_lets_its_publisher_in() {
    let local = Local::start(platform).await;
    let service = service(&local);
    let approved = service.authenticate(publish("1234", "key")).await;
    assert_eq!(approved, Ok(Approved::BY_SERVICE));

    let asked = local.asked();
    assert_eq!(asked[0].path, TOKEN);
    assert_eq!(
        asked[0].header("content-type"),
        "application/x-www-form-urlencoded"
    );
    assert_eq!(
        asked[0].body,
        "grant_type=client_credentials&client_id=an%20id&client_secret=ge%26heim&scope=streamkey"
    );
    assert_eq!(asked[1].path, GRAPH);
    assert_eq!(asked[1].header("authorization"), "Bearer token-0");
    let body = asked[1].json();
    assert_eq!(
        body["query"],
        "query ($id: ID!) { channel(id: $id) { hmacKey } }"
    );
    assert_eq!(body["variables"], json!({ "id": "1234" }));
}

#[tokio::test]
async fn wrong_and_missing_keys_and_channels_are_denied_also_where_an_outage_would_let_in() {
    let local = Local::start(platform).await;
    let service = GraphQl::new(GraphQlConfig {
        when_down: WhenDown::Allow,
        ..config(&local)
    });
    let service = service.expect("a service");
    for (room, key, by) in [
        ("1234", "other", DeniedBy::Credentials),
        ("1234", "", DeniedBy::Credentials),
        ("99", "key", DeniedBy::Credentials),
        ("13", "key", DeniedBy::Credentials),
        ("studio", "key", DeniedBy::Policy),
    ] {
        let denied = service.authenticate(publish(room, key)).await;
        assert_eq!(denied.expect_err(room).by, by, "{room} {key}");
    }
}

#[tokio::test]
async fn a_key_for_a_challenge_is_looked_up() {
    let local = Local::start(platform).await;
    let service = service(&local);
    let look_up = |number: u32| {
        service.hmac_key(HmacRequest {
            room: room(&number.to_string()),
            number,
        })
    };
    let Ok(KeyLookup::Key(key)) = look_up(1234).await else {
        panic!("the channel has a key");
    };
    assert_eq!(key.reveal(), "key");
    for unknown in [99, 13] {
        assert!(matches!(look_up(unknown).await, Ok(KeyLookup::Unknown)));
    }
    let before = local.asked().len();
    let mut proven = publish("1234", "unused");
    proven.proof = Proof::Challenge;
    assert_eq!(service.authenticate(proven).await, Ok(Approved::BY_SERVICE));
    assert_eq!(local.asked().len(), before);
}

#[tokio::test]
async fn a_stream_lives_from_start_to_end() {
    let local = Local::start(platform).await;
    let service = service(&local);
    let stream = service.start_stream(start("1234")).await.expect("starts");
    assert_eq!(stream.id.as_str(), "77");
    let metadata = Metadata {
        audio_codec: Some("opus".to_owned()),
        height: Some(1080),
        bitrate: Some(6_000_000),
        viewers: 12,
        duration: Duration::from_secs(65),
        ..Metadata::default()
    };
    let verdict = service.report(&stream, &metadata).await;
    assert_eq!(verdict, Ok(Verdict::Continue));
    let jpeg = bytes::Bytes::from_static(b"\xff\xd8--jpeg\r\n");
    service.thumbnail(&stream, jpeg).await.expect("taken");
    service.end_stream(&stream).await.expect("ends");

    let asked = local.asked();
    // One token for all.
    assert_eq!(asked.iter().filter(|one| one.path == TOKEN).count(), 1);
    assert_eq!(asked[1].json()["variables"], json!({ "channelId": "1234" }));
    assert_eq!(
        asked[2].json()["variables"],
        json!({
            "streamId": "77",
            "metadata": {
                "audioCodec": "opus",
                "videoHeight": 1080,
                "sourceBitrate": 6_000_000,
                "ingestViewers": 12,
                "lostPackets": 0,
                "nackPackets": 0,
                "recvPackets": 0,
                "streamTimeSeconds": 65,
            },
        })
    );
    assert_eq!(asked[4].json()["variables"], json!({ "streamId": "77" }));

    let boundary = asked[3].header("content-type");
    let boundary = boundary
        .strip_prefix("multipart/form-data; boundary=")
        .expect("a form");
    let body = String::from_utf8_lossy(&asked[3].body).into_owned();
    let parts: Vec<_> = body.split(&format!("--{boundary}")).collect();
    assert_eq!(parts.len(), 4, "nothing, two parts, the end");
    assert_eq!((parts[0], parts[3]), ("", "--\r\n"));
    let part = |nth: usize| parts[nth].split_once("\r\n\r\n").expect("head and body");
    let (head, mutation) = part(1);
    assert!(head.contains("name=\"query\""));
    assert_eq!(
        mutation.trim_end(),
        "mutation { uploadStreamThumbnail(streamId: \"77\", thumbnail: \"thumbdata\") { id } }"
    );
    let (head, picture) = part(2);
    assert!(head.contains("name=\"thumbdata\"; filename="));
    assert!(head.contains("Content-Type: image/jpeg"));
    assert!(picture.ends_with("--jpeg\r\n\r\n"));
}

#[tokio::test]
async fn a_token_that_is_not_taken_any_more_is_replaced_once() {
    let local = Local::start(|nth, asked| {
        if asked.path == TOKEN {
            return granted(nth);
        }
        match asked.header("authorization") {
            "Bearer token-0" if nth > 2 => StatusCode::UNAUTHORIZED.into_response(),
            _ => data(json!({ "channel": { "hmacKey": "key" } })),
        }
    })
    .await;
    let service = service(&local);
    for _ in 0..4 {
        let approved = service.authenticate(publish("1234", "key")).await;
        assert_eq!(approved, Ok(Approved::BY_SERVICE));
    }
    let asked = local.asked();
    let paths: Vec<_> = asked.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(paths, [TOKEN, GRAPH, GRAPH, GRAPH, TOKEN, GRAPH, GRAPH]);
    assert_eq!(asked[5].header("authorization"), "Bearer token-4");
}

#[tokio::test]
async fn a_platform_that_takes_no_token_is_down_and_not_asked_for_ever() {
    let local = Local::start(|nth, asked| {
        if asked.path == TOKEN {
            granted(nth)
        } else {
            StatusCode::UNAUTHORIZED.into_response()
        }
    })
    .await;
    let service = service(&local);
    let denied = service.authenticate(publish("1234", "key")).await;
    assert_eq!(denied.expect_err("no access").by, DeniedBy::Down);
    assert_eq!(local.asked().len(), 4);
    let stream = service.start_stream(start("1234")).await;
    assert_eq!(stream.expect_err("no access").by, DeniedBy::Down);
}

#[tokio::test]
async fn wrong_client_credentials_are_named() {
    let local = Local::start(|_, _| StatusCode::BAD_REQUEST).await;
    let request = HmacRequest {
        room: room("1234"),
        number: 1234,
    };
    let fault = service(&local).hmac_key(request).await.expect_err("none");
    assert_eq!(fault, Fault::NoAccess(400));
    assert!(fault.to_string().contains("client id and secret"));
    assert!(!fault.to_string().contains("heim"));
}

#[tokio::test]
async fn a_platform_that_is_down_is_decided_for() {
    for (when_down, approved) in [(WhenDown::Deny, false), (WhenDown::Allow, true)] {
        let local = Local::start(|nth, asked| {
            if asked.path == TOKEN {
                granted(nth)
            } else {
                StatusCode::BAD_GATEWAY.into_response()
            }
        })
        .await;
        let service = GraphQl::new(GraphQlConfig {
            when_down,
            ..config(&local)
        });
        let service = service.expect("a service");
        let came_in = service.authenticate(publish("1234", "key")).await;
        assert_eq!(came_in.is_ok(), approved, "{when_down:?}");
        let started = service.start_stream(start("1234")).await;
        assert_eq!(started.is_ok(), approved, "{when_down:?}");
        let report = Metadata::default();
        if let Ok(stream) = started {
            let fault = service.report(&stream, &report).await;
            assert_eq!(fault, Err(Fault::Status(502)));
        }
    }
}

#[tokio::test]
async fn viewers_stay_with_control() {
    let local = Local::start(platform).await;
    let service = service(&local);
    let approved = service.authorize_read(read("1234", "t")).await;
    assert_eq!(approved, Ok(Approved::BY_CONTROL));
    assert_eq!(local.asked().len(), 0);
}

#[tokio::test]
async fn no_secret_shows_up_in_debug_output() {
    let local = Local::start(platform).await;
    let config = config(&local);
    let shown = format!("{config:?} {:?}", GraphQl::new(config.clone()));
    assert!(!shown.contains("ge&heim"), "{shown}");
}
