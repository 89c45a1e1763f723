//! Streams that doors read: a viewer's signals, the control API's events.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use inver_control::{Replay, Signal, WatchState};
use inver_proto::{ApiEvent, Publication, RoomId, SessionId};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use crate::api::SessionEvent;
use crate::handle::Inner;

/// Signals that a slow reader may have outstanding. All of them repeat the state of something,
/// so one who missed some is told the state as it is.
const SIGNALS: usize = 32;

/// Events that a slow reader may have outstanding; more than that and it must start anew.
pub(crate) const EVENTS: usize = 1024;

/// How long after a change of layers the shards' figures show it: they are refreshed every
/// second.
const FIGURES_LAG: Duration = Duration::from_millis(1200);

/// Where signals go, by session. An entry lives as long as somebody reads.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Mutex<HashMap<SessionId, broadcast::Sender<Signal>>>);

impl Watchers {
    pub(crate) fn subscribe(&self, session: SessionId) -> broadcast::Receiver<Signal> {
        let mut senders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        senders
            .entry(session)
            .or_insert_with(|| broadcast::channel(SIGNALS).0)
            .subscribe()
    }

    pub(crate) fn send(&self, sessions: &[SessionId], signal: Signal) {
        let mut senders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for session in sessions {
            if let Some(sender) = senders.get(session) {
                // Nobody listening any more is no error.
                let _ = sender.send(signal);
            }
            if matches!(signal, Signal::Ended(_)) {
                senders.remove(session);
            }
        }
    }

    /// Drops the entry when its last reader goes; says whether it did.
    pub(crate) fn leave(&self, session: SessionId) -> bool {
        let mut senders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The reader that asks still counts.
        let last = senders
            .get(&session)
            .is_some_and(|sender| sender.receiver_count() <= 1);
        if last {
            senders.remove(&session);
        }
        last
    }
}

/// A viewer's signals: first the state as it is, then every change, at last
/// [`SessionEvent::Ended`].
pub struct SessionWatch {
    inner: Arc<Inner>,
    session: SessionId,
    signals: broadcast::Receiver<Signal>,
    first: VecDeque<SessionEvent>,
    /// When the figures are worth a look, after layers changed.
    layers_due: Option<Instant>,
    layers: Vec<Publication>,
    ended: bool,
}

impl std::fmt::Debug for SessionWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionWatch")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

impl SessionWatch {
    pub(crate) fn new(
        inner: Arc<Inner>,
        session: SessionId,
        signals: broadcast::Receiver<Signal>,
        first: VecDeque<SessionEvent>,
    ) -> Self {
        let layers_due = Some(Instant::now());
        let layers = Vec::new();
        Self {
            inner,
            session,
            signals,
            first,
            layers_due,
            layers,
            ended: false,
        }
    }

    /// The next event; `None` after the last one. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<SessionEvent> {
        loop {
            if let Some(event) = self.first.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            let due = self.layers_due;
            let signal = tokio::select! {
                biased;
                signal = self.signals.recv() => signal,
                () = until(due) => {
                    self.look_at_layers();
                    continue;
                }
            };
            match signal {
                Ok(signal) => self.take(signal),
                Err(RecvError::Lagged(_)) => self.first = self.inner.state_of(self.session),
                Err(RecvError::Closed) => self.ended = true,
            }
        }
    }

    fn take(&mut self, signal: Signal) {
        let event = match signal {
            Signal::Active => SessionEvent::Active,
            Signal::Inactive => SessionEvent::Inactive,
            Signal::Viewers(count) => SessionEvent::ViewerCount(count),
            Signal::Reconnect { after } => SessionEvent::Reconnect { url: None, after },
            Signal::LayersChanged => {
                self.layers_due
                    .get_or_insert_with(|| Instant::now() + FIGURES_LAG);
                return;
            }
            Signal::Ended(cause) => {
                self.ended = true;
                SessionEvent::Ended(cause)
            }
        };
        self.first.push_back(event);
    }

    /// Tells the layers where there are some and they are others than those told before.
    fn look_at_layers(&mut self) {
        self.layers_due = None;
        let Some(source) = self.inner.source_of(self.session) else {
            return;
        };
        let layers = self.inner.publications(source);
        if !layers.is_empty() && !same_choice(&layers, &self.layers) {
            self.layers.clone_from(&layers);
            self.first.push_back(SessionEvent::Layers(layers));
        }
    }
}

impl Drop for SessionWatch {
    fn drop(&mut self) {
        self.inner.leave(self.session);
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Whether a viewer can choose among the same things, whatever their momentary rates.
fn same_choice(a: &[Publication], b: &[Publication]) -> bool {
    let choices = |publications: &[Publication]| -> Vec<_> {
        let tracks = publications.iter();
        let layers = tracks.flat_map(|track| {
            track.layers.iter().map(|layer| {
                let size = (layer.width, layer.height);
                let within = (layer.spatial_layers, layer.temporal_layers);
                (
                    track.codec.clone(),
                    layer.rid.clone(),
                    size,
                    layer.active,
                    within,
                )
            })
        });
        layers.collect()
    };
    choices(a) == choices(b)
}

/// One thing that a reader of the control API's events gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventItem {
    /// An event.
    Event(ApiEvent),
    /// Events were lost: ask for the whole state, then read on.
    Reset,
}

/// The control API's events: first what was missed, then what happens.
#[derive(Debug)]
pub struct EventReader {
    missed: VecDeque<EventItem>,
    live: broadcast::Receiver<Arc<ApiEvent>>,
    room: Option<RoomId>,
}

impl EventReader {
    pub(crate) fn new(
        replay: Replay,
        live: broadcast::Receiver<Arc<ApiEvent>>,
        room: Option<RoomId>,
    ) -> Self {
        let missed = match replay {
            Replay::Events(events) => events.into_iter().map(EventItem::Event).collect(),
            Replay::Reset => VecDeque::from([EventItem::Reset]),
        };
        Self { missed, live, room }
    }

    /// The next item; `None` when the server stops. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<EventItem> {
        if let Some(item) = self.missed.pop_front() {
            return Some(item);
        }
        loop {
            match self.live.recv().await {
                Ok(event) if self.room.as_ref().is_none_or(|room| *room == event.room) => {
                    return Some(EventItem::Event(event.as_ref().clone()));
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return Some(EventItem::Reset),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// What a reader of a source's state is told first.
pub(crate) fn first_events(state: WatchState) -> VecDeque<SessionEvent> {
    let mut first = VecDeque::from([
        if state.active {
            SessionEvent::Active
        } else {
            SessionEvent::Inactive
        },
        SessionEvent::ViewerCount(state.viewers),
    ]);
    if state.draining {
        first.push_back(SessionEvent::Reconnect {
            url: None,
            after: Duration::ZERO,
        });
    }
    first
}
