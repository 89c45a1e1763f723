//! What the service is told: publishers and viewers that come and go, and how streams fare.
//!
//! A stream lasts from the moment when a publisher's media flows until its session is gone; one
//! that comes back begins another. Each has a task that starts it with the service, reports it
//! and ends it. Nothing here decides; what the service wants ended is closed through control.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use inver_control::{Happening, What};
use inver_proto::{CloseCause, MediaKind, Publication, RoomId, SessionId, SourceId};
use inver_service::{
    EndCause, Event, EventKind, Metadata, News, ReportPolicy, Start, StreamId, run_stream,
};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::handle::Inner;
use crate::pictures;

/// The streams of this node. There are as many as publishers whose media flows.
pub(crate) struct Streams {
    reports: ReportPolicy,
    /// By what the publisher feeds, so that viewers' events can name the stream.
    by_source: HashMap<SourceId, Running>,
    tasks: JoinSet<()>,
    /// Nothing new is begun any more.
    ended: bool,
}

struct Running {
    session: SessionId,
    /// What the service calls it, once it has said so.
    id: Arc<OnceLock<StreamId>>,
    /// Dropped when the publisher is gone.
    _present: oneshot::Sender<()>,
}

impl Streams {
    pub(crate) fn new(reports: ReportPolicy) -> Self {
        Self {
            reports,
            by_source: HashMap::new(),
            tasks: JoinSet::new(),
            ended: false,
        }
    }

    /// Tells the service what happened, in order. Never waits.
    pub(crate) fn tell(&mut self, inner: &Arc<Inner>, happened: Vec<Happening>) {
        for happening in happened {
            match happening.what {
                What::Published => self.begin(inner, &happening),
                What::Unpublished { .. } | What::Read | What::Unread { .. } => {}
            }
            let stream = self.by_source.get(&happening.source);
            let stream = stream.and_then(|stream| stream.id.get().cloned());
            let (source, session) = (happening.source, happening.session);
            let gone = matches!(happening.what, What::Unpublished { .. });
            inner.service.notify(&event(happening, stream));
            if gone
                && self
                    .by_source
                    .get(&source)
                    .is_some_and(|stream| stream.session == session)
            {
                self.by_source.remove(&source);
            }
        }
    }

    fn begin(&mut self, inner: &Arc<Inner>, happening: &Happening) {
        // Those that are over are forgotten whenever one begins.
        while self.tasks.try_join_next().is_some() {}
        if self.ended {
            return;
        }
        let (present, over) = oneshot::channel();
        let id = Arc::new(OnceLock::new());
        let running = Running {
            session: happening.session,
            id: Arc::clone(&id),
            _present: present,
        };
        self.by_source.insert(happening.source, running);
        let start = Start {
            room: happening.room.clone(),
            number: happening.number,
            participant: happening.participant.clone(),
            session: happening.session,
            door: happening.door,
        };
        let run = run(Arc::clone(inner), start, self.reports, id, over);
        self.tasks.spawn_on(run, &inner.runtime);
    }
}

/// Lets all streams come to their end and what is queued leave, for at most this long. Control has
/// closed all sessions before.
pub(crate) async fn end_all(inner: &Inner, within: Duration) {
    let begin = Instant::now();
    let mut tasks = {
        let mut streams = inner.streams();
        streams.ended = true;
        streams.by_source.clear();
        std::mem::take(&mut streams.tasks)
    };
    // Half for the ends of streams, which the service must hear before it is closed.
    let ended = async { while tasks.join_next().await.is_some() {} };
    if timeout_at(begin + within / 2, ended).await.is_err() {
        tracing::warn!("the service was not told the end of every stream in time");
    }
    let left = (begin + within).saturating_duration_since(Instant::now());
    inner.service.close(left).await;
}

/// One stream from its start to its end.
async fn run(
    inner: Arc<Inner>,
    start: Start,
    reports: ReportPolicy,
    id: Arc<OnceLock<StreamId>>,
    over: oneshot::Receiver<()>,
) {
    let (room, session) = (start.room.clone(), start.session);
    let (began, begun) = oneshot::channel();
    let pictures = pictures::show(Arc::clone(&inner), start.participant.clone(), begun);
    let mut began = Some(began);
    let mut reporter = Reported::new(Arc::clone(&inner), session);
    let news = |news: News<'_>| match news {
        News::Started(stream) => {
            // Set once: a stream is started once.
            let _ = id.set(stream.id.clone());
            // Nobody waits where no pictures are wanted.
            let _ = began.take().map(|began| began.send(stream.clone()));
        }
        News::Denied(denied) => end(&inner, &room, session, &denied.reason),
        News::Ended(EndCause::Refused { reason }) => end(&inner, &room, session, reason),
        News::Ended(EndCause::ReportsFailed) => {
            end(&inner, &room, session, "too many reports failed");
        }
    };
    let over = async {
        // Dropped, never sent.
        let _ = over.await;
    };
    let gather = || reporter.gather();
    let stream = run_stream(&*inner.service, start, reports, gather, news, over);
    tokio::select! {
        () = stream => {}
        () = pictures => {}
    }
}

