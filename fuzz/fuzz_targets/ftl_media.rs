//! Datagrams of an FTL client: pings, reports, RTP in any order.
//!
//! Steps: milliseconds that pass before, then a datagram behind two bytes of length.
#![cfg_attr(fuzzing, no_main)]

use std::time::{Duration, Instant};

use inver_fuzz::Input;
use inver_media::{Codec, Kind};
use inver_protocols::ftl::{Attributes, Media, Reaction, Stream};

inver_fuzz::target!(run);

/// Longest datagram that asks for packets.
const NACK: usize = 1500;

/// Packets that are asked for and given up behind the last datagram; more is no end.
const TIMEOUTS: usize = 10_000;

fn run(data: &[u8]) {
    let stream = |codec, payload_type, ssrc| {
        Some(Stream {
            codec,
            payload_type,
            ssrc,
        })
    };
    let attributes = Attributes {
        video: stream(Codec::H264, 96, 1235),
        audio: stream(Codec::Opus, 97, 1234),
        ..Attributes::default()
    };
    let mut input = Input::new(data);
    let mut now = Instant::now();
    let mut media = Media::new(&attributes, now);
    let mut out = Out::default();
    while !input.is_empty() {
        now += Duration::from_millis(u64::from(input.byte()));
        media.handle_timeout(now);
        out.drain(&mut media);
        let datagram = input.block();
        match media.receive(datagram, now) {
            Reaction::Echo => assert!(datagram.len() <= 64, "an echo that carries data"),
            Reaction::Media => out.given += datagram.len(),
            Reaction::Clock(kind, report) => {
                let ssrc = if kind == Kind::Video { 1235 } else { 1234 };
                assert_eq!(report.ssrc, ssrc);
            }
            Reaction::Ignore => {}
        }
        out.drain(&mut media);
    }
    let mut timeouts = 0;
    while let Some(at) = media.poll_timeout() {
        timeouts += 1;
        assert!(timeouts < TIMEOUTS, "packets wait for ever");
        now = now.max(at);
        media.handle_timeout(now);
        out.drain(&mut media);
    }
    for (kind, came) in [(Kind::Video, out.came[0]), (Kind::Audio, out.came[1])] {
        let counters = media.counters(kind).expect("it has the stream");
        assert!(
            came <= counters.received + counters.recovered,
            "{counters:?}"
        );
    }
}

#[derive(Default)]
struct Out {
    last: [Option<u64>; 2],
    came: [u64; 2],
    given: usize,
    taken: usize,
}

impl Out {
    fn drain(&mut self, media: &mut Media) {
        while let Some((kind, packet)) = media.poll_packet() {
            let lane = usize::from(kind == Kind::Audio);
            let last = self.last[lane].replace(packet.sequence);
            assert!(
                last.is_none_or(|last| last < packet.sequence),
                "{last:?} before {}",
                packet.sequence
            );
            self.came[lane] += 1;
            self.taken += packet.payload.len();
            assert!(self.taken <= self.given, "media from nowhere");
        }
        while let Some(nack) = media.poll_nack() {
            assert!(
                nack.len() <= NACK && nack.len() % 4 == 0,
                "{} bytes",
                nack.len()
            );
            let words = usize::from(u16::from_be_bytes([nack[2], nack[3]]));
            assert_eq!(
                (nack[0] >> 6, nack[1], (words + 1) * 4),
                (2, 205, nack.len())
            );
        }
    }
}
