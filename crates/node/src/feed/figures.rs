//! What an encoder's frames show of it: codecs, sizes, rates.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use inver_media::codec::records;
use inver_media::{Codec, Frame, Kind, MediaTime};
use inver_proto::{Layer, MediaKind, Publication, SessionId, SourceId};

use tokio::sync::mpsc;

use crate::api::Encoder;
use crate::ladder::{Added, can_be_base};

/// Window over which rates are measured.
const WINDOW: Duration = Duration::from_secs(1);

/// A track without frames for this long is not active.
const ACTIVE_WITHIN: Duration = Duration::from_secs(2);

/// The figures of one encoder, written by its feed and read by whoever asks.
#[derive(Debug, Default)]
pub(crate) struct Figures(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    video: Vec<Track>,
    audio: Option<Track>,
    encoder: Encoder,
    /// Its pictures cannot be shown over WebRTC at present.
    withheld: bool,
}

#[derive(Debug, Clone, Default)]
struct Track {
    codec: Option<Codec>,
    /// It was made here of another one.
    made_here: bool,
    size: Option<(u32, u32)>,
    bitrate: u64,
    frames_per_second: f32,
    keyframe_interval: Option<Duration>,
    keyframe_at: Option<MediaTime>,
    keyframe_came: Option<Instant>,
    window: Option<Instant>,
    bytes: u64,
    frames: u32,
    latest: Option<Instant>,
}

impl Track {
    fn note(&mut self, frame: &Frame, now: Instant) {
        self.latest = Some(now);
        self.bytes += frame.data.len() as u64;
        self.frames += 1;
        let window = *self.window.get_or_insert(now);
        let elapsed = now.saturating_duration_since(window);
        if elapsed >= WINDOW {
            let seconds = elapsed.as_secs_f64();
            self.bitrate = (self.bytes as f64 * 8.0 / seconds) as u64;
            self.frames_per_second = (f64::from(self.frames) / seconds) as f32;
            self.window = Some(now);
            self.bytes = 0;
            self.frames = 0;
        }
        self.codec = Some(frame.codec());
        if frame.codec().kind() == Kind::Video && frame.keyframe {
            self.keyframe_came = Some(now);
            self.size = records::size(&frame.config).or(self.size);
            if let Some(before) = self.keyframe_at.replace(frame.dts) {
                self.keyframe_interval = Some(frame.dts.since(before));
            }
        }
    }

    fn layer(&self, rid: Option<String>, now: Instant) -> Layer {
        let active = self
            .latest
            .is_some_and(|at| now.saturating_duration_since(at) < ACTIVE_WITHIN);
        Layer {
            rid,
            width: self.size.map(|size| size.0),
            height: self.size.map(|size| size.1),
            frames_per_second: if self.size.is_some() {
                self.frames_per_second
            } else {
                0.0
            },
            bitrate: if active { self.bitrate } else { 0 },
            keyframe_interval_ms: self
                .keyframe_interval
                .map(|interval| u64::try_from(interval.as_millis()).unwrap_or(u64::MAX)),
            active,
            spatial_layers: 1,
            temporal_layers: 1,
        }
    }
}

impl Figures {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn video(&self, layer: u8, frame: &Frame, made_here: bool, now: Instant) {
        let mut state = self.lock();
        let index = usize::from(layer);
        if state.video.len() <= index {
            state.video.resize_with(index + 1, Track::default);
        }
        state.video[index].note(frame, now);
        state.video[index].made_here = made_here;
    }

    /// Rows of the only layer that the encoder sends; `None` where it sends several, or where no
    /// others can be made of it.
    pub(crate) fn single_height(&self) -> Option<u32> {
        let state = self.lock();
        let (first, others) = state.video.split_first()?;
        let single = others.iter().all(|other| other.made_here);
        let fit = first.codec.is_some_and(can_be_base);
        first
            .size
            .filter(|_| single && fit)
            .map(|(_, height)| height)
    }

    pub(super) fn audio(&self, frame: &Frame, now: Instant) {
        self.lock()
            .audio
            .get_or_insert_with(Track::default)
            .note(frame, now);
    }

    pub(super) fn tell(&self, encoder: Encoder) {
        let mut state = self.lock();
        let known = &mut state.encoder;
        known.name = encoder.name.or_else(|| known.name.take());
        known.version = encoder.version.or_else(|| known.version.take());
        known.loss = encoder.loss.or(known.loss);
        known.packets = encoder.packets.or(known.packets);
        known.nacks = encoder.nacks.or(known.nacks);
        known.round_trip = encoder.round_trip.or(known.round_trip);
    }

