//! What no client sends.

use std::time::Duration;

use super::Scene;
use crate::rtsp::{Error, MAX_BODY, MAX_HEAD};

fn ended(bytes: &[u8]) -> (Error, String) {
    let mut scene = Scene::new(false, true);
    for piece in bytes.chunks(1000) {
        if let Err(error) = scene.server.handle_input(piece, scene.now) {
            assert!(!scene.server.wants_input());
            return (error, scene.answer());
        }
        scene.sent();
    }
    panic!("all of it was taken");
}

#[test]
fn what_is_too_long_or_senseless_ends_the_connection_with_a_word() {
    let head = format!("OPTIONS * RTSP/1.0\r\nX: {}", "y".repeat(MAX_HEAD));
    let body = format!(
        "ANNOUNCE rtsp://h/r RTSP/1.0\r\nCSeq: 1\r\nContent-Length: {}\r\n\r\n",
        MAX_BODY + 1
    );
    let fields = format!("OPTIONS * RTSP/1.0\r\n{}\r\n", "X: y\r\n".repeat(65));
    for (bytes, code) in [
        (head.as_str(), 400),
        (body.as_str(), 413),
        (fields.as_str(), 400),
        ("GET / HTTP/1.1\r\n\r\n", 505),
        ("OPTIONS * RTSP/2.0\r\n\r\n", 505),
        ("OPTIONS * RTSP/1.0\r\n\r\n", 400),
        ("OPTIONS * RTSP/1.0\r\nno colon\r\n\r\n", 400),
        ("OPTIONS * RTSP/1.0\r\nContent-Length: -1\r\n\r\n", 400),
        ("\u{7f} * RTSP/1.0\r\n\r\n", 400),
    ] {
        let (_, answer) = ended(bytes.as_bytes());
        assert!(
            answer.starts_with(&format!("RTSP/1.0 {code} ")),
            "{bytes:.40}: {answer}"
        );
    }
}

#[test]
fn a_request_that_trickles_in_is_not_waited_for() {
    let mut scene = Scene::new(false, true);
    assert!(scene.ask("OPTIONS", "*", &[], "").contains("200 OK"));
    let began = scene.now;
    for byte in b"DESCRIBE rtsp://h/r" {
        let taken = scene.server.handle_input(&[*byte], scene.now);
        taken.expect("so far it is well");
        scene.now += Duration::from_secs(1);
        if scene.server.handle_timeout(scene.now).is_err() {
            assert_eq!(scene.now - began, Duration::from_secs(10));
            assert!(scene.answer().starts_with("RTSP/1.0 408 "));
            return;
        }
    }
    panic!("it was waited for");
}

#[test]
fn who_says_nothing_is_not_waited_for() {
    let mut scene = Scene::new(false, true);
    assert_eq!(
        scene.server.poll_timeout(),
        Some(scene.now + Duration::from_secs(10))
    );
    scene.ask("OPTIONS", "*", &[], "");
    assert_eq!(
        scene.server.poll_timeout(),
        Some(scene.now + Duration::from_secs(30))
    );
    scene.now += Duration::from_secs(30);
    assert_eq!(scene.server.handle_timeout(scene.now), Err(Error::TimedOut));
}

#[test]
fn packets_before_a_session_are_nobodys() {
    let mut scene = Scene::new(false, true);
    let taken = scene.server.handle_input(b"$\0\0\x03abc", scene.now);
    taken.expect("it is dropped");
    assert!(scene.sent().is_empty());
    assert!(scene.events.is_empty());
}
