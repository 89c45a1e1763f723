//! Commands from the doors, the control plane and other shards.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use inver_media::{Codec, Kind};
use inver_proto::{SessionId, SourceId};
use inver_rtc::{
    Direction, Error as RtcError, Fragment, Offer, OfferedMedia, PeerConnection, Settings,
    Unplayable, order_for,
};
use inver_sfu::{Pacer, Router};

use crate::api::{
    Answer, ClientHint, CloseReason, Error, Event, LayerSelection, Publish, Subscribe,
};
use crate::command::{Command, Reply, SourceTracks};
use crate::config::Estimation;
use crate::session::{Down, Meter, Role, Session, Viewer};
use crate::shard::Shard;
use crate::source::{Description, Publisher, Source};

/// Where estimation begins, in bits per second: what most ways carry, so that a viewer begins
/// with a good layer and probing finds the rest within a second.
const FIRST_ESTIMATE: u64 = 2_500_000;

impl Shard {
    pub(crate) fn command(&mut self, command: Command) {
        match command {
            Command::Publish(request, reply) => {
                let answer = self.publish(&request);
                self.answer(request.session, answer, reply);
            }
            Command::Pull(request, reply) => {
                let answer = self.pull(request);
                self.answer(request.session, answer, reply);
            }
            Command::Subscribe(request, home, reply) => {
                let answer = self.subscribe(&request, home);
                self.answer(request.session, answer, reply);
            }
            Command::BeginFeed(request, reply) => {
                let _ = reply.send(self.begin_feed(&request));
            }
            Command::AcceptAnswer(session, sdp, reply) => {
                let _ = reply.send(self.accept_answer(session, &sdp));
            }
            Command::Trickle(session, fragment, reply) => {
                let _ = reply.send(self.trickle(session, &fragment.text));
            }
            Command::RestartIce(session, fragment, reply) => {
                let _ = reply.send(self.restart_ice(session, &fragment.text));
            }
            Command::SelectLayer(session, selection, reply) => {
                let _ = reply.send(self.select_layer(session, selection));
            }
            Command::SwitchSource(session, source, home, reply) => {
                let _ = reply.send(self.switch_source(session, source, home));
            }
            Command::ForgetSource(id) => self.forget_source(id),
            Command::Tap(id, tap) => self.tap(id, tap),
            Command::Attach(id, shard) => self.attach(id, shard),
            Command::Detach(id, shard) => {
                if let Some(source) = self.sources.get_mut(&id) {
                    source.mirrors.retain(|mirror| *mirror != shard);
                }
            }
            Command::Mirror(id, tracks) => self.mirror(id, tracks),
            Command::WantKeyframe(id, layer) => self.want_keyframe(id, layer, Instant::now()),
            Command::Message(id, message) => self.spread_message(id, &message, Instant::now()),
            Command::Stop => self.stopping = true,
        }
    }

    /// Answers the asker of a new session. One that has given up gets no session.
    fn answer(&mut self, session: SessionId, answer: Result<Answer, Error>, reply: Reply<Answer>) {
        let made = answer.is_ok();
        if reply.send(answer).is_err()
            && made
            && let Some(&slot) = self.by_id.get(&session)
        {
            self.end(slot, CloseReason::Asked);
        }
    }

    /// Ends the sessions that the control plane wants ended.
    pub(crate) fn take_closings(&mut self) {
        for (session, reason) in self.peers[self.index].take_closings() {
            if let Some(&slot) = self.by_id.get(&session) {
                self.end(slot, reason);
            } else {
                self.end_feed(session, reason);
            }
        }
    }

    fn settings(
        &self,
        client: &ClientHint,
        codecs: Vec<Codec>,
        estimate: Option<u64>,
        publishes: bool,
    ) -> Settings {
        Settings {
            lite: true,
            codecs,
            sends_only: !publishes,
            wallclock: self.wallclock,
            estimate,
            transport_feedback: publishes || estimate.is_some(),
            candidates: order_for(&self.candidates, client.remote, client.local),
        }
    }

