//! What stands in for a publisher that is gone: when it is wanted, and to whom it gives way.
//!
//! It publishes as the participant for whom it stands in, in a session of its own, so that viewers
//! see a publisher that comes back. Only broadcasts have one: in a call others go on.

use std::collections::BTreeMap;
use std::time::Duration;

use inver_proto::{
    CloseCause, Door, ParticipantId, RoomEvent, RoomId, RoomKind, RoomPattern, SessionId, SourceId,
};

use crate::control::Timer;
use crate::output::Command;
use crate::state::{RoomState, SessionState};
use crate::{Control, Now, Refusal, RefusalKind};

/// How long to wait before it is tried again to stand in.
const RETRY: Duration = Duration::from_secs(1);

/// When what stands in for a publisher is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FallbackRule {
    /// How long the publisher has to be gone. Below the grace period, or viewers have left.
    pub after: Duration,
    /// How long it goes on at most; `None`: until the publisher returns.
    pub longest: Option<Duration>,
    /// Whether it is there before anybody has published, too, and then without an end.
    pub always: bool,
}

/// Which rooms have a fallback, and how far those are whose publisher is gone.
#[derive(Debug, Default)]
pub(crate) struct Fallbacks {
    /// The first that covers a room holds.
    rules: Vec<(RoomPattern, FallbackRule)>,
    rooms: BTreeMap<RoomId, Stage>,
}

/// How far a room's fallback is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It begins then.
    Due(Duration),
    /// It is wanted, until then at most.
    Wanted(Option<Duration>),
}

impl Control {
    /// Says which rooms have a fallback from now on; the first that covers a room holds.
    pub fn set_fallbacks(&mut self, rules: Vec<(RoomPattern, FallbackRule)>, now: Now) {
        self.fallbacks.rules = rules;
        let without = |room: &&RoomId| self.fallback_rule(room).is_none();
        let gone: Vec<RoomId> = self
            .fallbacks
            .rooms
            .keys()
            .filter(without)
            .cloned()
            .collect();
        for room in gone {
            self.end_fallback(&room, CloseCause::Kicked, now);
        }
        let left = |room: &&RoomState| {
            let source = room.stage.and_then(|stage| self.sources.get(&stage));
            source.is_some_and(|source| source.was_live && source.grace_until.is_some())
        };
        let left = self.rooms.values().filter(left);
        let mut due: Vec<RoomId> = left.map(|room| room.id.clone()).collect();
        for (pattern, _) in &self.fallbacks.rules {
            if let RoomPattern::Room(room) = pattern
                && self.fallback_rule(room).is_some_and(|rule| rule.always)
            {
                due.push(room.clone());
            }
        }
        for room in due {
            self.await_fallback(&room, now);
        }
    }

    /// Whether a room's publisher is gone for so long that something has to stand in.
    pub fn wants_fallback(&self, room: &RoomId) -> bool {
        matches!(self.fallbacks.rooms.get(room), Some(Stage::Wanted(_)))
    }

    /// Whether a room shows what stands in for its publisher.
    pub fn shows_fallback(&self, room: &RoomId) -> bool {
        let state = self.rooms.get(room);
        state.is_some_and(|state| state.fallback_since.is_some())
    }

    pub(crate) fn fallback_rule(&self, room: &RoomId) -> Option<&FallbackRule> {
        let mut rules = self.fallbacks.rules.iter();
        let found = rules.find(|(pattern, _)| pattern.covers(room))?;
        Some(&found.1)
    }

    /// Whether a session stands in for a publisher.
    pub(crate) fn stands_in(&self, session: SessionId) -> bool {
        let session = self.sessions.get(&session);
        session.is_some_and(|session| session.door == Door::Fallback)
    }

    /// Whether what feeds a source only stands in for its publisher.
    pub(crate) fn is_filled_in(&self, source: SourceId) -> bool {
        let source = self.sources.get(&source);
        source
            .and_then(|source| source.session)
            .is_some_and(|session| self.stands_in(session))
    }

    /// For whom somebody would stand in.
    pub(crate) fn stood_in_for(&self, room: &RoomId) -> Result<ParticipantId, Refusal> {
        let refused =
            |detail: String| Err(Refusal::new(RefusalKind::Conflict, detail).retry_after(RETRY));
        if !self.wants_fallback(room) {
            return refused(format!(
                "nothing has to stand in for the publisher of {room}"
            ));
        }
        let Some(state) = self.rooms.get(room) else {
            return Ok(ParticipantId::main());
        };
        if state.kind == RoomKind::Call {
            return refused(format!("{room} is a call, where others go on"));
        }
        let source = state.stage.and_then(|stage| self.sources.get(&stage));
        if source
            .and_then(|source| source.session)
            .is_some_and(|session| !self.stands_in(session))
        {
            return refused(format!("{room} has a publisher"));
        }
        let participant = source.and_then(|source| source.participant.clone());
        Ok(participant.unwrap_or_else(ParticipantId::main))
    }

    /// What is about to stand in gives way to whoever wants to publish; and so does what is still
    /// to be brought from another server, which may never come, to whoever comes here.
    pub(crate) fn make_way(&mut self, room: &RoomId, door: Door, now: Now) {
        if door == Door::Fallback {
            return;
        }
        let stage = self.rooms.get(room).and_then(|state| state.stage);
        let Some((stage, source)) =
            stage.and_then(|stage| Some((stage, self.sources.get(&stage)?)))
        else {
            return;
        };
        let comes_here = !is_brought(door);
        let brought = |session: &SessionId| {
            let session = self.sessions.get(session);
            comes_here && session.is_some_and(|session| is_brought(session.door))
        };
        let pending = source
            .pending
            .filter(|session| self.stands_in(*session) || brought(session));
        let silent = source
            .session
            .filter(|session| !source.flowing && brought(session));
        for session in pending.into_iter().chain(silent) {
            self.close_session(session, CloseCause::TakenOver, now);
        }
        if silent.is_some()
            && let Some(source) = self.sources.get_mut(&stage)
        {
            // Nobody waits for it to return.
            source.released = true;
        }
    }

