//! One subscription's end: picks layers, waits for keyframes, renumbers.

use std::sync::Arc;
use std::time::Instant;

use inver_media::{Codec, Format, Kind};
use inver_rtc::Layer;

use crate::clock::ticks;
use crate::layers::Layers;
use crate::munger::Munger;
use crate::{Routed, Router};

/// What a viewer asked for, or what the way to it carries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Stay on this simulcast id.
    pub rid: Option<String>,
    /// Highest spatial layer inside a stream.
    pub spatial: Option<u8>,
    /// Highest temporal layer.
    pub temporal: Option<u8>,
    /// Largest picture, width and height in pixels.
    pub size: (Option<u32>, Option<u32>),
    /// Highest bitrate asked for, in bits per second.
    pub bitrate: Option<u64>,
    /// Bits per second that the way carries, by estimate.
    pub estimate: Option<u64>,
}

impl Limits {
    fn fits(&self, state: &crate::LayerState) -> bool {
        let (width, height) = state.size.unwrap_or((0, 0));
        let budget = self
            .bitrate
            .unwrap_or(u64::MAX)
            .min(self.estimate.unwrap_or(u64::MAX));
        self.size.0.is_none_or(|most| width <= most)
            && self.size.1.is_none_or(|most| height <= most)
            && state.bitrate <= budget
    }
}

/// A packet as it leaves towards the viewer.
#[derive(Debug)]
pub struct Forwarded {
    /// Outgoing sequence number.
    pub sequence: u64,
    /// Outgoing timestamp.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// Payload.
    pub payload: Arc<[u8]>,
}

/// The server's end of one subscription to one track.
#[derive(Debug)]
pub struct DownTrack {
    kind: Kind,
    munger: Munger,
    limits: Limits,
    epoch: Option<u64>,
    /// The layer that is forwarded; `None` until its first keyframe.
    current: Option<Layer>,
    /// The layer that should be forwarded.
    target: Option<Layer>,
    spatial: u8,
    temporal: u8,
    /// Codec of the last forwarded packet: a change needs a switch.
    format: Option<Format>,
    last: Option<Instant>,
}

impl DownTrack {
    /// A track that waits for its first packet. `seed` makes the first numbers unguessable.
    pub fn new(kind: Kind, seed: u64) -> Self {
        // The first half of the range: no rollover within the first half minute of video.
        let sequence = (seed & 0x7fff) as u16;
        let timestamp = (seed >> 16) as u32;
        Self {
            kind,
            munger: Munger::new(sequence, timestamp),
            limits: Limits::default(),
            epoch: None,
            current: None,
            target: None,
            spatial: u8::MAX,
            temporal: u8::MAX,
            format: None,
            last: None,
        }
    }

    /// Audio or video.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The layer that is forwarded.
    pub fn current(&self) -> Option<Layer> {
        self.current
    }

    /// What bounds the choice of layers.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Sets what bounds the choice of layers; [`Self::review`] makes the choice.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Forgets the source, to go on with another one (or another epoch) from a keyframe.
    pub fn detach(&mut self) {
        self.current = None;
        self.target = None;
        self.epoch = None;
    }

    /// Chooses the layer. Gives the layer to ask for a keyframe, if one is awaited.
    pub fn review(&mut self, router: &Router, now: Instant) -> Option<Layer> {
        let track = router.track(self.kind)?;
        if self.epoch != Some(router.epoch) {
            self.epoch = Some(router.epoch);
            self.current = None;
            self.target = None;
        }
        self.target = self
            .choose(&track.layers, now)
            .or(self.target)
            .or(Some(Layer(0)));
        self.spatial = self.limits.spatial.unwrap_or(u8::MAX);
        self.temporal = self.limits.temporal.unwrap_or(u8::MAX);
        let awaited = self.kind == Kind::Video && self.current != self.target;
        self.target.filter(|_| awaited)
    }

    fn choose(&self, layers: &Layers, now: Instant) -> Option<Layer> {
        if !layers.simulcast() {
            return Some(Layer(0));
        }
        let asked = self
            .limits
            .rid
            .as_deref()
            .and_then(|rid| layers.by_rid(rid));
        if let Some(asked) = asked
            && layers.state(asked).is_some_and(|state| state.active(now))
        {
            return Some(asked);
        }
        let current = self.current;
        layers.best(now, |layer, state| {
            // A little room before going up, none to stay: no swinging between two layers.
            let margin = if Some(layer) == current {
                state.bitrate
            } else {
                state.bitrate / 100 * 115
            };
            self.limits.fits(state)
                && self
                    .limits
                    .estimate
                    .is_none_or(|estimate| margin <= estimate)
        })
    }

    /// Decides about one packet; `moment` is the time that it stands for.
    ///
    /// `None`: not for this viewer.
    pub fn forward(&mut self, routed: &Routed, moment: Instant) -> Option<Forwarded> {
        let packet = &routed.packet;
        let target = self.target?;
        if self.kind == Kind::Audio {
            if self.current.is_none() || self.format != Some(packet.format) {
                self.switch(routed, moment);
            }
        } else if self.current != Some(routed.layer) || self.format != Some(packet.format) {
            let opens = packet.info.keyframe_start && packet.info.spatial == 0;
            if routed.layer != target || !opens {
                return None;
            }
            self.switch(routed, moment);
        }
        let mut marker = packet.marker;
        if self.kind == Kind::Video && matches!(packet.format.codec, Codec::Vp8 | Codec::Vp9) {
            if packet.info.temporal > self.temporal || packet.info.spatial > self.spatial {
                self.munger.drop_packet(packet);
                return None;
            }
            // The viewer's picture ends with the highest spatial layer that it gets.
            marker |= packet.info.spatial == self.spatial && packet.info.layer_end;
        }
        let (sequence, timestamp) = self.munger.number(packet)?;
        self.last = Some(moment);
        Some(Forwarded {
            sequence,
            timestamp,
            marker,
            payload: self.munger.payload(packet),
        })
    }

    fn switch(&mut self, routed: &Routed, moment: Instant) {
        let packet = &routed.packet;
        let rate = u64::from(packet.format.codec.clock_rate());
        let elapsed = self.last.map(|last| moment.saturating_duration_since(last));
        let advance = elapsed.map_or(0, |elapsed| {
            let nanos = u64::try_from(elapsed.as_nanos())
                .unwrap_or(u64::MAX)
                .min(86_400_000_000_000);
            // At least one tick: two frames never share a timestamp.
            (nanos / 1_000 * rate / 1_000_000).max(1)
        });
        debug_assert!(
            elapsed.is_none_or(|e| ticks(advance, rate) <= e + std::time::Duration::from_millis(1))
        );
        self.munger.switch(packet, advance as u32);
        self.current = Some(routed.layer);
        self.format = Some(packet.format);
    }
}