/// Closes the publisher's session as an operator would.
fn end(inner: &Arc<Inner>, room: &RoomId, session: SessionId, reason: &str) {
    let service = inner.service.name();
    tracing::warn!(service, %room, %session, reason, "the service ended a stream");
    let ended = inner.mutate(|control, now| control.end_session(room, session, now));
    if ended.is_err() {
        tracing::debug!(%room, %session, "its publisher was gone already");
    }
}

/// What reports of one stream are made from.
struct Reported {
    inner: Arc<Inner>,
    session: SessionId,
    begun: Instant,
    received: u64,
    lost: f64,
}

impl Reported {
    fn new(inner: Arc<Inner>, session: SessionId) -> Self {
        Self {
            inner,
            session,
            begun: Instant::now(),
            received: 0,
            lost: 0.0,
        }
    }

    /// How the stream fares now.
    fn gather(&mut self) -> Metadata {
        let mut metadata = Metadata {
            duration: self.begun.elapsed(),
            ingest_server: self.inner.server_name.clone(),
            ..Metadata::default()
        };
        let inner = &self.inner;
        if let Some(publisher) = inner.look(|control| control.publisher(self.session)) {
            metadata.viewers = publisher.viewers;
            metadata.vendor_name = publisher.user_agent;
            let warnings = publisher.warnings.into_iter();
            metadata.warnings = warnings.map(|warning| warning.message).collect();
            describe(&mut metadata, &inner.publications(publisher.source));
        }
        let feed = inner.feeds.of_session(self.session);
        let encoder = feed.map(|feed| feed.encoder()).unwrap_or_default();
        if encoder.name.is_some() {
            metadata.vendor_name = encoder.name;
        }
        metadata.vendor_version = encoder.version;
        let snapshots = inner.media.snapshots();
        let mut sessions = snapshots.iter().flat_map(|snapshot| &snapshot.sessions);
        let stats = sessions
            .find(|(id, _)| *id == self.session)
            .map(|(_, stats)| stats);
        let round_trip = encoder
            .round_trip
            .or(stats.and_then(|stats| stats.round_trip));
        metadata.ping_ms =
            round_trip.map(|time| u32::try_from(time.as_millis()).unwrap_or(u32::MAX));
        if let Some(stats) = stats {
            // What arrives on the wire, where the data plane sees it.
            if stats.bitrate_in > 0 {
                metadata.bitrate = Some(stats.bitrate_in);
            }
            // Packets of encoders that speak no RTP are cut here and were not received.
            metadata.nack_packets = encoder.nacks.unwrap_or(stats.nacks);
            metadata.received_packets = encoder.packets.unwrap_or(stats.packets_received);
            let loss = encoder.loss.unwrap_or(stats.loss);
            self.count_losses(metadata.received_packets, loss);
        }
        metadata.lost_packets = self.lost as u64;
        metadata
    }

    /// The data plane knows the share of packets that were lost lately; from it and the packets
    /// that arrived since the last report comes about how many never did.
    fn count_losses(&mut self, received: u64, share: f32) {
        let arrived = received.saturating_sub(std::mem::replace(&mut self.received, received));
        let share = f64::from(share);
        if share.is_finite() && (0.0..1.0).contains(&share) {
            self.lost += arrived as f64 * share / (1.0 - share);
        }
    }
}

/// Codecs, rates and the size of the largest picture.
fn describe(metadata: &mut Metadata, publications: &[Publication]) {
    let mut bitrate = 0;
    for publication in publications {
        let active = publication.layers.iter().filter(|layer| layer.active);
        bitrate += active.clone().map(|layer| layer.bitrate).sum::<u64>();
        match publication.kind {
            MediaKind::Audio => metadata.audio_codec.clone_from(&publication.codec),
            MediaKind::Video => {
                metadata.video_codec.clone_from(&publication.codec);
                let pixels = |layer: &&inver_proto::Layer| {
                    u64::from(layer.width.unwrap_or(0)) * u64::from(layer.height.unwrap_or(0))
                };
                if let Some(largest) = active.max_by_key(pixels) {
                    metadata.width = largest.width;
                    metadata.height = largest.height;
                    metadata.frames_per_second = Some(largest.frames_per_second);
                }
            }
        }
    }
    metadata.bitrate = (bitrate > 0).then_some(bitrate);
}

/// What happened, in the service's words.
fn event(happening: Happening, stream: Option<StreamId>) -> Event {
    let ended = |lasted: Duration, cause: CloseCause| (Some(lasted), Some(cause));
    let (kind, (duration, cause)) = match happening.what {
        What::Published => (EventKind::Published, (None, None)),
        What::Unpublished { lasted, cause } => (EventKind::Unpublished, ended(lasted, cause)),
        What::Read => (EventKind::Read, (None, None)),
        What::Unread { lasted, cause } => (EventKind::Unread, ended(lasted, cause)),
    };
    Event {
        kind,
        at: happening.at,
        room: happening.room,
        number: happening.number,
        participant: happening.participant,
        session: happening.session,
        door: happening.door,
        remote: happening.address,
        stream,
        duration,
        cause,
    }
}
