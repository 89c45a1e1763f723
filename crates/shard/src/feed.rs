//! Encoders that hand their packets over instead of sending them to a socket here.
//!
//! The doors of other protocols packetize what they get and give it to the shard where their
//! source lives; from there on it is like any other publication. Such an encoder cannot be asked
//! for a keyframe, so the present group of pictures is kept, and a viewer that joins or has lost
//! its picture gets it, paced and shown faster than real time, up to the picture that is live.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use inver_media::Kind;
use inver_proto::{SessionId, SourceId};
use inver_rtc::{Layer, Write};
use inver_sfu::{Batch, GroupCache, Routed};
use tokio::sync::oneshot;

use crate::api::{CloseReason, Error, Event};
use crate::command::{BeginFeed, Command, FeedStart};
use crate::session::{BACKLOG, Meter, Role, Session};
use crate::shard::Shard;
use crate::snapshot::SessionStats;
use crate::source::{Publisher, Source};

/// A viewer that loses its picture gets the group again at most this often.
const REPLAY_INTERVAL: Duration = Duration::from_secs(2);

/// An encoder that handed nothing over for this long has stopped.
const FLOWS_WITHIN: Duration = Duration::from_secs(2);

/// An encoder's session on its source's shard.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) source: SourceId,
    pub(crate) stats: SessionStats,
    pub(crate) bytes: Meter,
    /// When it last handed something over, be it nothing to send on.
    pub(crate) heard: Option<Instant>,
    closed: Option<oneshot::Sender<CloseReason>>,
}

type Sink = Arc<dyn Fn(Arc<Batch>) -> bool + Send + Sync>;

/// The way of packets to the shard, for threads that make them. Clones are the same way.
#[derive(Clone)]
pub struct FeedSender {
    epoch: u64,
    sink: Sink,
}

impl std::fmt::Debug for FeedSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FeedSender")
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl FeedSender {
    /// Hands over the packets of a frame. `false`: the shard is behind and they are lost.
    pub fn send(&self, packets: Vec<Routed>) -> bool {
        (self.sink)(Arc::new(Batch {
            epoch: self.epoch,
            packets,
        }))
    }
}

/// Where an encoder's packets go. Dropping it says nothing: end the session with
/// [`Link::close`](crate::Link::close).
pub struct FeedLink {
    /// Counts the sessions of the source: goes into each batch.
    epoch: u64,
    sink: Sink,
    watchers: Arc<AtomicUsize>,
    closed: oneshot::Receiver<CloseReason>,
}

impl std::fmt::Debug for FeedLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FeedLink")
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl FeedLink {
    /// A link of parts, for a data plane that stands in for the shards.
    pub fn new(
        epoch: u64,
        sink: impl Fn(Arc<Batch>) -> bool + Send + Sync + 'static,
        watchers: Arc<AtomicUsize>,
        closed: oneshot::Receiver<CloseReason>,
    ) -> Self {
        Self {
            epoch,
            sink: Arc::new(sink),
            watchers,
            closed,
        }
    }

    /// Hands over the packets of a frame. `false`: the shard is behind and they are lost.
    pub fn send(&self, packets: Vec<Routed>) -> bool {
        self.sender().send(packets)
    }

    /// The same way for another thread.
    pub fn sender(&self) -> FeedSender {
        FeedSender {
            epoch: self.epoch,
            sink: Arc::clone(&self.sink),
        }
    }

    /// How many viewers over WebRTC the source has: what only they need is made only while this
    /// is not zero.
    pub fn watchers(&self) -> usize {
        self.watchers.load(Ordering::Relaxed)
    }

    /// Waits until the session has been ended from the other side.
    pub async fn closed(&mut self) -> CloseReason {
        // A shard that is gone has ended everything.
        (&mut self.closed).await.unwrap_or(CloseReason::Drained)
    }
}

impl Feed {
    /// Whether the encoder is there, though nothing may have been worth sending on.
    pub(crate) fn flows(&self, now: Instant) -> bool {
        self.heard
            .is_some_and(|at| now.saturating_duration_since(at) < FLOWS_WITHIN)
    }
}

impl Shard {
    pub(crate) fn begin_feed(&mut self, request: &BeginFeed) -> Result<FeedStart, Error> {
        if self.sessions.len() + self.feeds.len() >= self.config.max_sessions {
            return Err(Error::Full);
        }
        if self.feeds.contains_key(&request.session) {
            return Err(Error::Unexpected("the session exists already".into()));
        }
        let now = Instant::now();
        let id = request.source;
        let index = self.index;
        let watchers = self.watchers_of(id);
        let source = self
            .sources
            .entry(id)
            .or_insert_with(|| Source::new(id, index));
        source.home = index;
        source.watchers = watchers;
        source.publisher = Some(Publisher::Feed(request.session));
        let mut tracks = source.begin(Some(Vec::new()), Some(Vec::new()));
        source.group = Some(GroupCache::new());
        tracks.group = Some(Arc::new(GroupCache::new()));
        let epoch = tracks.epoch;
        for mirror in source.mirrors.clone() {
            let _ = self.peers[mirror].command(Command::Mirror(id, Some(tracks.clone())));
        }
        let (closed, receiver) = oneshot::channel();
        let feed = Feed {
            source: id,
            stats: SessionStats::default(),
            bytes: Meter::new(now),
            heard: None,
            closed: Some(closed),
        };
        self.feeds.insert(request.session, feed);
        self.describe(id);
        self.tell(Event::Connected {
            session: request.session,
        });
        self.review_viewers(id, now);
        Ok(FeedStart {
            epoch,
            closed: receiver,
        })
    }

