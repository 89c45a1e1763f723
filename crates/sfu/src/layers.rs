//! What is known of the layers of one video track: rates, sizes, activity.

use std::time::{Duration, Instant};

use inver_media::Packet;
use inver_rtc::Layer;

/// A layer without packets for this long is not offered any more.
const ACTIVE_WITHIN: Duration = Duration::from_secs(2);

/// Window over which rates are measured.
const WINDOW: Duration = Duration::from_secs(1);

/// One layer as its packets show it.
#[derive(Debug, Clone, Default)]
pub struct LayerState {
    /// Picture size, once a keyframe told it.
    pub size: Option<(u32, u32)>,
    /// Bits per second over the last full second.
    pub bitrate: u64,
    /// Frames per second over the last full second.
    pub frames_per_second: f32,
    /// Time between the last two keyframes.
    pub keyframe_interval: Option<Duration>,
    /// Spatial layers seen inside the stream.
    pub spatial_layers: u8,
    /// Temporal layers seen.
    pub temporal_layers: u8,
    last_packet: Option<Instant>,
    last_keyframe: Option<(Instant, u64)>,
    last_timestamp: Option<u64>,
    window_start: Option<Instant>,
    bytes: u64,
    frames: u32,
}

impl LayerState {
    /// Notes a packet. `true` where it opens a new keyframe.
    pub(crate) fn observe(&mut self, packet: &Packet) -> bool {
        let now = packet.arrival;
        self.last_packet = Some(now);
        self.bytes += packet.payload.len() as u64;
        if self
            .last_timestamp
            .is_none_or(|last| packet.timestamp > last)
        {
            self.last_timestamp = Some(packet.timestamp);
            self.frames += 1;
        }
        self.spatial_layers = self.spatial_layers.max(packet.info.spatial + 1);
        self.temporal_layers = self.temporal_layers.max(packet.info.temporal + 1);
        let start = *self.window_start.get_or_insert(now);
        let elapsed = now.saturating_duration_since(start);
        if elapsed >= WINDOW {
            let seconds = elapsed.as_secs_f64();
            self.bitrate = (self.bytes as f64 * 8.0 / seconds) as u64;
            self.frames_per_second = (f64::from(self.frames) / seconds) as f32;
            self.window_start = Some(now);
            self.bytes = 0;
            self.frames = 0;
        }
        if packet.info.size.is_some() {
            self.size = packet.info.size;
        }
        if !packet.info.keyframe_start {
            return false;
        }
        // Parameter sets and the picture of one keyframe share its timestamp.
        match self.last_keyframe {
            Some((_, timestamp)) if timestamp == packet.timestamp => false,
            last => {
                if let Some((at, _)) = last {
                    self.keyframe_interval = Some(now.saturating_duration_since(at));
                }
                self.last_keyframe = Some((now, packet.timestamp));
                true
            }
        }
    }

    /// Whether packets came lately.
    pub fn active(&self, now: Instant) -> bool {
        self.last_packet
            .is_some_and(|last| now.saturating_duration_since(last) < ACTIVE_WITHIN)
    }

    /// Time since the last keyframe.
    pub(crate) fn since_keyframe(&self, now: Instant) -> Option<Duration> {
        self.last_keyframe
            .map(|(at, _)| now.saturating_duration_since(at))
    }

    fn rank(&self) -> (u32, u64) {
        (
            self.size
                .map_or(0, |(width, height)| width.saturating_mul(height)),
            self.bitrate,
        )
    }
}

/// All layers of one track, in the order of the publisher's offer.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    states: Vec<LayerState>,
    rids: Vec<String>,
}

impl Layers {
    /// Layers with their simulcast ids; none means one layer without an id.
    pub fn new(rids: Vec<String>) -> Self {
        Self {
            states: vec![LayerState::default(); rids.len().max(1)],
            rids,
        }
    }

    /// Makes room for a layer that nothing announced, as encoders with several video tracks have
    /// them; the layers' places are their ids then.
    pub(crate) fn grow(&mut self, layer: Layer) {
        let count = usize::from(layer.0) + 1;
        if count <= self.states.len() {
            return;
        }
        for index in self.rids.len()..count {
            self.rids.push(index.to_string());
        }
        self.states.resize_with(count, LayerState::default);
    }

    /// Notes a packet. `true` where it opens a new keyframe of its layer.
    pub(crate) fn observe(&mut self, layer: Layer, packet: &Packet) -> bool {
        match self.states.get_mut(usize::from(layer.0)) {
            Some(state) => state.observe(packet),
            None => false,
        }
    }

    /// A layer's state.
    pub fn state(&self, layer: Layer) -> Option<&LayerState> {
        self.states.get(usize::from(layer.0))
    }

    /// A layer's simulcast id.
    pub fn rid(&self, layer: Layer) -> Option<&str> {
        self.rids.get(usize::from(layer.0)).map(String::as_str)
    }

    /// The layer of a simulcast id.
    pub fn by_rid(&self, rid: &str) -> Option<Layer> {
        let index = self.rids.iter().position(|known| known == rid)?;
        u8::try_from(index).ok().map(Layer)
    }

    /// All layers, lowest quality first.
    pub fn ascending(&self) -> Vec<(Layer, &LayerState)> {
        let mut all: Vec<_> = self
            .states
            .iter()
            .enumerate()
            .filter_map(|(index, state)| Some((Layer(u8::try_from(index).ok()?), state)))
            .collect();
        all.sort_by_key(|(_, state)| state.rank());
        all
    }

    /// Whether there is more than one layer to choose from.
    pub fn simulcast(&self) -> bool {
        self.states.len() > 1
    }

    /// The best active layer that `fits`; the lowest active one where none does.
    pub fn best(&self, now: Instant, fits: impl Fn(Layer, &LayerState) -> bool) -> Option<Layer> {
        let ascending = self.ascending();
        let mut active = ascending.iter().filter(|(_, state)| state.active(now));
        let lowest = active.clone().next().map(|(layer, _)| *layer);
        active
            .rfind(|(layer, state)| fits(*layer, state))
            .map(|(layer, _)| *layer)
            .or(lowest)
    }
}
