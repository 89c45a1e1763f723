//! The WHEP draft and its extensions, rule by rule: exact statuses and headers.

use axum::Router;
use http::Method;
use inver_http::testing::{
    Answered, Asking, Fixture, OFFER, OFFER_OF_NOTHING, OFFER_TOO_MANY, OURS, RESTART, TRICKLE, ask,
};
use inver_http::{Config, Context, SDP, SDP_FRAGMENT};
use inver_node::Policy;
use inver_outputs::whep;
use inver_proto::CreateToken;
use inver_shard::LayerSelection;
use serde_json::json;

const ANSWER: &str = "v=0\r\na=ice-ufrag:them\r\na=ice-pwd:theirpasswordtheirpassword\r\n";

fn router(fixture: &Fixture, open: bool) -> Router {
    let context = Context::new(Config {
        open,
        ..Config::default()
    })
    .expect("a good configuration");
    whep::router(fixture.handle.clone(), context, true)
}

/// An open server on which `studio` is live.
async fn live() -> (Fixture, Router) {
    let fixture = Fixture::open().await;
    fixture.go_live("studio").await;
    let router = router(&fixture, true);
    (fixture, router)
}

fn offer(path: &str) -> Asking {
    ask(Method::POST, path).body(SDP, OFFER)
}

async fn watch(router: &Router) -> Answered {
    let answer = offer("/whep/studio").send(router).await;
    assert_eq!(answer.status, 201);
    answer
}

/// The path of the extension's URL.
fn extension(answer: &Answered, name: &str) -> String {
    let rel = format!("; rel=\"urn:ietf:params:whep:ext:core:{name}\"");
    let links = answer.all("link");
    let link = links.iter().find(|link| link.contains(&rel));
    let link = link.unwrap_or_else(|| panic!("no {name} in {links:?}"));
    let (url, _) = link.split_once('>').expect("a URL");
    let path = url.strip_prefix("<http://localhost:8080");
    path.expect("an absolute URL").to_owned()
}

#[tokio::test]
async fn an_offer_is_answered_with_201_location_and_strong_etag() {
    let (_fixture, router) = live().await;
    let answer = watch(&router).await;
    assert_eq!(answer.header("content-type"), SDP);
    assert!(answer.location().starts_with("/whep/session/"));
    let etag = answer.header("etag");
    assert!(etag.starts_with('"') && etag.len() > 2, "{etag}");
    let ice: Vec<_> = answer
        .all("link")
        .into_iter()
        .filter(|link| link.contains("rel=\"ice-server\""))
        .collect();
    assert_eq!(ice.len(), 2);
    assert_eq!(answer.text().await, OURS);
}

#[tokio::test]
async fn the_aliases_and_the_participant_are_endpoints_too() {
    let (_fixture, router) = live().await;
    for path in [
        "/whep/watch/studio",
        "/whep/endpoint/studio",
        "/whep/studio/main",
    ] {
        let answer = offer(path).send(&router).await;
        assert_eq!(answer.status, 201, "{path}");
    }
    let nobody = offer("/whep/studio/nobody").send(&router).await;
    assert!(nobody.status.is_client_error(), "{}", nobody.status);
}

#[tokio::test]
async fn nobody_live_is_a_conflict_with_a_time_to_come_back() {
    let fixture = Fixture::open().await;
    let router = router(&fixture, true);
    let answer = offer("/whep/studio").send(&router).await;
    assert!(
        answer
            .header("retry-after")
            .parse::<u32>()
            .is_ok_and(|s| s > 0)
    );
    answer.problem(409).await;
    for query in ["?wait=1", "?wait", "?wait=true"] {
        let waiting = offer(&format!("/whep/studio{query}")).send(&router).await;
        assert_eq!(waiting.status, 201, "{query}");
    }
    let unclear = offer("/whep/studio?wait=maybe").send(&router).await;
    assert!(unclear.problem(400).await.contains("maybe"));
}

#[tokio::test]
async fn what_is_no_offer_is_refused_by_its_fault() {
    let (fixture, router) = live().await;
    let post =
        |content_type, body: &str| ask(Method::POST, "/whep/studio").body(content_type, body);
    let large = format!("v=0\r\n{}", "a=x\r\n".repeat(20_000));
    for (request, status) in [
        (post("text/plain", OFFER), 415),
        (post(SDP, "hello"), 400),
        (post(SDP, &large), 413),
        (post(SDP, OFFER_OF_NOTHING), 422),
        (post(SDP, OFFER_TOO_MANY), 503),
        (offer("/whep/a%20b"), 400),
        (offer("/whep/studio/a%20b"), 400),
    ] {
        request.send(&router).await.problem(status).await;
    }
    fixture.handle.drain();
    let draining = offer("/whep/studio").send(&router).await;
    assert!(draining.header("retry-after").parse::<u32>().is_ok());
    draining.problem(503).await;
}

