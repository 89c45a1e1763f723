//! Packets of changing layers, codecs and publishers on their way to one viewer.
//!
//! The viewer must never get two packets with one sequence number, or its decryption breaks
//! (RFC 3711, 9.1: one number, one keystream).
#![cfg_attr(fuzzing, no_main)]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use inver_fuzz::Input;
use inver_media::codec::inspect;
use inver_media::{Codec, Extensions, Format, Kind, Packet};
use inver_rtc::Layer;
use inver_sfu::{Batch, DownTrack, Limits, Routed, Router};

inver_fuzz::target!(run);

const VIDEO: [Codec; 5] = [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1, Codec::H265];

const RIDS: [&str; 3] = ["l", "m", "h"];

struct Layers {
    sequence: [u64; 3],
    timestamp: [u64; 3],
    /// Numbers that came in: the engine hands no packet out twice.
    seen: HashSet<(u8, u64)>,
}

impl Layers {
    fn new(start: u16) -> Self {
        Self {
            sequence: [1, 2, 3].map(|factor| u64::from(start) * factor),
            timestamp: [1, 2, 3].map(|factor| u64::from(start) * factor * 1000),
            seen: HashSet::new(),
        }
    }
}

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let kind = if choice & 1 == 0 {
        Kind::Video
    } else {
        Kind::Audio
    };
    let rids = || {
        let count = if choice & 2 == 0 { 3 } else { 0 };
        RIDS[..count].iter().map(ToString::to_string).collect()
    };
    let router = |epoch| Router::new(epoch, Some(Vec::new()), Some(rids()));
    let mut now = Instant::now();
    let mut epoch = 1;
    let mut source = router(epoch);
    let mut layers = Layers::new(input.short());
    let mut codec = if kind == Kind::Audio {
        Codec::Opus
    } else {
        VIDEO[usize::from(choice >> 2) % VIDEO.len()]
    };
    let mut track = DownTrack::new(kind, u64::from(input.short()));
    let mut sent = HashSet::new();
    track.review(&source, now);
    while !input.is_empty() {
        match input.byte() {
            0 => {
                epoch += 1;
                source = router(epoch);
                layers = Layers::new(input.short());
                track.detach();
                track.review(&source, now);
            }
            1 => {
                track.set_limits(limits(&mut input));
                track.review(&source, now);
            }
            2 => {
                now += Duration::from_millis(u64::from(input.short()));
                source.review(now, &mut Vec::new());
                track.review(&source, now);
            }
            3 if kind == Kind::Video => {
                codec = VIDEO[usize::from(input.byte()) % VIDEO.len()];
            }
            step => {
                let routed = packet(&mut input, step, (kind, codec, now), &mut layers);
                let number = (routed.layer.0, routed.packet.sequence);
                if !layers.seen.insert(number) {
                    continue;
                }
                now += Duration::from_millis(u64::from(step >> 6));
                let batch = Batch {
                    epoch,
                    packets: vec![routed.clone()],
                };
                let mut moments = Vec::new();
                source.observe(&batch, &mut moments, &mut Vec::new());
                let moment = moments.first().copied().unwrap_or(now);
                if let Some(forwarded) = track.forward(&routed, moment) {
                    assert!(
                        sent.insert(forwarded.sequence),
                        "{} was sent twice",
                        forwarded.sequence
                    );
                    assert_eq!(forwarded.payload.len(), routed.packet.payload.len());
                }
            }
        }
    }
}

fn limits(input: &mut Input<'_>) -> Limits {
    let given = input.byte();
    let mut some = |bit: u8| (given & bit != 0).then(|| input.byte());
    Limits {
        rid: some(1).map(|at| RIDS[usize::from(at) % RIDS.len()].to_owned()),
        spatial: some(2).map(|layer| layer & 7),
        temporal: some(4).map(|layer| layer & 7),
        size: (
            some(8).map(|size| u32::from(size) * 16),
            some(16).map(|size| u32::from(size) * 16),
        ),
        bitrate: some(32).map(|rate| u64::from(rate) * 1000),
        estimate: some(64).map(|rate| u64::from(rate) * 1000),
    }
}

/// The next packet of a layer: `step` says which, and how far it lies from the one before.
fn packet(
    input: &mut Input<'_>,
    step: u8,
    (kind, codec, now): (Kind, Codec, Instant),
    layers: &mut Layers,
) -> Routed {
    let layer = match kind {
        Kind::Video => step & 3,
        Kind::Audio => 0,
    }
    .min(2);
    let index = usize::from(layer);
    // Mostly the next one, sometimes a late one or one after a loss.
    let distance = match (step >> 2) & 7 {
        0 => -3,
        1 => -1,
        2 => 2,
        3 => 40,
        _ => 1,
    };
    layers.sequence[index] = layers.sequence[index].saturating_add_signed(distance);
    if step & 0x20 != 0 {
        layers.timestamp[index] += u64::from(input.byte()) * 90;
    }
    let payload = input.block();
    Routed {
        kind,
        layer: Layer(layer),
        packet: Packet {
            payload: payload.into(),
            sequence: layers.sequence[index],
            timestamp: layers.timestamp[index],
            marker: step & 0x20 != 0,
            arrival: now,
            format: Format::new(codec),
            info: inspect(codec, payload),
            extensions: Extensions::default(),
            clock: None,
        },
    }
}
