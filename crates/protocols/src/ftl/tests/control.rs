//! FTL's control: what clients send, cut and mixed up.

use std::time::{Duration, Instant};

use inver_media::Codec;

use super::super::*;
use super::{ATTRIBUTES, CHALLENGE, answer, hex};

struct Client {
    control: Control,
    now: Instant,
}

impl Client {
    fn new() -> Self {
        // The origin of virtual time; nothing depends on when that is.
        #[expect(
            clippy::disallowed_methods,
            reason = "a test needs some instant to begin at"
        )]
        let now = Instant::now();
        Self {
            control: Control::new(CHALLENGE, now),
            now,
        }
    }

    fn says(&mut self, text: &str) -> String {
        self.control.handle_input(text.as_bytes(), self.now);
        self.hears()
    }

    fn hears(&mut self) -> String {
        let bytes: Vec<u8> = std::iter::from_fn(|| self.control.poll_transmit())
            .flatten()
            .collect();
        String::from_utf8(bytes).expect("replies are text")
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.control.poll_event()).collect()
    }

    fn connected() -> Self {
        let mut client = Self::new();
        client.says("HMAC\r\n\r\n");
        let line = format!("CONNECT 1234 ${}\r\n\r\n", answer(b"key", &CHALLENGE));
        client.says(&line);
        client.control.accept(client.now);
        assert_eq!(client.hears(), "200\n");
        client.events();
        client
    }

    fn streaming() -> Self {
        let mut client = Self::connected();
        client.says(ATTRIBUTES);
        client.says(".\r\n\r\n");
        client.control.start(8084, client.now);
        assert_eq!(client.hears(), "200. Use UDP port 8084\n");
        client.events();
        client
    }

    /// The code with which the connection ended.
    fn refusal(&mut self) -> Option<Code> {
        self.events().into_iter().find_map(|event| match event {
            Event::Closed(Closed::Refused { code, .. }) => Some(code),
            _ => None,
        })
    }
}

#[test]
fn a_client_comes_in_as_the_protocol_says() {
    let mut client = Client::new();
    assert_eq!(
        client.says("HMAC\r\n\r\n"),
        format!("200 {}\n", hex(&CHALLENGE))
    );
    let line = format!("CONNECT 1234 ${}\r\n\r\n", answer(b"key", &CHALLENGE));
    assert_eq!(client.says(&line), "");
    let events = client.events();
    let [Event::ConnectRequested { channel, answer }] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(*channel, 1234);
    assert!(verify(b"key", client.control.challenge(), answer));
    assert!(!verify(b"kez", client.control.challenge(), answer));
    client.control.accept(client.now);
    assert_eq!(client.hears(), "200\n");
    assert_eq!(client.says(ATTRIBUTES), "");
    assert_eq!(client.events(), []);
    assert_eq!(client.says(".\r\n\r\n"), "");
    let expected = Attributes {
        vendor_name: Some("app".into()),
        vendor_version: Some("1.2".into()),
        video: Some(Stream {
            codec: Codec::H264,
            payload_type: 96,
            ssrc: 1235,
        }),
        audio: Some(Stream {
            codec: Codec::Opus,
            payload_type: 97,
            ssrc: 1234,
        }),
        size: Some((1280, 720)),
    };
    assert_eq!(client.events(), [Event::StreamRequested(expected)]);
    client.control.start(8084, client.now);
    assert_eq!(client.hears(), "200. Use UDP port 8084\n");
    assert_eq!(client.says("PING 1234\r\n\r\n"), "201\n");
    assert_eq!(client.events(), [Event::Pinged]);
    client.says("DISCONNECT\r\n\r\n");
    assert_eq!(client.events(), [Event::Closed(Closed::Disconnected)]);
    assert!(client.control.is_closed());
    assert_eq!(client.says("PING 1234\r\n\r\n"), "");
}

