//! A whole session: a client sends pictures and sound over a line that loses, doubles and
//! reorders datagrams, and sends again what it is asked for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use inver_media::codec::nal::push_length_prefixed;
use inver_media::payload::{Depacketized, Depacketizer, MAX_PAYLOAD, Packetizer, PayloadPacket};
use inver_media::{Codec, Config, Frame, Kind, MediaTime};

use super::super::*;

const SPS: [u8; 26] = [
    0x67, 0x64, 0x00, 0x0d, 0xac, 0xd9, 0x41, 0x41, 0x9f, 0x9f, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00,
    0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x42, 0x99, 0x60,
];
const PPS: [u8; 6] = [0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
const VIDEO: u32 = 1235;
const AUDIO: u32 = 1234;

fn attributes() -> Attributes {
    Attributes {
        video: Some(Stream {
            codec: Codec::H264,
            payload_type: 96,
            ssrc: VIDEO,
        }),
        audio: Some(Stream {
            codec: Codec::Opus,
            payload_type: 97,
            ssrc: AUDIO,
        }),
        ..Attributes::default()
    }
}

fn rtp(ssrc: u32, sequence: u16, timestamp: u32, marker: bool, payload: &[u8]) -> Vec<u8> {
    let payload_type = if ssrc == VIDEO { 96 } else { 97 };
    let mut out = vec![0x80, u8::from(marker) << 7 | payload_type];
    out.extend_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(&timestamp.to_be_bytes());
    out.extend_from_slice(&ssrc.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

fn origin() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to begin at"
    )]
    Instant::now()
}

/// Datagrams on their way, by arrival; each takes half a round trip.
struct Line {
    random: fastrand::Rng,
    loss: f64,
    in_flight: BTreeMap<(Instant, u64), Vec<u8>>,
    count: u64,
}

impl Line {
    fn new(seed: u64, loss: f64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            loss,
            in_flight: BTreeMap::new(),
            count: 0,
        }
    }

    fn send(&mut self, datagram: Vec<u8>, now: Instant) {
        if self.random.f64() < self.loss {
            return;
        }
        let copies = if self.random.u8(..100) == 0 { 2 } else { 1 };
        for _ in 0..copies {
            let delay = Duration::from_millis(20 + self.random.u64(..5));
            self.count += 1;
            self.in_flight
                .insert((now + delay, self.count), datagram.clone());
        }
    }

    fn next(&self) -> Option<Instant> {
        self.in_flight.first_key_value().map(|((at, _), _)| *at)
    }

    fn take(&mut self, now: Instant) -> Option<Vec<u8>> {
        let at = self.next()?;
        (at <= now)
            .then(|| self.in_flight.pop_first())?
            .map(|(_, datagram)| datagram)
    }
}

struct Outcome {
    sent: Vec<Arc<[u8]>>,
    frames: Vec<inver_media::payload::Unit>,
    damaged: usize,
    sounds: usize,
    sounds_sent: usize,
    counters: Counters,
    /// The longest that a packet was held back.
    held: Duration,
}

