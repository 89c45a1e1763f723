//! The way of media through a shard: from a publisher's packets to every viewer's datagrams.

use std::sync::Arc;
use std::time::Instant;

use inver_media::Kind;
use inver_proto::{SessionId, SourceId};
use inver_rtc::{Layer, Write};
use inver_sfu::{Batch, Finding, KeyframeRequests, Routed};

use crate::api::{CloseReason, Event, Warning};
use crate::command::{Command, Message};
use crate::session::{BACKLOG, Role, Session};
use crate::shard::Shard;
use crate::source::{Publisher, Source};

/// Packets that are sent on together at most, whatever the frame's size: what one send with
/// segmentation offload can hold.
const MAX_BATCH: usize = 64;

/// RTP header with extensions, authentication tag and what the pacer should not ignore.
const PACKET_OVERHEAD: usize = 40;

impl Shard {
    /// Takes a publisher's packet into its source's batch.
    pub(crate) fn take_packet(&mut self, slot: usize, id: SourceId, routed: Routed, now: Instant) {
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        if source.publisher != Some(Publisher::Connection(slot)) {
            return;
        }
        let whole = routed.packet.marker
            || routed.kind == Kind::Audio
            || source.pending.len() + 1 >= MAX_BATCH;
        if source.pending.is_empty() {
            self.waiting.push(id);
            source.flush_at = Some(now + self.config.batch_delay);
        }
        if whole {
            source.flush_at = Some(now);
        }
        source.pending.push(routed);
    }

    /// Sends on what has waited for its frame's end or for long enough.
    pub(crate) fn send_due(&mut self) {
        let now = Instant::now();
        let mut index = 0;
        while index < self.waiting.len() {
            let id = self.waiting[index];
            let Some(source) = self.sources.get_mut(&id) else {
                self.waiting.swap_remove(index);
                continue;
            };
            if source.flush_at.is_some_and(|at| at > now) {
                index += 1;
                continue;
            }
            self.waiting.swap_remove(index);
            source.flush_at = None;
            let packets = std::mem::take(&mut source.pending);
            if packets.is_empty() {
                continue;
            }
            let batch = Arc::new(Batch {
                epoch: source.epoch,
                packets,
            });
            for mirror in source.mirrors.clone() {
                if !self.peers[mirror].batch(id, Arc::clone(&batch)) {
                    self.totals.send_errors += batch.packets.len() as u64;
                }
            }
            self.give_taps(id, &batch);
            self.distribute(id, &batch);
            // The vector goes back for its allocation where no mirror or tap holds it.
            if let (Ok(mut batch), Some(source)) =
                (Arc::try_unwrap(batch), self.sources.get_mut(&id))
                && source.pending.is_empty()
            {
                batch.packets.clear();
                source.pending = batch.packets;
            }
        }
    }

    /// Gives a batch to every viewer of its source on this shard.
    pub(crate) fn distribute(&mut self, id: SourceId, batch: &Batch) {
        let now = Instant::now();
        let mut moments = std::mem::take(&mut self.moments);
        let mut findings = Vec::new();
        let Some(source) = self.sources.get_mut(&id) else {
            self.moments = moments;
            return;
        };
        let Some(router) = source
            .router
            .as_mut()
            .filter(|router| router.epoch == batch.epoch)
        else {
            self.moments = moments;
            return;
        };
        router.observe(batch, &mut moments, &mut findings);
        batch.paddings(&mut self.paddings);
        if let Some(group) = &mut source.group {
            group.observe(batch, &moments);
        }
        let withheld = router
            .track(Kind::Video)
            .is_some_and(|track| track.reordered);
        if !source.flowing && source.home == self.index {
            source.flowing = true;
            source.flowing_since = Some(now);
            self.tell(Event::Flowing {
                source: id,
                flowing: true,
            });
        }
        self.act_on(id, &findings, now);
        let viewers = match self.sources.get_mut(&id) {
            Some(source) => {
                source.distributing = true;
                std::mem::take(&mut source.viewers)
            }
            None => Vec::new(),
        };
        for &slot in &viewers {
            self.forward(slot, batch, &moments, withheld, now);
        }
        if let Some(source) = self.sources.get_mut(&id) {
            source.distributing = false;
            // A viewer that ended meanwhile is not in the slab any more.
            source.viewers = viewers
                .into_iter()
                .filter(|slot| self.sessions.contains(*slot))
                .collect();
            self.drop_idle_mirror(id);
        }
        self.moments = moments;
    }

