//! Whole sessions: client and server over pipes in memory.

use std::time::{Duration, Instant};

use inver_media::container::flv::TagType;
use inver_media::container::flv::amf0::{self, Value};

use super::super::*;

/// Both ends and the time between them.
pub(super) struct Pair {
    pub(super) client: Client,
    pub(super) server: Server,
    pub(super) now: Instant,
    pub(super) client_events: Vec<ClientEvent>,
    pub(super) server_events: Vec<ServerEvent>,
    /// Everything that the client sent.
    pub(super) sent: Vec<u8>,
    random: fastrand::Rng,
    piece: usize,
}

impl Pair {
    pub(super) fn new(purpose: Purpose, piece: usize) -> Self {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let now = Instant::now();
        let target = Target::parse("rtmp://127.0.0.1/live/room-key?token=t").expect("an address");
        let config = ClientConfig {
            address: target.address,
            purpose,
            flash_version: "FMLE/3.0 (compatible; Inver)".to_owned(),
            enhanced: true,
        };
        Self {
            client: Client::new(config, now),
            server: Server::new(now),
            now,
            client_events: Vec::new(),
            server_events: Vec::new(),
            sent: Vec::new(),
            random: fastrand::Rng::with_seed(11),
            piece,
        }
    }

    /// Carries bytes until both are silent.
    pub(super) fn run(&mut self) {
        loop {
            let (mut up, mut down) = (Vec::new(), Vec::new());
            while let Some(output) = self.client.poll_output() {
                match output {
                    Output::Send(bytes) => up.extend(bytes),
                    Output::Event(event) => self.client_events.push(event),
                }
            }
            while let Some(output) = self.server.poll_output() {
                match output {
                    Output::Send(bytes) => down.extend(bytes),
                    Output::Event(event) => self.server_events.push(event),
                }
            }
            if up.is_empty() && down.is_empty() {
                return;
            }
            assert_eq!((self.client.queued(), self.server.queued()), (0, 0));
            for piece in pieces(&up, self.piece, &mut self.random) {
                self.server.handle_input(piece, self.now).expect("our own");
            }
            for piece in pieces(&down, self.piece, &mut self.random) {
                self.client.handle_input(piece, self.now).expect("our own");
            }
            self.sent.extend(up);
        }
    }

    pub(super) fn started(purpose: Purpose, piece: usize) -> Self {
        let mut pair = Self::new(purpose, piece);
        pair.run();
        pair.server.accept(pair.now).expect("nothing is held");
        pair.run();
        assert!(pair.client_events.contains(&ClientEvent::Started));
        pair
    }
}

fn pieces<'a>(bytes: &'a [u8], most: usize, random: &mut fastrand::Rng) -> Vec<&'a [u8]> {
    let mut rest = bytes;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(random.usize(1..=most).min(rest.len()));
        pieces.push(piece);
        rest = tail;
    }
    pieces
}

fn media(tag_type: TagType, timestamp: u32, body: &[u8]) -> Media {
    Media {
        tag_type,
        timestamp,
        body: body.to_vec(),
    }
}

#[test]
fn a_client_publishes_and_the_server_sees_every_byte() {
    for piece in [1, 3, 100, 1_000_000] {
        let mut pair = Pair::new(Purpose::Publish, piece);
        pair.run();
        let [
            ServerEvent::Connected(connected),
            ServerEvent::PublishRequested(address),
        ] = pair.server_events.as_slice()
        else {
            panic!("connected, then a request, not {:?}", pair.server_events);
        };
        assert_eq!(connected.address.app, "live");
        assert_eq!(connected.capabilities, Capabilities::ours());
        assert_eq!(connected.flash_version, "FMLE/3.0 (compatible; Inver)");
        assert_eq!(address.stream(), "room-key");
        assert_eq!(address.query("token").as_deref(), Some("t"));
        assert!(!pair.server.wants_input());
        let capabilities = Capabilities::ours();
        assert_eq!(
            pair.client_events,
            [ClientEvent::Connected { capabilities }]
        );
        pair.server_events.clear();
        pair.server.accept(pair.now).expect("nothing is held");
        pair.run();
        assert_eq!(pair.client_events.last(), Some(&ClientEvent::Started));

        let large: Vec<u8> = (0..200_000_u32).map(|i| i.to_le_bytes()[0]).collect();
        let expected = [
            media(TagType::Data, 0, b"metadata"),
            media(TagType::Video, 0, &large),
            media(TagType::Audio, 0, &[1, 2, 3]),
            media(TagType::Audio, 23, &[]),
            media(TagType::Video, u32::MAX - 5, &[4]),
            media(TagType::Video, 20, &large[..70_000]),
        ];
        for each in &expected {
            pair.client.send(each.tag_type, each.timestamp, &each.body);
        }
        pair.client.finish();
        pair.run();
        let mut events: Vec<_> = expected.map(ServerEvent::Media).into();
        events.push(ServerEvent::Unpublished);
        assert!(pair.server_events == events, "pieces of {piece}");
        assert_eq!(pair.client_events.last(), Some(&ClientEvent::Closed));
    }
}

