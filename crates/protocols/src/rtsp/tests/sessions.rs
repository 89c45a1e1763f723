//! Publishing and reading, from the first request to the last.

use std::time::Duration;

use super::{ANNOUNCED, Scene};
use crate::rtsp::{Error, Event, Ports, Started, Status, Transport};

const URI: &str = "rtsp://localhost:8554/room";

fn session(answer: &str) -> String {
    let (_, rest) = answer.split_once("Session: ").expect("a session");
    let (id, rest) = rest.split_once(';').expect("a timeout");
    assert!(rest.starts_with("timeout=60\r\n"), "{answer}");
    format!("Session: {id}")
}

fn published(scene: &mut Scene, transports: [&str; 2]) -> String {
    assert_eq!(scene.ask("ANNOUNCE", URI, &[], ANNOUNCED), "");
    assert!(!scene.server.wants_input());
    let Some(Event::AnnounceRequested(wish, tracks)) = scene.events.pop() else {
        panic!("nobody announces");
    };
    assert_eq!(wish.address.path(), "room");
    assert!(tracks.iter().all(|track| track.format.is_ok()));
    scene.server.accept_announce();
    assert!(scene.answer().starts_with("RTSP/1.0 200"));
    let mut named = String::new();
    for (index, transport) in transports.into_iter().enumerate() {
        let uri = format!("{URI}/streamid={index}");
        let answer = scene.ask("SETUP", &uri, &[transport], "");
        assert!(answer.contains("mode=record"), "{answer}");
        named = session(&answer);
    }
    assert_eq!(scene.ask("RECORD", URI, &[&named], ""), "");
    named
}

#[test]
fn a_publisher_sends_packets_between_its_requests() {
    let mut scene = Scene::new(false, true);
    let named = published(
        &mut scene,
        [
            "Transport: RTP/AVP/TCP;unicast;interleaved=0-1;mode=record",
            "Transport: RTP/AVP/TCP;unicast;interleaved=2-3;mode=record",
        ],
    );
    scene.server.accept_start(&[], scene.now);
    assert!(scene.answer().starts_with("RTSP/1.0 200"));
    scene.events.clear();
    // Two packets and a request, byte by byte.
    let mut bytes = b"$\x02\0\x03abc$\x01\0\x01r".to_vec();
    bytes.extend_from_slice(
        format!("GET_PARAMETER {URI} RTSP/1.0\r\nCSeq: 9\r\n{named}\r\n\r\n").as_bytes(),
    );
    for byte in bytes {
        let taken = scene.server.handle_input(&[byte], scene.now);
        taken.expect("all of it is well");
    }
    let answer = scene.answer();
    assert!(
        answer.contains("CSeq: 9\r\n") && answer.contains("200 OK"),
        "{answer}"
    );
    let packet = |track, report, data: &[u8]| Event::Packet {
        track,
        report,
        data: data.to_vec(),
    };
    assert_eq!(
        scene.events,
        [packet(1, false, b"abc"), packet(0, true, b"r")]
    );
    assert!(scene.ask("TEARDOWN", URI, &[&named], "").contains("200 OK"));
    assert_eq!(scene.events.last(), Some(&Event::Ended));
}

#[test]
fn media_over_udp_keeps_a_publisher_alive() {
    let mut scene = Scene::new(false, true);
    published(
        &mut scene,
        [
            "Transport: RTP/AVP/UDP;unicast;client_port=5000-5001;mode=record",
            "Transport: RTP/AVP/UDP;unicast;client_port=5002-5003;mode=record",
        ],
    );
    let ports = |rtp| Some(Transport::Udp(Ports { rtp, rtcp: rtp + 1 }));
    let wanted = Event::RecordRequested(vec![ports(5000), ports(5002)]);
    assert_eq!(scene.events.pop(), Some(wanted));
    scene.server.accept_start(&[], scene.now);
    scene.sent();
    for _ in 0..3 {
        scene.now += Duration::from_secs(50);
        assert_eq!(scene.server.handle_timeout(scene.now), Ok(()));
        scene.server.heard(scene.now);
    }
    scene.now += Duration::from_secs(66);
    assert_eq!(scene.server.handle_timeout(scene.now), Err(Error::TimedOut));
    assert!(scene.answer().contains("408"));
}

