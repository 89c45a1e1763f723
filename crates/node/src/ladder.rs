//! Layers that are made here of what an encoder sends, beside its own: where they are worth making,
//! and the way of their pictures into the publication.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use inver_control::{Refusal, RefusalKind};
use inver_media::{Codec, Frame};
use inver_proto::{Door, RoomId, RoomPattern, SessionId, SourceId};
use tokio::sync::mpsc;

use crate::feed::Figures;
use crate::handle::Handle;

/// Pictures that wait until the encoder sends its next piece of picture or sound, which is when
/// they are taken: some tenths of a second of a few layers. More would only be late.
pub(crate) const ADDED: usize = 128;

/// Which rooms get further layers, and how high their pictures are.
#[derive(Debug, Clone)]
pub struct LadderPlan {
    /// The rooms.
    pub rooms: Vec<RoomPattern>,
    /// Rows of the layers, the highest first.
    pub heights: Vec<u32>,
}

/// Where layers are made, and where that fails.
#[derive(Debug, Default)]
pub(crate) struct Ladder {
    plan: OnceLock<LadderPlan>,
    /// Rooms whose layers nobody need wait for.
    failing: Mutex<HashSet<RoomId>>,
}

impl LadderPlan {
    fn covers(&self, room: &RoomId) -> bool {
        self.rooms.iter().any(|rooms| rooms.covers(room))
    }
}

/// A picture of a layer that was made here.
#[derive(Debug)]
pub(crate) struct Added {
    pub(crate) layer: u8,
    pub(crate) frame: Frame,
}

/// What an encoder sends as far as a ladder can be made of it.
struct Base {
    source: SourceId,
    session: SessionId,
    figures: Arc<Figures>,
    added: mpsc::Sender<Added>,
}

/// The way of further layers into a publication.
#[derive(Debug)]
pub struct AddedLayers {
    added: mpsc::Sender<Added>,
    /// Layers, a bit each, that go on with a keyframe, for what was before is lost.
    broken: u8,
}

impl AddedLayers {
    /// Hands a picture over, with times as the encoder's own have them. Layer 0 is the encoder's.
    /// Never waits: what finds no place is dropped, and the layer goes on with a keyframe.
    ///
    /// `false`: the publication is over.
    pub fn push(&mut self, layer: u8, frame: Frame) -> bool {
        let bit = 1_u8.checked_shl(layer.into()).unwrap_or(0);
        if self.broken & bit != 0 && !frame.keyframe {
            return !self.added.is_closed();
        }
        match self.added.try_send(Added { layer, frame }) {
            Ok(()) => {
                self.broken &= !bit;
                true
            }
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.broken |= bit;
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }

    /// Waits until the publication is over. Cancel-safe.
    pub async fn closed(&self) {
        self.added.closed().await;
    }
}

impl Handle {
    /// Has further layers made in these rooms from now on; [`Self::wanting_layers`] says where. Only
    /// the first call counts.
    pub fn set_ladder(&self, plan: LadderPlan) {
        if self.0.ladder.plan.set(plan).is_err() {
            tracing::warn!("the ladder was set twice; the first one stays");
        }
    }

    /// Heights of the layers that are made, or will be while somebody asks, of what is published in
    /// a room; none where nothing lower than it is wanted.
    pub fn ladder_of(&self, room: &RoomId) -> Vec<u32> {
        let plan = self.0.ladder.plan.get();
        let Some(plan) = plan.filter(|plan| plan.covers(room)) else {
            return Vec::new();
        };
        let height = self
            .base(room)
            .and_then(|base| base.figures.single_height());
        let Some(height) = height else {
            return Vec::new();
        };
        let lower = plan
            .heights
            .iter()
            .copied()
            .filter(|wanted| *wanted < height);
        lower.collect()
    }

    /// How many layers whoever asks for a room may wait for; none where making them fails.
    pub fn layers_to_come(&self, room: &RoomId) -> usize {
        let failing = self.0.ladder.failing.lock();
        let failing = failing.unwrap_or_else(PoisonError::into_inner);
        if failing.contains(room) {
            return 0;
        }
        drop(failing);
        self.ladder_of(room).len()
    }

    /// Tells whether making layers of a room fails.
    pub fn tell_ladder(&self, room: &RoomId, fails: bool) {
        let failing = self.0.ladder.failing.lock();
        let mut failing = failing.unwrap_or_else(PoisonError::into_inner);
        if fails {
            failing.insert(room.clone());
        } else {
            failing.remove(room);
        }
    }

    /// Rooms where layers are worth making now: an encoder sends a single one, and somebody
    /// watches over WebRTC or HLS.
    pub fn wanting_layers(&self) -> Vec<RoomId> {
        let Some(plan) = self.0.ladder.plan.get() else {
            return Vec::new();
        };
        let live = self.0.look(|control| control.live_rooms());
        let failing = self.0.ladder.failing.lock();
        failing
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|room| live.contains(room));
        let wanted = live.into_iter().filter(|room| {
            plan.covers(room) && self.wants_layers(room) && !self.ladder_of(room).is_empty()
        });
        wanted.collect()
    }

    /// Whether somebody watches a room who can use layers.
    pub fn wants_layers(&self, room: &RoomId) -> bool {
        let over_webrtc = || {
            self.0
                .look(|control| control.viewers_through(room, Door::Whep))
        };
        self.has_publisher(room) && (self.0.restreams.is_wished(room) || over_webrtc() > 0)
    }

    /// Whether the room is one where layers are made.
    pub(crate) fn may_have_ladder(&self, room: &RoomId) -> bool {
        let plan = self.0.ladder.plan.get();
        plan.is_some_and(|plan| plan.covers(room))
    }

    /// Opens the way for further layers into what is published in a room.
    ///
    /// # Errors
    ///
    /// No encoder publishes there that layers can be made of.
    pub fn add_layers(&self, room: &RoomId) -> Result<AddedLayers, Refusal> {
        let base = self.base(room).ok_or_else(|| {
            let detail = format!("no encoder publishes in {room} now");
            Refusal::new(RefusalKind::Conflict, detail)
        })?;
        let (session, source) = (base.session, base.source);
        tracing::debug!(%room, %session, %source, "layers are added");
        Ok(AddedLayers {
            added: base.added,
            broken: u8::MAX,
        })
    }

    fn base(&self, room: &RoomId) -> Option<Base> {
        let inner = &self.0;
        let (_, source) = inner.look(|control| control.published(room, None))?;
        let (session, figures, added) = inner.feeds.added(source)?;
        Some(Base {
            source,
            session,
            figures,
            added,
        })
    }
}

/// Whether layers can be made of a codec: what a transport stream carries to the program that makes
/// them.
pub(crate) fn can_be_base(codec: Codec) -> bool {
    matches!(codec, Codec::H264 | Codec::H265)
}
