//! A session's life: let in, accepted or failed, steered, ended.

use std::net::IpAddr;
use std::time::Duration;

use inver_proto::{
    CloseCause, Direction, Door, KeyId, ParticipantId, RoomEvent, RoomId, RoomKind, SessionId,
    SourceId,
};

use crate::control::Timer;
use crate::half_open::Prefix;
use crate::output::{Command, Signal};
use crate::policy::MAX_USER_AGENT;
use crate::state::{Progress, SessionState, Source};
use crate::{Control, Now, Refusal, RefusalKind, SessionToken, Ticket, vault};

/// What control keeps of a client.
#[derive(Debug, Clone, Default)]
pub struct ClientInfo {
    /// Where its request came from, after trusted proxies; counts towards the limits.
    pub address: Option<IpAddr>,
    /// The same with the port, for people to read.
    pub remote: Option<String>,
    /// What it calls itself.
    pub user_agent: Option<String>,
    /// The ICE user name fragment of its offer, to tell a restart from a trickle.
    pub ufrag: Option<String>,
}

pub(crate) struct NewSession {
    pub(crate) room: RoomId,
    pub(crate) participant: ParticipantId,
    pub(crate) door: Door,
    pub(crate) direction: Direction,
    pub(crate) source: SourceId,
    pub(crate) follows: bool,
    pub(crate) waits: bool,
    pub(crate) key: Option<KeyId>,
    pub(crate) client: ClientInfo,
}

/// What an ICE fragment asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IcePatch {
    /// More candidates.
    Trickle,
    /// New credentials.
    Restart,
}

impl Control {
    /// Refuses whom the server cannot take now, whatever they may do.
    ///
    /// Beginning a session checks it; whoever asks others first asks this before.
    pub fn check_admission(&self, client: &ClientInfo) -> Result<(), Refusal> {
        if self.draining {
            let detail = "the server is about to stop and takes no new sessions";
            return Err(
                Refusal::new(RefusalKind::Unavailable, detail).retry_after(Duration::from_secs(5))
            );
        }
        if self.half_open.total() >= self.policy.max_half_open {
            let detail = "too many sessions are connecting; try again";
            return Err(
                Refusal::new(RefusalKind::Unavailable, detail).retry_after(Duration::from_secs(2))
            );
        }
        let prefix = client.address.and_then(Prefix::of);
        let most = self.policy.max_half_open_per_prefix;
        if self.half_open.of(prefix) >= most {
            let detail = format!("{most} sessions of this network are not connected yet");
            return Err(
                Refusal::new(RefusalKind::TooMany, detail).retry_after(Duration::from_secs(2))
            );
        }
        Ok(())
    }

    pub(crate) fn insert_session(&mut self, new: NewSession, now: Now) -> Ticket {
        let id = self.new_session_id();
        let token = SessionToken::new(vault::new_token(&mut *self.entropy));
        let prefix = new.client.address.and_then(Prefix::of);
        self.half_open.add(prefix);
        self.at(
            now.elapsed + self.policy.connect_timeout,
            Timer::Connect(id),
        );
        if let Some(room) = self.rooms.get_mut(&new.room) {
            room.participants
                .entry(new.participant.clone())
                .or_default()
                .sessions
                .insert(id);
            if new.direction == Direction::Subscribe {
                room.subscribers += 1;
            }
        }
        if new.direction == Direction::Subscribe
            && let Some(source) = self.sources.get_mut(&new.source)
        {
            source.subscribers.insert(id);
        }
        let cut = |text: String| text.chars().take(MAX_USER_AGENT).collect();
        let session = SessionState {
            id,
            token: token.clone(),
            room: new.room.clone(),
            participant: new.participant.clone(),
            door: new.door,
            direction: new.direction,
            source: new.source,
            follows: new.follows,
            waits: new.waits,
            watched: false,
            progress: Progress::Asked,
            half_open: true,
            prefix,
            since: now.wall,
            address: new.client.address,
            remote: new.client.remote,
            user_agent: new.client.user_agent.map(cut),
            told: None,
            key: new.key,
            etag: String::new(),
            client_ufrag: new.client.ufrag,
        };
        self.sessions.insert(id, session);
        self.sessions_by_token.insert(token.clone(), id);
        Ticket {
            session: id,
            token,
            source: new.source,
            room: new.room,
            participant: new.participant,
        }
    }

