//! What reports tell and lead to, on virtual time with a service without a network.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use inver_node::{Config, Secret, Service};
use inver_proto::{RoomId, SessionId};
use inver_service::{
    Answering, Approved, AtLimit, BuiltIn, Denied, Event as Told, Fault, HmacRequest, KeyLookup,
    Metadata, Publish, Read, ReportPolicy, Start, Stream, Verdict,
};
use inver_shard::{
    CloseReason, Event, LayerStats, SessionStats, Snapshot, SourceStats, TrackStats,
};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::fake::{Call, Node, publish, subscribe};

/// Decides nothing, and answers reports by their number, from 1.
struct Scripted {
    verdict: fn(usize) -> Result<Verdict, Fault>,
    reports: Arc<Mutex<Vec<(Instant, Metadata)>>>,
    count: watch::Sender<usize>,
}

impl Service for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn split_key(&self, text: &Secret) -> Option<(RoomId, Secret)> {
        BuiltIn.split_key(text)
    }

    fn authenticate(&self, publish: Publish) -> Answering<'_, Result<Approved, Denied>> {
        BuiltIn.authenticate(publish)
    }

    fn hmac_key(&self, request: HmacRequest) -> Answering<'_, Result<KeyLookup, Fault>> {
        BuiltIn.hmac_key(request)
    }

    fn start_stream(&self, start: Start) -> Answering<'_, Result<Stream, Denied>> {
        BuiltIn.start_stream(start)
    }

    fn end_stream<'a>(&'a self, _: &'a Stream) -> Answering<'a, Result<(), Fault>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn report<'a>(
        &'a self,
        _: &'a Stream,
        metadata: &'a Metadata,
    ) -> Answering<'a, Result<Verdict, Fault>> {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.push((Instant::now(), metadata.clone()));
        let count = reports.len();
        self.count.send_replace(count);
        Box::pin(std::future::ready((self.verdict)(count)))
    }

    fn thumbnail<'a>(&'a self, _: &'a Stream, _: Bytes) -> Answering<'a, Result<(), Fault>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn authorize_read(&self, read: Read) -> Answering<'_, Result<Approved, Denied>> {
        BuiltIn.authorize_read(read)
    }

    fn notify(&self, _: &Told) {}

    fn close(&self, _: Duration) -> Answering<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A live publisher that is reported.
struct Show {
    node: Node,
    session: SessionId,
    begun: Instant,
    reports: Arc<Mutex<Vec<(Instant, Metadata)>>>,
    count: watch::Receiver<usize>,
    _folder: tempfile::TempDir,
}

impl Show {
    async fn begin(at_limit: AtLimit, verdict: fn(usize) -> Result<Verdict, Fault>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let reports = Arc::default();
        let (counted, count) = watch::channel(0);
        let service = Scripted {
            verdict,
            reports: Arc::clone(&reports),
            count: counted,
        };
        let settings = Config {
            service: Arc::new(service),
            server_name: Some("media-1".to_owned()),
            reports: ReportPolicy {
                at_limit,
                ..ReportPolicy::default()
            },
            ..Config::default()
        };
        let node = Node::with_service(folder.path(), true, settings).await;
        let node = node.expect("opens");
        let started = node.handle.publish(publish("studio", "")).await;
        let session = started.expect("open server").session;
        node.tell(Event::Connected { session }).await;
        let begun = Instant::now();
        let source = node.source(session);
        let flowing = true;
        node.tell(Event::Flowing { source, flowing }).await;
        Self {
            node,
            session,
            begun,
            reports,
            count,
            _folder: folder,
        }
    }

    /// Waits for this many reports.
    async fn reported(&mut self, count: usize) -> Vec<(Instant, Metadata)> {
        let enough = self.count.wait_for(|now| *now >= count).await;
        enough.expect("the service lives");
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.clone()
    }

