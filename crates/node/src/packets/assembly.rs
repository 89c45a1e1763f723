//! One publication's packets into frames with times.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use inver_media::payload::{Depacketized, Depacketizer, PayloadPacket, Unit};
use inver_media::{Codec, Frame, Kind, MediaTime, Packet};
use inver_rtc::Layer;
use inver_shard::{Batch, Routed};

use super::clock::{StreamClock, Tie, moment};
use super::order::Order;

/// Layers that one publisher sends at most.
const MOST_LAYERS: u8 = 8;

/// A layer without packets for this long does not count: the publisher paused it.
const ACTIVE_WITHIN: Duration = Duration::from_secs(2);

/// No packets at all for this long: the publisher is gone, or will say so soon.
const IDLE_AFTER: Duration = Duration::from_secs(2);

/// How often a keyframe that does not come is asked for.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// A frame whose time would not be after the last one's comes this much after it. More brings
/// sound and picture together later after the first report, less bunches frames.
const LEAST_STEP: i64 = 1_000_000;

/// What becomes of packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Made {
    /// A picture; layer 0 is the best.
    Video(u8, Frame),
    /// A piece of sound.
    Audio(Frame),
    /// Pictures of the best layer are missing here.
    Lost,
    /// Layers have other places from now on: the publisher's number of each, the best first.
    Layers(Vec<u8>),
    /// The publisher is gone or begins anew.
    Idle,
    /// Ask the publisher for a keyframe of this layer.
    WantKeyframe(Layer),
}

/// One stream: sound, or a layer of the picture.
#[derive(Debug)]
struct Lane {
    order: Order,
    clock: StreamClock,
    depacketizer: Depacketizer,
    last_packet: Instant,
    size: Option<(u32, u32)>,
    /// Pictures are held back until a keyframe comes.
    awaits_keyframe: bool,
    /// Pictures come out of order: none is given any more, since nobody can tell their times.
    reordered: bool,
    asked: Option<Instant>,
    /// The last frame's time.
    latest: Option<MediaTime>,
}

/// Puts one source's packets together. Time is an argument.
#[derive(Debug)]
pub(super) struct Assembly {
    origin: Instant,
    epoch: Option<u64>,
    tie: Tie,
    audio: Option<Lane>,
    video: BTreeMap<u8, Lane>,
    /// Numbers of the layers that are given, the best first.
    ranks: Vec<u8>,
    last_packet: Option<Instant>,
    /// Times of a new epoch begin after all that were given.
    floor: Option<MediaTime>,
    units: Vec<Depacketized>,
}

impl Assembly {
    /// Times count from `origin`.
    pub(super) fn new(origin: Instant) -> Self {
        Self {
            origin,
            epoch: None,
            tie: Tie::default(),
            audio: None,
            video: BTreeMap::new(),
            ranks: Vec::new(),
            last_packet: None,
            floor: None,
            units: Vec::new(),
        }
    }

    /// Takes what came.
    pub(super) fn push(&mut self, batch: &Batch, now: Instant, made: &mut Vec<Made>) {
        if self.epoch != Some(batch.epoch) {
            self.end(made);
            self.epoch = Some(batch.epoch);
        }
        for routed in &batch.packets {
            self.sort_in(routed);
        }
        self.advance(now, made);
    }

    /// Moves time forward.
    pub(super) fn handle_timeout(&mut self, now: Instant, made: &mut Vec<Made>) {
        self.advance(now, made);
        let silent = |at: Instant| now.saturating_duration_since(at) >= IDLE_AFTER;
        if self.last_packet.is_some_and(silent) {
            self.end(made);
        }
    }