    fn forward(
        &mut self,
        slot: usize,
        batch: &Batch,
        moments: &[Instant],
        withheld: bool,
        now: Instant,
    ) {
        let Some(session) = self
            .sessions
            .get_mut(slot)
            .filter(|session| session.connected)
        else {
            return;
        };
        let Session {
            connection, role, ..
        } = session;
        let Role::Viewer(viewer) = role else {
            return;
        };
        self.burst.clear();
        let mut written = 0;
        let mut overflow = false;
        let packets = batch.packets.iter().zip(moments).zip(&self.paddings);
        for ((routed, moment), padding) in packets {
            if withheld && routed.kind == Kind::Video {
                continue;
            }
            let Some(down) = viewer.down(routed.kind) else {
                continue;
            };
            let Some(payload_type) = down.payload_type(connection, &routed.packet.format) else {
                continue;
            };
            let Some(forwarded) = down.track.forward(routed, *moment) else {
                continue;
            };
            let id = down.id;
            let len = forwarded.payload.len() + PACKET_OVERHEAD;
            let write = Write {
                payload_type,
                sequence: forwarded.sequence,
                timestamp: forwarded.timestamp,
                wallclock: *moment,
                marker: forwarded.marker,
                nackable: routed.kind == Kind::Video,
                payload: forwarded.payload,
                padding: *padding,
                extensions: routed.packet.extensions,
            };
            // Sound never waits behind a burst of video: it is small and heard at once.
            let waits = routed.kind == Kind::Video
                && (!viewer.backlog.is_empty() || !viewer.pacer.take(len, now));
            if waits {
                if viewer.backlog.len() == BACKLOG {
                    overflow = true;
                    break;
                }
                viewer.backlog.push_back((id, write));
            } else {
                connection.write_to(&mut self.burst, id, write, now);
                written += 1;
            }
        }
        if overflow {
            viewer.backlog.clear();
            if let Some(video) = &mut viewer.video {
                video.track.detach();
            }
        }
        let backlog = !viewer.backlog.is_empty();
        if written > 0 {
            self.send_burst(slot, written, now);
            let sent = Instant::now();
            let arrival = batch
                .packets
                .last()
                .map_or(now, |routed| routed.packet.arrival);
            self.totals
                .forwarding_delay
                .record(sent.saturating_duration_since(arrival), written);
        }
        if backlog {
            self.schedule(slot);
        }
        if overflow {
            self.review_viewer(slot, now);
        }
    }

    /// Sends the packets that were written into the burst for a viewer.
    fn send_burst(&mut self, slot: usize, written: u64, now: Instant) {
        let session = &mut self.sessions[slot];
        session.connection.finish_burst(&mut self.burst, now);
        session.stats.packets_sent += written;
        session
            .stats
            .first_packet_after
            .get_or_insert(now.saturating_duration_since(session.created));
        self.totals.packets_sent += written;
        if let Some((transport, destination)) = session.connection.destination() {
            let burst = std::mem::take(&mut self.burst);
            self.send(slot, transport, destination, &burst);
            self.burst = burst;
        }
    }

    /// Sends what the pacer lets through of a viewer's backlog.
    pub(crate) fn release_backlog(&mut self, slot: usize, now: Instant) {
        let Session {
            connection, role, ..
        } = &mut self.sessions[slot];
        let Role::Viewer(viewer) = role else {
            return;
        };
        self.burst.clear();
        let mut released = 0;
        while let Some((_, write)) = viewer.backlog.front() {
            if !viewer
                .pacer
                .take(write.payload.len() + PACKET_OVERHEAD, now)
            {
                break;
            }
            let Some((id, write)) = viewer.backlog.pop_front() else {
                break;
            };
            connection.write_to(&mut self.burst, id, write, now);
            released += 1;
        }
        if released > 0 {
            self.send_burst(slot, released, now);
        }
    }

    /// Acts on what a router found.
    pub(crate) fn act_on(&mut self, id: SourceId, findings: &[Finding], now: Instant) {
        for finding in findings {
            let Some(source) = self.sources.get_mut(&id) else {
                return;
            };
            let at_home = source.home == self.index;
            match *finding {
                Finding::CodecChanged(_) => {
                    let tracks = source.tracks();
                    if at_home {
                        self.describe(id);
                    }
                    let Some(source) = self.sources.get(&id) else {
                        return;
                    };
                    let publisher = self.publisher_of(source);
                    if let (true, Some(session)) = (at_home, publisher) {
                        self.tell(Event::Tracks {
                            session,
                            source: id,
                            tracks,
                        });
                    }
                    self.review_viewers(id, now);
                }
                Finding::LayersChanged => {
                    if at_home {
                        self.tell(Event::Layers { source: id });
                    }
                    self.review_viewers(id, now);
                }
                Finding::Reordered => {
                    if at_home {
                        self.describe(id);
                    }
                    self.warn_publisher(id, Warning::BFrames);
                    // They come back and are told why there is no picture.
                    for slot in self.viewers_of(id) {
                        self.end(slot, CloseReason::Unplayable);
                    }
                }
                Finding::KeyframesFar(measured) => {
                    self.warn_publisher(id, Warning::KeyframeInterval { measured });
                }
            }
        }
    }

    fn viewers_of(&self, id: SourceId) -> Vec<usize> {
        self.sources
            .get(&id)
            .map(|source| source.viewers.clone())
            .unwrap_or_default()
    }

