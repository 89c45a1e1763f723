//! RFC 9725, rule by rule: exact statuses and headers of the WHIP door.

use axum::Router;
use http::Method;
use inver_http::testing::{
    Answered, Asking, Fixture, OFFER, OFFER_OF_NOTHING, OFFER_TOO_MANY, OURS, RESTART, TRICKLE, ask,
};
use inver_http::{Config, Context, Rate, SDP, SDP_FRAGMENT};
use inver_inputs::whip;
use inver_proto::{CreateKey, CreateRoom};

fn context(open: bool) -> Context {
    Context::new(Config {
        open,
        ..Config::default()
    })
    .expect("a good configuration")
}

async fn open() -> (Fixture, Router) {
    let fixture = Fixture::open().await;
    let router = whip::router(fixture.handle.clone(), context(true));
    (fixture, router)
}

/// A server that asks for keys, its room `studio` and that room's key.
async fn keyed() -> (Fixture, Router, String) {
    let fixture = Fixture::keyed().await;
    let key = key_of(&fixture, "studio").await;
    let router = whip::router(fixture.handle.clone(), context(false));
    (fixture, router, key)
}

async fn key_of(fixture: &Fixture, room: &str) -> String {
    let room = room.parse().expect("a room id");
    let request = CreateRoom {
        id: Some(room),
        ..CreateRoom::default()
    };
    let room = fixture
        .handle
        .create_room(request)
        .await
        .expect("a room")
        .id;
    let created = fixture.handle.create_key(&room, CreateKey::default());
    created.await.expect("a key").key
}

fn offer(path: &str) -> Asking {
    ask(Method::POST, path).body(SDP, OFFER)
}

async fn publish(router: &Router, path: &str) -> Answered {
    let answer = offer(path).send(router).await;
    assert_eq!(answer.status, 201, "{path}");
    answer
}

#[tokio::test]
async fn an_offer_is_answered_with_201_location_and_strong_etag() {
    let (_fixture, router) = open().await;
    let answer = publish(&router, "/whip/studio").await;
    assert_eq!(answer.header("content-type"), "application/sdp");
    let location = answer.location();
    let token = location.strip_prefix("/whip/session/").expect("a session");
    assert!(token.len() >= 22, "{token} has less than 128 bits");
    let etag = answer.header("etag");
    assert!(
        etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2,
        "{etag}"
    );
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(answer.header("accept-patch"), SDP_FRAGMENT);
    let exposed = answer.header("access-control-expose-headers").to_owned();
    for header in [
        "Location",
        "ETag",
        "Link",
        "Retry-After",
        "Accept-Post",
        "Accept-Patch",
    ] {
        assert!(exposed.contains(header), "{header}");
    }
    assert_eq!(answer.text().await, OURS);
}

#[tokio::test]
async fn ice_servers_come_as_one_link_each() {
    let (_fixture, router) = open().await;
    let answer = publish(&router, "/whip/studio").await;
    assert_eq!(
        answer.all("link"),
        [
            "<stun:stun.example.net>; rel=\"ice-server\"",
            "<turn:turn.example.net?transport=udp>; rel=\"ice-server\"; username=\"user\"; \
             credential=\"password\"; credential-type=\"password\"",
        ]
    );
}

#[tokio::test]
async fn the_aliases_are_endpoints_too() {
    for path in [
        "/whip/studio",
        "/whip/endpoint/studio",
        "/whip/stream/studio",
    ] {
        let (fixture, router) = open().await;
        publish(&router, path).await;
        let rooms = fixture.handle.rooms();
        assert_eq!(rooms[0].id.as_str(), "studio", "{path}");
    }
}

#[tokio::test]
async fn a_participant_may_be_named() {
    let (fixture, router) = open().await;
    publish(&router, "/whip/studio?participant=camera-2").await;
    let room = fixture.handle.rooms().remove(0);
    assert_eq!(room.participants[0].id.as_str(), "camera-2");
    let bad = offer("/whip/studio?participant=a%20b").send(&router).await;
    assert!(bad.problem(400).await.contains("participant id"));
}