#[test]
fn a_reader_is_told_what_there_is_and_where_it_begins() {
    let mut scene = Scene::new(false, false);
    assert!(scene.ask("OPTIONS", URI, &[], "").contains("DESCRIBE"));
    assert_eq!(
        scene.ask("DESCRIBE", &format!("{URI}?token=t"), &[], ""),
        ""
    );
    let Some(Event::DescribeRequested(wish)) = scene.events.pop() else {
        panic!("nobody describes");
    };
    assert_eq!(wish.address.query("token"), Some("t"));
    scene.server.accept_describe("v=0\r\n", 2);
    let answer = scene.answer();
    assert!(
        answer.contains(&format!("Content-Base: {URI}/\r\n")),
        "{answer}"
    );
    assert!(
        answer.ends_with("Content-Length: 5\r\n\r\nv=0\r\n"),
        "{answer}"
    );

    let over_udp = "Transport: RTP/AVP;unicast;client_port=4000-4001";
    let track = format!("{URI}/trackID=1");
    assert!(scene.ask("SETUP", &track, &[over_udp], "").contains("461"));
    let both = "Transport: RTP/AVP;unicast;client_port=4000-4001,RTP/AVP/TCP;unicast";
    let answer = scene.ask("SETUP", &track, &[both], "");
    assert!(answer.contains("interleaved=2-3"), "{answer}");
    let named = session(&answer);
    assert_eq!(scene.ask("PLAY", &format!("{URI}/"), &[&named], ""), "");
    let started = Started {
        track: 1,
        sequence: 5,
        timestamp: 9,
    };
    scene.server.accept_start(&[started], scene.now);
    let answer = scene.answer();
    let info = format!("RTP-Info: url={URI}/trackID=1;seq=5;rtptime=9\r\n");
    assert!(answer.contains(&info), "{answer}");
    assert!(!scene.server.send(0, false, b"no transport"));
    assert!(scene.server.send(1, true, b"xy"));
    assert_eq!(scene.sent(), b"$\x03\0\x02xy");

    assert!(scene.ask("PAUSE", URI, &[&named], "").contains("200 OK"));
    assert_eq!(scene.events.last(), Some(&Event::Paused));
    assert_eq!(scene.ask("PLAY", URI, &[&named], ""), "");
}

#[test]
fn refusals_say_what_is_wrong() {
    let mut scene = Scene::new(false, true);
    let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1";
    let refused = [
        ("SETUP", URI, transport, "455"),
        ("PLAY", URI, "X: y", "455"),
        ("RECORD", URI, "X: y", "455"),
        ("PAUSE", URI, "X: y", "455"),
        ("REDIRECT", URI, "X: y", "405"),
        ("OPTIONS", URI, "Session: other", "454"),
        ("OPTIONS", URI, "Require: funky-feature", "551"),
        ("DESCRIBE", "*", "X: y", "400"),
        ("ANNOUNCE", URI, "X: y", "400"),
    ];
    for (method, uri, field, code) in refused {
        let answer = scene.ask(method, uri, &[field], "");
        assert!(
            answer.starts_with(&format!("RTSP/1.0 {code} ")),
            "{method}: {answer}"
        );
    }
    scene.ask("ANNOUNCE", URI, &[], ANNOUNCED);
    let refused = scene.server.refuse(Status::Conflict, "taken", scene.now);
    refused.expect("it may try again");
    assert!(scene.answer().ends_with("\r\n\r\ntaken\n"));
    scene.ask("ANNOUNCE", URI, &[], ANNOUNCED);
    scene.server.accept_announce();
    scene.sent();
    assert!(scene.ask("SETUP", URI, &[transport], "").contains(" 459 "));
    let other = format!("{URI}/streamid=7");
    assert!(
        scene
            .ask("SETUP", &other, &[transport], "")
            .contains(" 404 ")
    );
    let multicast = "Transport: RTP/AVP;multicast";
    let track = format!("{URI}/streamid=0");
    assert!(
        scene
            .ask("SETUP", &track, &[multicast], "")
            .contains(" 461 ")
    );
    assert!(scene.ask("ANNOUNCE", URI, &[], ANNOUNCED).contains(" 455 "));
}