    /// Tells the publisher of a source something, once.
    pub(crate) fn warn_publisher(&mut self, id: SourceId, warning: Warning) {
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        if source.home != self.index || !source.warn(warning) {
            return;
        }
        let Some(source) = self.sources.get(&id) else {
            return;
        };
        if let Some(session) = self.publisher_of(source) {
            self.tell(Event::Warned { session, warning });
        }
    }

    /// The session that feeds a source that lives here.
    fn publisher_of(&self, source: &Source) -> Option<SessionId> {
        match source.publisher? {
            Publisher::Connection(slot) => self.sessions.get(slot).map(|session| session.id),
            Publisher::Feed(session) => Some(session),
        }
    }

    /// A viewer's player lost its picture.
    pub(crate) fn viewer_wants_keyframe(&mut self, slot: usize, now: Instant) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        let source = session.source;
        let layer = session
            .viewer()
            .and_then(|viewer| viewer.video.as_ref()?.track.current())
            .unwrap_or(Layer(0));
        if !self.replay_again(slot, layer, now) {
            self.want_keyframe(source, layer, now);
        }
    }

    /// Asks the publisher of a source for a keyframe, or the shard that it lives on.
    pub(crate) fn want_keyframe(&mut self, id: SourceId, layer: Layer, now: Instant) {
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        let Some(track) = source
            .router
            .as_mut()
            .and_then(|router| router.track_mut(Kind::Video))
        else {
            return;
        };
        let Some(requests) = track.keyframes.get_mut(usize::from(layer.0)) else {
            return;
        };
        if requests.want(now) {
            self.ask_keyframe(id, layer, now);
        }
        self.remember_keyframe(id, layer);
    }

    /// Notes when a request that is still open has to be looked at again.
    fn remember_keyframe(&mut self, id: SourceId, layer: Layer) {
        let at = self
            .sources
            .get(&id)
            .and_then(|source| {
                source
                    .router
                    .as_ref()?
                    .track(Kind::Video)?
                    .keyframes
                    .get(usize::from(layer.0))
            })
            .and_then(KeyframeRequests::poll_timeout);
        if let Some(at) = at
            && !self
                .keyframes
                .iter()
                .any(|(_, of, on)| (*of, *on) == (id, layer))
        {
            self.keyframes.push((at, id, layer));
        }
    }

    /// Asks for the keyframes whose time has come.
    pub(crate) fn ask_due_keyframes(&mut self) {
        if self.keyframes.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut due = Vec::new();
        self.keyframes.retain(|(at, id, layer)| {
            let waits = *at > now;
            if !waits {
                due.push((*id, *layer));
            }
            waits
        });
        for (id, layer) in due {
            let requests = self.sources.get_mut(&id).and_then(|source| {
                source
                    .router
                    .as_mut()?
                    .track_mut(Kind::Video)?
                    .keyframes
                    .get_mut(usize::from(layer.0))
            });
            if requests.is_some_and(|requests| requests.handle_timeout(now)) {
                self.ask_keyframe(id, layer, now);
            }
            self.remember_keyframe(id, layer);
        }
    }

    /// Passes a request on that has been coalesced.
    pub(crate) fn ask_keyframe(&mut self, id: SourceId, layer: Layer, now: Instant) {
        let Some(source) = self.sources.get(&id) else {
            return;
        };
        if source.home != self.index {
            let home = source.home;
            // A full queue loses the request; the viewer's player asks again.
            let _ = self.peers[home].command(Command::WantKeyframe(id, layer));
            return;
        }
        // An encoder behind another protocol cannot be asked; its group of pictures is kept.
        let Some(slot) = source.publisher.and_then(Publisher::slot) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        let track = session
            .connection
            .tracks()
            .find(|(_, kind, ..)| *kind == Kind::Video)
            .map(|(track, ..)| track);
        if let Some(track) = track {
            self.totals.keyframe_requests_sent += 1;
            session.connection.request_keyframe(track, Some(layer));
            if session.connection.handle_timeout(now).is_ok() {
                // The publisher may be in the middle of being driven: leave its outputs to a timer.
                session.timeout = now;
                self.schedule(slot);
            }
        }
    }

    /// Gives a publisher's data channel message to the viewers here and on other shards.
    pub(crate) fn spread_message(&mut self, id: SourceId, message: &Arc<Message>, now: Instant) {
        let Some(source) = self.sources.get(&id) else {
            return;
        };
        for mirror in &source.mirrors {
            let _ = self.peers[*mirror].command(Command::Message(id, Arc::clone(message)));
        }
        for slot in source.viewers.clone() {
            let Some(session) = self.sessions.get_mut(slot) else {
                continue;
            };
            let channel = session
                .channels
                .iter()
                .find(|(_, label)| *label == message.label)
                .or(session.channels.first())
                .map(|(channel, _)| *channel);
            if let Some(channel) = channel {
                session
                    .connection
                    .send_message(channel, message.binary, &message.data);
                session.timeout = now;
                self.schedule(slot);
            }
        }
    }
}