    /// When to call [`Self::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let lanes = self.audio.iter().chain(self.video.values());
        let holes = lanes.filter_map(|lane| lane.order.poll_timeout());
        let idle = self.last_packet.map(|at| at + IDLE_AFTER);
        holes.chain(idle).min()
    }

    /// Forgets the publisher's session; the next one begins anew.
    fn end(&mut self, made: &mut Vec<Made>) {
        let lanes = self.audio.iter().chain(self.video.values());
        let latest = lanes.filter_map(|lane| lane.latest).max();
        self.floor = self.floor.max(latest);
        if self.last_packet.take().is_some() {
            made.extend([Made::Idle, Made::Layers(Vec::new())]);
        }
        self.audio = None;
        self.video.clear();
        self.ranks.clear();
        self.tie = Tie::default();
    }

    fn sort_in(&mut self, routed: &Routed) {
        let packet = &routed.packet;
        let codec = packet.format.codec;
        if codec.kind() != routed.kind || routed.layer.0 >= MOST_LAYERS {
            return;
        }
        let fresh = || Lane::new(codec, packet.arrival, self.floor);
        let lane = match routed.kind {
            Kind::Audio => self.audio.get_or_insert_with(fresh),
            Kind::Video => self.video.entry(routed.layer.0).or_insert_with(fresh),
        };
        self.last_packet = self.last_packet.max(Some(packet.arrival));
        lane.last_packet = lane.last_packet.max(packet.arrival);
        lane.size = packet.info.size.or(lane.size);
        let arrival = moment(self.origin, packet.arrival);
        lane.clock.observe(&mut self.tie, packet, arrival);
        lane.order.push(packet.clone());
    }

    fn advance(&mut self, now: Instant, made: &mut Vec<Made>) {
        self.rank(now, made);
        if let Some(lane) = &mut self.audio {
            while let Some((packet, gap)) = lane.order.pop(now) {
                lane.put_together(&packet, gap, &mut self.units);
                for unit in self.units.drain(..) {
                    if let Depacketized::Frame(unit) = unit {
                        made.push(Made::Audio(lane.frame(unit)));
                    }
                }
            }
        }
        for (&number, lane) in &mut self.video {
            let Some(rank) = self.ranks.iter().position(|ranked| *ranked == number) else {
                continue;
            };
            let rank = rank as u8;
            while let Some((packet, gap)) = lane.order.pop(now) {
                lane.put_together(&packet, gap, &mut self.units);
                for unit in self.units.drain(..) {
                    lane.give(unit, rank, made);
                }
            }
            let asked = lane.asked;
            let due = asked.is_none_or(|at| now.saturating_duration_since(at) >= ASK_AGAIN);
            if lane.awaits_keyframe && due {
                lane.asked = Some(now);
                made.push(Made::WantKeyframe(Layer(number)));
            }
        }
    }

    /// Finds out which layer is the best; all begin anew with a keyframe where places change.
    fn rank(&mut self, now: Instant, made: &mut Vec<Made>) {
        let flowing = |lane: &Lane| now.saturating_duration_since(lane.last_packet) < ACTIVE_WITHIN;
        // Where nothing flows, the places stay until it is known what comes.
        if !self.video.values().any(flowing) {
            return;
        }
        let area = |lane: &Lane| {
            let (width, height) = lane.size.unwrap_or_default();
            u64::from(width) * u64::from(height)
        };
        let active = self.video.iter().filter(|(_, lane)| flowing(lane));
        let mut ranks: Vec<(u64, u8)> =
            active.map(|(&number, lane)| (area(lane), number)).collect();
        ranks.sort_by_key(|&(area, number)| (std::cmp::Reverse(area), number));
        let ranks: Vec<u8> = ranks.into_iter().map(|(_, number)| number).collect();
        if ranks == self.ranks {
            return;
        }
        self.video.retain(|_, lane| flowing(lane));
        // A smaller layer that joins or leaves at the end moves nobody.
        let moved = self.ranks.iter().zip(&ranks).any(|(old, new)| old != new);
        self.ranks.clone_from(&ranks);
        made.push(Made::Layers(ranks));
        if !moved {
            return;
        }
        made.push(Made::Lost);
        for lane in self.video.values_mut() {
            lane.awaits_keyframe = true;
        }
    }
}

impl Lane {
    fn new(codec: Codec, now: Instant, floor: Option<MediaTime>) -> Self {
        Self {
            order: Order::default(),
            clock: StreamClock::default(),
            depacketizer: Depacketizer::new(codec),
            last_packet: now,
            size: None,
            awaits_keyframe: true,
            reordered: false,
            asked: None,
            latest: floor,
        }
    }

    fn put_together(&mut self, packet: &Packet, gap: bool, units: &mut Vec<Depacketized>) {
        if packet.format.codec != self.depacketizer.codec() {
            self.depacketizer = Depacketizer::new(packet.format.codec);
        }
        if packet.payload.is_empty() {
            // Padding; it has its number only.
            return;
        }
        let packet = PayloadPacket {
            payload: &packet.payload,
            marker: packet.marker,
            timestamp: packet.timestamp,
            gap,
        };
        self.depacketizer.push(packet, units);
    }

    /// Gives a picture if it can be decoded.
    fn give(&mut self, unit: Depacketized, rank: u8, made: &mut Vec<Made>) {
        let unit = match unit {
            // It would need times of decoding, which RTP does not carry.
            Depacketized::Frame(unit) if unit.reordered || self.reordered => {
                if !self.reordered && rank == 0 {
                    made.push(Made::Lost);
                }
                self.reordered = true;
                return;
            }
            Depacketized::Frame(unit) if unit.decodable => unit,
            Depacketized::Frame(_) | Depacketized::Damaged { .. } => {
                if !self.awaits_keyframe {
                    self.awaits_keyframe = true;
                    if rank == 0 {
                        made.push(Made::Lost);
                    }
                }
                return;
            }
        };
        if self.awaits_keyframe && !unit.keyframe {
            return;
        }
        self.awaits_keyframe = false;
        made.push(Made::Video(rank, self.frame(unit)));
    }

    fn frame(&mut self, unit: Unit) -> Frame {
        let placed = self.clock.at(unit.timestamp);
        let pts = match self.latest {
            Some(latest) => placed.max(latest.shifted(LEAST_STEP)),
            None => placed,
        };
        self.latest = Some(pts);
        Frame {
            config: unit.config,
            pts,
            dts: pts,
            keyframe: unit.keyframe,
            data: unit.data,
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