fn run(seed: u64, loss: f64) -> Outcome {
    let begin = origin();
    let mut now = begin;
    let mut media = Media::new(&attributes(), now);
    let (mut up, mut down) = (Line::new(seed, loss), Line::new(seed + 1, loss));
    let mut random = fastrand::Rng::with_seed(seed + 2);
    let config = Arc::new(Config::H264 {
        sps: vec![SPS.to_vec()],
        pps: vec![PPS.to_vec()],
    });
    let mut packetizer = Packetizer::new(Codec::H264, MAX_PAYLOAD, 0);
    let mut depacketizer = Depacketizer::new(Codec::H264);
    let mut history: HashMap<u16, Vec<u8>> = HashMap::new();
    // Near the end of the range, so that numbers and timestamps wrap soon.
    let (mut sequence, mut timestamp) = (65_000_u16, u32::MAX - 90_000);
    let mut sound = 0_u16;
    let mut outcome = Outcome {
        sent: Vec::new(),
        frames: Vec::new(),
        damaged: 0,
        sounds: 0,
        sounds_sent: 0,
        counters: Counters::default(),
        held: Duration::ZERO,
    };
    let end = begin + Duration::from_secs(20);
    let (mut next_frame, mut next_sound) = (now, now);
    while now < end + Duration::from_secs(1) {
        while next_frame <= now && next_frame < end {
            let keyframe = outcome.sent.len().is_multiple_of(50);
            let mut nal = if keyframe {
                vec![0x65, 0x88, 0x84]
            } else {
                vec![0x41, 0x9a, 0x23]
            };
            for _ in 0..random.usize(100..12_000) {
                nal.push(random.u8(..));
            }
            let mut data = Vec::new();
            push_length_prefixed(&mut data, &nal);
            let frame = Frame {
                config: config.clone(),
                pts: MediaTime::ZERO,
                dts: MediaTime::ZERO,
                keyframe,
                data: Arc::from(data),
            };
            let mut payloads = Vec::new();
            packetizer
                .packetize(&frame, &mut payloads)
                .expect("a good frame");
            for payload in payloads {
                let packet = rtp(VIDEO, sequence, timestamp, payload.marker, &payload.bytes);
                history.insert(sequence, packet.clone());
                up.send(packet, now);
                sequence = sequence.wrapping_add(1);
            }
            outcome.sent.push(frame.data);
            timestamp = timestamp.wrapping_add(3600);
            next_frame += Duration::from_millis(40);
        }
        while next_sound <= now && next_sound < end {
            up.send(
                rtp(AUDIO, sound, u32::from(sound) * 960, false, &[0xfc, 1, 2]),
                now,
            );
            sound = sound.wrapping_add(1);
            outcome.sounds_sent += 1;
            next_sound += Duration::from_millis(20);
        }
        while let Some(datagram) = up.take(now) {
            assert_eq!(media.receive(&datagram, now), Reaction::Media);
        }
        media.handle_timeout(now);
        while let Some(nack) = media.poll_nack() {
            down.send(nack, now);
        }
        while let Some((kind, packet)) = media.poll_packet() {
            outcome.held = outcome.held.max(now - packet.arrival);
            if kind == Kind::Audio {
                outcome.sounds += 1;
                continue;
            }
            let mut out = Vec::new();
            let packet = PayloadPacket {
                payload: &packet.payload,
                marker: packet.marker,
                timestamp: packet.timestamp,
                gap: packet.gap,
            };
            depacketizer.push(packet, &mut out);
            for event in out {
                match event {
                    Depacketized::Frame(unit) => outcome.frames.push(unit),
                    Depacketized::Damaged { .. } => outcome.damaged += 1,
                }
            }
        }
        while let Some(nack) = down.take(now) {
            let [0x81, 205, 0, 3, rest @ ..] = nack.as_slice() else {
                panic!("no generic NACK: {nack:?}");
            };
            assert_eq!(
                rest[..8],
                [VIDEO.to_be_bytes(), VIDEO.to_be_bytes()].concat()
            );
            let first = u16::from_be_bytes([rest[8], rest[9]]);
            let mask = u16::from_be_bytes([rest[10], rest[11]]);
            for offset in 0..17 {
                if offset == 0 || mask >> (offset - 1) & 1 == 1 {
                    let asked = first.wrapping_add(offset);
                    let packet = history
                        .get(&asked)
                        .expect("only what was sent is asked for");
                    up.send(packet.clone(), now);
                }
            }
        }
        now = [up.next(), down.next(), media.poll_timeout()]
            .into_iter()
            .flatten()
            .chain((next_frame < end).then_some(next_frame))
            .chain((next_sound < end).then_some(next_sound))
            .min()
            .unwrap_or(end + Duration::from_secs(1))
            .max(now + Duration::from_micros(1));
    }
    outcome.counters = media.counters(Kind::Video).expect("there is a picture");
    outcome
}