    /// Ends an encoder's session, if there is such a one here.
    pub(crate) fn end_feed(&mut self, session: SessionId, reason: CloseReason) {
        let Some(mut feed) = self.feeds.remove(&session) else {
            return;
        };
        if let Some(closed) = feed.closed.take() {
            // Whoever has dropped the link knows already.
            let _ = closed.send(reason);
        }
        if let Some(source) = self.sources.get_mut(&feed.source)
            && source.publisher == Some(Publisher::Feed(session))
        {
            source.publisher = None;
            source.flowing_since = None;
            if std::mem::take(&mut source.flowing) {
                self.tell(Event::Flowing {
                    source: feed.source,
                    flowing: false,
                });
            }
        }
        self.tell(Event::Closed { session, reason });
    }

    /// Takes a batch from another shard or from an encoder.
    pub(crate) fn take_batch(&mut self, id: SourceId, batch: &Arc<Batch>) {
        let Some(source) = self.sources.get(&id) else {
            return;
        };
        if source.home == self.index {
            if source.epoch != batch.epoch {
                return;
            }
            for mirror in source.mirrors.clone() {
                if !self.peers[mirror].batch(id, Arc::clone(batch)) {
                    self.totals.send_errors += batch.packets.len() as u64;
                }
            }
            let count = batch.packets.len() as u64;
            self.totals.packets_received += count;
            if let Some(Publisher::Feed(session)) = source.publisher
                && let Some(feed) = self.feeds.get_mut(&session)
            {
                feed.heard = Some(Instant::now());
                feed.stats.packets_received += count;
                for routed in &batch.packets {
                    feed.bytes.add(routed.packet.payload.len());
                }
            }
        }
        self.distribute(id, batch);
    }

    /// Gives a viewer that lost its picture the present group once more. `false`: its source has
    /// none, or the viewer just had it.
    pub(crate) fn replay_again(&mut self, slot: usize, layer: Layer, now: Instant) -> bool {
        let Some(viewer) = self.sessions.get_mut(slot).and_then(Session::viewer) else {
            return false;
        };
        let lately = viewer
            .replayed
            .is_some_and(|at| now.saturating_duration_since(at) < REPLAY_INTERVAL);
        if lately || !viewer.backlog.is_empty() {
            // What is on its way may be all that was missing.
            return viewer.replayed.is_some();
        }
        let id = self.sessions[slot].source;
        let has_group = self.sources.get(&id).is_some_and(|source| {
            source
                .group
                .as_ref()
                .is_some_and(|group| group.last_timestamp(layer).is_some())
        });
        if !has_group {
            return false;
        }
        if let Some(video) = self.sessions[slot].viewer().and_then(|v| v.video.as_mut()) {
            video.track.detach();
        }
        self.review_viewer(slot, now);
        true
    }

    /// Gives a viewer the present group of pictures of its source, if that is kept.
    pub(crate) fn replay(&mut self, slot: usize, layer: Layer, now: Instant) -> bool {
        let Some(session) = self.sessions.get_mut(slot) else {
            return false;
        };
        let id = session.source;
        let Session {
            connection, role, ..
        } = session;
        let Role::Viewer(viewer) = role else {
            return false;
        };
        // One whose way did not carry the last one is not helped by another at once.
        let lately = viewer
            .replayed
            .is_some_and(|at| now.saturating_duration_since(at) < REPLAY_INTERVAL);
        if lately {
            return false;
        }
        let Some(source) = self.sources.get(&id) else {
            return false;
        };
        let withheld = source
            .router
            .as_ref()
            .and_then(|router| router.track(Kind::Video))
            .is_some_and(|track| track.reordered);
        let (Some(group), false) = (&source.group, withheld) else {
            return false;
        };
        let Some(down) = &mut viewer.video else {
            return false;
        };
        let first = viewer.backlog.len();
        let mut last = None;
        for (routed, place, moment) in group.packets(layer) {
            let Some(payload_type) = down.payload_type(connection, &routed.packet.format) else {
                return false;
            };
            let Some(forwarded) = down.track.forward(routed, moment) else {
                continue;
            };
            last = Some(forwarded.timestamp);
            if viewer.backlog.len() == BACKLOG {
                break;
            }
            // Its distance to the last picture, whose time is known behind the loop.
            let before = (place.before_last.as_nanos() * 90_000 / 1_000_000_000) as u32;
            let write = Write {
                payload_type,
                sequence: forwarded.sequence,
                timestamp: before,
                wallclock: moment,
                marker: forwarded.marker,
                nackable: true,
                payload: forwarded.payload,
                padding: 0,
                extensions: routed.packet.extensions,
            };
            viewer.backlog.push_back((down.id, write));
        }
        let Some(last) = last else {
            return false;
        };
        for (_, write) in viewer.backlog.range_mut(first..) {
            write.timestamp = last.wrapping_sub(write.timestamp);
        }
        viewer.replayed = Some(now);
        self.release_backlog(slot, now);
        self.schedule(slot);
        true
    }
}