    /// The data plane took the session; `ufrag` is the one of our answer or offer. Gives the
    /// entity tag of the ICE session.
    ///
    /// Fails where the session was ended in the meantime; the shell then closes it.
    pub fn accepted(
        &mut self,
        session: SessionId,
        ufrag: &str,
        now: Now,
    ) -> Result<String, Refusal> {
        let Some(state) = self.sessions.get_mut(&session) else {
            let detail = "the session was ended while it was being set up";
            return Err(
                Refusal::new(RefusalKind::Conflict, detail).retry_after(Duration::from_secs(1))
            );
        };
        if state.progress == Progress::Asked {
            state.progress = Progress::Connecting;
        }
        state.etag = etag(ufrag);
        let tag = state.etag.clone();
        let (room, participant) = (state.room.clone(), state.participant.clone());
        let (source, door, direction) = (state.source, state.door, state.direction);
        let first = self
            .rooms
            .get(&room)
            .and_then(|room| room.participants.get(&participant))
            .is_some_and(|who| {
                let others = who.sessions.iter().filter(|id| **id != session);
                !others
                    .filter_map(|id| self.sessions.get(id))
                    .any(|s| s.progress != Progress::Asked)
            });
        let reconnects = self.sources.get(&source).is_some_and(|source| {
            direction == Direction::Publish
                && source.joined
                && source.participant.as_ref() == Some(&participant)
        });
        if first && !reconnects {
            let participant = participant.clone();
            self.event(now, &room, RoomEvent::ParticipantJoined { participant });
        }
        tracing::info!(%session, %room, %participant, door = door.as_str(), "session started");
        self.event(
            now,
            &room,
            RoomEvent::SessionStarted {
                session,
                participant,
                door,
                direction,
            },
        );
        if direction == Direction::Publish {
            self.publisher_accepted(session, source, &room, now);
        }
        Ok(tag)
    }

    fn publisher_accepted(
        &mut self,
        session: SessionId,
        source: SourceId,
        room: &RoomId,
        now: Now,
    ) {
        let published = self.new_published();
        let Some(state) = self.sources.get_mut(&source) else {
            return;
        };
        if state.pending == Some(session) {
            state.pending = None;
        }
        let old = state.session.replace(session);
        state.joined = true;
        state.published = published;
        if !state.flowing {
            state.quiet_since = now.elapsed;
        }
        state.warnings.clear();
        if let Some(until) = state.grace_until.take() {
            self.cancel(until, Timer::Grace(source));
        }
        if let Some(old) = old.filter(|old| *old != session) {
            self.close_session(old, CloseCause::TakenOver, now);
        }
        if !self.stands_in(session) {
            self.end_fallback(room, CloseCause::TakenOver, now);
        }
        self.refresh_fallback(room, now);
        self.publisher_came(source, room, now);
    }

    /// The data plane refused the session, or whoever asked for it is gone.
    pub fn failed(&mut self, session: SessionId, now: Now) {
        self.remove_session(session, CloseCause::Failed, now);
    }

    /// The session behind a URL.
    pub fn find_session(&self, token: &SessionToken) -> Option<SessionId> {
        self.sessions_by_token.get(token).copied()
    }

    /// The session behind a URL, or the refusal that its caller gets.
    pub fn session(&self, token: &SessionToken) -> Result<SessionId, Refusal> {
        self.find_session(token).ok_or_else(unknown_session)
    }

