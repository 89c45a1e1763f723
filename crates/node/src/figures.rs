//! From what the shards measured to what the control API shows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::feed::Feeds;
use crate::handle::Inner;
use inver_control::{Figures, SessionFigures};
use inver_proto::{
    CloseCause, Layer, MediaKind, Publication, SessionId, SessionStats, SourceId, Transport,
    Warning, WarningKind,
};
use inver_shard::{CloseReason, LayerStats, Snapshot, SourceStats, TrackStats};

/// One look at all shards' snapshots.
pub(crate) struct Measured<'a> {
    feeds: &'a Feeds,
    snapshots: Vec<Arc<Snapshot>>,
    /// Where a session's or source's figures are: shard's place, then place in its list.
    sessions: HashMap<SessionId, (usize, usize)>,
    sources: HashMap<SourceId, (usize, usize)>,
}

impl<'a> Measured<'a> {
    pub(crate) fn new(inner: &'a Inner) -> Self {
        let snapshots = inner.media.snapshots();
        let mut sessions = HashMap::new();
        let mut sources = HashMap::new();
        for (shard, snapshot) in snapshots.iter().enumerate() {
            let ids = snapshot.sessions.iter().enumerate();
            sessions.extend(ids.map(|(at, (id, _))| (*id, (shard, at))));
            let ids = snapshot.sources.iter().enumerate();
            sources.extend(ids.map(|(at, (id, _))| (*id, (shard, at))));
        }
        Self {
            feeds: &inner.feeds,
            snapshots,
            sessions,
            sources,
        }
    }
}

impl Figures for Measured<'_> {
    fn session(&self, session: SessionId) -> Option<SessionFigures> {
        let (shard, at) = *self.sessions.get(&session)?;
        let (_, stats) = self.snapshots.get(shard)?.sessions.get(at)?;
        let transport = if stats.tcp {
            Transport::Tcp
        } else {
            Transport::Udp
        };
        let feed = self.feeds.of_session(session);
        let encoder = feed.as_ref().map(|feed| feed.encoder()).unwrap_or_default();
        // What an encoder sends, be it worth sending on or not.
        let fed = feed.map(|feed| feed.bitrate());
        Some(SessionFigures {
            remote: stats.remote.map(|remote| remote.to_string()),
            // Before the first packet there is nothing that carries media.
            transport: stats.remote.map(|_| transport),
            stats: SessionStats {
                round_trip_ms: encoder
                    .round_trip
                    .or(stats.round_trip)
                    .map(|time| time.as_secs_f64() * 1000.0),
                bitrate_in: fed.unwrap_or(stats.bitrate_in),
                bitrate_out: stats.bitrate_out,
                loss: finite(encoder.loss.unwrap_or(stats.loss)),
                nacks: encoder.nacks.unwrap_or(stats.nacks),
                keyframe_requests: stats.keyframe_requests,
                estimate: stats.estimate,
                rid: stats.rid.clone(),
                spatial: stats.spatial,
                temporal: stats.temporal,
            },
        })
    }

    fn publications(&self, source: SourceId) -> Vec<Publication> {
        if let Some(feed) = self.feeds.get(source) {
            return feed.publications();
        }
        let stats = self.sources.get(&source).and_then(|(shard, at)| {
            let (_, stats) = self.snapshots.get(*shard)?.sources.get(*at)?;
            Some(stats)
        });
        stats.map(publications).unwrap_or_default()
    }
}

/// The publications of one source, straight from the shards' lists.
pub(crate) fn publications_of(snapshots: &[Arc<Snapshot>], source: SourceId) -> Vec<Publication> {
    let mut all = snapshots.iter().flat_map(|snapshot| &snapshot.sources);
    all.find(|(id, _)| *id == source)
        .map(|(_, stats)| publications(stats))
        .unwrap_or_default()
}

fn publications(stats: &SourceStats) -> Vec<Publication> {
    stats.tracks.iter().map(publication).collect()
}

fn publication(track: &TrackStats) -> Publication {
    Publication {
        kind: match track.kind {
            inver_media::Kind::Audio => MediaKind::Audio,
            inver_media::Kind::Video => MediaKind::Video,
        },
        codec: track.codec.map(|codec| codec.to_string()),
        loss: finite(track.loss),
        layers: track.layers.iter().map(layer).collect(),
    }
}

fn layer(stats: &LayerStats) -> Layer {
    Layer {
        rid: stats.rid.clone(),
        width: stats.width,
        height: stats.height,
        frames_per_second: finite(stats.frames_per_second),
        bitrate: stats.bitrate,
        keyframe_interval_ms: stats.keyframe_interval.map(milliseconds),
        active: stats.active,
        spatial_layers: stats.spatial_layers.max(1),
        temporal_layers: stats.temporal_layers.max(1),
    }
}

/// JSON has no NaN; a rate over no packets is zero.
fn finite(rate: f32) -> f32 {
    if rate.is_finite() { rate } else { 0.0 }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The control API's words for a shard's reason.
pub(crate) fn cause(reason: CloseReason) -> CloseCause {
    match reason {
        CloseReason::Asked => CloseCause::Asked,
        CloseReason::Remote => CloseCause::Remote,
        CloseReason::NeverConnected => CloseCause::NeverConnected,
        CloseReason::ConnectionLost => CloseCause::ConnectionLost,
        CloseReason::TakenOver => CloseCause::TakenOver,
        CloseReason::Unplayable => CloseCause::Unplayable,
        CloseReason::Failed => CloseCause::Failed,
        CloseReason::Drained => CloseCause::Drained,
    }
}

/// A shard's words for control's cause.
pub(crate) fn reason(cause: CloseCause) -> CloseReason {
    match cause {
        CloseCause::Asked | CloseCause::Kicked | CloseCause::PublisherGone => CloseReason::Asked,
        CloseCause::Remote => CloseReason::Remote,
        CloseCause::NeverConnected => CloseReason::NeverConnected,
        CloseCause::ConnectionLost => CloseReason::ConnectionLost,
        CloseCause::TakenOver => CloseReason::TakenOver,
        CloseCause::Unplayable => CloseReason::Unplayable,
        CloseCause::Failed => CloseReason::Failed,
        CloseCause::Drained => CloseReason::Drained,
    }
}

/// A shard's warning in words that help the publisher.
pub(crate) fn warning(warning: inver_shard::Warning) -> Warning {
    use inver_shard::Warning as Seen;
    let (kind, message) = match warning {
        Seen::BFrames => (
            WarningKind::BFrames,
            "the encoder sends B-frames, which WebRTC cannot play; set B-frames to 0 \
             (OBS: bf=0 or the zerolatency tune)"
                .to_owned(),
        ),
        Seen::KeyframeInterval { measured } => (
            WarningKind::KeyframeInterval,
            format!(
                "{:.1} s between keyframes; set the interval to 1 or 2 s so that viewers join \
                 quickly",
                measured.as_secs_f32()
            ),
        ),
        Seen::NoAudio => (
            WarningKind::NoAudio,
            "there is video and no sound; add an audio track".to_owned(),
        ),
        Seen::Loss { percent } => (
            WarningKind::Loss,
            format!("{percent} % of packets are lost on the way here; lower the bitrate"),
        ),
    };
    Warning { kind, message }
}
