//! A connection that only sends, against a whole client: loss is repaired, reports put sound and
//! picture in step, requests come back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use inver_media::{Codec, Extensions, Format, Kind};
use inver_rtc::{
    Burst, Candidate, Direction, Event, Layer, Offer, OfferedMedia, Output, PeerConnection,
    Received, Settings, Statistics, TrackId, Transport, Write,
};

const AUDIO: TrackId = TrackId(0);
const VIDEO: TrackId = TrackId(1);

/// One way of a datagram.
const DELAY: Duration = Duration::from_millis(10);

struct World {
    server: PeerConnection,
    client: PeerConnection,
    now: Instant,
    wakes: [Instant; 2],
    /// Datagrams under way: when they arrive, whether at the client.
    flying: Vec<(Instant, bool, Vec<u8>)>,
    /// Of so many media datagrams to the client one is lost; 0: none.
    lose_every: u32,
    sent: u32,
    received: Vec<Received>,
    events: Vec<Event>,
    connected: bool,
    burst: Burst,
}

fn server() -> SocketAddr {
    ([192, 0, 2, 1], 7000).into()
}

fn client() -> SocketAddr {
    ([192, 0, 2, 2], 5000).into()
}

fn settings(lite: bool, now: Instant) -> Settings {
    Settings {
        lite,
        codecs: vec![Codec::Opus, Codec::Vp8],
        sends_only: lite,
        wallclock: (now, SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)),
        estimate: None,
        transport_feedback: false,
        candidates: vec![Candidate {
            transport: Transport::Udp,
            addr: if lite { server() } else { client() },
        }],
    }
}

impl World {
    fn connected() -> Self {
        #[expect(clippy::disallowed_methods, reason = "a base for virtual time")]
        let now = Instant::now();
        let media = [Kind::Audio, Kind::Video].map(|kind| OfferedMedia {
            kind,
            direction: Direction::Receive,
        });
        let (mut client, offer, pending) =
            PeerConnection::offer(&settings(false, now), &media, None, now).expect("an offer");
        let offer = Offer::parse(&offer, true).expect("our own offer");
        let (server, answer) =
            PeerConnection::answer(&settings(true, now), offer, now).expect("an answer");
        client.accept_answer(pending, &answer).expect("fits");
        let mut world = Self {
            server,
            client,
            now,
            wakes: [now; 2],
            flying: Vec::new(),
            lose_every: 0,
            sent: 0,
            received: Vec::new(),
            events: Vec::new(),
            connected: false,
            burst: Burst::default(),
        };
        for _ in 0..1000 {
            world.pass(Duration::from_millis(5));
            if world.connected && world.server.destination().is_some() {
                return world;
            }
        }
        panic!("no connection");
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(1);
            let now = self.now;
            let (due, flying) = std::mem::take(&mut self.flying)
                .into_iter()
                .partition(|(at, ..)| *at <= now);
            self.flying = flying;
            let due: Vec<(Instant, bool, Vec<u8>)> = due;
            for (_, to_client, datagram) in due {
                let (end, from) = if to_client {
                    (&mut self.client, server())
                } else {
                    (&mut self.server, client())
                };
                end.handle_datagram(Transport::Udp, from, &datagram, now)
                    .expect("sound");
                self.drain();
            }
            if self.wakes[0] <= now {
                self.server.handle_timeout(now).expect("alive");
            }
            if self.wakes[1] <= now {
                self.client.handle_timeout(now).expect("alive");
            }
            self.drain();
        }
    }

    fn drain(&mut self) {
        loop {
            match self.server.poll_output(self.now).expect("alive") {
                Output::Timeout(at) => break self.wakes[0] = at,
                Output::Transmit(transmit) => self.fly(true, transmit.contents),
                Output::Event(event) => self.events.push(event),
            }
        }
        loop {
            match self.client.poll_output(self.now).expect("alive") {
                Output::Timeout(at) => break self.wakes[1] = at,
                Output::Transmit(transmit) => self.fly(false, transmit.contents),
                Output::Event(Event::Connected) => self.connected = true,
                Output::Event(Event::Received(received)) => self.received.push(received),
                Output::Event(_) => {}
            }
        }
    }

    fn fly(&mut self, to_client: bool, datagram: Vec<u8>) {
        let media = matches!(datagram.first(), Some(128..=191))
            && !matches!(datagram.get(1), Some(192..=223));
        if to_client && media {
            self.sent += 1;
            if self.lose_every > 0 && self.sent.is_multiple_of(self.lose_every) {
                return;
            }
        }
        self.flying.push((self.now + DELAY, to_client, datagram));
    }

    /// Sends one packet of each track; gives their payloads' first bytes.
    fn send(&mut self, sequence: u64, padding: u8) {
        for (track, codec, rate) in [(AUDIO, Codec::Opus, 48), (VIDEO, Codec::Vp8, 90)] {
            let payload_type = self
                .server
                .payload_type(track, &Format::new(codec))
                .expect("negotiated");
            let mut payload = vec![0x90, 0x80, 1, 0];
            payload.extend_from_slice(&sequence.to_be_bytes());
            let write = Write {
                payload_type,
                sequence: 65_400 + sequence,
                timestamp: sequence as u32 * 20 * rate,
                wallclock: self.now,
                marker: true,
                nackable: track == VIDEO,
                payload: Arc::from(payload),
                padding: if track == VIDEO { padding } else { 0 },
                extensions: Extensions {
                    rotation: (track == VIDEO).then_some(1),
                    ..Extensions::default()
                },
            };
            self.server
                .write_to(&mut self.burst, track, write, self.now);
        }
        self.server.finish_burst(&mut self.burst, self.now);
        let burst = std::mem::take(&mut self.burst);
        for datagram in burst.datagrams() {
            self.fly(true, datagram.to_vec());
        }
        self.pass(Duration::from_millis(20));
    }

    fn numbers(&self, track: TrackId) -> Vec<u64> {
        let received = self.received.iter().filter(|r| r.track == track);
        let mut numbers: Vec<u64> = received
            .map(|r| u64::from_be_bytes(r.payload[4..12].try_into().expect("eight bytes")))
            .collect();
        numbers.sort_unstable();
        numbers
    }
}