#[test]
fn a_client_plays_until_the_publisher_ends() {
    let mut pair = Pair::started(Purpose::Play, 50);
    assert!(matches!(
        pair.server_events.last(),
        Some(ServerEvent::PlayRequested(address)) if address.stream() == "room-key"
    ));
    pair.client_events.clear();
    let body = vec![7; 100_000];
    pair.server.send(TagType::Video, 1000, &body);
    assert!(pair.server.queued() > body.len());
    pair.server.send(TagType::Audio, 1010, &[8]);
    pair.run();
    // The first is what tells players that they may look at the samples.
    assert_eq!(
        pair.client_events[pair.client_events.len() - 2..],
        [
            ClientEvent::Media(media(TagType::Video, 1000, &body)),
            ClientEvent::Media(media(TagType::Audio, 1010, &[8])),
        ]
    );
    pair.server.finish();
    pair.run();
    let code = "NetStream.Play.UnpublishNotify".to_owned();
    let [.., ended, ClientEvent::Closed] = pair.client_events.as_slice() else {
        panic!("the end, not {:?}", pair.client_events);
    };
    assert_eq!(*ended, ClientEvent::Ended { code });
    assert_eq!(pair.server_events.last(), Some(&ServerEvent::Closed));
    assert_eq!(pair.server.poll_timeout(), None);
}

#[test]
fn a_refusal_reaches_the_client_with_its_reason() {
    for (purpose, code) in [
        (Purpose::Publish, "NetStream.Publish.BadName"),
        (Purpose::Play, "NetStream.Play.StreamNotFound"),
    ] {
        let mut pair = Pair::new(purpose, 9);
        pair.run();
        pair.server.refuse(code, "Not here.");
        pair.run();
        let refused = ClientEvent::Refused {
            code: code.to_owned(),
            description: "Not here.".to_owned(),
        };
        assert_eq!(
            pair.client_events[1..],
            [refused, ClientEvent::Closed],
            "{code}"
        );
        assert_eq!(pair.server_events.last(), Some(&ServerEvent::Closed));
    }
}

#[test]
fn what_comes_before_the_answer_is_held_back_and_bounded() {
    // A client that does not wait: it believes that it was accepted.
    let mut eager = Pair::started(Purpose::Publish, 1_000_000);
    eager.client.send(TagType::Audio, 5, &[1; 1000]);
    eager.run();
    let mut server = Server::new(eager.now);
    server.handle_input(&eager.sent, eager.now).expect("held");
    assert!(!server.wants_input());
    let mut events = Vec::new();
    let mut drain = |server: &mut Server| {
        while let Some(output) = server.poll_output() {
            if let Output::Event(event) = output {
                events.push(event);
            }
        }
        std::mem::take(&mut events)
    };
    assert!(matches!(
        drain(&mut server)[..],
        [_, ServerEvent::PublishRequested(_)]
    ));
    server.accept(eager.now).expect("it was held");
    let expected = media(TagType::Audio, 5, &[1; 1000]);
    assert_eq!(drain(&mut server), [ServerEvent::Media(expected)]);

    let mut server = Server::new(eager.now);
    server.handle_input(&eager.sent, eager.now).expect("held");
    let flood = vec![0; 300_000];
    let result = server.handle_input(&flood, eager.now);
    assert!(matches!(result, Err(Error::ManyHeld(_))));
}