#[tokio::test]
async fn what_is_no_offer_is_refused_by_its_fault() {
    let (_fixture, router) = open().await;
    let post =
        |content_type, body: &str| ask(Method::POST, "/whip/studio").body(content_type, body);
    let large = format!("v=0\r\n{}", "a=x\r\n".repeat(20_000));
    for (request, status, word) in [
        (post("text/plain", OFFER), 415, "application/sdp"),
        (post(SDP_FRAGMENT, OFFER), 415, "application/sdp"),
        (post(SDP, "hello"), 400, "v=0"),
        (post(SDP, ""), 400, "empty"),
        (post(SDP, &large), 413, "65536"),
        (post(SDP, OFFER_OF_NOTHING), 422, "VP8"),
        (
            ask(Method::POST, "/whip/a b".replace(' ', "%20").as_str()).body(SDP, OFFER),
            400,
            "room id",
        ),
        (
            ask(Method::POST, "/whip/stream").body(SDP, OFFER),
            400,
            "reserved",
        ),
        (
            ask(Method::POST, "/whip/%ff").body(SDP, OFFER),
            400,
            "UTF-8",
        ),
    ] {
        let detail = request.send(&router).await.problem(status).await;
        assert!(detail.contains(word), "{status}: {detail}");
    }
    let unsupported = post("text/plain", OFFER).send(&router).await;
    assert_eq!(unsupported.header("accept-post"), SDP);
    let parameters = post("Application/SDP; charset=utf-8", OFFER);
    assert_eq!(parameters.send(&router).await.status, 201);
}

#[tokio::test]
async fn a_full_or_draining_server_says_when_to_come_back() {
    let (fixture, router) = open().await;
    let full = ask(Method::POST, "/whip/studio").body(SDP, OFFER_TOO_MANY);
    let full = full.send(&router).await;
    assert!(
        full.header("retry-after")
            .parse::<u32>()
            .is_ok_and(|s| s > 0)
    );
    full.problem(503).await;
    fixture.handle.drain();
    let draining = offer("/whip/studio").send(&router).await;
    assert!(
        draining
            .header("retry-after")
            .parse::<u32>()
            .is_ok_and(|s| s > 0)
    );
    draining.problem(503).await;
}

#[tokio::test]
async fn looking_at_an_endpoint_creates_nothing() {
    let (fixture, router) = open().await;
    for method in [Method::GET, Method::HEAD] {
        let answer = ask(method, "/whip/studio").send(&router).await;
        assert_eq!(answer.status, 204);
        assert_eq!(answer.text().await, "");
    }
    assert!(fixture.handle.rooms().is_empty());
}

#[tokio::test]
async fn a_preflight_request_needs_no_credentials_and_gets_none() {
    let (_fixture, router, _) = keyed().await;
    let answer = ask(Method::OPTIONS, "/whip/studio")
        .header("origin", "https://studio.example.net")
        .header("access-control-request-method", "POST")
        .send(&router)
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("accept-post"), SDP);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert!(
        answer
            .header("access-control-allow-methods")
            .contains("POST")
    );
    for header in ["Authorization", "Content-Type", "If-Match", "Prefer"] {
        assert!(
            answer
                .header("access-control-allow-headers")
                .contains(header)
        );
    }
    assert!(
        !answer
            .headers
            .contains_key("access-control-allow-credentials")
    );
    assert!(answer.all("link").is_empty());
}

#[tokio::test]
async fn options_beside_preflight_tell_the_ice_servers_without_passwords() {
    let (_fixture, router) = open().await;
    let answer = ask(Method::OPTIONS, "/whip/studio").send(&router).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.all("link"),
        ["<stun:stun.example.net>; rel=\"ice-server\""]
    );
}

#[tokio::test]
async fn a_session_can_be_looked_at_and_asked_for_its_methods() {
    let (_fixture, router) = open().await;
    let session = publish(&router, "/whip/studio").await.location();
    for method in [Method::GET, Method::HEAD] {
        let answer = ask(method, &session).send(&router).await;
        assert_eq!(answer.status, 204);
    }
    let options = ask(Method::OPTIONS, &session).send(&router).await;
    assert_eq!(options.status, 200);
    assert_eq!(options.header("accept-patch"), SDP_FRAGMENT);
    let methods = options.header("access-control-allow-methods");
    assert_eq!(methods, "GET, HEAD, OPTIONS, PATCH, DELETE");
    let unknown = ask(Method::GET, "/whip/session/unknown")
        .send(&router)
        .await;
    unknown.problem(404).await;
}

#[tokio::test]
async fn candidates_are_added_without_an_etag() {
    let (fixture, router) = open().await;
    let created = publish(&router, "/whip/studio").await;
    let (session, etag) = (created.location(), created.header("etag").to_owned());
    let patch = ask(Method::PATCH, &session)
        .header("if-match", &etag)
        .body(SDP_FRAGMENT, TRICKLE);
    let answer = patch.send(&router).await;
    assert_eq!(answer.status, 204);
    assert!(!answer.headers.contains_key("etag"));
    assert_eq!(answer.text().await, "");
    assert_eq!(*fixture.asked.trickled.lock().expect("a list"), [TRICKLE]);
}