#[test]
fn bytes_may_come_one_by_one_or_all_at_once() {
    let all = format!(
        "HMAC\r\n\r\nCONNECT 7 ${}\r\n\r\n{ATTRIBUTES}.\r\n\r\n",
        answer(b"key", &CHALLENGE)
    );
    for size in [1, 3, all.len()] {
        let mut client = Client::new();
        let mut events = Vec::new();
        for chunk in all.as_bytes().chunks(size) {
            client.control.handle_input(chunk, client.now);
            for event in client.events() {
                if matches!(event, Event::ConnectRequested { .. }) {
                    client.control.accept(client.now);
                }
                events.push(event);
            }
        }
        events.extend(client.events());
        assert!(
            matches!(
                events.as_slice(),
                [
                    Event::ConnectRequested { channel: 7, .. },
                    Event::StreamRequested(_)
                ]
            ),
            "{size}: {events:?}"
        );
    }
}

#[test]
fn nothing_begins_before_the_answer_is_accepted() {
    for line in [".", "PING 1234", "Video: true", "VideoCodec: H264"] {
        let mut client = Client::new();
        assert!(client.says(&format!("{line}\r\n\r\n")).starts_with("401 "));
        assert_eq!(client.refusal(), Some(Code::Unauthorized), "{line}");
        let mut client = Client::new();
        client.says("HMAC\r\n\r\n");
        assert!(client.says(&format!("{line}\r\n\r\n")).starts_with("401 "));
    }
    // While the answer is checked the rest waits, and it is never read once that fails.
    let mut client = Client::new();
    let line = format!("CONNECT 1 ${}\r\n\r\n", answer(b"key", &CHALLENGE));
    client.says("HMAC\r\n\r\n");
    assert_eq!(client.says(&format!("{line}{ATTRIBUTES}.\r\n\r\n")), "");
    assert_eq!(client.events().len(), 1);
    client.control.start(9, client.now);
    assert_eq!(client.hears(), "");
    client
        .control
        .refuse(Code::InvalidStreamKey, "the key differs");
    assert_eq!(client.hears(), "405 invalid stream key\n");
    assert_eq!(
        client.events(),
        [Event::Closed(Closed::Refused {
            code: Code::InvalidStreamKey,
            reason: "the key differs".into()
        })]
    );
    client.control.accept(client.now);
    assert_eq!((client.hears(), client.events()), (String::new(), vec![]));
}

#[test]
fn connecting_before_or_beside_the_challenge_is_a_bad_request() {
    let good = answer(b"key", &CHALLENGE);
    let mut client = Client::new();
    client.says(&format!("CONNECT 1234 ${good}\r\n\r\n"));
    assert_eq!(client.refusal(), Some(Code::BadRequest));
    let long = format!("1234 ${good}00");
    let short = format!("1234 ${}", &good[2..]);
    let bare = format!("1234 {good}");
    let no_number = format!("channel ${good}");
    let large = format!("4294967296 ${good}");
    let no_digits = format!("1234 ${}", "g".repeat(128));
    for rest in [
        &long, &short, &bare, &no_number, &large, &no_digits, "", "1234", "1234 $",
    ] {
        let mut client = Client::new();
        client.says("HMAC\r\n\r\n");
        let reply = client.says(&format!("CONNECT {rest}\r\n\r\n"));
        assert!(reply.starts_with("400 "), "{rest}: {reply}");
        assert_eq!(client.refusal(), Some(Code::BadRequest), "{rest}");
    }
}

#[test]
fn attributes_that_cannot_be_are_named() {
    for (lines, code) in [
        ("Video: true\r\n\r\n.", Code::BadRequest),
        ("Video: true\r\nVideoCodec: H264\r\n.", Code::BadRequest),
        ("Video: perhaps", Code::BadRequest),
        ("VideoCodec: H266", Code::BadRequest),
        ("AudioCodec: AAC", Code::BadRequest),
        ("VideoPayloadType: 128", Code::BadRequest),
        ("VideoIngestSSRC: -1", Code::BadRequest),
        ("ProtocolVersion: nine", Code::BadRequest),
        ("ProtocolVersion: 0.8\r\n.", Code::OldVersion),
        (".", Code::BadRequest),
        ("STREAM", Code::BadRequest),
        (
            "Video: true\nVideoCodec: H264\nVideoIngestSSRC: 5\n\
             Audio: true\nAudioCodec: OPUS\nAudioIngestSSRC: 5\n.",
            Code::AudioSsrcCollision,
        ),
    ] {
        let mut client = Client::connected();
        let reply = client.says(&format!("{lines}\r\n\r\n"));
        assert!(
            reply.starts_with(&code.number().to_string()),
            "{lines}: {reply}"
        );
        assert_eq!(client.refusal(), Some(code), "{lines}");
    }
}