    /// The room is without publisher: its fallback, where it has one, begins in a while.
    fn await_fallback(&mut self, room: &RoomId, now: Now) {
        let Some(rule) = self.fallback_rule(room).copied() else {
            return;
        };
        let state = self.rooms.get(room);
        let taken = state
            .and_then(|state| state.stage)
            .and_then(|stage| self.sources.get(&stage))
            .is_some_and(|source| source.session.is_some());
        let call = state.is_some_and(|state| state.kind == RoomKind::Call);
        if taken || call || self.draining || self.fallbacks.rooms.contains_key(room) {
            return;
        }
        let at = now.elapsed + rule.after;
        self.fallbacks.rooms.insert(room.clone(), Stage::Due(at));
        self.at(at, Timer::Fallback(room.clone()));
    }

    /// The time of a room's fallback has come, or is over.
    pub(crate) fn fallback_due(&mut self, room: &RoomId, now: Now) {
        let rule = self.fallback_rule(room).copied();
        match (self.fallbacks.rooms.get(room), rule) {
            (None, _) => {}
            (Some(Stage::Due(_)), Some(rule)) => {
                let longest = rule.longest.filter(|_| !rule.always);
                let until = longest.map(|longest| now.elapsed + longest);
                if let Some(until) = until {
                    self.at(until, Timer::Fallback(room.clone()));
                }
                let wanted = Stage::Wanted(until);
                self.fallbacks.rooms.insert(room.clone(), wanted);
                tracing::info!(%room, "the publisher is gone; its fallback begins");
                self.command(Command::Fallback {
                    room: room.clone(),
                    wanted: true,
                });
            }
            (Some(Stage::Due(_)), None) => {
                self.fallbacks.rooms.remove(room);
            }
            (Some(Stage::Wanted(_)), _) => {
                tracing::info!(%room, "the publisher stayed away; its fallback ends");
                self.end_fallback(room, CloseCause::PublisherGone, now);
                self.let_go(room, now);
            }
        }
    }

    /// Viewers have waited for the publisher long enough.
    fn let_go(&mut self, room: &RoomId, now: Now) {
        let Some(stage) = self.rooms.get(room).and_then(|state| state.stage) else {
            return;
        };
        let Some(source) = self.sources.get(&stage) else {
            return;
        };
        if source.session.is_some() || source.pending.is_some() {
            return;
        }
        if let Some(until) = source.grace_until {
            self.cancel(until, Timer::Grace(stage));
        }
        self.grace_over(stage, now);
    }

    /// The room needs no fallback any more, or none yet.
    pub(crate) fn end_fallback(&mut self, room: &RoomId, cause: CloseCause, now: Now) {
        let until = match self.fallbacks.rooms.remove(room) {
            None => return,
            Some(Stage::Due(at)) => Some(at),
            Some(Stage::Wanted(until)) => {
                self.command(Command::Fallback {
                    room: room.clone(),
                    wanted: false,
                });
                until
            }
        };
        if let Some(until) = until {
            self.cancel(until, Timer::Fallback(room.clone()));
        }
        let stage = self.rooms.get(room).and_then(|state| state.stage);
        let source = stage.and_then(|stage| self.sources.get(&stage));
        let sessions = source.map(|source| [source.session, source.pending]);
        for session in sessions.into_iter().flatten().flatten() {
            if self.stands_in(session) {
                self.close_session(session, cause, now);
            }
        }
    }

    /// A publisher's session is gone, and its source is without one: what follows for the fallback.
    pub(crate) fn follow_up(&mut self, left: &SessionState, cause: CloseCause, now: Now) {
        let unwanted = matches!(cause, CloseCause::Kicked | CloseCause::Drained);
        if left.door == Door::Fallback {
            // Ended by an operator it stays away; whatever else ended it, it is tried again.
            if unwanted {
                self.end_fallback(&left.room, cause, now);
            }
            return;
        }
        let was_live = self
            .sources
            .get(&left.source)
            .is_some_and(|source| source.was_live);
        let always = self
            .fallback_rule(&left.room)
            .is_some_and(|rule| rule.always);
        if !unwanted && (was_live || always) {
            self.await_fallback(&left.room, now);
        }
    }

    /// Reckons anew whether a room shows its fallback, and tells a change.
    pub(crate) fn refresh_fallback(&mut self, room: &RoomId, now: Now) {
        let Some(state) = self.rooms.get(room) else {
            return;
        };
        let shown = state.stage.is_some_and(|stage| self.is_filled_in(stage));
        let Some(state) = self.rooms.get_mut(room) else {
            return;
        };
        if shown == state.fallback_since.is_some() {
            return;
        }
        state.fallback_since = shown.then_some(now.wall);
        let what = if shown {
            RoomEvent::FallbackBegan
        } else {
            RoomEvent::FallbackEnded
        };
        self.event(now, room, what);
    }
}

/// Whether a door brings what is published on another server.
fn is_brought(door: Door) -> bool {
    matches!(door, Door::Pull | Door::Relay)
}
