//! The receiving side: what one viewer got, and when.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use inver_media::{Kind, codec};
use inver_rtc::{Layer, PeerConnection, Received, Statistics, TrackId};

use crate::clock::Clock;
use crate::frames::{Frames, Piece};
use crate::sequence::{Arrival, Arrivals};
use crate::stamp;
use crate::wire::{PayloadTypes, Streams, Wire};

/// Time between requests for a keyframe, as a player without a picture makes them.
const REQUEST_INTERVAL: Duration = Duration::from_secs(1);

/// Counters over all viewers of a thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// RTP packets: media, retransmissions and probes.
    pub(crate) packets: u64,
    /// Bytes of RTP datagrams.
    pub(crate) bytes: u64,
    pub(crate) connected: u64,
    pub(crate) playing: u64,
    pub(crate) failed: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.connected += other.connected;
        self.playing += other.playing;
        self.failed += other.failed;
    }
}

/// What all viewers of a thread write into.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) totals: Totals,
    /// Microseconds from capture to the kernel's receipt, per packet, while measuring.
    pub(crate) delay: Histogram<u64>,
    /// The same of each frame's first packet that carries its time.
    pub(crate) first_delay: Histogram<u64>,
    /// Microseconds from the kernel's receipt to the read, while measuring.
    pub(crate) lag: Histogram<u64>,
    pub(crate) measuring: bool,
}

/// Upper end of the histograms, in microseconds.
const LONGEST: u64 = 60_000_000;

impl Shared {
    pub(crate) fn new() -> Self {
        Self {
            totals: Totals::default(),
            delay: histogram(),
            first_delay: histogram(),
            lag: histogram(),
            measuring: false,
        }
    }
}

/// A histogram of microseconds up to a minute with three significant digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds and digits are in range")
}

/// When a viewer asked for its session and got an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) at: Instant,
    pub(crate) answered: Instant,
}

/// A viewer's figures at the end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watched {
    pub(crate) answer: Duration,
    pub(crate) first_packet: Option<Duration>,
    pub(crate) first_frame: Option<Duration>,
    pub(crate) expected: u64,
    pub(crate) lost_raw: u64,
    pub(crate) lost: u64,
    pub(crate) duplicates: u64,
    pub(crate) retransmissions: u64,
    pub(crate) probes: u64,
    pub(crate) nacks: u64,
    pub(crate) keyframe_requests: u64,
    pub(crate) frames: u64,
    pub(crate) broken_frames: u64,
    pub(crate) stalls: u64,
    pub(crate) stalled: Duration,
}

/// One viewer.
#[derive(Debug)]
pub(crate) struct Viewer {
    run: u32,
    asked: Asked,
    types: PayloadTypes,
    wire: Streams,
    audio: Arrivals,
    video: Arrivals,
    frames: Frames,
    first_packet: Option<Instant>,
    /// RTP time of the latest frame of each track that told its capture time.
    timed: BTreeMap<TrackId, u64>,
    retransmissions: u64,
    probes: u64,
    /// Packets that each layer of each track has asked for again, in all.
    nacks: BTreeMap<(TrackId, Layer), u64>,
    keyframe_requests: u64,
    requested: Option<Instant>,
}

impl Viewer {
    pub(crate) fn new(run: u32, asked: Asked, answer: &str) -> Self {
        Self {
            run,
            asked,
            types: PayloadTypes::of(answer),
            wire: Streams::default(),
            audio: Arrivals::default(),
            video: Arrivals::default(),
            frames: Frames::default(),
            first_packet: None,
            timed: BTreeMap::new(),
            retransmissions: 0,
            probes: 0,
            nacks: BTreeMap::new(),
            keyframe_requests: 0,
            requested: None,
        }
    }

    /// Counts a datagram as it came.
    pub(crate) fn datagram(&mut self, datagram: &[u8], arrival: Instant, shared: &mut Shared) {
        match self.types.classify(datagram) {
            Wire::Other => return,
            Wire::Media { ssrc, sequence } => {
                self.wire.note(ssrc, sequence);
                if self.first_packet.is_none() {
                    self.first_packet = Some(arrival);
                    shared.totals.playing += 1;
                }
            }
            Wire::Retransmission => self.retransmissions += 1,
            Wire::Probe => self.probes += 1,
        }
        shared.totals.packets += 1;
        shared.totals.bytes += datagram.len() as u64;
    }

    /// Takes a decrypted packet.
    pub(crate) fn received(
        &mut self,
        received: &Received,
        arrival: Instant,
        clock: &Clock,
        connection: &mut PeerConnection,
        shared: &mut Shared,
    ) {
        if shared.measuring
            && let Some(captured) = stamp::find(&received.payload, self.run)
        {
            let delay = clock.micros(arrival).saturating_sub(captured);
            shared.delay.saturating_record(delay);
            if self.timed.insert(received.track, received.timestamp) != Some(received.timestamp) {
                shared.first_delay.saturating_record(delay);
            }
        }
        let kind = received.format.codec.kind();
        let arrivals = match kind {
            Kind::Audio => &mut self.audio,
            Kind::Video => &mut self.video,
        };
        if arrivals.note(received.sequence) != Arrival::New || kind == Kind::Audio {
            return;
        }
        let info = codec::inspect(received.format.codec, &received.payload);
        let piece = Piece {
            start: info.frame_start,
            keyframe: info.keyframe_start,
            marker: received.marker,
        };
        let broke = self.frames.take(received.sequence, piece, arrival);
        if broke || self.frames.first_keyframe().is_none() {
            self.want_keyframe(received.track, arrival, connection);
        }
    }

    fn want_keyframe(&mut self, track: TrackId, now: Instant, connection: &mut PeerConnection) {
        // The server gives a joiner its keyframe by itself; a player asks when none came.
        let since = *self.requested.get_or_insert(now);
        if now.saturating_duration_since(since) >= REQUEST_INTERVAL {
            self.requested = Some(now);
            self.keyframe_requests += 1;
            connection.request_keyframe(track, None);
        }
    }

    /// Takes the engine's figures, which come about once a second.
    pub(crate) fn statistics(&mut self, statistics: &Statistics) {
        if let Statistics::Received(track, layer, figures) = statistics {
            self.nacks.insert((*track, *layer), figures.nacks);
        }
    }

    /// Whether a whole keyframe has come.
    pub(crate) fn has_picture(&self) -> bool {
        self.frames.first_keyframe().is_some()
    }

    /// The figures, with media that should have gone on until `until`.
    pub(crate) fn finish(&mut self, until: Instant) -> Watched {
        self.frames.end(until);
        let after = |at: Option<Instant>| at.map(|at| at.saturating_duration_since(self.asked.at));
        let (stalls, stalled) = self.frames.stalls();
        Watched {
            answer: self.asked.answered - self.asked.at,
            first_packet: after(self.first_packet),
            first_frame: after(self.frames.first_keyframe()),
            expected: self.wire.expected(),
            lost_raw: self.wire.lost(),
            lost: self.audio.lost() + self.video.lost(),
            duplicates: self.wire.duplicates(),
            retransmissions: self.retransmissions,
            probes: self.probes,
            nacks: self.nacks.values().sum(),
            keyframe_requests: self.keyframe_requests,
            frames: self.frames.complete(),
            broken_frames: self.frames.broken(),
            stalls,
            stalled,
        }
    }
}