#[test]
fn unknown_attributes_and_a_lone_picture_are_fine() {
    let mut client = Client::connected();
    client.says("Later: thing\nVideo: true\nVideoCodec: h264\nVideoIngestSSRC: 5\n.\n");
    let events = client.events();
    let [Event::StreamRequested(attributes)] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(attributes.audio, None);
    assert_eq!(attributes.video.map(|video| video.payload_type), Some(96));
}

#[test]
fn every_code_reaches_the_client() {
    for code in Code::ALL {
        let mut client = Client::streaming();
        client.control.refuse(code, "because");
        assert_eq!(client.hears(), format!("{code}\n"));
        assert!(client.control.is_closed());
        client.control.refuse(code, "again");
        assert_eq!(client.hears(), "");
    }
}

#[test]
fn silence_ends_the_connection_and_trickling_bytes_do_not_keep_it() {
    let mut client = Client::new();
    let begin = client.now;
    for second in 1..60 {
        client.now = begin + Duration::from_secs(second);
        client.says("H");
        client.control.handle_timeout(client.now);
        assert!(!client.control.is_closed());
    }
    assert_eq!(client.control.poll_timeout(), Some(begin + READ_TIMEOUT));
    client.control.handle_timeout(begin + READ_TIMEOUT);
    assert_eq!(client.events(), [Event::Closed(Closed::TimedOut)]);
    assert_eq!(client.control.poll_timeout(), None);

    let mut client = Client::streaming();
    for _ in 0..100 {
        client.now += Duration::from_secs(59);
        client.control.handle_timeout(client.now);
        assert_eq!(client.says("PING 1234\r\n\r\n"), "201\n");
    }
    client.control.handle_timeout(client.now + READ_TIMEOUT);
    assert!(client.control.is_closed());
}

#[test]
fn endless_lines_and_floods_are_refused() {
    let mut client = Client::new();
    for _ in 0..2000 {
        client.says("x");
    }
    assert_eq!(client.refusal(), Some(Code::BadRequest));

    let mut client = Client::new();
    let line = format!("HMAC\nCONNECT 1 ${}\n", answer(b"key", &CHALLENGE));
    client.says(&line);
    client.says(&"PING\n".repeat(10_000));
    assert_eq!(client.refusal(), Some(Code::BadRequest));

    let mut client = Client::connected();
    client.says(&"Name: value\n".repeat(1000));
    assert_eq!(client.refusal(), Some(Code::BadRequest));

    let mut client = Client::new();
    client.control.handle_input(b"\xff\xfe\n", client.now);
    assert_eq!(client.refusal(), Some(Code::BadRequest));
}

#[test]
fn random_lines_never_panic() {
    let words = [
        "HMAC",
        "CONNECT ",
        "1234 ",
        "$",
        "00",
        "\r\n\r\n",
        "\n",
        ".",
        "PING",
        "DISCONNECT",
        "Video: ",
        "true",
        "VideoCodec: ",
        "H264",
        ":",
        " ",
        "\u{e9}",
        "-1",
        "99999999999",
    ];
    let mut random = fastrand::Rng::with_seed(21);
    for _ in 0..3000 {
        let mut client = if random.bool() {
            Client::new()
        } else {
            Client::connected()
        };
        for _ in 0..random.usize(1..60) {
            let word = words[random.usize(..words.len())];
            client.says(word);
            match random.u8(..20) {
                0 => client.control.accept(client.now),
                1 => client.control.start(1, client.now),
                _ => {}
            }
        }
        let closed = client
            .events()
            .iter()
            .filter(|event| matches!(event, Event::Closed(_)))
            .count();
        assert_eq!(closed == 1, client.control.is_closed());
    }
}