#[test]
fn without_loss_everything_arrives_at_once_but_for_overtaking() {
    let outcome = run(1, 0.0);
    assert_eq!(outcome.damaged, 0);
    assert!(
        outcome
            .frames
            .iter()
            .map(|unit| &unit.data)
            .eq(&outcome.sent)
    );
    // What comes a few milliseconds late is neither lost nor asked for.
    assert_eq!((outcome.counters.lost, outcome.counters.asked), (0, 0));
    assert!(
        outcome.held <= Duration::from_millis(10),
        "{:?}",
        outcome.held
    );
    let steps = outcome.frames.windows(2);
    assert!(
        steps
            .into_iter()
            .all(|pair| pair[1].timestamp == pair[0].timestamp + 3600)
    );
    // Sound before the first picture does not count.
    assert!(outcome.sounds + 3 >= outcome.sounds_sent);
}

#[test]
fn lost_packets_are_recovered_under_their_own_numbers() {
    for (seed, loss) in [(11, 0.01), (12, 0.05), (13, 0.1)] {
        let outcome = run(seed, loss);
        assert_eq!(outcome.damaged, 0, "{loss}");
        assert_eq!(outcome.frames.len(), outcome.sent.len(), "{loss}");
        assert!(
            outcome
                .frames
                .iter()
                .map(|unit| &unit.data)
                .eq(&outcome.sent)
        );
        assert!(outcome.frames.iter().all(|unit| unit.decodable));
        assert_eq!(outcome.counters.lost, 0);
        assert!(outcome.counters.recovered > 10);
        assert!(outcome.held < Settings::VIDEO.patience);
        // Sound is not asked for; what is lost stays lost, and no more.
        let kept = outcome.sounds as f64 / outcome.sounds_sent as f64;
        assert!(
            (kept - (1.0 - loss)).abs() < 0.03,
            "{kept} of the sound at {loss}"
        );
    }
}

#[test]
fn a_line_that_loses_most_gives_up_in_time() {
    let outcome = run(14, 0.6);
    assert!(outcome.counters.lost > 0);
    assert!(outcome.damaged > 0);
    assert!(outcome.held <= Settings::VIDEO.patience + Duration::from_millis(1));
    for unit in outcome.frames.iter().filter(|unit| unit.decodable) {
        assert!(outcome.sent.contains(&unit.data));
    }
}

fn video(media: &mut Media, sequence: u16, now: Instant) -> Reaction {
    media.receive(&rtp(VIDEO, sequence, 0, true, &[0x41, 0x9a]), now)
}

fn sequences(media: &mut Media) -> Vec<(u64, bool)> {
    std::iter::from_fn(|| media.poll_packet())
        .map(|(_, packet)| (packet.sequence & 0xffff, packet.gap))
        .collect()
}

#[test]
fn a_request_names_sixteen_packets_behind_the_first() {
    let now = origin();
    let mut media = Media::new(&attributes(), now);
    for sequence in [10, 11, 40] {
        video(&mut media, sequence, now);
    }
    assert_eq!(media.poll_nack(), None);
    let due = media.poll_timeout().expect("a request is due");
    media.handle_timeout(due);
    let entries: Vec<Vec<u8>> = std::iter::from_fn(|| media.poll_nack())
        .map(|nack| nack[12..].to_vec())
        .collect();
    // 12 to 28, then 29 to 39.
    assert_eq!(entries, [vec![0, 12, 0xff, 0xff], vec![0, 29, 0x03, 0xff]]);
    media.handle_timeout(due);
    assert_eq!(media.poll_nack(), None);
    assert_eq!(sequences(&mut media), [(10, false), (11, false)]);
    media.handle_timeout(now + Settings::VIDEO.patience);
    assert_eq!(sequences(&mut media), [(40, true)]);
    assert_eq!(media.poll_timeout(), None);
    assert_eq!(
        media.counters(Kind::Video).map(|counters| counters.lost),
        Some(28)
    );
}

