//! A client plays: from our own server's end, and from servers as cameras have them.

use std::time::{Duration, Instant};

use super::{ANNOUNCED, Scene};
use crate::rtsp::{
    Client, ClientConfig, ClientError, ClientEvent, Error, Event, Output, Ports, Started, Status,
    Target, Transport,
};

/// A client, what it said and what happened.
struct Player {
    client: Client,
    events: Vec<ClientEvent>,
    now: Instant,
}

impl Player {
    fn new(url: &str, now: Instant) -> Self {
        let config = ClientConfig {
            target: Target::parse(url).expect("an address"),
            seed: [5; 32],
        };
        Self {
            client: Client::new(config, now),
            events: Vec::new(),
            now,
        }
    }

    fn said(&mut self) -> String {
        let mut said = Vec::new();
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Send(bytes) => said.extend(bytes),
                Output::Event(event) => self.events.push(event),
            }
        }
        String::from_utf8(said).expect("requests are text")
    }

    /// Hears an answer to the last request; gives what is said next.
    fn hears(&mut self, status: &str, fields: &[&str], body: &str) -> Result<String, ClientError> {
        let cseq = self.client.cseq;
        let mut text = format!("RTSP/1.0 {status}\r\nCSeq: {cseq}\r\n");
        for field in fields {
            text.push_str(&format!("{field}\r\n"));
        }
        if !body.is_empty() {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text.push_str(&format!("\r\n{body}"));
        self.client.handle_input(text.as_bytes(), self.now)?;
        Ok(self.said())
    }

    /// Up to the choice of tracks.
    fn described(url: &str) -> Self {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let mut player = Self::new(url, Instant::now());
        assert!(player.said().starts_with("OPTIONS "));
        let next = player.hears("200 OK", &["Public: OPTIONS, DESCRIBE"], "");
        assert!(next.expect("well").starts_with("DESCRIBE "));
        let next = player.hears("200 OK", &[], ANNOUNCED);
        assert_eq!(next.expect("well"), "");
        player
    }

    fn choose(&mut self, transports: &[Option<Transport>]) -> String {
        let chosen = self.client.choose(transports, self.now);
        chosen.expect("one is wanted");
        self.said()
    }
}

fn between(rtp: u8) -> Option<Transport> {
    Some(Transport::Interleaved { rtp, rtcp: rtp + 1 })
}

/// Carries bytes between both ends until both are silent.
fn talk(scene: &mut Scene, player: &mut Player) -> Result<(), ClientError> {
    loop {
        let said = player.said();
        let taken = scene.server.handle_input(said.as_bytes(), scene.now);
        taken.expect("requests are well");
        let answer = scene.sent();
        if said.is_empty() && answer.is_empty() {
            return Ok(());
        }
        player.client.handle_input(&answer, player.now)?;
    }
}