#[tokio::test]
async fn an_endpoint_can_be_recognised() {
    let fixture = Fixture::open().await;
    let router = router(&fixture, true);
    for method in [Method::HEAD, Method::GET] {
        let answer = ask(method, "/whep/studio").send(&router).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), SDP);
        assert_eq!(answer.text().await, "");
    }
    assert!(fixture.handle.rooms().is_empty());
    let options = ask(Method::OPTIONS, "/whep/studio").send(&router).await;
    assert_eq!(options.status, 200);
    assert_eq!(options.header("accept-post"), SDP);
    let put = ask(Method::PUT, "/whep/studio").send(&router).await;
    assert!(put.header("allow").contains("POST"));
    put.problem(405).await;
}

#[tokio::test]
async fn a_counter_offer_is_made_where_asked_for_and_answered_by_patch() {
    let (fixture, router) = live().await;
    let by_query = offer("/whep/studio?counter-offer=1");
    let by_preference = offer("/whep/studio").header("prefer", "counter-offer");
    for (request, applied) in [(by_query, ""), (by_preference, "counter-offer")] {
        let answer = request.send(&router).await;
        assert_eq!(answer.status, 406);
        assert_eq!(answer.header("preference-applied"), applied);
        let content_type = answer.header("content-type");
        let until = content_type.strip_prefix("application/sdp; valid-until=\"");
        assert!(
            until.is_some_and(|until| until.ends_with(" GMT\"")),
            "{content_type}"
        );
        let session = answer.location();
        assert_eq!(answer.text().await, OURS);
        let bad = ask(Method::PATCH, &session).body(SDP, "hello");
        bad.send(&router).await.problem(400).await;
        let good = ask(Method::PATCH, &session).body(SDP, ANSWER);
        let answer = good.send(&router).await;
        assert_eq!(answer.status, 204);
        assert!(!answer.headers.contains_key("etag"));
    }
    assert_eq!(
        *fixture.asked.answers.lock().expect("a list"),
        [ANSWER, ANSWER]
    );
}

#[tokio::test]
async fn the_early_drafts_empty_post_gets_our_offer() {
    let (fixture, router) = live().await;
    for (content_type, method) in [(Some(SDP), Method::PATCH), (None, Method::POST)] {
        let mut request = ask(Method::POST, "/whep/endpoint/studio").header("content-length", "0");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let answer = request.send(&router).await;
        assert_eq!(answer.status, 201);
        assert_eq!(answer.header("content-type"), SDP);
        let session = answer.location();
        assert_eq!(answer.text().await, OURS);
        let reply = ask(method, &session).body(SDP, ANSWER).send(&router).await;
        assert_eq!(reply.status, 204);
    }
    assert_eq!(fixture.asked.answers.lock().expect("a list").len(), 2);
}

#[tokio::test]
async fn a_session_trickles_restarts_and_ends_as_in_whip() {
    let (_fixture, router) = live().await;
    let created = watch(&router).await;
    let (session, etag) = (created.location(), created.header("etag").to_owned());
    let patch = |if_match: &str, body| {
        ask(Method::PATCH, &session)
            .header("if-match", if_match)
            .body(SDP_FRAGMENT, body)
    };
    let trickled = patch(&etag, TRICKLE).send(&router).await;
    assert_eq!(trickled.status, 204);
    assert!(!trickled.headers.contains_key("etag"));
    patch("\"old\"", TRICKLE)
        .send(&router)
        .await
        .problem(412)
        .await;
    let missing = ask(Method::PATCH, &session).body(SDP_FRAGMENT, TRICKLE);
    missing.send(&router).await.problem(428).await;
    let restarted = patch("*", RESTART).send(&router).await;
    assert_eq!(restarted.status, 200);
    assert_eq!(restarted.header("content-type"), SDP_FRAGMENT);
    assert_ne!(restarted.header("etag"), etag);

    let other = ask(Method::PATCH, &session).body("text/plain", TRICKLE);
    let other = other.send(&router).await;
    assert!(other.header("accept-patch").contains(SDP_FRAGMENT));
    other.problem(415).await;
    let post = ask(Method::POST, &session).body("text/plain", ANSWER);
    post.send(&router).await.problem(415).await;
    let options = ask(Method::OPTIONS, &session).send(&router).await;
    assert_eq!(options.status, 200);
    assert!(
        options
            .header("access-control-allow-methods")
            .contains("POST")
    );

    let end = ask(Method::DELETE, &session).send(&router).await;
    assert_eq!(end.status, 200);
    let again = ask(Method::DELETE, &session).send(&router).await;
    again.problem(404).await;
}