    /// Whether the session is on a path that publishes or watches.
    pub fn direction(&self, session: SessionId) -> Option<Direction> {
        self.sessions.get(&session).map(|session| session.direction)
    }

    /// Checks `If-Match` for an ICE fragment with this user name fragment, if it names one, and
    /// says what it asks for (RFC 9725 section 4.3).
    pub fn check_ice_patch(
        &self,
        session: SessionId,
        if_match: Option<&str>,
        ufrag: Option<&str>,
    ) -> Result<IcePatch, Refusal> {
        let state = self.sessions.get(&session).ok_or_else(unknown_session)?;
        let Some(if_match) = if_match.map(str::trim) else {
            let detail = "If-Match is missing; give the session's ETag, or * to restart ICE";
            return Err(Refusal::new(RefusalKind::PreconditionRequired, detail));
        };
        // A star in quotes is what the RFC's own example sends.
        let any = matches!(if_match, "*" | "\"*\"");
        let named = if_match.split(',').any(|tag| tag.trim() == state.etag);
        if !any && !named {
            let detail = "If-Match names another ICE session than the one that is alive";
            return Err(Refusal::new(RefusalKind::PreconditionFailed, detail));
        }
        let restarts = match (ufrag, state.client_ufrag.as_deref()) {
            (Some(new), Some(old)) => new != old,
            // A server's offer was answered without control seeing it: only a star restarts.
            (Some(_), None) => any,
            (None, _) => false,
        };
        Ok(if restarts {
            IcePatch::Restart
        } else {
            IcePatch::Trickle
        })
    }

    /// Notes the client's user name fragment from its answer to our offer.
    pub fn answered(&mut self, session: SessionId, ufrag: Option<String>) {
        if let Some(state) = self.sessions.get_mut(&session) {
            state.client_ufrag = ufrag;
        }
    }

    /// ICE was restarted; gives the new entity tag.
    pub fn restarted(&mut self, session: SessionId, ours: &str, theirs: Option<String>) -> String {
        let tag = etag(ours);
        if let Some(state) = self.sessions.get_mut(&session) {
            state.etag.clone_from(&tag);
            state.client_ufrag = theirs;
        }
        tag
    }

    /// The client ends its session.
    pub fn end(&mut self, token: &SessionToken, now: Now) -> Result<SessionId, Refusal> {
        let session = self.session(token)?;
        self.close_session(session, CloseCause::Asked, now);
        Ok(session)
    }

    /// An operator ends a session of a room.
    pub fn end_session(
        &mut self,
        room: &RoomId,
        session: SessionId,
        now: Now,
    ) -> Result<(), Refusal> {
        let there = self
            .sessions
            .get(&session)
            .is_some_and(|state| state.room == *room);
        if !there {
            let detail = format!("{room} has no session {session}");
            return Err(Refusal::new(RefusalKind::NotFound, detail));
        }
        self.close_session(session, CloseCause::Kicked, now);
        Ok(())
    }

    /// An operator ends all sessions of a participant.
    pub fn kick(
        &mut self,
        room: &RoomId,
        participant: &ParticipantId,
        now: Now,
    ) -> Result<(), Refusal> {
        let state = self
            .rooms
            .get(room)
            .and_then(|room| room.participants.get(participant));
        let Some(state) = state else {
            let detail = format!("{room} has no participant {participant}");
            return Err(Refusal::new(RefusalKind::NotFound, detail));
        };
        let sessions: Vec<SessionId> = state.sessions.iter().copied().collect();
        for session in sessions {
            self.close_session(session, CloseCause::Kicked, now);
        }
        Ok(())
    }

    pub(crate) fn connect_timed_out(&mut self, session: SessionId, now: Now) {
        let half_open = self
            .sessions
            .get(&session)
            .is_some_and(|state| state.half_open);
        if half_open {
            self.close_session(session, CloseCause::NeverConnected, now);
        }
    }