#[tokio::test]
async fn a_patch_without_or_with_an_old_etag_is_refused() {
    let (_fixture, router) = open().await;
    let created = publish(&router, "/whip/studio").await;
    let session = created.location();
    let missing = ask(Method::PATCH, &session).body(SDP_FRAGMENT, TRICKLE);
    missing.send(&router).await.problem(428).await;
    let old = ask(Method::PATCH, &session)
        .header("if-match", "\"another\"")
        .body(SDP_FRAGMENT, TRICKLE);
    old.send(&router).await.problem(412).await;
}

#[tokio::test]
async fn a_restart_gives_a_fragment_and_a_new_etag() {
    // The star in quotes is what the RFC's own example sends.
    for star in ["*", "\"*\""] {
        let (_fixture, router) = open().await;
        let created = publish(&router, "/whip/studio").await;
        let (session, old) = (created.location(), created.header("etag").to_owned());
        let restart = ask(Method::PATCH, &session)
            .header("if-match", star)
            .body(SDP_FRAGMENT, RESTART);
        let answer = restart.send(&router).await;
        assert_eq!(answer.status, 200, "{star}");
        assert_eq!(answer.header("content-type"), SDP_FRAGMENT);
        let new = answer.header("etag").to_owned();
        assert_ne!(new, old);
        assert!(answer.text().await.contains("a=ice-ufrag:"));
        for (etag, status) in [(&old, 412), (&new, 204)] {
            let later = ask(Method::PATCH, &session)
                .header("if-match", etag)
                .body(SDP_FRAGMENT, "a=ice-ufrag:anew\r\n");
            assert_eq!(later.send(&router).await.status, status);
        }
    }
}

#[tokio::test]
async fn a_patch_of_another_type_is_refused() {
    let (_fixture, router) = open().await;
    let session = publish(&router, "/whip/studio").await.location();
    for content_type in [SDP, "application/json"] {
        let patch = ask(Method::PATCH, &session)
            .header("if-match", "*")
            .body(content_type, TRICKLE);
        let answer = patch.send(&router).await;
        assert_eq!(answer.header("accept-patch"), SDP_FRAGMENT);
        answer.problem(415).await;
    }
}

#[tokio::test]
async fn a_session_ends_once_whatever_the_etag() {
    let (fixture, router) = open().await;
    let session = publish(&router, "/whip/studio").await.location();
    let end = || ask(Method::DELETE, &session).header("if-match", "\"old\"");
    let answer = end().send(&router).await;
    assert_eq!(answer.status, 200);
    end().send(&router).await.problem(404).await;
    ask(Method::GET, &session)
        .send(&router)
        .await
        .problem(404)
        .await;
    let rooms = fixture.handle.rooms();
    let mut participants = rooms.iter().flat_map(|room| &room.participants);
    assert!(participants.all(|participant| participant.sessions.is_empty()));
}

#[tokio::test]
async fn other_methods_are_refused_with_those_allowed() {
    let (_fixture, router) = open().await;
    let session = publish(&router, "/whip/studio").await.location();
    for (method, path, allowed) in [
        (Method::PUT, "/whip/studio", "POST"),
        (Method::DELETE, "/whip/studio", "POST"),
        (Method::PATCH, "/whip/studio", "POST"),
        (Method::POST, session.as_str(), "PATCH"),
        (Method::PUT, session.as_str(), "DELETE"),
    ] {
        let answer = ask(method, path).send(&router).await;
        assert!(answer.header("allow").contains(allowed), "{path}");
        answer.problem(405).await;
    }
}

#[tokio::test]
async fn a_key_or_token_lets_publish_and_nothing_else_does() {
    let (fixture, router, key) = keyed().await;
    let other = key_of(&fixture, "other").await;
    let post = |bearer: &str| offer("/whip/studio").header("authorization", bearer);

    let nothing = offer("/whip/studio").send(&router).await;
    assert_eq!(nothing.header("www-authenticate"), "Bearer realm=\"inver\"");
    nothing.problem(401).await;
    let wrong = post("Bearer wrong").send(&router).await;
    assert!(wrong.header("www-authenticate").contains("invalid_token"));
    let detail = wrong.problem(401).await;
    assert!(!detail.contains("wrong"), "no secret in {detail}");
    post(&format!("Bearer {other}"))
        .send(&router)
        .await
        .problem(403)
        .await;

    for bearer in [
        format!("Bearer {key}"),
        format!("bearer studio-{key}"),
        fixture.admin(),
    ] {
        let answer = post(&bearer).send(&router).await;
        assert_eq!(answer.status, 201);
        let end = ask(Method::DELETE, &answer.location()).header("authorization", &bearer);
        assert_eq!(end.send(&router).await.status, 200);
    }
    let alias = offer(&format!("/whip/stream/studio-{key}"));
    assert_eq!(alias.send(&router).await.status, 201);
    let alias = offer("/whip/stream/studio-wrong").send(&router).await;
    alias.problem(401).await;
}