    fn publish(&mut self, request: &Publish) -> Result<Answer, Error> {
        self.check_room(request.session)?;
        let now = Instant::now();
        let offer =
            Offer::parse(&request.offer, true).map_err(|error| Error::Sdp(error.to_string()))?;
        offer
            .check_publish()
            .map_err(|error| Error::Sdp(error.to_string()))?;
        let settings = self.settings(&request.client, Codec::ALL.to_vec(), None, true);
        let (connection, sdp) = PeerConnection::answer(&settings, offer, now).map_err(refused)?;
        let rids = |wanted: Kind| {
            let mut tracks = connection.tracks();
            tracks
                .find(|(_, kind, _, direction)| {
                    *kind == wanted && matches!(direction, Direction::Receive | Direction::Both)
                })
                .map(|(_, _, rids, _)| rids)
        };
        let (audio, video) = (rids(Kind::Audio), rids(Kind::Video));
        let role = Role::Publisher {
            data: request.data,
            audio,
            video,
        };
        let index = self.index;
        self.sources
            .entry(request.source)
            .or_insert_with(|| Source::new(request.source, index));
        let slot = self.add(request.session, request.source, connection, role, now);
        self.drive(slot, None, now);
        Ok(Answer {
            sdp,
            ufrag: self.ufrag_of(request.session),
        })
    }

    fn subscribe(&mut self, request: &Subscribe, home: usize) -> Result<Answer, Error> {
        self.check_room(request.session)?;
        let now = Instant::now();
        let description = self.description(request.source);
        if description.is_some_and(|description| description.reordered) {
            return Err(Error::Reordered);
        }
        let codecs = preferred(description);
        let choices = description.is_none_or(|description| description.layered);
        let estimate = match self.config.estimation {
            Estimation::On => Some(FIRST_ESTIMATE),
            Estimation::Off => None,
            // Before anyone publishes nobody knows: a viewer that waits may get layers.
            Estimation::Auto => choices.then_some(FIRST_ESTIMATE),
        };
        let settings = self.settings(&request.client, codecs, estimate, false);
        let (connection, sdp, pending) = match &request.offer {
            Some(text) => {
                let offer =
                    Offer::parse(text, true).map_err(|error| Error::Sdp(error.to_string()))?;
                offer
                    .check_subscribe()
                    .map_err(|error| Error::Sdp(error.to_string()))?;
                let (connection, sdp) =
                    PeerConnection::answer(&settings, offer, now).map_err(refused)?;
                check_playable(&connection, description)?;
                (connection, sdp, None)
            }
            None => {
                let wanted: Vec<OfferedMedia> = [Kind::Audio, Kind::Video]
                    .into_iter()
                    .filter(|kind| description.is_none_or(|known| known.track(*kind).is_some()))
                    .map(|kind| OfferedMedia {
                        kind,
                        direction: Direction::Send,
                    })
                    .collect();
                let (connection, sdp, pending) =
                    PeerConnection::offer(&settings, &wanted, None, now).map_err(refused)?;
                (connection, sdp, Some(pending))
            }
        };
        let viewer = self.viewer(&connection, estimate, now);
        let slot = self.add(
            request.session,
            request.source,
            connection,
            Role::Viewer(Box::new(viewer)),
            now,
        );
        self.sessions[slot].pending = pending;
        self.join_source(slot, request.source, home);
        self.drive(slot, None, now);
        Ok(Answer {
            sdp,
            ufrag: self.ufrag_of(request.session),
        })
    }

    /// What is known of a source, wherever it lives.
    fn description(&self, id: SourceId) -> Option<Description> {
        let known = self
            .descriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known.get(&id).copied()
    }

    /// Tells all shards what is known of a source that lives here.
    pub(crate) fn describe(&self, id: SourceId) {
        let description = self.sources.get(&id).and_then(Source::description);
        let mut known = self
            .descriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match description {
            Some(description) => known.insert(id, description),
            None => known.remove(&id),
        };
    }

    fn viewer(
        &mut self,
        connection: &PeerConnection,
        estimate: Option<u64>,
        now: Instant,
    ) -> Viewer {
        let mut viewer = Viewer {
            audio: None,
            video: None,
            selection: LayerSelection::default(),
            estimate,
            wanted: (0, 0),
            pacer: Pacer::new(now),
            backlog: std::collections::VecDeque::new(),
            replayed: None,
        };
        for (track, kind, _, direction) in connection.tracks() {
            if !matches!(direction, Direction::Send | Direction::Both) {
                continue;
            }
            let down = Down::new(track, kind, self.random.u64(..));
            match kind {
                Kind::Audio => viewer.audio.get_or_insert(down),
                Kind::Video => viewer.video.get_or_insert(down),
            };
        }
        viewer
    }