#[test]
fn a_publisher_may_publish_again_and_has_ten_seconds_for_it() {
    let mut pair = Pair::started(Purpose::Publish, 100);
    pair.client.finish();
    pair.run();
    assert_eq!(pair.server_events.last(), Some(&ServerEvent::Unpublished));
    let at = pair.server.poll_timeout().expect("a deadline");
    assert_eq!(at, pair.now + Duration::from_secs(10));
    assert_eq!(
        pair.server.handle_timeout(at),
        Err(Error::Deadline(Stage::Request))
    );
}

#[test]
fn deadlines_of_handshake_and_request_hold_against_drops_of_bytes() {
    let pair = Pair::new(Purpose::Publish, 1);
    let start = pair.now;
    let mut server = Server::new(start);
    let five = start + Duration::from_secs(5);
    assert_eq!(server.poll_timeout(), Some(five));
    for i in 0..4 {
        let now = start + Duration::from_secs(i);
        server.handle_input(&[3], now).expect("a byte");
        server.handle_timeout(now).expect("in time");
    }
    assert_eq!(server.poll_timeout(), Some(five));
    assert_eq!(
        server.handle_timeout(five),
        Err(Error::Deadline(Stage::Handshake))
    );

    let mut server = Server::new(start);
    let mut hello = vec![3];
    hello.resize(1 + 2 * 1536, 0);
    server.handle_input(&hello, start).expect("a handshake");
    let ten = start + Duration::from_secs(10);
    assert_eq!(server.poll_timeout(), Some(ten));
    assert_eq!(
        server.handle_timeout(ten),
        Err(Error::Deadline(Stage::Request))
    );
}

#[test]
fn silence_brings_a_ping_and_then_the_end() {
    let mut pair = Pair::started(Purpose::Play, 1000);
    assert_eq!(
        pair.server.poll_timeout(),
        Some(pair.now + Duration::from_secs(15))
    );
    // An answer to the ping counts as a sign of life.
    pair.now += Duration::from_secs(15);
    pair.server.handle_timeout(pair.now).expect("a ping");
    pair.run();
    let again = pair.now + Duration::from_secs(15);
    assert_eq!(pair.server.poll_timeout(), Some(again));
    // This time nothing answers.
    pair.server.handle_timeout(again).expect("a ping");
    let end = pair.now + Duration::from_secs(30);
    assert_eq!(pair.server.poll_timeout(), Some(end));
    assert_eq!(
        pair.server.handle_timeout(end),
        Err(Error::Deadline(Stage::Idle))
    );
    // A publishing client does not end: servers have nothing to say to it.
    let pair = Pair::started(Purpose::Publish, 1000);
    assert_eq!(pair.client.poll_timeout(), None);
}

#[test]
fn who_wants_no_sound_gets_none_and_a_reconnect_can_be_asked_for() {
    let mut pair = Pair::started(Purpose::Play, 1000);
    pair.client_events.clear();
    let mut body = Vec::new();
    amf0::write_all(
        &mut body,
        &[
            "receiveAudio".into(),
            0.0.into(),
            Value::Null,
            Value::Boolean(false),
        ],
    );
    // AMF3's command message with AMF0 behind a zero.
    let mut chunk = vec![0x03, 0, 0, 0, 0, 0];
    chunk.push(u8::try_from(body.len() + 1).expect("short"));
    chunk.extend([17, 1, 0, 0, 0, 0]);
    chunk.extend(body);
    // A server takes a fresh header on a chunk stream at any time.
    pair.server
        .handle_input(&chunk, pair.now)
        .expect("a command");
    pair.server.send(TagType::Audio, 1, &[1]);
    pair.server.send(TagType::Video, 2, &[2]);
    assert!(
        pair.server
            .request_reconnect(Some("rtmp://other/live"), "Restart.")
    );
    pair.run();
    let tc_url = Some("rtmp://other/live".to_owned());
    assert_eq!(
        pair.client_events,
        [
            ClientEvent::Media(media(TagType::Video, 2, &[2])),
            ClientEvent::ReconnectRequested { tc_url },
        ]
    );
}
