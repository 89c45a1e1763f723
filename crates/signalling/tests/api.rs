//! The control API over a real node: rights, statuses, shapes, events, and its own description.

use std::collections::BTreeSet;

use axum::Router;
use http::Method;
use inver_http::testing::{Answered, Asking, Fixture, ask};
use inver_http::{Config, Context};
use inver_node::Policy;
use inver_signalling::api;
use serde_json::{Value, json};

const JSON: &str = "application/json";

fn router(fixture: &Fixture, open: bool) -> Router {
    let context = Context::new(Config {
        open,
        ..Config::default()
    })
    .expect("a good configuration");
    api::router(fixture.handle.clone(), context, [])
}

/// A server that asks for tokens.
struct Keyed {
    fixture: Fixture,
    router: Router,
}

impl Keyed {
    async fn new() -> Self {
        let fixture = Fixture::keyed().await;
        let router = router(&fixture, false);
        Self { fixture, router }
    }

    fn admin(&self, method: Method, path: &str) -> Asking {
        ask(method, path).header("authorization", &self.fixture.admin())
    }

    async fn create(&self, path: &str, body: &Value) -> Answered {
        let request = self.admin(Method::POST, path).body(JSON, &body.to_string());
        request.send(&self.router).await
    }

    /// A token made by the API.
    async fn token(&self, body: Value) -> String {
        let created = self.create("/api/v1/tokens", &body).await;
        assert_eq!(created.status, 201);
        let created = created.json().await;
        assert!(created["expires_at"].is_string());
        format!("Bearer {}", created["token"].as_str().expect("a token"))
    }
}

#[tokio::test]
async fn everybody_may_know_the_server() {
    let keyed = Keyed::new().await;
    let answer = ask(Method::GET, "/api/v1/server").send(&keyed.router).await;
    assert_eq!(answer.status, 200);
    let server = answer.json().await;
    assert_eq!(server["version"], "1.2.3");
    assert_eq!(server["open"], false);
    assert_eq!(server["draining"], false);
    assert_eq!(server["whip_url"], "http://localhost:8080/whip");
    assert_eq!(server["whep_url"], "http://localhost:8080/whep");
    assert_eq!(
        server["ice_servers"],
        json!([{"urls": ["stun:stun.example.net"]}])
    );
    let administrator = keyed.admin(Method::GET, "/api/v1/server");
    let server = administrator.send(&keyed.router).await.json().await;
    assert_eq!(server["ice_servers"][1]["credential"], "password");
}

#[tokio::test]
async fn a_room_is_created_shown_and_closed() {
    let keyed = Keyed::new().await;
    let wish = json!({"id": "studio", "wait_for_publisher": true, "max_viewers": 10});
    let created = keyed.create("/api/v1/rooms", &wish).await;
    assert_eq!(created.status, 201);
    assert_eq!(created.location(), "/api/v1/rooms/studio");
    let room = created.json().await;
    assert_eq!(room["id"], "studio");
    assert_eq!(room["kind"], "broadcast");
    assert_eq!(room["configured"], true);
    assert_eq!(room["keyed"], true);
    assert!(room["number"].is_u64(), "{room}");

    keyed
        .create("/api/v1/rooms", &wish)
        .await
        .problem(409)
        .await;
    let unnamed = keyed.create("/api/v1/rooms", &json!({})).await;
    assert_eq!(unnamed.status, 201);

    let list = keyed
        .admin(Method::GET, "/api/v1/rooms")
        .send(&keyed.router)
        .await;
    let list = list.json().await;
    assert_eq!(list["rooms"].as_array().map(Vec::len), Some(2));
    let shown = keyed.admin(Method::GET, "/api/v1/rooms/studio");
    assert_eq!(shown.send(&keyed.router).await.json().await, room);

    let close = || keyed.admin(Method::DELETE, "/api/v1/rooms/studio");
    let closed = close().send(&keyed.router).await;
    assert_eq!(closed.status, 204);
    assert_eq!(closed.text().await, "");
    close().send(&keyed.router).await.problem(404).await;
    let gone = keyed.admin(Method::GET, "/api/v1/rooms/studio");
    gone.send(&keyed.router).await.problem(404).await;
}