    pub(crate) fn check_room(&self, session: SessionId) -> Result<(), Error> {
        if self.sessions.len() >= self.config.max_sessions {
            return Err(Error::Full);
        }
        if self.by_id.contains_key(&session) {
            return Err(Error::Unexpected("the session exists already".into()));
        }
        Ok(())
    }

    pub(crate) fn ufrag_of(&self, session: SessionId) -> String {
        self.by_id
            .get(&session)
            .and_then(|slot| self.sessions.get(*slot))
            .map(|s| s.ufrag.clone())
            .unwrap_or_default()
    }

    pub(crate) fn add(
        &mut self,
        id: SessionId,
        source: SourceId,
        mut connection: PeerConnection,
        role: Role,
        now: Instant,
    ) -> usize {
        self.stamp += 1;
        let ufrag = connection.ufrag();
        let slot = self.sessions.insert(Session {
            id,
            stamp: self.stamp,
            source,
            connection,
            role,
            ufrag: ufrag.clone(),
            remotes: smallvec::SmallVec::new(),
            pending: None,
            pull: None,
            channels: Vec::new(),
            created: now,
            connected: false,
            begins: false,
            lost: None,
            heard: now,
            told_lost: false,
            timeout: now + Duration::from_secs(1),
            scheduled: None,
            stats: crate::snapshot::SessionStats::default(),
            bytes_in: Meter::new(now),
            bytes_out: Meter::new(now),
        });
        self.by_id.insert(id, slot);
        self.by_ufrag.insert(ufrag, slot);
        slot
    }

    fn slot(&self, session: SessionId) -> Result<usize, Error> {
        self.by_id
            .get(&session)
            .copied()
            .ok_or(Error::UnknownSession)
    }

    fn accept_answer(&mut self, session: SessionId, sdp: &str) -> Result<(), Error> {
        let slot = self.slot(session)?;
        let now = Instant::now();
        let Some(pending) = self.sessions[slot].pending.take() else {
            return Err(Error::Unexpected(
                "the session expects no answer: it was made by an offer of the client".into(),
            ));
        };
        if let Err(error) = self.sessions[slot].connection.accept_answer(pending, sdp) {
            // An offer can be answered once; the client has to begin anew.
            self.end(slot, CloseReason::Failed);
            return Err(refused(error));
        }
        let estimate = self.sessions[slot]
            .viewer()
            .and_then(|viewer| viewer.estimate);
        let seed = self.random.u64(..);
        let downs: Vec<Down> = self.sessions[slot]
            .connection
            .tracks()
            .filter(|(.., direction)| matches!(direction, Direction::Send | Direction::Both))
            .map(|(track, kind, ..)| {
                Down::new(track, kind, seed.rotate_left(u32::from(track.0) * 8))
            })
            .collect();
        self.note_pulled_tracks(slot);
        if let Some(viewer) = self.sessions[slot].viewer() {
            viewer.audio = None;
            viewer.video = None;
            viewer.estimate = estimate;
            for down in downs {
                match down.track.kind() {
                    Kind::Audio => viewer.audio = Some(down),
                    Kind::Video => viewer.video = Some(down),
                }
            }
        }
        self.drive(slot, None, now);
        Ok(())
    }

    fn trickle(&mut self, session: SessionId, text: &str) -> Result<(), Error> {
        let slot = self.slot(session)?;
        let fragment = Fragment::parse(text).map_err(|error| Error::Sdp(error.to_string()))?;
        self.sessions[slot]
            .connection
            .trickle(&fragment)
            .map_err(refused)
    }

    fn restart_ice(&mut self, session: SessionId, text: &str) -> Result<Answer, Error> {
        let slot = self.slot(session)?;
        let now = Instant::now();
        let fragment = Fragment::parse(text).map_err(|error| Error::Sdp(error.to_string()))?;
        let answer = self.sessions[slot]
            .connection
            .restart_ice(&fragment)
            .map_err(refused)?;
        let ufrag = self.sessions[slot].connection.ufrag();
        let old = std::mem::replace(&mut self.sessions[slot].ufrag, ufrag.clone());
        self.by_ufrag.remove(&old);
        self.by_ufrag.insert(ufrag.clone(), slot);
        self.drive(slot, None, now);
        Ok(Answer { sdp: answer, ufrag })
    }