    /// Ends a session here and in the data plane.
    /// Notes what a session's client calls itself, where that becomes known only later.
    pub fn name_client(&mut self, session: SessionId, name: String) {
        if let Some(state) = self.sessions.get_mut(&session) {
            state.user_agent = Some(name);
        }
    }

    pub(crate) fn close_session(&mut self, session: SessionId, cause: CloseCause, now: Now) {
        if self.sessions.contains_key(&session) {
            self.command(Command::Close { session, cause });
            self.remove_session(session, cause, now);
        }
    }

    /// The session does not count as half open any more.
    pub(crate) fn settle(&mut self, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session) else {
            return;
        };
        if std::mem::take(&mut state.half_open) {
            let prefix = state.prefix;
            self.half_open.remove(prefix);
        }
    }

    /// Forgets a session and follows up on what it leaves behind.
    pub(crate) fn remove_session(&mut self, session: SessionId, cause: CloseCause, now: Now) {
        self.settle(session);
        let Some(state) = self.sessions.remove(&session) else {
            return;
        };
        self.sessions_by_token.remove(&state.token);
        self.tell_end(&state, cause, now);
        if state.watched {
            self.signal(vec![session], Signal::Ended(cause));
        }
        if let Some(room) = self.rooms.get_mut(&state.room) {
            if let Some(participant) = room.participants.get_mut(&state.participant) {
                participant.sessions.remove(&session);
            }
            if state.direction == Direction::Subscribe {
                room.subscribers = room.subscribers.saturating_sub(1);
                if matches!(state.progress, Progress::Connected | Progress::Reconnecting) {
                    room.viewers = room.viewers.saturating_sub(1);
                }
            }
        }
        // A session that the data plane never took was never told of either.
        let was_started = state.progress != Progress::Asked;
        if was_started {
            let participant = state.participant.clone();
            tracing::info!(%session, room = %state.room, %participant, ?cause, "session ended");
            let what = RoomEvent::SessionEnded {
                session,
                participant,
                reason: cause,
            };
            self.event(now, &state.room, what);
        }
        match state.direction {
            Direction::Publish => self.publisher_left(session, &state, cause, now),
            Direction::Subscribe => {
                if let Some(source) = self.sources.get_mut(&state.source) {
                    source.subscribers.remove(&session);
                }
                self.viewers_changed(&state.room, now);
            }
        }
        self.forget_source_if_unused(state.source);
        self.drop_participant_if_gone(&state.room, &state.participant, was_started, now);
        self.drop_room_if_empty(&state.room, now);
    }

    fn publisher_left(
        &mut self,
        session: SessionId,
        state: &SessionState,
        cause: CloseCause,
        now: Now,
    ) {
        let grace = self.policy.grace;
        let Some(source) = self.sources.get_mut(&state.source) else {
            return;
        };
        if source.pending == Some(session) {
            source.pending = None;
        }
        if source.session != Some(session) {
            // The grace period may have run out while the data plane was being asked.
            if !source.is_taken() {
                self.grace_over(state.source, now);
            }
            return;
        }
        source.session = None;
        source.warnings.clear();
        source.quiet_since = now.elapsed;
        source.released =
            matches!(cause, CloseCause::Asked | CloseCause::Kicked) || state.door == Door::Fallback;
        let until = now.elapsed + grace;
        source.grace_until = Some(until);
        let was_flowing = std::mem::take(&mut source.flowing);
        self.at(until, Timer::Grace(state.source));
        if was_flowing {
            let watching = self.watching(state.source);
            self.signal(watching, Signal::Inactive);
        }
        self.refresh_live(&state.room, now);
        self.refresh_fallback(&state.room, now);
        self.follow_up(state, cause, now);
        if self
            .rooms
            .get(&state.room)
            .is_some_and(|room| room.kind == RoomKind::Call)
        {
            self.restage(&state.room);
        }
    }

    /// The publisher did not come back in time: lets its viewers go, unless they wait.
    pub(crate) fn grace_over(&mut self, id: SourceId, now: Now) {
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        source.grace_until = None;
        if source.session.is_some() || source.pending.is_some() {
            return;
        }
        let room = source.room.clone();
        let participant = source.participant.clone();
        let joined = std::mem::take(&mut source.joined);
        let viewers: Vec<SessionId> = source.subscribers.iter().copied().collect();
        self.release_source(id);
        self.refresh_live(&room, now);
        if let Some(participant) = participant {
            self.drop_participant_if_gone(&room, &participant, joined, now);
        }
        let leaving = viewers.into_iter().filter(|viewer| {
            self.sessions
                .get(viewer)
                .is_some_and(|session| !session.waits)
        });
        for viewer in leaving.collect::<Vec<_>>() {
            self.close_session(viewer, CloseCause::PublisherGone, now);
        }
        self.forget_source_if_unused(id);
        self.drop_room_if_empty(&room, now);
    }

    /// The source is nobody's any more. In a call it stays its participant's while viewers wait
    /// for that one by name.
    fn release_source(&mut self, id: SourceId) {
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        source.was_live = false;
        let named = |viewer: &SessionId| self.sessions.get(viewer).is_some_and(|s| !s.follows);
        let Some(room) = self.rooms.get_mut(&source.room) else {
            return;
        };
        if room.kind == RoomKind::Call && source.subscribers.iter().any(named) {
            return;
        }
        if let Some(participant) = source.participant.take()
            && let Some(who) = room.participants.get_mut(&participant)
            && who.source == Some(id)
        {
            who.source = None;
        }
    }

    /// Drops a source that nobody feeds, watches or is about to.
    pub(crate) fn forget_source_if_unused(&mut self, id: SourceId) {
        let unused = self
            .sources
            .get(&id)
            .is_some_and(|source| !source.is_taken() && source.subscribers.is_empty());
        if !unused {
            return;
        }
        let Some(source) = self.sources.remove(&id) else {
            return;
        };
        if let Some(room) = self.rooms.get_mut(&source.room) {
            room.sources.remove(&id);
            if room.stage == Some(id) {
                room.stage = None;
            }
            for participant in room.participants.values_mut() {
                if participant.source == Some(id) {
                    participant.source = None;
                }
            }
            room.participants
                .retain(|_, who| who.source.is_some() || !who.sessions.is_empty());
        }
        self.command(Command::ForgetSource { source: id });
    }

    fn drop_participant_if_gone(
        &mut self,
        room: &RoomId,
        participant: &ParticipantId,
        was_started: bool,
        now: Now,
    ) {
        let Some(state) = self.rooms.get_mut(room) else {
            return;
        };
        if let Some(who) = state.participants.get(participant) {
            let source = who.source.and_then(|id| self.sources.get(&id));
            if !who.sessions.is_empty() || source.is_some_and(Source::is_taken) {
                return;
            }
            if who.source.is_none() {
                state.participants.remove(participant);
            }
        }
        if was_started {
            let participant = participant.clone();
            self.event(now, room, RoomEvent::ParticipantLeft { participant });
        }
    }

    /// Drops a room without configuration that nobody is in.
    pub(crate) fn drop_room_if_empty(&mut self, room: &RoomId, now: Now) {
        let empty = self.rooms.get(room).is_some_and(|state| {
            !state.configured && state.participants.is_empty() && state.sources.is_empty()
        });
        if empty {
            self.rooms.remove(room);
            self.event(now, room, RoomEvent::RoomClosed);
            if !self.fallback_rule(room).is_some_and(|rule| rule.always) {
                self.end_fallback(room, CloseCause::PublisherGone, now);
            }
        }
    }
}

fn unknown_session() -> Refusal {
    Refusal::new(RefusalKind::NotFound, "the session is unknown or has ended")
}

/// A strong entity tag; what SDP allows in a user name fragment needs no escape in quotes.
fn etag(ufrag: &str) -> String {
    format!("\"{ufrag}\"")
}