    fn closed(&self) -> bool {
        let close = Call::Close(self.session, CloseReason::Asked);
        self.node.fake.calls().contains(&close)
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_tells_how_the_stream_fares() {
    let mut show = Show::begin(AtLimit::Keep, |_| Ok(Verdict::Continue)).await;
    let stats = SessionStats {
        round_trip: Some(Duration::from_millis(12)),
        bitrate_in: 2_500_000,
        packets_received: 900,
        loss: 0.1,
        nacks: 40,
        ..SessionStats::default()
    };
    let layer = |width, height, active| LayerStats {
        width: Some(width),
        height: Some(height),
        frames_per_second: 30.0,
        active,
        ..LayerStats::default()
    };
    let track = TrackStats {
        kind: inver_media::Kind::Video,
        codec: Some(inver_media::Codec::H264),
        layers: vec![
            layer(320, 180, true),
            layer(1280, 720, true),
            layer(1920, 1080, false),
        ],
        loss: 0.0,
    };
    let source = show.node.source(show.session);
    show.node.fake.measure(Snapshot {
        sessions: vec![(show.session, stats)],
        sources: vec![(
            source,
            SourceStats {
                tracks: vec![track],
            },
        )],
        ..Snapshot::default()
    });
    let viewer = show.node.handle.subscribe(subscribe("studio")).await;
    let session = viewer.expect("is live").session;
    show.node.tell(Event::Connected { session }).await;
    let warning = inver_shard::Warning::NoAudio;
    let session = show.session;
    show.node.tell(Event::Warned { session, warning }).await;
    let reports = show.reported(2).await;
    let after: Vec<u64> = reports
        .iter()
        .map(|(at, _)| (*at - show.begun).as_secs())
        .collect();
    assert_eq!(after, [5, 10]);
    let report = &reports[1].1;
    assert_eq!(report.video_codec.as_deref(), Some("H264"));
    let size = (report.width, report.height);
    assert_eq!(size, (Some(1280), Some(720)), "the largest that is sent");
    assert_eq!(report.frames_per_second, Some(30.0));
    assert_eq!(report.bitrate, Some(2_500_000));
    assert_eq!(report.ping_ms, Some(12));
    assert_eq!(report.nack_packets, 40);
    assert_eq!(report.received_packets, 900);
    assert_eq!(
        report.ingest_server.as_deref(),
        Some("media-1"),
        "the server has a name"
    );
    assert_eq!(
        report.lost_packets, 100,
        "a tenth of a thousand, counted once"
    );
    assert_eq!(report.viewers, 1);
    assert_eq!(report.duration.as_secs(), 10);
    assert_eq!(report.warnings.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_service_ends_a_show_by_its_answer_to_a_report() {
    let mut show = Show::begin(AtLimit::Keep, |count| match count {
        1 => Ok(Verdict::Continue),
        _ => Ok(Verdict::End {
            reason: "not this game".to_owned(),
        }),
    })
    .await;
    show.reported(1).await;
    assert!(!show.closed());
    let close = Call::Close(show.session, CloseReason::Asked);
    show.node.fake.called(&close).await;
    assert_eq!(show.begun.elapsed().as_secs(), 10);
    // It is over: nothing more is reported.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(show.reported(2).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn five_reports_that_fail_keep_the_show_or_end_it_as_configured() {
    let failed = |_| Err(Fault::Status(500));
    let mut kept = Show::begin(AtLimit::Keep, failed).await;
    kept.reported(12).await;
    assert!(!kept.closed(), "a service that is away ends nothing");
    let ended = Show::begin(AtLimit::End, failed).await;
    let close = Call::Close(ended.session, CloseReason::Asked);
    ended.node.fake.called(&close).await;
    assert_eq!(ended.begun.elapsed().as_secs(), 25);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_reported_once_the_publisher_is_gone() {
    let mut show = Show::begin(AtLimit::Keep, |_| Ok(Verdict::Continue)).await;
    show.reported(2).await;
    let (session, reason) = (show.session, CloseReason::Remote);
    show.node.tell(Event::Closed { session, reason }).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(show.reported(2).await.len(), 2);
}