    fn select_layer(&mut self, session: SessionId, selection: LayerSelection) -> Result<(), Error> {
        let slot = self.slot(session)?;
        let source = self.sessions[slot].source;
        if let Some(rid) = &selection.rid {
            let layers = self
                .sources
                .get(&source)
                .and_then(|source| source.router.as_ref()?.track(Kind::Video))
                .map(|track| &track.layers);
            if layers.is_some_and(|layers| layers.by_rid(rid).is_none()) {
                return Err(Error::Unexpected(format!(
                    "the publication has no layer {rid:?}"
                )));
            }
        }
        let Some(viewer) = self.sessions[slot].viewer() else {
            return Err(Error::Unexpected(
                "only a viewer's session can choose layers".into(),
            ));
        };
        viewer.selection = selection;
        self.review_viewer(slot, Instant::now());
        Ok(())
    }

    fn switch_source(
        &mut self,
        session: SessionId,
        source: SourceId,
        home: usize,
    ) -> Result<(), Error> {
        let slot = self.slot(session)?;
        let now = Instant::now();
        let old = self.sessions[slot].source;
        if old == source {
            return Ok(());
        }
        let Some(viewer) = self.sessions[slot].viewer() else {
            return Err(Error::Unexpected(
                "only a viewer's session can change its source".into(),
            ));
        };
        viewer.backlog.clear();
        for down in [&mut viewer.audio, &mut viewer.video].into_iter().flatten() {
            down.track.detach();
        }
        self.leave_source(slot, old);
        self.sessions[slot].source = source;
        self.join_source(slot, source, home);
        self.review_viewer(slot, now);
        Ok(())
    }

    /// Makes a session a viewer of a source, which may live on another shard.
    fn join_source(&mut self, slot: usize, id: SourceId, home: usize) {
        let index = self.index;
        let watchers = self.watchers_of(id);
        let source = self
            .sources
            .entry(id)
            .or_insert_with(|| Source::new(id, home));
        source.home = home;
        let first = source.viewers.is_empty();
        source.viewers.push(slot);
        source.watchers = watchers;
        source.watchers.fetch_add(1, Ordering::Relaxed);
        if first
            && home != index
            && self.peers[home]
                .command(Command::Attach(id, index))
                .is_err()
        {
            tracing::warn!(
                shard = index,
                home,
                "the home shard of a source does not take commands"
            );
        }
    }

    /// The count of a source's viewers, which all shards share.
    pub(crate) fn watchers_of(&self, id: SourceId) -> Arc<AtomicUsize> {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(watchers.entry(id).or_default())
    }

    /// Takes a session out of its source.
    pub(crate) fn leave_source(&mut self, slot: usize, id: SourceId) {
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        let before = source.viewers.len();
        source.viewers.retain(|viewer| *viewer != slot);
        if source.viewers.len() < before {
            source.watchers.fetch_sub(1, Ordering::Relaxed);
        }
        if source.publisher == Some(Publisher::Connection(slot)) {
            source.publisher = None;
            let was_flowing = std::mem::take(&mut source.flowing);
            source.flowing_since = None;
            if was_flowing {
                self.tell(Event::Flowing {
                    source: id,
                    flowing: false,
                });
            }
            return;
        }
        if !source.distributing {
            self.drop_idle_mirror(id);
        }
    }

    /// Lets go of a source that lives elsewhere once nobody here watches it.
    pub(crate) fn drop_idle_mirror(&mut self, id: SourceId) {
        let index = self.index;
        let Some(source) = self.sources.get(&id) else {
            return;
        };
        if source.home != index && source.viewers.is_empty() {
            let home = source.home;
            self.sources.remove(&id);
            // A full queue leaves a mirror attached that drops what it gets.
            let _ = self.peers[home].command(Command::Detach(id, index));
        }
    }