#[test]
fn the_first_packets_may_overtake_each_other() {
    let now = origin();
    let mut media = Media::new(&attributes(), now);
    for sequence in [3, 1, 0, 2, 5] {
        video(&mut media, sequence, now);
    }
    assert_eq!(sequences(&mut media), []);
    assert_eq!(media.poll_timeout(), Some(now + Duration::from_millis(10)));
    media.handle_timeout(now + Duration::from_millis(10));
    let expected = [(0, false), (1, false), (2, false), (3, false)];
    assert_eq!(sequences(&mut media), expected);
    assert!(
        media
            .poll_nack()
            .is_some_and(|nack| nack[12..] == [0, 4, 0, 0])
    );
}

#[test]
fn a_stray_number_changes_nothing_and_a_restart_is_followed() {
    let now = origin();
    let mut media = Media::new(&attributes(), now);
    for sequence in [100, 101, 30_000, 102, 50_000, 103] {
        video(&mut media, sequence, now);
    }
    let now = now + Duration::from_millis(10);
    media.handle_timeout(now);
    let expected = [(100, false), (101, false), (102, false), (103, false)];
    assert_eq!(sequences(&mut media), expected);
    // The first packet of a restart proves nothing yet and is lost.
    for sequence in [40_000, 40_001, 40_002] {
        video(&mut media, sequence, now);
    }
    assert_eq!(sequences(&mut media), [(40_001, true), (40_002, false)]);
}

#[test]
fn what_waits_is_bounded() {
    let now = origin();
    let mut media = Media::new(&attributes(), now);
    let mut random = fastrand::Rng::with_seed(9);
    let mut out = 0_usize;
    let mut last = None;
    video(&mut media, 0, now);
    for step in 0..60_000_u32 {
        // Every other packet is missing, and time stands still.
        video(&mut media, (step * 2) as u16, now);
        if random.u8(..50) == 0 {
            video(&mut media, random.u16(..), now);
        }
        while let Some((_, packet)) = media.poll_packet() {
            assert!(
                last.is_none_or(|last| last < packet.sequence),
                "out of order"
            );
            last = Some(packet.sequence);
            out += 1;
        }
    }
    assert!(60_000 - out < 1100, "{out}");
    assert!(
        media
            .counters(Kind::Video)
            .is_some_and(|counters| counters.lost > 58_000)
    );
}

#[test]
fn others_packets_are_ignored_and_sound_waits_for_the_first_picture() {
    let now = origin();
    let mut media = Media::new(&attributes(), now);
    let sound = rtp(AUDIO, 1, 960, false, &[0xfc]);
    let later = now + Duration::from_secs(5);
    assert_eq!(media.receive(&sound, later), Reaction::Ignore);
    assert_eq!(media.silent_at(), now + Duration::from_secs(15));
    assert_eq!(video(&mut media, 5, later), Reaction::Media);
    assert_eq!(media.receive(&sound, later), Reaction::Media);
    assert_eq!(media.silent_at(), later + Duration::from_secs(15));
    assert_eq!(
        media.receive(&rtp(77, 1, 0, true, &[1]), later),
        Reaction::Ignore
    );
    let mut ping = vec![0x81, 250];
    ping.resize(24, 0);
    assert_eq!(media.receive(&ping, later), Reaction::Echo);
    let mut report = vec![0x80, 200, 0, 6];
    report.extend_from_slice(&AUDIO.to_be_bytes());
    report.resize(28, 1);
    assert!(matches!(
        media.receive(&report, later),
        Reaction::Clock(Kind::Audio, SenderReport { ssrc: AUDIO, .. })
    ));
}