#[test]
fn our_own_server_is_played_with_a_digest() {
    let mut scene = Scene::new(false, true);
    let url = "rtsp://camera:geheim@localhost:8554/room";
    let mut player = Player::new(url, scene.now);
    talk(&mut scene, &mut player).expect("both are well");
    let Some(Event::DescribeRequested(wish)) = scene.events.pop() else {
        panic!("nothing is asked for");
    };
    assert!(wish.authorization.is_none());
    let refused = scene
        .server
        .refuse(Status::Unauthorized, "a key, please", scene.now);
    refused.expect("the first time");
    talk(&mut scene, &mut player).expect("both are well");
    let Some(Event::DescribeRequested(wish)) = scene.events.pop() else {
        panic!("nothing is asked for with a proof");
    };
    assert!(wish.proves("geheim") && !wish.proves("other"));

    scene.server.accept_describe(ANNOUNCED, 2);
    // The description names its tracks itself.
    scene
        .server
        .tracks
        .iter_mut()
        .enumerate()
        .for_each(|(index, track)| {
            track.control = format!("streamid={index}");
        });
    talk(&mut scene, &mut player).expect("both are well");
    let Some(ClientEvent::Described(tracks)) = player.events.pop() else {
        panic!("nothing is described");
    };
    assert!(tracks.len() == 2 && tracks.iter().all(|track| track.format.is_ok()));
    let chosen = player.client.choose(&[between(0), between(2)], player.now);
    chosen.expect("both tracks");
    talk(&mut scene, &mut player).expect("both are well");
    let wanted = Event::PlayRequested(vec![between(0), between(2)]);
    assert_eq!(scene.events.pop(), Some(wanted));
    let started = Started {
        track: 0,
        sequence: 1,
        timestamp: 2,
    };
    scene.server.accept_start(&[started], scene.now);
    assert!(scene.server.send(1, false, b"packet"));
    talk(&mut scene, &mut player).expect("both are well");
    let packet = ClientEvent::Packet {
        track: 1,
        report: false,
        data: b"packet".to_vec(),
    };
    let tracks = vec![
        between(0).map(|transport| (transport, None)),
        between(2).map(|transport| (transport, None)),
    ];
    assert_eq!(player.events, [ClientEvent::Started(tracks), packet]);

    // A word each half minute keeps the session, and reports go back.
    let at = player.client.poll_timeout().expect("a word is due");
    assert_eq!(at, player.now + Duration::from_secs(30));
    player.client.handle_timeout(at).expect("it is said");
    assert!(player.said().starts_with("GET_PARAMETER "));
    assert!(player.client.report(1, b"report"));
    assert_eq!(player.said(), "$\u{3}\0\u{6}report");
    player.client.tear_down(at);
    assert!(player.said().starts_with("TEARDOWN "));
    assert_eq!(player.client.poll_timeout(), None);
}

#[test]
fn a_wrong_password_is_told_and_not_tried_again_and_again() {
    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    let now = Instant::now();
    for nonces in [["a", "a", "a"], ["a", "b", "c"]] {
        let mut player = Player::new("rtsp://u:geheim@cam/x", now);
        player.said();
        let mut result = Ok(String::new());
        let mut requests = 0;
        for nonce in nonces {
            let challenge = format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"{nonce}\"");
            result = player.hears("401 Unauthorized", &[&challenge], "");
            match &result {
                Ok(said) => assert!(
                    said.contains("Authorization: Digest username=\"u\""),
                    "{said}"
                ),
                Err(_) => break,
            }
            requests += 1;
        }
        assert_eq!(result, Err(ClientError::WrongLogin));
        assert!(requests <= 2);
        assert!(!player.client.wants_input());
    }
    let mut player = Player::new("rtsp://cam/x", now);
    player.said();
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"";
    let next = player.hears("401 Unauthorized", &[challenge], "");
    assert!(next.expect("OPTIONS tell little").starts_with("DESCRIBE"));
    let result = player.hears("401 Unauthorized", &[challenge], "");
    assert_eq!(result, Err(ClientError::NoLogin));
}

#[test]
fn media_comes_over_udp_where_that_is_asked_for() {
    let mut player = Player::described("rtsp://cam/x?channel=1&transport=udp");
    let ports = Ports {
        rtp: 5000,
        rtcp: 5001,
    };
    let said = player.choose(&[Some(Transport::Udp(ports)), None]);
    assert!(
        said.starts_with("SETUP rtsp://cam/x?channel=1/streamid=0 RTSP/1.0\r\n"),
        "{said}"
    );
    assert!(
        said.contains("Transport: RTP/AVP;unicast;client_port=5000-5001\r\n"),
        "{said}"
    );
    let fields = [
        "Session: 47;timeout=8",
        "Transport: RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001;ssrc=1",
    ];
    let said = player.hears("200 OK", &fields, "").expect("well");
    assert!(said.starts_with("PLAY rtsp://cam/x?channel=1 ") && said.contains("Session: 47\r\n"));
    player.hears("200 OK", &[], "").expect("well");
    let server = Some(Ports {
        rtp: 6000,
        rtcp: 6001,
    });
    let started = vec![Some((Transport::Udp(ports), server)), None];
    assert_eq!(player.events.last(), Some(&ClientEvent::Started(started)));
    assert!(!player.client.report(0, b"goes elsewhere"));
    // Of a session that lives eight seconds, every five one is too seldom only for a slow way.
    let at = player.client.poll_timeout().expect("a word is due");
    assert_eq!(at, player.now + Duration::from_secs(5));
    player.client.handle_timeout(at).expect("it is said");
    assert!(player.said().starts_with("OPTIONS "));
    // Whether that is answered matters less than whether media comes.
    let silent = player.client.poll_timeout().expect("an answer is due");
    player.client.handle_timeout(silent).expect("it goes on");
    let lost = player.hears("454 Session Not Found", &[], "");
    assert_eq!(lost, Ok(String::new()), "to nothing that was asked");
}