    fn forget_source(&mut self, id: SourceId) {
        if let Some(source) = self.sources.get_mut(&id) {
            source.taps.clear();
        }
        if let Some(source) = self.sources.get(&id)
            && source.viewers.is_empty()
            && source.publisher.is_none()
        {
            self.sources.remove(&id);
            self.describe(id);
            self.watchers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&id);
        }
    }

    fn attach(&mut self, id: SourceId, shard: usize) {
        let index = self.index;
        let source = self
            .sources
            .entry(id)
            .or_insert_with(|| Source::new(id, index));
        if !source.mirrors.contains(&shard) {
            source.mirrors.push(shard);
        }
        let tracks = source.router.as_ref().map(|router| {
            let rids = |kind| {
                router.track(kind).map(|track| {
                    (0..8_u8)
                        .map_while(|layer| {
                            track.layers.rid(inver_rtc::Layer(layer)).map(str::to_owned)
                        })
                        .collect::<Vec<_>>()
                })
            };
            SourceTracks {
                epoch: router.epoch,
                audio: rids(Kind::Audio),
                video: rids(Kind::Video),
                group: source.group.clone().map(Arc::new),
            }
        });
        let _ = self.peers[shard].command(Command::Mirror(id, tracks));
    }

    fn mirror(&mut self, id: SourceId, tracks: Option<SourceTracks>) {
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        let Some(tracks) = tracks else {
            return;
        };
        if source.epoch == tracks.epoch && source.router.is_some() {
            return;
        }
        source.epoch = tracks.epoch;
        source.group = tracks.group.map(Arc::unwrap_or_clone);
        source.router = Some(Router::new(tracks.epoch, tracks.audio, tracks.video));
        self.review_viewers(id, Instant::now());
    }

    /// A session's connection is up: a publisher takes its source, a viewer asks for a picture.
    pub(crate) fn begin_media(&mut self, slot: usize, now: Instant) {
        let session = &self.sessions[slot];
        let id = session.source;
        match &session.role {
            Role::Publisher { audio, video, .. } => {
                let (audio, video) = (audio.clone(), video.clone());
                let index = self.index;
                let source = self
                    .sources
                    .entry(id)
                    .or_insert_with(|| Source::new(id, index));
                source.home = index;
                source.publisher = Some(Publisher::Connection(slot));
                let tracks = source.begin(audio, video);
                for mirror in source.mirrors.clone() {
                    let _ = self.peers[mirror].command(Command::Mirror(id, Some(tracks.clone())));
                }
                self.waiting.retain(|waiting| *waiting != id);
                self.describe(id);
                self.review_viewers(id, now);
            }
            Role::Viewer(_) => self.review_viewer(slot, now),
        }
    }
}

/// The codecs of a source first, then all others, so that a reconnect with another codec plays.
fn preferred(description: Option<Description>) -> Vec<Codec> {
    let mut codecs: Vec<Codec> = [Kind::Audio, Kind::Video]
        .into_iter()
        .filter_map(|kind| description?.format(kind))
        .map(|format| format.codec)
        .collect();
    for codec in Codec::ALL {
        if !codecs.contains(&codec) {
            codecs.push(codec);
        }
    }
    codecs
}

/// Refuses a viewer that cannot play what is being published now.
fn check_playable(
    connection: &PeerConnection,
    description: Option<Description>,
) -> Result<(), Error> {
    let Some(description) = description else {
        return Ok(());
    };
    for (track, kind, _, direction) in connection.tracks() {
        if !matches!(direction, Direction::Send | Direction::Both) {
            continue;
        }
        let Some(format) = description.format(kind) else {
            continue;
        };
        if connection.payload_type(track, &format).is_none() {
            let mut offered: Vec<String> = connection
                .formats(track)
                .into_iter()
                .map(|(_, format)| format.codec.to_string())
                .collect();
            offered.dedup();
            return Err(Error::NoCommonCodec {
                offered: offered.join(", "),
                available: format.codec.to_string(),
            });
        }
    }
    Ok(())
}

pub(crate) fn refused(error: RtcError) -> Error {
    match error {
        RtcError::Sdp(error) => Error::Sdp(error.to_string()),
        RtcError::NoCommonCodec(sections) => Error::NoCommonCodec {
            offered: joined(&sections, |section| section.offered.join(", ")),
            available: joined(&sections, |section| {
                let usable: Vec<String> = section.usable.iter().map(ToString::to_string).collect();
                usable.join(", ")
            }),
        },
        RtcError::Engine(error) => Error::Sdp(error.to_string()),
        RtcError::Broken => Error::Sdp("the description could not be used".to_owned()),
        RtcError::Unexpected(what) => Error::Unexpected(what.to_owned()),
    }
}

/// The lists of several sections in one line, each behind its kind.
fn joined(sections: &[Unplayable], list: impl Fn(&Unplayable) -> String) -> String {
    let lists: Vec<String> = sections
        .iter()
        .map(|section| format!("{}: {}", section.kind, list(section)))
        .collect();
    lists.join("; ")
}