    /// Notes whether its pictures cannot be shown over WebRTC at present.
    pub(super) fn withhold(&self, withheld: bool) {
        self.lock().withheld = withheld;
    }

    /// Whether its pictures cannot be shown over WebRTC at present, so that viewers are refused.
    pub(crate) fn is_withheld(&self) -> bool {
        self.lock().withheld
    }

    /// Whether a frame of the kind has come.
    pub(super) fn has(&self, kind: Kind) -> bool {
        let state = self.lock();
        match kind {
            Kind::Audio => state.audio.is_some(),
            Kind::Video => !state.video.is_empty(),
        }
    }

    /// Time between the last two keyframes, or since the last one where that is longer already.
    pub(super) fn keyframe_interval(&self, now: Instant) -> Option<Duration> {
        let state = self.lock();
        let track = state.video.first()?;
        let since = track
            .keyframe_came
            .map(|came| now.saturating_duration_since(came));
        track.keyframe_interval.max(since)
    }

    /// Bits per second of all tracks.
    pub(crate) fn bitrate(&self) -> u64 {
        let all = self.publications();
        let layers = all.iter().flat_map(|publication| &publication.layers);
        layers.map(|layer| layer.bitrate).sum()
    }

    /// What is known of the encoder.
    pub(crate) fn encoder(&self) -> Encoder {
        self.lock().encoder.clone()
    }

    /// Its tracks as the control API shows them.
    pub(crate) fn publications(&self) -> Vec<Publication> {
        let now = Instant::now();
        let state = self.lock();
        let loss = state.encoder.loss.unwrap_or(0.0);
        let several = state.video.len() > 1;
        let audio = state.audio.iter().map(|track| Publication {
            kind: MediaKind::Audio,
            codec: track.codec.map(codec_name),
            loss,
            layers: vec![track.layer(None, now)],
        });
        let video = state.video.first().map(|first| Publication {
            kind: MediaKind::Video,
            codec: first.codec.map(codec_name),
            loss,
            layers: state
                .video
                .iter()
                .enumerate()
                .map(|(index, track)| track.layer(several.then(|| index.to_string()), now))
                .collect(),
        });
        audio.chain(video).collect()
    }
}

/// The codec's usual name; SDP's for AAC helps nobody.
fn codec_name(codec: Codec) -> String {
    match codec {
        Codec::Aac => "AAC".to_owned(),
        Codec::Opus | Codec::H264 | Codec::H265 | Codec::Vp8 | Codec::Vp9 | Codec::Av1 => {
            codec.to_string()
        }
    }
}

/// The figures of all encoders of this node, by what they feed, and the way of further layers.
#[derive(Debug, Default)]
pub(crate) struct Feeds(Mutex<HashMap<SourceId, Entry>>);

type Entry = (SessionId, Arc<Figures>, mpsc::Sender<Added>);

impl Feeds {
    fn lock(&self) -> MutexGuard<'_, HashMap<SourceId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn insert(
        &self,
        source: SourceId,
        session: SessionId,
        figures: Arc<Figures>,
        added: mpsc::Sender<Added>,
    ) {
        self.lock().insert(source, (session, figures, added));
    }

    /// The session that feeds a source, its figures, and the way of further layers.
    pub(crate) fn added(&self, source: SourceId) -> Option<Entry> {
        self.lock().get(&source).cloned()
    }

    /// Forgets a session's figures, unless another one feeds the source by now.
    pub(super) fn remove(&self, source: SourceId, session: SessionId) {
        let mut feeds = self.lock();
        if feeds.get(&source).is_some_and(|(of, ..)| *of == session) {
            feeds.remove(&source);
        }
    }

    /// The figures of a source that an encoder feeds.
    pub(crate) fn get(&self, source: SourceId) -> Option<Arc<Figures>> {
        self.lock()
            .get(&source)
            .map(|(_, figures, _)| Arc::clone(figures))
    }

    /// The figures of an encoder's session.
    pub(crate) fn of_session(&self, session: SessionId) -> Option<Arc<Figures>> {
        let feeds = self.lock();
        let mut all = feeds.values();
        all.find(|(of, ..)| *of == session)
            .map(|(_, figures, _)| Arc::clone(figures))
    }
}