#[tokio::test]
async fn a_second_publisher_is_a_conflict() {
    let (fixture, router) = open().await;
    fixture.go_live("studio").await;
    let second = offer("/whip/studio?participant=second").send(&router).await;
    second.problem(409).await;
}

#[tokio::test]
async fn an_open_server_refuses_foreign_hosts_and_origins() {
    let (fixture, router) = open().await;
    let rebound = offer("/whip/studio").header("host", "evil.example:8080");
    let detail = rebound.send(&router).await.problem(403).await;
    assert!(detail.contains("public_url"), "{detail}");
    for origin in ["https://evil.example", "http://localhost:3000", "null"] {
        let foreign = offer("/whip/studio").header("origin", origin);
        let foreign = foreign.send(&router).await;
        assert_eq!(foreign.header("access-control-allow-origin"), "*");
        let detail = foreign.problem(403).await;
        assert!(detail.contains("allowed_origins"), "{detail}");
    }
    assert!(fixture.handle.rooms().is_empty());
    let own = offer("/whip/studio").header("origin", "http://localhost:8080");
    assert_eq!(own.send(&router).await.status, 201);
}

#[tokio::test]
async fn a_keyed_server_takes_any_host_and_origin() {
    let (_fixture, router, key) = keyed().await;
    let answer = offer("/whip/studio")
        .header("host", "live.example.net")
        .header("origin", "https://studio.example.net")
        .header("authorization", &format!("Bearer {key}"))
        .send(&router)
        .await;
    assert_eq!(answer.status, 201);
    let location = answer.header("location");
    assert!(location.starts_with("http://live.example.net/whip/session/"));
}

/// A keyed server that lets three requests through at once.
async fn limited() -> (Fixture, Router) {
    let fixture = Fixture::keyed().await;
    let rate = Rate {
        per_second: 1,
        burst: 3,
    };
    let context = Context::new(Config {
        address_rate: rate,
        token_rate: rate,
        ..Config::default()
    })
    .expect("a good configuration");
    let router = whip::router(fixture.handle.clone(), context);
    (fixture, router)
}

#[tokio::test]
async fn requests_that_change_something_are_limited() {
    let (_fixture, router) = limited().await;
    let end = |from| ask(Method::DELETE, "/whip/session/unknown").from(from);
    for _ in 0..3 {
        end("192.0.2.1:1000").send(&router).await.problem(404).await;
    }
    let answer = end("192.0.2.1:2000").send(&router).await;
    assert_eq!(answer.header("retry-after"), "1");
    answer.problem(429).await;
    end("192.0.2.2:1000").send(&router).await.problem(404).await;
    for method in [Method::GET, Method::OPTIONS] {
        let look = ask(method, "/whip/studio").from("192.0.2.1:1000");
        assert!(look.send(&router).await.status.is_success());
    }
}

#[tokio::test]
async fn guessing_tokens_costs_more() {
    let (_fixture, router) = limited().await;
    let guess = |token: &str| {
        offer("/whip/studio")
            .from("192.0.2.1:1000")
            .header("authorization", token)
    };
    guess("Bearer one").send(&router).await.problem(401).await;
    let answer = guess("Bearer two").send(&router).await;
    let wait: u32 = answer.header("retry-after").parse().expect("seconds");
    assert!(wait > 5, "{wait}");
    answer.problem(429).await;
}

/// FFmpeg's WHIP client cannot read a chunked answer.
#[tokio::test]
async fn on_the_wire_the_answer_has_a_length_and_is_not_chunked() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (_fixture, router) = open().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let mut socket = tokio::net::TcpStream::connect(address)
        .await
        .expect("a connection");
    let request = format!(
        "POST /whip/studio HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{OFFER}",
        OFFER.len()
    );
    socket
        .write_all(request.as_bytes())
        .await
        .expect("the request goes out");
    let mut answer = String::new();
    socket
        .read_to_string(&mut answer)
        .await
        .expect("the answer is text");
    serving.abort();
    let (head, body) = answer.split_once("\r\n\r\n").expect("headers end");
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 201"), "{head}");
    assert!(
        head.contains(&format!("content-length: {}", OURS.len())),
        "{head}"
    );
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert!(
        head.contains(&format!("location: http://{address}/whip/session/")),
        "{head}"
    );
    assert_eq!(body, OURS);
}
