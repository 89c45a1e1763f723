//! What a shard looks at once a second, and the choice of layers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use inver_media::Kind;
use inver_proto::SourceId;
use inver_sfu::Limits;
use nix::time::{ClockId, clock_gettime};

use crate::api::{CloseReason, Event, Warning};
use crate::session::Role;
use crate::shard::Shard;
use crate::snapshot::{LayerStats, Snapshot, SourceStats, TrackStats};
use crate::source::Publisher;

/// Bits per second set aside for sound when the rest of an estimate is given to video.
const AUDIO_SHARE: u64 = 64_000;

/// Percent of a layer's rate that a way has to carry before the layer is tried: room for its
/// peaks.
const ROOM_ABOVE: u64 = 125;

/// A publication with video and without sound is told of after this time.
const NO_AUDIO_AFTER: Duration = Duration::from_secs(5);

/// Loss that a publisher is told of.
const BAD_LOSS: f32 = 0.05;

/// Nothing heard for this long, over two of the longest usual report intervals (RFC 3550, 6.2):
/// the client is silent. Less ends sessions of clients that report rarely, more finds the dead
/// later.
const SILENT_AFTER: Duration = Duration::from_secs(12);

/// Quieter than this is not speech.
const SPEECH_LEVEL: u8 = 60;

impl Shard {
    pub(crate) fn review(&mut self) {
        let now = Instant::now();
        self.review_sessions(now);
        self.review_sources(now);
        if let Some(tcp) = &mut self.tcp {
            tcp.review(now, self.poll.registry());
        }
        self.publish_snapshot(now);
    }

    fn review_sessions(&mut self, now: Instant) {
        let mut over = Vec::new();
        let mut told = Vec::new();
        for (slot, session) in &mut self.sessions {
            let age = now.saturating_duration_since(session.created);
            if !session.connected && age > self.config.connect_timeout {
                over.push((slot, CloseReason::NeverConnected));
            }
            // Some clients check consent rarely or never; who sends media or reports is there.
            let silent = now.saturating_duration_since(session.heard) > SILENT_AFTER;
            if let (Some(lost), true) = (session.lost, silent) {
                if !session.told_lost {
                    session.told_lost = true;
                    told.push(Event::Disconnected {
                        session: session.id,
                    });
                }
                if now.saturating_duration_since(lost) > self.config.lost_timeout {
                    over.push((slot, CloseReason::ConnectionLost));
                }
            } else if session.told_lost && !silent {
                session.told_lost = false;
                told.push(Event::Connected {
                    session: session.id,
                });
            }
            session.stats.bitrate_in = session.bytes_in.take(now);
            session.stats.bitrate_out = session.bytes_out.take(now);
        }
        for feed in self.feeds.values_mut() {
            feed.stats.bitrate_in = feed.bytes.take(now);
        }
        for event in told {
            self.tell(event);
        }
        for (slot, reason) in over {
            self.end(slot, reason);
        }
    }

    fn review_sources(&mut self, now: Instant) {
        let ids: Vec<SourceId> = self.sources.keys().copied().collect();
        for id in ids {
            let mut findings = Vec::new();
            let Some(source) = self.sources.get_mut(&id) else {
                continue;
            };
            let at_home = source.home == self.index;
            let Some(router) = source.router.as_mut() else {
                continue;
            };
            router.review(now, &mut findings);
            let fed = match source.publisher {
                Some(Publisher::Feed(session)) => self.feeds.get(&session),
                Some(Publisher::Connection(_)) | None => None,
            };
            let flowing = router.flowing(now) || fed.is_some_and(|feed| feed.flows(now));
            let level = router.take_level().filter(|level| *level < SPEECH_LEVEL);
            let video_only = router
                .track(Kind::Audio)
                .is_none_or(|track| track.format.is_none())
                && router
                    .track(Kind::Video)
                    .is_some_and(|track| track.format.is_some());
            let stopped = at_home && source.flowing && !flowing;
            if stopped {
                source.flowing = false;
                source.flowing_since = None;
            }
            // Whoever feeds it knows better what there is than the packets tell.
            let silent = video_only
                && fed.is_none()
                && source
                    .flowing_since
                    .is_some_and(|since| now.saturating_duration_since(since) > NO_AUDIO_AFTER);
            let loss = source
                .publisher
                .and_then(Publisher::slot)
                .and_then(|slot| self.sessions.get(slot))
                .map_or(0.0, |s| s.stats.loss);
            if stopped {
                self.tell(Event::Flowing {
                    source: id,
                    flowing: false,
                });
            }
            if at_home && silent {
                self.warn_publisher(id, Warning::NoAudio);
            }
            if at_home && loss > BAD_LOSS {
                self.warn_publisher(
                    id,
                    Warning::Loss {
                        percent: (loss * 100.0).min(100.0) as u8,
                    },
                );
            }
            if let (true, Some(level)) = (at_home, level) {
                self.tell(Event::Speaking { source: id, level });
            }
            self.act_on(id, &findings, now);
            self.review_viewers(id, now);
        }
    }

    /// Chooses layers anew for all viewers of a source here.
    pub(crate) fn review_viewers(&mut self, id: SourceId, now: Instant) {
        let viewers = self
            .sources
            .get(&id)
            .map(|source| source.viewers.clone())
            .unwrap_or_default();
        for slot in viewers {
            self.review_viewer(slot, now);
        }
    }