#[tokio::test]
async fn bad_bodies_and_names_are_refused_by_their_fault() {
    let keyed = Keyed::new().await;
    let post = |content_type, body: &str| {
        keyed
            .admin(Method::POST, "/api/v1/rooms")
            .body(content_type, body)
    };
    let large = format!("{{\"id\":\"{}\"}}", "a".repeat(70_000));
    for (request, status, word) in [
        (post(JSON, "{"), 400, "JSON"),
        (post("text/plain", "{\"id\":\"a\"}"), 415, JSON),
        (post(JSON, r#"{"id":"a b"}"#), 422, "room id"),
        (post(JSON, r#"{"id":"watch"}"#), 422, "reserved"),
        (post(JSON, r#"{"name":"a"}"#), 422, "name"),
        (post(JSON, r#"{"kind":"tv"}"#), 422, "tv"),
        (post(JSON, r#"{"max_viewers":0}"#), 400, "max_viewers"),
        (post(JSON, &large), 413, "65536"),
        (
            keyed.admin(Method::GET, "/api/v1/rooms/a%20b"),
            400,
            "room id",
        ),
        (
            keyed.admin(Method::DELETE, "/api/v1/rooms/a/sessions/x"),
            400,
            "x",
        ),
        (
            keyed.admin(Method::GET, "/api/v1/events?room=a%20b"),
            400,
            "room id",
        ),
    ] {
        let detail = request.send(&keyed.router).await.problem(status).await;
        assert!(detail.contains(word), "{status}: {detail}");
    }
    let put = keyed
        .admin(Method::PUT, "/api/v1/rooms")
        .send(&keyed.router)
        .await;
    assert!(put.header("allow").contains("POST"));
    put.problem(405).await;
}

#[tokio::test]
async fn who_may_not_is_refused_everywhere() {
    let keyed = Keyed::new().await;
    keyed
        .create("/api/v1/rooms", &json!({"id": "studio"}))
        .await;
    let watcher = keyed
        .token(json!({"room": "studio", "subscribe": true}))
        .await;
    let other = keyed.token(json!({"room": "other", "admin": true})).await;
    let operations = [
        (Method::POST, "/api/v1/rooms"),
        (Method::DELETE, "/api/v1/rooms/studio"),
        (Method::GET, "/api/v1/rooms/studio/participants"),
        (Method::DELETE, "/api/v1/rooms/studio/participants/main"),
        (Method::DELETE, "/api/v1/rooms/studio/sessions/1"),
        (Method::GET, "/api/v1/rooms/studio/keys"),
        (Method::POST, "/api/v1/rooms/studio/keys"),
        (Method::POST, "/api/v1/rooms/studio/keys/k/rotate"),
        (Method::DELETE, "/api/v1/rooms/studio/keys/k"),
        (Method::POST, "/api/v1/tokens"),
        (Method::GET, "/api/v1/events"),
        (Method::GET, "/api/v1/events?room=studio"),
    ];
    for (method, path) in operations {
        let anonymous = ask(method.clone(), path).send(&keyed.router).await;
        assert_eq!(
            anonymous.header("www-authenticate"),
            "Bearer realm=\"inver\""
        );
        anonymous.problem(401).await;
        let unknown = ask(method.clone(), path).header("authorization", "Bearer unknown");
        unknown.send(&keyed.router).await.problem(401).await;
        for token in [&watcher, &other] {
            let lesser = ask(method.clone(), path).header("authorization", token);
            lesser.send(&keyed.router).await.problem(403).await;
        }
    }
}

#[tokio::test]
async fn everybody_sees_the_reduced_form_of_what_they_may_watch() {
    let keyed = Keyed::new().await;
    keyed.fixture.go_live("studio").await;
    for path in ["/api/v1/rooms", "/api/v1/rooms/studio"] {
        let answer = ask(Method::GET, path).send(&keyed.router).await;
        assert_eq!(answer.status, 200);
        let json = answer.json().await;
        let room = json["rooms"].get(0).unwrap_or(&json);
        assert_eq!(room["live"], true, "{path}");
        assert_eq!(room["participants"][0]["sessions"], json!([]), "{path}");
        let whole = keyed.admin(Method::GET, path).send(&keyed.router).await;
        let json = whole.json().await;
        let room = json["rooms"].get(0).unwrap_or(&json);
        assert_eq!(
            room["participants"][0]["sessions"][0]["door"], "whip",
            "{path}"
        );
        let stale = ask(Method::GET, path).header("authorization", "Bearer old");
        stale.send(&keyed.router).await.problem(401).await;
    }
}

#[tokio::test]
async fn private_rooms_are_not_told_of() {
    let fixture = Fixture::with(Policy {
        open: false,
        public_viewing: false,
        ..Policy::default()
    })
    .await;
    fixture.go_live("studio").await;
    let router = router(&fixture, false);
    let list = ask(Method::GET, "/api/v1/rooms").send(&router).await;
    assert_eq!(list.json().await, json!({"rooms": []}));
    let room = ask(Method::GET, "/api/v1/rooms/studio").send(&router).await;
    room.problem(401).await;
}

#[tokio::test]
async fn participants_are_kicked_and_sessions_ended() {
    let fixture = Fixture::open().await;
    let router = router(&fixture, true);
    for by_session in [true, false] {
        fixture.go_live("studio").await;
        let participants = "/api/v1/rooms/studio/participants";
        let listed = ask(Method::GET, participants).send(&router).await;
        let listed = listed.json().await;
        let participant = &listed["participants"][0];
        assert_eq!(participant["id"], "main");
        assert_eq!(participant["publishing"], true);
        let session = participant["sessions"][0]["id"].as_u64().expect("a number");
        let path = if by_session {
            format!("/api/v1/rooms/studio/sessions/{session}")
        } else {
            format!("{participants}/main")
        };
        let ended = ask(Method::DELETE, &path).send(&router).await;
        assert_eq!(ended.status, 204, "{path}");
        let left = ask(Method::GET, participants).send(&router).await;
        let left = left.json().await;
        assert_eq!(left["participants"][0]["sessions"], json!([]), "{path}");
    }
    for unknown in ["participants/nobody", "sessions/4711"] {
        let path = format!("/api/v1/rooms/studio/{unknown}");
        let answer = ask(Method::DELETE, &path).send(&router).await;
        answer.problem(404).await;
    }
}

#[tokio::test]
async fn keys_are_made_listed_rotated_and_deleted() {
    let keyed = Keyed::new().await;
    let keys = "/api/v1/rooms/studio/keys";
    keyed.create(keys, &json!({})).await.problem(404).await;
    keyed
        .create("/api/v1/rooms", &json!({"id": "studio"}))
        .await;
    let created = keyed.create(keys, &json!({"label": "OBS"})).await;
    assert_eq!(created.status, 201);
    let created = created.json().await;
    let secret = created["key"].as_str().expect("a secret");
    assert_eq!(created["stream_key"], format!("studio-{secret}"));
    let id = created["id"].as_str().expect("an id");

    let list = keyed.admin(Method::GET, keys).send(&keyed.router).await;
    let text = list.text().await;
    assert!(text.contains("OBS") && !text.contains(secret), "{text}");

    let rotated = keyed
        .create(&format!("{keys}/{id}/rotate"), &json!({}))
        .await;
    assert_eq!(rotated.status, 200);
    let rotated = rotated.json().await;
    assert_eq!(rotated["id"], id);
    assert_ne!(rotated["key"], secret);

    let delete = || keyed.admin(Method::DELETE, &format!("{keys}/{id}"));
    assert_eq!(delete().send(&keyed.router).await.status, 204);
    delete().send(&keyed.router).await.problem(404).await;
    let rotate = keyed
        .create(&format!("{keys}/{id}/rotate"), &json!({}))
        .await;
    rotate.problem(404).await;
}

#[tokio::test]
async fn a_token_opens_what_it_grants() {
    let keyed = Keyed::new().await;
    keyed
        .create("/api/v1/rooms", &json!({"id": "studio"}))
        .await;
    let token = keyed.token(json!({"room": "studio", "admin": true})).await;
    let keys = ask(Method::GET, "/api/v1/rooms/studio/keys").header("authorization", &token);
    assert_eq!(keys.send(&keyed.router).await.status, 200);
    for bad in [
        json!({}),
        json!({"admin": true, "ttl_seconds": 0}),
        json!({"admin": true, "room": "a b"}),
    ] {
        keyed
            .create("/api/v1/tokens", &bad)
            .await
            .problem(400)
            .await;
    }
}

#[tokio::test]
async fn events_come_as_they_happen_and_again_after_a_break() {
    let fixture = Fixture::open().await;
    let router = router(&fixture, true);
    let mut live = ask(Method::GET, "/api/v1/events").send(&router).await;
    assert_eq!(live.status, 200);
    assert_eq!(live.header("content-type"), "text/event-stream");
    assert_eq!(live.header("cache-control"), "no-cache");
    assert_eq!(live.header("x-accel-buffering"), "no");
    fixture.go_live("studio").await;
    let read = live.until("event: room.live").await;
    assert!(read.starts_with("retry: "), "{read}");
    let created = read
        .split("\n\n")
        .find(|event| event.contains("event: room.created"))
        .expect("the room is created");
    let id = created
        .lines()
        .find_map(|line| line.strip_prefix("id: "))
        .expect("an event has a number");
    let again = ask(Method::GET, "/api/v1/events?room=studio").header("last-event-id", id);
    let missed = again.send(&router).await.until("event: room.live").await;
    assert!(!missed.contains("room.created"), "{missed}");
    assert!(!missed.contains("reset"), "{missed}");
}

#[tokio::test]
async fn a_reader_that_missed_too_much_is_told_to_start_anew() {
    let fixture = Fixture::open().await;
    let router = router(&fixture, true);
    for last in ["1", "nonsense", "18446744073709551615"] {
        let reader = ask(Method::GET, "/api/v1/events").header("last-event-id", last);
        let mut reader = reader.send(&router).await;
        reader.until("event: reset\ndata: {}\n\n").await;
    }
}

#[tokio::test]
async fn event_streams_end_when_the_server_stops() {
    let fixture = Fixture::open().await;
    let router = router(&fixture, true);
    let stream = ask(Method::GET, "/api/v1/events").send(&router).await;
    fixture.handle.stop().await;
    stream.text().await;
}

#[tokio::test]
async fn an_open_server_refuses_foreign_pages() {
    let fixture = Fixture::open().await;
    let router = router(&fixture, true);
    for (header, value) in [("origin", "https://evil.example"), ("host", "evil.example")] {
        for method in [Method::GET, Method::POST] {
            let foreign = ask(method, "/api/v1/rooms").header(header, value);
            foreign.send(&router).await.problem(403).await;
        }
    }
}

#[tokio::test]
async fn preflight_requests_need_no_credentials() {
    let keyed = Keyed::new().await;
    for path in [
        "/api/v1/rooms",
        "/api/v1/rooms/studio/keys",
        "/api/openapi.json",
    ] {
        let answer = ask(Method::OPTIONS, path)
            .header("access-control-request-method", "DELETE")
            .send(&keyed.router)
            .await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(
            answer
                .header("access-control-allow-methods")
                .contains("DELETE")
        );
        assert!(
            answer
                .header("access-control-allow-headers")
                .contains("Authorization")
        );
    }
}

/// Every operation of the contract, so that none is lost or added unseen.
const OPERATIONS: [(&str, &str); 25] = [
    ("get", "/api/v1/server"),
    ("get", "/api/v1/rooms"),
    ("post", "/api/v1/rooms"),
    ("get", "/api/v1/rooms/{room}"),
    ("delete", "/api/v1/rooms/{room}"),
    ("get", "/api/v1/rooms/{room}/participants"),
    ("delete", "/api/v1/rooms/{room}/participants/{participant}"),
    ("delete", "/api/v1/rooms/{room}/sessions/{session}"),
    ("get", "/api/v1/rooms/{room}/keys"),
    ("post", "/api/v1/rooms/{room}/keys"),
    ("post", "/api/v1/rooms/{room}/keys/{key}/rotate"),
    ("delete", "/api/v1/rooms/{room}/keys/{key}"),
    ("get", "/api/v1/rooms/{room}/pushes"),
    ("post", "/api/v1/rooms/{room}/pushes"),
    ("get", "/api/v1/rooms/{room}/pushes/{push}"),
    ("delete", "/api/v1/rooms/{room}/pushes/{push}"),
    ("get", "/api/v1/rooms/{room}/pulls"),
    ("post", "/api/v1/rooms/{room}/pulls"),
    ("get", "/api/v1/rooms/{room}/pulls/{pull}"),
    ("delete", "/api/v1/rooms/{room}/pulls/{pull}"),
    ("get", "/api/v1/rooms/{room}/fallback"),
    ("put", "/api/v1/rooms/{room}/fallback"),
    ("delete", "/api/v1/rooms/{room}/fallback"),
    ("post", "/api/v1/tokens"),
    ("get", "/api/v1/events"),
];

#[tokio::test]
async fn the_description_is_complete() {
    let keyed = Keyed::new().await;
    let answer = ask(Method::GET, "/api/openapi.json")
        .send(&keyed.router)
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), JSON);
    let document = answer.json().await;
    let mut found = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            found.insert((method.as_str(), path.as_str()));
            let name = format!("{method} {path}");
            let id = operation["operationId"].as_str().expect("an id");
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
            assert!(operation["summary"].is_string(), "{name}");
            assert!(operation["security"].is_array(), "{name}");
            let responses = operation["responses"].as_object().expect("responses");
            assert!(
                responses.keys().any(|status| status.starts_with('2')),
                "{name}"
            );
            for (status, response) in responses {
                assert!(response["description"].is_string(), "{name} {status}");
                let problem = &response["content"]["application/problem+json"]["schema"]["$ref"];
                let is_error = status.starts_with(['4', '5']);
                assert_eq!(
                    *problem == "#/components/schemas/Problem",
                    is_error,
                    "{name} {status}"
                );
            }
            for parameter in path.split('{').skip(1) {
                let parameter = parameter.split('}').next().unwrap_or_default();
                let listed = operation["parameters"].as_array().expect("parameters");
                assert!(
                    listed.iter().any(|it| it["name"] == parameter),
                    "{name}: {parameter}"
                );
            }
        }
    }
    let expected: BTreeSet<_> = OPERATIONS.into_iter().collect();
    assert_eq!(found, expected);
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    for reference in references {
        let name = reference
            .strip_prefix("#/components/schemas/")
            .expect("a schema");
        assert!(
            document["components"]["schemas"][name].is_object(),
            "{reference} is missing"
        );
    }
    assert_eq!(
        document["components"]["securitySchemes"]["bearer"]["scheme"],
        "bearer"
    );
}

fn collect(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(to) if name == "$ref" => {
                        references.insert(to.clone());
                    }
                    value => collect(value, references),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}
