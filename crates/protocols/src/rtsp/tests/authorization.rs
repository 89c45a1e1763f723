//! Digests, their nonces, and passwords that come readable.

use std::time::Duration;

use super::Scene;
use crate::rtsp::{Algorithm, Authorization, Digest, Event, Status};

const URI: &str = "rtsp://localhost/room";

fn parameter<'a>(text: &'a str, name: &str) -> &'a str {
    let (_, rest) = text
        .split_once(&format!("{name}=\""))
        .expect("the parameter");
    rest.split_once('"').expect("its end").0
}

fn header(answer: &str, algorithm: Algorithm, password: &str) -> String {
    let mut digest = Digest {
        algorithm,
        user: "me".to_owned(),
        realm: parameter(answer, "realm").to_owned(),
        nonce: parameter(answer, "nonce").to_owned(),
        uri: URI.to_owned(),
        response: String::new(),
        quality: None,
    };
    digest.response = digest.expected("DESCRIBE", password);
    format!(
        "Authorization: Digest username=\"me\", realm=\"{}\", nonce=\"{}\", uri=\"{URI}\", \
         algorithm={}, response=\"{}\"",
        digest.realm,
        digest.nonce,
        algorithm.name(),
        digest.response
    )
}

/// Asks without credentials; gives the challenge.
fn challenged(scene: &mut Scene) -> String {
    assert_eq!(scene.ask("DESCRIBE", URI, &[], ""), "");
    let refused = scene.server.refuse(Status::Unauthorized, "who?", scene.now);
    refused.expect("it may try again");
    let answer = scene.answer();
    assert!(answer.starts_with("RTSP/1.0 401 "), "{answer}");
    answer
}

#[test]
fn a_digest_proves_the_password_and_no_other() {
    for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
        let mut scene = Scene::new(false, false);
        let challenge = challenged(&mut scene);
        assert!(!challenge.contains("Basic"), "{challenge}");
        let shown = header(&challenge, algorithm, "secret");
        assert_eq!(scene.ask("DESCRIBE", URI, &[&shown], ""), "");
        let Some(Event::DescribeRequested(wish)) = scene.events.pop() else {
            panic!("nobody describes");
        };
        assert!(wish.proves("secret"));
        assert!(!wish.proves("Secret"));
    }
}

#[test]
fn a_digest_counts_on_its_connection_for_a_while() {
    let mut scene = Scene::new(false, false);
    let challenge = challenged(&mut scene);
    let shown = header(&challenge, Algorithm::Md5, "secret");
    scene.now += Duration::from_secs(301);
    let answer = scene.ask("DESCRIBE", URI, &[&shown], "");
    assert!(answer.contains("stale=true"), "{answer}");
    assert_ne!(parameter(&answer, "nonce"), parameter(&challenge, "nonce"));
    let other = shown.replace("room", "other");
    let answer = scene.ask("DESCRIBE", URI, &[&other], "");
    assert!(answer.starts_with("RTSP/1.0 401 "), "{answer}");
}

#[test]
fn passwords_are_asked_for_where_nobody_listens() {
    let challenge = challenged(&mut Scene::new(true, false));
    assert!(challenge.contains("Basic realm="), "{challenge}");
}

#[test]
fn who_guesses_is_cut_off() {
    let mut scene = Scene::new(false, false);
    for _ in 0..10 {
        challenged(&mut scene);
    }
    scene.ask("DESCRIBE", URI, &[], "");
    let refused = scene.server.refuse(Status::Unauthorized, "who?", scene.now);
    assert!(refused.is_err());
    assert!(!scene.server.wants_input());
}

#[test]
fn the_example_of_the_specification_holds() {
    // RFC 2617, 3.5, and RFC 7616, 3.9.1.
    let value = |algorithm: &str, realm: &str, nonce: &str, cnonce: &str, response: &str| {
        format!(
            "Digest username=\"Mufasa\", realm=\"{realm}\", nonce=\"{nonce}\", \
             uri=\"/dir/index.html\", qop=auth, nc=00000001, cnonce=\"{cnonce}\"{algorithm}, \
             response=\"{response}\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\""
        )
    };
    let first = value(
        "",
        "testrealm@host.com",
        "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        "0a4f113b",
        "6629fae49393a05397450978507c4ef1",
    );
    let second = value(
        ", algorithm=SHA-256",
        "http-auth@example.org",
        "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
    );
    for (value, password) in [(first, "Circle Of Life"), (second, "Circle of Life")] {
        let Some(Authorization::Digest(digest)) = Authorization::parse(&value) else {
            panic!("no digest: {value}");
        };
        assert!(digest.proves("GET", password), "{value}");
    }
}