    /// Chooses the layer for one viewer and asks for the keyframe that it waits for.
    pub(crate) fn review_viewer(&mut self, slot: usize, now: Instant) {
        let Some(session) = self
            .sessions
            .get_mut(slot)
            .filter(|session| session.connected)
        else {
            return;
        };
        let id = session.source;
        let Role::Viewer(viewer) = &mut session.role else {
            return;
        };
        let Some(router) = self
            .sources
            .get(&id)
            .and_then(|source| source.router.as_ref())
        else {
            return;
        };
        if let Some(audio) = &mut viewer.audio {
            audio.track.review(router, now);
        }
        let mut awaited = None;
        let mut probes = false;
        if let Some(video) = &mut viewer.video {
            let selection = &viewer.selection;
            video.track.set_limits(Limits {
                rid: selection.rid.clone(),
                spatial: selection.spatial,
                temporal: selection.temporal,
                size: (selection.max_width, selection.max_height),
                bitrate: selection.max_bitrate,
                estimate: viewer
                    .estimate
                    .map(|estimate| estimate.saturating_sub(AUDIO_SHARE)),
            });
            awaited = video.track.review(router, now);
            if let Some(track) = router.track(Kind::Video) {
                let current = video
                    .track
                    .current()
                    .and_then(|layer| track.layers.state(layer));
                let rate = current.map_or(0, |state| state.bitrate);
                session.stats.rid = video
                    .track
                    .current()
                    .and_then(|layer| track.layers.rid(layer))
                    .map(str::to_owned);
                session.stats.spatial = current.map(|state| state.spatial_layers.saturating_sub(1));
                session.stats.temporal =
                    current.map(|state| state.temporal_layers.saturating_sub(1));
                match viewer.estimate {
                    None => viewer.pacer.set_bitrate(rate),
                    Some(estimate) => {
                        viewer.pacer.set_capacity(estimate);
                        // Padding up to the next layer's rate finds out whether it would fit; on
                        // the best one nothing is left to find out.
                        let ascending = track.layers.ascending();
                        let rates = ascending.iter().map(|(_, state)| state.bitrate);
                        let next = rates.filter(|next| *next > rate).min();
                        let current = rate + AUDIO_SHARE;
                        let wanted =
                            next.map_or(current, |next| next / 100 * ROOM_ABOVE + AUDIO_SHARE);
                        if viewer.wanted != (current, wanted) {
                            viewer.wanted = (current, wanted);
                            session.connection.set_wanted_bitrate(current, wanted);
                            session.timeout = now;
                            probes = true;
                        }
                    }
                }
            }
            session.stats.estimate = viewer.estimate;
        }
        if probes {
            self.schedule(slot);
        }
        if let Some(layer) = awaited
            && !self.replay(slot, layer, now)
        {
            self.want_keyframe(id, layer, now);
        }
    }

    /// Takes a new estimate of a viewer's way.
    pub(crate) fn estimated(&mut self, slot: usize, bits_per_second: u64, now: Instant) {
        if let Some(viewer) = self.sessions[slot].viewer() {
            viewer.estimate = Some(bits_per_second);
            self.review_viewer(slot, now);
        }
    }

    fn publish_snapshot(&mut self, now: Instant) {
        self.totals.cpu =
            clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from);
        self.totals.sends = self.udp.sends;
        let mut totals = self.totals.clone();
        totals.send_errors += self.udp.errors;
        let mut tracks_in = 0;
        let mut sources = Vec::new();
        for source in self
            .sources
            .values()
            .filter(|source| source.home == self.index)
        {
            let Some(router) = &source.router else {
                continue;
            };
            let loss = source
                .publisher
                .and_then(Publisher::slot)
                .and_then(|slot| self.sessions.get(slot))
                .map_or(0.0, |s| s.stats.loss);
            let mut tracks = Vec::new();
            for kind in [Kind::Audio, Kind::Video] {
                let Some(track) = router.track(kind) else {
                    continue;
                };
                tracks_in += usize::from(source.publisher.is_some());
                let layers = track
                    .layers
                    .ascending()
                    .into_iter()
                    .map(|(layer, state)| LayerStats {
                        rid: track.layers.rid(layer).map(str::to_owned),
                        width: state.size.map(|size| size.0),
                        height: state.size.map(|size| size.1),
                        frames_per_second: if kind == Kind::Video {
                            state.frames_per_second
                        } else {
                            0.0
                        },
                        bitrate: if state.active(now) { state.bitrate } else { 0 },
                        keyframe_interval: state.keyframe_interval.filter(|_| kind == Kind::Video),
                        active: state.active(now),
                        spatial_layers: state.spatial_layers.max(1),
                        temporal_layers: state.temporal_layers.max(1),
                    })
                    .collect();
                tracks.push(TrackStats {
                    kind,
                    codec: track.format.map(|f| f.codec),
                    layers,
                    loss,
                });
            }
            sources.push((source.id, SourceStats { tracks }));
        }
        let mut tracks_out = 0;
        let sessions = self
            .sessions
            .iter()
            .map(|(_, session)| {
                if let Role::Viewer(viewer) = &session.role {
                    tracks_out +=
                        usize::from(viewer.audio.is_some()) + usize::from(viewer.video.is_some());
                }
                (session.id, session.stats.clone())
            })
            .chain(
                self.feeds
                    .iter()
                    .map(|(id, feed)| (*id, feed.stats.clone())),
            )
            .collect();
        let snapshot = Snapshot {
            shard: self.index,
            totals,
            sessions,
            sources,
            tracks_in,
            tracks_out,
        };
        if let Ok(mut shown) = self.snapshot.lock() {
            *shown = Arc::new(snapshot);
        }
    }
}