#[tokio::test]
async fn private_viewing_needs_a_token() {
    let fixture = Fixture::with(Policy {
        open: false,
        public_viewing: false,
        ..Policy::default()
    })
    .await;
    fixture.go_live("studio").await;
    let router = router(&fixture, false);
    let anonymous = offer("/whep/studio").send(&router).await;
    assert!(anonymous.header("www-authenticate").starts_with("Bearer"));
    anonymous.problem(401).await;
    let token = |room: &str| {
        let request = CreateToken {
            room: Some(room.to_owned()),
            subscribe: true,
            ..CreateToken::default()
        };
        let created = fixture.handle.issue_token(&request).expect("a token");
        format!("Bearer {}", created.token)
    };
    let other = offer("/whep/studio").header("authorization", &token("other"));
    other.send(&router).await.problem(403).await;
    let good = offer("/whep/studio").header("authorization", &token("studio"));
    assert_eq!(good.send(&router).await.status, 201);
}

#[tokio::test]
async fn event_streams_are_advertised_with_their_events() {
    let (_fixture, router) = live().await;
    let answer = watch(&router).await;
    let links = answer.all("link");
    assert!(
        links.iter().any(|link| {
            link.contains("ext:core:server-sent-events")
                && link.contains("; events=\"active,inactive,layers,viewercount,reconnect\"")
        }),
        "{links:?}"
    );
    extension(&answer, "layer");
}