#[test]
fn lost_pictures_are_sent_again_and_every_payload_is_whole() {
    let mut world = World::connected();
    world.lose_every = 7;
    for sequence in 0..400 {
        world.send(sequence, (sequence % 5) as u8);
    }
    world.lose_every = 0;
    world.send(400, 0);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.numbers(VIDEO), (0..=400).collect::<Vec<_>>());
    let heard = world.numbers(AUDIO).len();
    assert!(
        (300..400).contains(&heard),
        "sound is not sent again: {heard}"
    );
    assert!(
        world.received.iter().all(|r| r.payload.len() == 12),
        "padding is not payload"
    );
    let turned = world
        .received
        .iter()
        .filter(|r| r.track == VIDEO)
        .all(|r| r.extensions.rotation == Some(1));
    assert!(turned, "repaired packets keep what a player needs");
    let nacks = world.events.iter().rev().find_map(|event| match event {
        Event::Statistics(Statistics::Sent(VIDEO, sent)) => Some(sent.nacks),
        _ => None,
    });
    assert!(nacks.expect("reports came") > 50, "{nacks:?}");
}

#[test]
fn reports_put_both_tracks_on_one_clock() {
    let mut world = World::connected();
    for sequence in 0..100 {
        world.send(sequence, 0);
    }
    let moment = |track: TrackId, rate: f64| {
        let last = world
            .received
            .iter()
            .rfind(|r| r.track == track)
            .expect("received");
        let clock = last.clock.expect("a report came");
        let ahead = (last.timestamp as f64 - clock.rtp as f64) / rate;
        let since = clock
            .ntp
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("after the epoch");
        since.as_secs_f64() + ahead
    };
    let apart = moment(AUDIO, 48_000.0) - moment(VIDEO, 90_000.0);
    assert!(apart.abs() < 0.001, "{apart}");
    let round_trip = world.events.iter().find_map(|event| match event {
        Event::Statistics(Statistics::Sent(_, sent)) => sent.round_trip,
        _ => None,
    });
    let round_trip = round_trip.expect("measured");
    assert!(
        round_trip.abs_diff(DELAY * 2) < Duration::from_millis(5),
        "{round_trip:?}"
    );
}

#[test]
fn a_request_for_a_keyframe_comes_back() {
    let mut world = World::connected();
    world.send(0, 0);
    world.client.request_keyframe(VIDEO, Some(Layer(0)));
    world.wakes[1] = world.now;
    world.pass(Duration::from_millis(100));
    let asked = world
        .events
        .iter()
        .filter(|event| matches!(event, Event::KeyframeRequested(VIDEO)));
    assert_eq!(asked.count(), 1);
}

#[test]
fn forged_reports_change_nothing() {
    let mut world = World::connected();
    world.send(0, 0);
    let before = world.events.len();
    for kind in 192..=223 {
        let mut datagram = vec![0x81, kind, 0, 7];
        datagram.resize(64, kind);
        world
            .server
            .handle_datagram(Transport::Udp, client(), &datagram, world.now)
            .expect("passed over");
    }
    world.drain();
    assert_eq!(world.events.len(), before);
}
