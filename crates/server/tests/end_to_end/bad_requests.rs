//! Requests that make no sense: each gets its clear answer, and a live room does not notice.

use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use crate::harness::{Client, Fixture, Flow, Server, fixture, stage};
use crate::second_stack::{ENOUGH, assert_exact, enough};

/// An offer that is right in every way and whose sender never connects.
pub(crate) const OFFER: &str = "v=0\r\n\
    o=- 4611731400430051336 2 IN IP4 127.0.0.1\r\n\
    s=-\r\n\
    t=0 0\r\n\
    a=group:BUNDLE 0 1\r\n\
    a=msid-semantic: WMS\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n\
    c=IN IP4 0.0.0.0\r\n\
    a=rtcp:9 IN IP4 0.0.0.0\r\n\
    a=ice-ufrag:aBcD\r\n\
    a=ice-pwd:0123456789abcdefghijklmn\r\n\
    a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:\
00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
    a=setup:actpass\r\n\
    a=mid:0\r\n\
    a=sendonly\r\n\
    a=rtcp-mux\r\n\
    a=rtpmap:111 opus/48000/2\r\n\
    a=ssrc:1 cname:test\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 96\r\n\
    c=IN IP4 0.0.0.0\r\n\
    a=rtcp:9 IN IP4 0.0.0.0\r\n\
    a=ice-ufrag:aBcD\r\n\
    a=ice-pwd:0123456789abcdefghijklmn\r\n\
    a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:\
00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
    a=setup:actpass\r\n\
    a=mid:1\r\n\
    a=sendonly\r\n\
    a=rtcp-mux\r\n\
    a=rtpmap:96 VP8/90000\r\n\
    a=rtcp-fb:96 nack\r\n\
    a=rtcp-fb:96 nack pli\r\n\
    a=ssrc:2 cname:test\r\n";

/// The body of a refusal; panics where it is not the problem document that it should be.
pub(crate) async fn problem(response: Response) -> Value {
    let status = response.status();
    let url = response.url().clone();
    let kind = response.headers().get("content-type").cloned();
    let text = response.text().await.expect("a body");
    assert_eq!(
        kind.as_ref().and_then(|kind| kind.to_str().ok()),
        Some("application/problem+json"),
        "{url} answered {status}: {text}"
    );
    let problem: Value = serde_json::from_str(&text).expect("JSON, as its type says");
    assert_eq!(problem["status"], status.as_u16(), "{text}");
    let detail = problem["detail"].as_str().unwrap_or_default();
    assert!(detail.len() > 10, "{url}: the detail says nothing: {text}");
    problem
}

struct Case {
    method: Method,
    path: &'static str,
    kind: Option<&'static str>,
    body: String,
    expected: &'static [u16],
}

fn case(path: &'static str, kind: &'static str, body: &str, expected: &'static [u16]) -> Case {
    let kind = (!kind.is_empty()).then_some(kind);
    Case {
        method: Method::POST,
        path,
        kind,
        body: body.to_owned(),
        expected,
    }
}

