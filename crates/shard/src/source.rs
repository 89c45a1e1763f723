//! One source on one shard: at home with its publisher, or a mirror for viewers elsewhere.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use inver_media::{Format, Kind};
use inver_proto::{SessionId, SourceId};
use inver_sfu::{Batch, GroupCache, Routed, Router};
use tokio::sync::mpsc;

use crate::api::{TrackInfo, Warning};
use crate::command::SourceTracks;

/// What every shard knows of a source, to answer viewers before any packet has crossed to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Description {
    /// Whether there is such a track, and its format once a packet came.
    pub(crate) audio: Option<Option<Format>>,
    pub(crate) video: Option<Option<Format>>,
    /// Whether viewers can choose among layers.
    pub(crate) layered: bool,
    /// Pictures come in another order than they are shown in: no player of WebRTC can show them.
    pub(crate) reordered: bool,
}

impl Description {
    pub(crate) fn track(&self, kind: Kind) -> Option<Option<Format>> {
        match kind {
            Kind::Audio => self.audio,
            Kind::Video => self.video,
        }
    }

    pub(crate) fn format(&self, kind: Kind) -> Option<Format> {
        self.track(kind).flatten()
    }
}

/// Descriptions of all sources that have had a publisher; touched when one begins, never by a
/// packet.
pub(crate) type Descriptions = Arc<Mutex<HashMap<SourceId, Description>>>;

/// How many viewers each source has on all shards. Whoever makes media only while it is wanted
/// looks at it.
pub(crate) type Watchers = Arc<Mutex<HashMap<SourceId, Arc<AtomicUsize>>>>;

/// Who feeds a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Publisher {
    /// A peer connection, by its slot.
    Connection(usize),
    /// An encoder whose packets come from outside the shard.
    Feed(SessionId),
}

impl Publisher {
    /// Its slot, where it is a peer connection.
    pub(crate) fn slot(self) -> Option<usize> {
        match self {
            Self::Connection(slot) => Some(slot),
            Self::Feed(_) => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) id: SourceId,
    /// The shard that its publisher is placed on.
    pub(crate) home: usize,
    /// What feeds it, where it lives.
    pub(crate) publisher: Option<Publisher>,
    /// The present group of pictures, where the encoder cannot be asked for keyframes.
    pub(crate) group: Option<GroupCache>,
    /// Viewers on all shards.
    pub(crate) watchers: Arc<AtomicUsize>,
    pub(crate) epoch: u64,
    pub(crate) router: Option<Router>,
    /// Slots of viewers on this shard.
    pub(crate) viewers: Vec<usize>,
    /// The list of viewers is out for a batch; who leaves meanwhile is sorted out after it.
    pub(crate) distributing: bool,
    /// Shards that mirror it; only at home.
    pub(crate) mirrors: Vec<usize>,
    /// Readers of its publisher's packets outside the shards; only at home.
    pub(crate) taps: Vec<mpsc::Sender<Arc<Batch>>>,
    /// Packets that wait to be sent on together.
    pub(crate) pending: Vec<Routed>,
    /// When they have waited long enough.
    pub(crate) flush_at: Option<Instant>,
    pub(crate) flowing: bool,
    pub(crate) flowing_since: Option<Instant>,
    pub(crate) warned: Vec<Warning>,
}

impl Source {
    pub(crate) fn new(id: SourceId, home: usize) -> Self {
        Self {
            id,
            home,
            publisher: None,
            group: None,
            watchers: Arc::default(),
            epoch: 0,
            router: None,
            viewers: Vec::new(),
            distributing: false,
            mirrors: Vec::new(),
            taps: Vec::new(),
            pending: Vec::new(),
            flush_at: None,
            flowing: false,
            flowing_since: None,
            warned: Vec::new(),
        }
    }

    /// Begins a new epoch with these tracks.
    pub(crate) fn begin(
        &mut self,
        audio: Option<Vec<String>>,
        video: Option<Vec<String>>,
    ) -> SourceTracks {
        self.epoch += 1;
        self.router = Some(Router::new(self.epoch, audio.clone(), video.clone()));
        self.group = None;
        self.pending.clear();
        self.flush_at = None;
        self.warned.clear();
        SourceTracks {
            epoch: self.epoch,
            audio,
            video,
            group: None,
        }
    }

    /// What other shards need to know to answer viewers.
    pub(crate) fn description(&self) -> Option<Description> {
        let router = self.router.as_ref()?;
        let video = router.track(Kind::Video);
        Some(Description {
            audio: router.track(Kind::Audio).map(|track| track.format),
            video: video.map(|track| track.format),
            layered: video.is_some_and(|track| track.layers.simulcast()),
            reordered: video.is_some_and(|track| track.reordered),
        })
    }

    /// Tracks as the control plane sees them.
    pub(crate) fn tracks(&self) -> Vec<TrackInfo> {
        let Some(router) = &self.router else {
            return Vec::new();
        };
        [Kind::Audio, Kind::Video]
            .into_iter()
            .filter_map(|kind| {
                let track = router.track(kind)?;
                let rids = track
                    .layers
                    .ascending()
                    .into_iter()
                    .filter_map(|(layer, _)| track.layers.rid(layer).map(str::to_owned))
                    .collect();
                Some(TrackInfo {
                    kind,
                    codec: track.format.map(|format| format.codec),
                    rids,
                })
            })
            .collect()
    }

    /// Adds a warning once. `true` where it is new.
    pub(crate) fn warn(&mut self, warning: Warning) -> bool {
        let known = self
            .warned
            .iter()
            .any(|told| std::mem::discriminant(told) == std::mem::discriminant(&warning));
        if !known {
            self.warned.push(warning);
        }
        !known
    }
}