#[tokio::test]
async fn an_unknown_event_creates_no_stream() {
    let (_fixture, router) = live().await;
    let events = extension(&watch(&router).await, "server-sent-events");
    for (body, status) in [
        (r#"["active","scte35"]"#, 400),
        ("not json", 400),
        (r#"{"active":true}"#, 422),
    ] {
        let request = ask(Method::POST, &events).body("application/json", body);
        request.send(&router).await.problem(status).await;
    }
    let other = ask(Method::POST, &events).body("text/plain", "[]");
    other.send(&router).await.problem(415).await;
    let first = events.split('?').next().expect("a path").to_owned() + "/1";
    ask(Method::GET, &first)
        .send(&router)
        .await
        .problem(404)
        .await;
    let unknown = ask(Method::POST, "/whep/session/unknown/events");
    unknown.send(&router).await.problem(404).await;
}

async fn stream(router: &Router, events: &str, names: &serde_json::Value) -> String {
    let request = ask(Method::POST, events).body("application/json", &names.to_string());
    let answer = request.send(router).await;
    assert_eq!(answer.status, 201);
    answer.location()
}

#[tokio::test]
async fn a_stream_tells_what_was_asked_for_in_single_lines() {
    let (fixture, router) = live().await;
    let events = extension(&watch(&router).await, "server-sent-events");
    let location = stream(&router, &events, &json!(["active", "inactive"])).await;
    let mut stream = ask(Method::GET, &location).send(&router).await;
    assert_eq!(stream.status, 200);
    assert_eq!(stream.header("content-type"), "text/event-stream");
    assert_eq!(stream.header("x-accel-buffering"), "no");
    let read = stream.until("event: active\ndata: {}\n\n").await;
    assert!(!read.contains("viewercount"), "{read}");
    fixture.flows("studio", false).await;
    stream.until("event: inactive\ndata: {}\n\n").await;
    fixture.flows("studio", true).await;
    let read = stream.until("event: active\ndata: {}\n\n").await;
    assert!(!read.contains("inactive"), "{read}");
}

#[tokio::test]
async fn a_stream_tells_how_many_watch_and_never_begins_inactive() {
    let fixture = Fixture::open().await;
    let router = router(&fixture, true);
    let answer = offer("/whep/studio?wait=1").send(&router).await;
    let events = extension(&answer, "server-sent-events");
    // No body asks for all events.
    let created = ask(Method::POST, &events).send(&router).await;
    assert_eq!(created.status, 201);
    let mut stream = ask(Method::GET, &created.location()).send(&router).await;
    let read = stream
        .until("event: viewercount\ndata: {\"viewercount\":")
        .await;
    assert!(!read.contains("inactive"), "{read}");
    fixture.go_live("studio").await;
    let read = stream.until("event: active\n").await;
    assert!(!read.contains("inactive"), "{read}");
}

#[tokio::test]
async fn draining_asks_viewers_to_reconnect() {
    let (fixture, router) = live().await;
    let events = extension(&watch(&router).await, "server-sent-events");
    let location = stream(&router, &events, &json!(["reconnect"])).await;
    let mut stream = ask(Method::GET, &location).send(&router).await;
    fixture.handle.drain();
    stream.until("event: reconnect\ndata: {").await;
}

#[tokio::test]
async fn what_happens_between_post_and_get_is_not_lost() {
    let (fixture, router) = live().await;
    let events = extension(&watch(&router).await, "server-sent-events");
    let location = stream(&router, &events, &json!(["active", "inactive"])).await;
    fixture.flows("studio", false).await;
    let mut stream = ask(Method::GET, &location).send(&router).await;
    stream.until("event: inactive\n").await;
}

#[tokio::test]
async fn a_second_listener_takes_a_stream_over() {
    let (fixture, router) = live().await;
    let events = extension(&watch(&router).await, "server-sent-events");
    let location = stream(&router, &events, &json!(["active", "inactive"])).await;
    let mut first = ask(Method::GET, &location).send(&router).await;
    first.until("event: active\n").await;
    let mut second = ask(Method::GET, &location).send(&router).await;
    let reading = tokio::spawn(async move { first.text().await });
    second.until("retry:").await;
    fixture.flows("studio", false).await;
    second.until("event: inactive\n").await;
    let rest = reading.await.expect("the first listener ends");
    assert!(!rest.contains("inactive"), "{rest}");
}

#[tokio::test]
async fn a_deleted_stream_is_gone_and_streams_are_bounded() {
    let (_fixture, router) = live().await;
    let events = extension(&watch(&router).await, "server-sent-events");
    let mut locations = Vec::new();
    for _ in 0..4 {
        locations.push(stream(&router, &events, &json!(["active"])).await);
    }
    let fifth = ask(Method::POST, &events).send(&router).await;
    fifth.problem(429).await;
    let location = locations.remove(0);
    let mut listening = ask(Method::GET, &location).send(&router).await;
    listening.until("event: active\n").await;
    let deleted = ask(Method::DELETE, &location).send(&router).await;
    assert_eq!(deleted.status, 200);
    listening.text().await;
    ask(Method::GET, &location)
        .send(&router)
        .await
        .problem(404)
        .await;
    ask(Method::DELETE, &location)
        .send(&router)
        .await
        .problem(404)
        .await;
    stream(&router, &events, &json!(["active"])).await;
}

#[tokio::test]
async fn streams_end_with_their_session() {
    let (_fixture, router) = live().await;
    let answer = watch(&router).await;
    let (session, events) = (answer.location(), extension(&answer, "server-sent-events"));
    let listened = stream(&router, &events, &json!(["active"])).await;
    let idle = stream(&router, &events, &json!(["active"])).await;
    let mut listening = ask(Method::GET, &listened).send(&router).await;
    listening.until("event: active\n").await;
    let end = ask(Method::DELETE, &session).send(&router).await;
    assert_eq!(end.status, 200);
    listening.text().await;
    for location in [listened, idle] {
        ask(Method::GET, &location)
            .send(&router)
            .await
            .problem(404)
            .await;
    }
}

#[tokio::test]
async fn a_layer_can_be_chosen() {
    let (fixture, router) = live().await;
    let layer = extension(&watch(&router).await, "layer");
    let select = |body: &str| ask(Method::POST, &layer).body("application/json", body);
    let chosen = select(r#"{"mediaId":"1","rid":"h","maxBitrate":500000}"#);
    assert_eq!(chosen.send(&router).await.status, 200);
    assert_eq!(select(r#"{"mediaId":"1"}"#).send(&router).await.status, 200);
    let wanted = LayerSelection {
        rid: Some("h".to_owned()),
        max_bitrate: Some(500_000),
        ..LayerSelection::default()
    };
    let asked = fixture.asked.layers.lock().expect("a list").clone();
    assert_eq!(asked, [wanted, LayerSelection::default()]);
    select("{").send(&router).await.problem(400).await;
    select(r#"{"maxWidth":-1}"#)
        .send(&router)
        .await
        .problem(422)
        .await;
    let other = ask(Method::POST, &layer).body("text/plain", "{}");
    other.send(&router).await.problem(415).await;
    let unknown = ask(Method::POST, "/whep/session/unknown/layer").body("application/json", "{}");
    unknown.send(&router).await.problem(404).await;
    let get = ask(Method::GET, &layer).send(&router).await;
    get.problem(405).await;
    let options = ask(Method::OPTIONS, &layer).send(&router).await;
    assert_eq!(options.status, 200);
}

#[tokio::test]
async fn an_open_server_refuses_foreign_origins() {
    let (_fixture, router) = live().await;
    let foreign = offer("/whep/studio").header("origin", "https://evil.example");
    foreign.send(&router).await.problem(403).await;
    let session = watch(&router).await.location();
    let foreign = ask(Method::DELETE, &session).header("origin", "https://evil.example");
    foreign.send(&router).await.problem(403).await;
}