#[test]
fn what_a_server_does_not_give_is_told() {
    let mut player = Player::described("rtsp://cam/x");
    player.choose(&[between(0), between(2)]);
    let result = player.hears("461 Unsupported Transport", &[], "");
    assert_eq!(result, Err(ClientError::Transport { udp: false }));

    let mut player = Player::described("rtsp://cam/x");
    player.choose(&[between(0), None]);
    let other = ["Session: 1", "Transport: RTP/AVP;unicast;client_port=1-2"];
    let result = player.hears("200 OK", &other, "");
    assert_eq!(result, Err(ClientError::Transport { udp: false }));

    let mut player = Player::described("rtsp://cam/x");
    player.choose(&[between(0), None]);
    let result = player.hears("200 OK", &[], "");
    assert!(
        matches!(result, Err(ClientError::Nonsense(Error::Malformed(_)))),
        "{result:?}"
    );

    let mut player = Player::described("rtsp://cam/x");
    let nothing = player.client.choose(&[None, None], player.now);
    assert_eq!(nothing, Err(ClientError::Nothing));

    let mut player = Player::described("rtsp://cam/x");
    player.choose(&[between(0), None]);
    let silent = player.now + Duration::from_secs(10);
    let result = player.client.handle_timeout(silent);
    assert_eq!(result, Err(ClientError::Silent("SETUP")));

    for (status, words) in [
        ("302 Moved", "another address"),
        ("404 Not Found", "404 Not Found"),
    ] {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let mut player = Player::new("rtsp://cam/x", Instant::now());
        player.said();
        player.hears("200 OK", &[], "").expect("well");
        let error = player.hears(status, &[], "").expect_err(status);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn channels_and_addresses_are_the_servers() {
    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    let mut player = Player::new("rtsp://cam/x", Instant::now());
    player.said();
    player.hears("200 OK", &[], "").expect("well");
    let description = ANNOUNCED.replace("t=0 0\r\n", "t=0 0\r\na=control:rtsp://cam/all\r\n");
    let base = ["Content-Base: rtsp://cam/media.sdp/"];
    player.hears("200 OK", &base, &description).expect("well");
    let said = player.choose(&[None, between(0)]);
    assert!(
        said.starts_with("SETUP rtsp://cam/media.sdp/streamid=1 "),
        "{said}"
    );
    let fields = ["Session: 1", "Transport: RTP/AVP/TCP;interleaved=8-9"];
    let said = player.hears("200 OK", &fields, "").expect("well");
    assert!(said.starts_with("PLAY rtsp://cam/all "), "{said}");
    // Media may come before the answer, beside questions of the server.
    let early = b"$\x09\0\x01rOPTIONS * RTSP/1.0\r\nCSeq: 3\r\n\r\n$\x07\0\x01x";
    player.client.handle_input(early, player.now).expect("well");
    assert!(player.said().starts_with("RTSP/1.0 200 OK\r\nCSeq: 3\r\n"));
    let packet = ClientEvent::Packet {
        track: 1,
        report: true,
        data: b"r".to_vec(),
    };
    assert_eq!(player.events.last(), Some(&packet));
}