fn cases() -> Vec<Case> {
    const SDP: &str = "application/sdp";
    let mut cases = Vec::new();
    for path in ["/whip/bad", "/whep/room"] {
        cases.extend([
            case(path, "text/plain", OFFER, &[415]),
            case(path, "application/json", "{}", &[415]),
            case(path, "", OFFER, &[415]),
            case(path, SDP, "hello", &[400, 422]),
            case(path, SDP, "v=0", &[400, 422]),
            case(
                path,
                SDP,
                &OFFER.replace("m=video 9", "m=video 99999999999"),
                &[400, 422],
            ),
            case(
                path,
                SDP,
                &OFFER.replace("a=ice-ufrag:aBcD\r\n", ""),
                &[400, 422],
            ),
            case(
                path,
                SDP,
                &OFFER.replace("a=setup:actpass", "a=setup:sideways"),
                &[400, 422],
            ),
            case(
                path,
                SDP,
                &OFFER.replace("sha-256 00", "sha-256 zz"),
                &[400, 422],
            ),
            case(path, SDP, &OFFER[..OFFER.len() / 2], &[400, 422]),
            case(
                path,
                SDP,
                &format!("{OFFER}a=x:{}\r\n", "x".repeat(100_000)),
                &[413],
            ),
            case(path, SDP, &OFFER.repeat(100), &[413]),
        ]);
        let unknown = OFFER
            .replace("VP8/90000", "X-NEW/90000")
            .replace("opus/", "x-old/");
        cases.push(case(path, SDP, &unknown, &[422]));
    }
    cases.extend([
        case("/whip/-bad", SDP, OFFER, &[400, 404]),
        case("/whip/session", SDP, OFFER, &[400, 404, 405]),
        case("/whip/b%C3%A4d", SDP, OFFER, &[400, 404]),
        case(
            "/whep/nobody",
            SDP,
            &OFFER.replace("sendonly", "recvonly"),
            &[409],
        ),
        case("/api/v1/rooms", "application/json", "{", &[400]),
        case(
            "/api/v1/rooms",
            "application/json",
            "{\"id\": 7}",
            &[400, 422],
        ),
        case(
            "/api/v1/rooms",
            "application/json",
            "{\"id\": \"-\"}",
            &[400, 422],
        ),
    ]);
    for method in [Method::PUT, Method::PATCH, Method::DELETE] {
        let refused = case("/whip/bad", SDP, OFFER, &[405]);
        cases.push(Case { method, ..refused });
    }
    for method in [Method::PATCH, Method::DELETE] {
        let unknown = case(
            "/whip/session/unknown",
            "application/trickle-ice-sdpfrag",
            "",
            &[404],
        );
        cases.push(Case { method, ..unknown });
    }
    cases
}

#[tokio::test]
async fn every_bad_request_gets_its_answer_while_a_room_goes_on() {
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

    let mut wrong = Vec::new();
    for Case {
        method,
        path,
        kind,
        body,
        expected,
    } in cases()
    {
        let start: String = body.chars().take(40).collect();
        let what = format!("{method} {path} as {kind:?}: {start:?}");
        let mut request = server.bare(method, &server.url(path)).body(body);
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        let response = request.send().await.expect("the server answers");
        let status = response.status();
        if expected.contains(&status.as_u16()) {
            if status != StatusCode::METHOD_NOT_ALLOWED {
                problem(response).await;
            }
        } else {
            let text = response.text().await.unwrap_or_default();
            wrong.push(format!("{what}: {status}, not {expected:?}: {text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let frames = before["frames"].as_u64().expect("a count");
    let after = viewer
        .stats("frames go on", |stats| {
            stats["frames"].as_u64() >= Some(frames + ENOUGH)
        })
        .await;
    assert_exact(&after);
    server
        .room_until("bad", "refused offers leave nothing behind", |room| {
            room.is_null() || crate::control::sessions(room).is_empty()
        })
        .await;
    server.assert_sound();
}

#[tokio::test]
async fn an_offer_without_a_common_codec_is_told_both_sides() {
    let server = Server::open().await;
    let offer = OFFER
        .replace("VP8/90000", "X-NEW/90000")
        .replace("opus/", "x-old/");
    let response = server.offer("/whip/room", None, &offer).await;
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let problem = problem(response).await;
    let detail = problem["detail"]
        .as_str()
        .unwrap_or_default()
        .to_lowercase();
    for codec in ["x-old", "opus"] {
        assert!(detail.contains(codec), "{codec} is not in {detail}");
    }
}

#[tokio::test]
async fn a_room_that_is_not_live_says_when_to_come_back() {
    let server = Server::open().await;
    let offer = OFFER.replace("sendonly", "recvonly");
    let response = server.offer("/whep/room", None, &offer).await;
    assert_eq!(response.status(), StatusCode::CONFLICT);
    assert!(response.headers().contains_key("retry-after"));
    problem(response).await;
    let rooms = server.json("/api/v1/rooms").await;
    assert_eq!(
        rooms["rooms"],
        serde_json::json!([]),
        "asking makes no room"
    );
}
