//! What is known of one source: its tracks, clocks, layers and health.

use std::time::{Duration, Instant};

use inver_media::{Format, Kind};
use inver_rtc::Layer;

use crate::clock::{SourceClock, TrackClock};
use crate::keyframe::KeyframeRequests;
use crate::layers::Layers;
use crate::{Batch, Routed};

/// A longer distance between keyframes makes joiners and switches wait; a publisher whose encoder
/// makes none on request is told.
const LONG_KEYFRAME_INTERVAL: Duration = Duration::from_secs(4);

/// Media stopped when nothing came for this long.
const STOPPED_AFTER: Duration = Duration::from_secs(2);

/// Layers of one track at most.
const MOST_LAYERS: u8 = 8;

/// Something worth telling about a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Frames are coded out of presentation order.
    Reordered,
    /// Keyframes are further apart than four seconds and do not come when asked for.
    KeyframesFar(Duration),
    /// A layer of the video began or ceased to be active, or its size or rate became known.
    LayersChanged,
    /// The codec of a track became known or changed.
    CodecChanged(Kind),
}

/// What was last told of a layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Told {
    active: bool,
    size: Option<(u32, u32)>,
    rated: bool,
}

/// One track of a source.
#[derive(Debug)]
pub struct RouterTrack {
    /// Format of the packets, once one came.
    pub format: Option<Format>,
    /// Layers; one without an id for audio and for video without simulcast.
    pub layers: Layers,
    /// Keyframe requests per layer.
    pub keyframes: Vec<KeyframeRequests>,
    clock: TrackClock,
    /// Pictures came in another order than they are shown in, since this epoch began. Players of
    /// WebRTC show pictures in the order in which they come.
    pub reordered: bool,
    told_far: bool,
    /// Each layer as last told.
    told_layers: Vec<Told>,
}

impl RouterTrack {
    fn grow(&mut self, layer: Layer) {
        let layer = Layer(layer.0.min(MOST_LAYERS - 1));
        self.layers.grow(layer);
        let count = usize::from(layer.0) + 1;
        self.keyframes.resize_with(count, KeyframeRequests::default);
        self.told_layers.resize_with(count, Told::default);
    }

    fn new(rids: Vec<String>) -> Self {
        let layers = Layers::new(rids.clone());
        let count = rids.len().max(1);
        Self {
            format: None,
            layers,
            keyframes: vec![KeyframeRequests::default(); count],
            clock: TrackClock::default(),
            reordered: false,
            told_far: false,
            told_layers: vec![Told::default(); count],
        }
    }
}

/// One source as seen from one shard.
#[derive(Debug)]
pub struct Router {
    /// Counts the publisher's sessions.
    pub epoch: u64,
    clock: SourceClock,
    audio: Option<RouterTrack>,
    video: Option<RouterTrack>,
    last_packet: Option<Instant>,
    level: Option<u8>,
}

impl Router {
    /// A source of one epoch; each track is given by its simulcast ids.
    pub fn new(epoch: u64, audio: Option<Vec<String>>, video: Option<Vec<String>>) -> Self {
        Self {
            epoch,
            clock: SourceClock::default(),
            audio: audio.map(RouterTrack::new),
            video: video.map(RouterTrack::new),
            last_packet: None,
            level: None,
        }
    }

    /// The track of a kind.
    pub fn track(&self, kind: Kind) -> Option<&RouterTrack> {
        match kind {
            Kind::Audio => self.audio.as_ref(),
            Kind::Video => self.video.as_ref(),
        }
    }

    /// The track of a kind, to ask it for keyframes.
    pub fn track_mut(&mut self, kind: Kind) -> Option<&mut RouterTrack> {
        match kind {
            Kind::Audio => self.audio.as_mut(),
            Kind::Video => self.video.as_mut(),
        }
    }

    /// Whether media came lately.
    pub fn flowing(&self, now: Instant) -> bool {
        self.last_packet
            .is_some_and(|last| now.saturating_duration_since(last) < STOPPED_AFTER)
    }

    /// The loudest audio level since the last call, in -dBov.
    pub fn take_level(&mut self) -> Option<u8> {
        self.level.take()
    }

    /// Notes a batch. Gives the moment that each packet stands for, and what was found.
    pub fn observe(
        &mut self,
        batch: &Batch,
        moments: &mut Vec<Instant>,
        findings: &mut Vec<Finding>,
    ) {
        moments.clear();
        for routed in &batch.packets {
            moments.push(self.observe_packet(routed, findings));
        }
    }

    fn observe_packet(&mut self, routed: &Routed, findings: &mut Vec<Finding>) -> Instant {
        let packet = &routed.packet;
        self.last_packet = Some(packet.arrival);
        if let Some(level) = packet.extensions.audio_level {
            let level = level.unsigned_abs();
            self.level = Some(self.level.map_or(level, |known| known.min(level)));
        }
        let Self {
            clock,
            audio,
            video,
            ..
        } = self;
        let track = match routed.kind {
            Kind::Audio => audio.as_mut(),
            Kind::Video => video.as_mut(),
        };
        let Some(track) = track else {
            return packet.arrival;
        };
        if track.format != Some(packet.format) {
            track.format = Some(packet.format);
            findings.push(Finding::CodecChanged(routed.kind));
        }
        if routed.kind == Kind::Video && usize::from(routed.layer.0) >= track.told_layers.len() {
            track.grow(routed.layer);
            findings.push(Finding::LayersChanged);
        }
        let keyframe = track.layers.observe(routed.layer, packet);
        if routed.kind == Kind::Video {
            if keyframe && let Some(requests) = track.keyframes.get_mut(usize::from(routed.layer.0))
            {
                requests.arrived();
            }
            if packet.info.reordered && !track.reordered {
                track.reordered = true;
                findings.push(Finding::Reordered);
            }
        }
        track.clock.moment(clock, packet)
    }

    /// Looks at what changes with time alone; call about once a second.
    pub fn review(&mut self, now: Instant, findings: &mut Vec<Finding>) {
        let Some(track) = self.video.as_mut() else {
            return;
        };
        let mut changed = false;
        for index in 0..track.told_layers.len() {
            let Some(state) = u8::try_from(index)
                .ok()
                .and_then(|i| track.layers.state(Layer(i)))
            else {
                continue;
            };
            let fresh = Told {
                active: state.active(now),
                size: state.size,
                rated: state.bitrate > 0,
            };
            if track.told_layers[index] != fresh {
                track.told_layers[index] = fresh;
                changed = true;
            }
            // An encoder that makes keyframes when asked needs none in between; one that does not
            // leaves joiners waiting for its own.
            let awaited = track
                .keyframes
                .get(index)
                .and_then(|requests| requests.awaited(now));
            if !track.told_far
                && state.active(now)
                && let Some(since) = state.since_keyframe(now)
                && since > LONG_KEYFRAME_INTERVAL
                && awaited.is_some_and(|awaited| awaited > LONG_KEYFRAME_INTERVAL / 2)
            {
                track.told_far = true;
                findings.push(Finding::KeyframesFar(since));
            }
        }
        if changed {
            findings.push(Finding::LayersChanged);
        }
    }
}
