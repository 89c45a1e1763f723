//! The state machine's outside: construction, time, outputs.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use inver_proto::{
    CloseCause, ParticipantId, RoomEvent, RoomId, RoomKind, SessionId, SourceId, Timestamp,
};

use crate::entropy::Entropy;
use crate::event_ring::{EventRing, Replay};
use crate::fallback::Fallbacks;
use crate::half_open::HalfOpen;
use crate::output::{Command, Output, Signal};
use crate::policy::VIEWERS_INTERVAL;
use crate::record::Stored;
use crate::state::{RoomState, SessionState, Source};
use crate::vault::{KeyHash, ServerSecret, Vault};
use crate::{Now, Policy, Refusal, RefusalKind, Secret, SessionToken};

/// First number given to a keyed room: four digits look like a number that somebody gave.
const FIRST_NUMBER: u32 = 1001;

/// Something that is due at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The publisher of a source stayed away too long.
    Grace(SourceId),
    /// A session did not connect.
    Connect(SessionId),
    /// A room's viewer count may be told again.
    Viewers(RoomId),
    /// A room's fallback is to begin, or to end.
    Fallback(RoomId),
}

/// The secrets of a server.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// What stream keys are sealed and tokens signed with.
    pub server: ServerSecret,
    /// The bearer token that may do everything.
    pub admin_token: Secret,
}

/// The control plane of one node: who is where, and who may do what.
///
/// Every method that takes `&mut self` may leave outputs behind: after each call (one mutation)
/// drain [`poll_output`](Self::poll_output) until it gives `None`, then wait until
/// [`poll_timeout`](Self::poll_timeout) for [`handle_timeout`](Self::handle_timeout).
///
/// Publishing and watching go in two steps, because the data plane has a say: `begin_...` checks
/// and reserves, then the shell asks the data plane and reports `accepted` or `failed`.
pub struct Control {
    pub(crate) policy: Policy,
    pub(crate) vault: Vault,
    pub(crate) admin_token: Secret,
    pub(crate) entropy: Box<dyn Entropy>,
    pub(crate) rooms: BTreeMap<RoomId, RoomState>,
    pub(crate) rooms_by_number: HashMap<u32, RoomId>,
    pub(crate) rooms_by_key: HashMap<KeyHash, RoomId>,
    pub(crate) sources: HashMap<SourceId, Source>,
    pub(crate) sessions: BTreeMap<SessionId, SessionState>,
    pub(crate) sessions_by_token: HashMap<SessionToken, SessionId>,
    pub(crate) half_open: HalfOpen,
    pub(crate) fallbacks: Fallbacks,
    pub(crate) next_number: u32,
    pub(crate) draining: bool,
    events: EventRing,
    timers: BTreeSet<(Duration, Timer)>,
    outputs: VecDeque<Output>,
    next_session: u64,
    next_source: u64,
    next_published: u64,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control")
            .field("rooms", &self.rooms.len())
            .field("sessions", &self.sessions.len())
            .finish_non_exhaustive()
    }
}

impl Control {
    /// Starts with what a store held.
    pub fn new(
        policy: Policy,
        secrets: Secrets,
        stored: Stored,
        entropy: Box<dyn Entropy>,
        now: Now,
    ) -> Self {
        let highest = stored.rooms.iter().filter_map(|room| room.number).max();
        let after_highest = highest.map_or(FIRST_NUMBER, |number| number.saturating_add(1));
        let mut control = Self {
            policy,
            vault: Vault::new(&secrets.server),
            admin_token: secrets.admin_token,
            entropy,
            rooms: BTreeMap::new(),
            rooms_by_number: HashMap::new(),
            rooms_by_key: HashMap::new(),
            sources: HashMap::new(),
            sessions: BTreeMap::new(),
            sessions_by_token: HashMap::new(),
            half_open: HalfOpen::default(),
            fallbacks: Fallbacks::default(),
            next_number: stored
                .next_number
                .unwrap_or(FIRST_NUMBER)
                .max(after_highest),
            draining: false,
            events: EventRing::new(now),
            timers: BTreeSet::new(),
            outputs: VecDeque::new(),
            next_session: 1,
            next_source: 1,
            next_published: 1,
        };
        for record in stored.rooms {
            control.insert_room(RoomState::from_record(record, true));
        }
        for key in stored.keys {
            control.insert_key(key);
        }
        control
    }

    /// The next thing to do or to tell.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, on the clock of [`Now::elapsed`].
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some((at, _)) = self.timers.first() {
            if *at > now.elapsed {
                return;
            }
            let Some((_, timer)) = self.timers.pop_first() else {
                return;
            };
            match timer {
                Timer::Grace(source) => self.grace_over(source, now),
                Timer::Connect(session) => self.connect_timed_out(session, now),
                Timer::Viewers(room) => self.viewers_due(&room, now),
                Timer::Fallback(room) => self.fallback_due(&room, now),
            }
        }
    }

    /// What a reader of the event stream missed since the event that it saw last.
    pub fn replay(&self, last_seen: Option<u64>, room: Option<&RoomId>) -> Replay {
        self.events.replay(last_seen, room)
    }

    /// Takes no new sessions from now on and asks those that listen to go elsewhere.
    pub fn drain(&mut self, now: Now) {
        if std::mem::replace(&mut self.draining, true) {
            return;
        }
        tracing::info!(elapsed = ?now.elapsed, sessions = self.sessions.len(), "draining");
        let watched: Vec<SessionId> = self
            .sessions
            .values()
            .filter(|session| session.watched)
            .map(|s| s.id)
            .collect();
        // Spread over two seconds, so that they do not all knock elsewhere at once.
        let count = u32::try_from(watched.len()).unwrap_or(u32::MAX).max(1);
        for (at, session) in (0u32..).zip(watched) {
            let after = Duration::from_secs(2) * at / count;
            self.signal(vec![session], Signal::Reconnect { after });
        }
    }

    /// Whether the server takes no new sessions.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Whether everything is allowed without credentials.
    pub fn is_open(&self) -> bool {
        self.policy.open
    }

    /// How long a publisher may stay away before its viewers are let go.
    pub fn grace(&self) -> Duration {
        self.policy.grace
    }

    /// Ends every session.
    pub fn close_all(&mut self, now: Now) {
        let all: Vec<SessionId> = self.sessions.keys().copied().collect();
        for session in all {
            self.close_session(session, CloseCause::Drained, now);
        }
    }

    // Helpers that all parts use.

    pub(crate) fn command(&mut self, command: Command) {
        self.output(Output::Command(command));
    }

    pub(crate) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn event(&mut self, now: Now, room: &RoomId, what: RoomEvent) {
        let event = self.events.push(now, room.clone(), what);
        self.outputs.push_back(Output::Event(event));
    }

    pub(crate) fn signal(&mut self, sessions: Vec<SessionId>, signal: Signal) {
        if !sessions.is_empty() {
            self.outputs.push_back(Output::Signal { sessions, signal });
        }
    }

    pub(crate) fn at(&mut self, at: Duration, timer: Timer) {
        self.timers.insert((at, timer));
    }

    pub(crate) fn cancel(&mut self, at: Duration, timer: Timer) {
        self.timers.remove(&(at, timer));
    }

    pub(crate) fn new_session_id(&mut self) -> SessionId {
        let id = SessionId(self.next_session);
        self.next_session += 1;
        id
    }

    /// The number that the next session will have: viewers without a name are called by it.
    pub(crate) fn coming_session(&self) -> SessionId {
        SessionId(self.next_session)
    }

    pub(crate) fn new_published(&mut self) -> u64 {
        let number = self.next_published;
        self.next_published += 1;
        number
    }

    /// Makes a source in a room.
    pub(crate) fn new_source(
        &mut self,
        room: &RoomId,
        participant: Option<ParticipantId>,
        now: Now,
    ) -> SourceId {
        let id = SourceId(self.next_source);
        self.next_source += 1;
        let source = Source {
            room: room.clone(),
            participant,
            joined: false,
            session: None,
            pending: None,
            flowing: false,
            quiet_since: now.elapsed,
            grace_until: None,
            released: false,
            was_live: false,
            published: 0,
            subscribers: BTreeSet::new(),
            warnings: Vec::new(),
        };
        self.sources.insert(id, source);
        if let Some(room) = self.rooms.get_mut(room) {
            room.sources.insert(id);
        }
        id
    }

    /// Makes a room that lives as long as somebody is in it.
    pub(crate) fn make_passing_room(
        &mut self,
        id: &RoomId,
        kind: RoomKind,
        now: Now,
    ) -> Result<(), Refusal> {
        if self.rooms.len() >= self.policy.max_rooms {
            let detail = format!(
                "the server has {} rooms and takes no more",
                self.rooms.len()
            );
            return Err(
                Refusal::new(RefusalKind::Unavailable, detail).retry_after(Duration::from_secs(30))
            );
        }
        self.insert_room(RoomState::passing(id.clone(), kind, now));
        self.event(
            now,
            id,
            RoomEvent::RoomCreated {
                kind,
                configured: false,
            },
        );
        Ok(())
    }

    pub(crate) fn insert_room(&mut self, room: RoomState) {
        if let Some(number) = room.number {
            self.rooms_by_number.insert(number, room.id.clone());
        }
        self.rooms.insert(room.id.clone(), room);
    }

    /// Tells a changed viewer count, now or when the last telling is a second old.
    pub(crate) fn viewers_changed(&mut self, room: &RoomId, now: Now) {
        let Some(state) = self.rooms.get_mut(room) else {
            return;
        };
        if state.viewers_due {
            return;
        }
        let next = state.viewers_told_at.map(|last| last + VIEWERS_INTERVAL);
        match next.filter(|next| *next > now.elapsed) {
            Some(next) => {
                state.viewers_due = true;
                self.at(next, Timer::Viewers(room.clone()));
            }
            None => self.tell_viewers(room, now),
        }
    }

    fn viewers_due(&mut self, room: &RoomId, now: Now) {
        if let Some(state) = self.rooms.get_mut(room) {
            state.viewers_due = false;
            self.tell_viewers(room, now);
        }
    }

    fn tell_viewers(&mut self, room: &RoomId, now: Now) {
        let Some(state) = self.rooms.get_mut(room) else {
            return;
        };
        let viewers = state.audience();
        if viewers == state.viewers_told {
            return;
        }
        state.viewers_told = viewers;
        state.viewers_told_at = Some(now.elapsed);
        let sources: Vec<SourceId> = state.sources.iter().copied().collect();
        self.event(now, room, RoomEvent::ViewersChanged { viewers });
        for source in sources {
            let watching = self.watching(source);
            self.signal(watching, Signal::Viewers(viewers));
        }
    }

    /// Subscribers of a source whose event stream somebody reads.
    pub(crate) fn watching(&self, source: SourceId) -> Vec<SessionId> {
        let Some(source) = self.sources.get(&source) else {
            return Vec::new();
        };
        let watched = |id: &&SessionId| self.sessions.get(id).is_some_and(|s| s.watched);
        source.subscribers.iter().filter(watched).copied().collect()
    }

    /// Reckons anew whether a room is live and tells a change.
    pub(crate) fn refresh_live(&mut self, room: &RoomId, now: Now) {
        let Some(state) = self.rooms.get(room) else {
            return;
        };
        let sources = || state.sources.iter().filter_map(|id| self.sources.get(id));
        let live = sources().any(|source| source.flowing);
        let over = !sources().any(Source::is_taken);
        let Some(state) = self.rooms.get_mut(room) else {
            return;
        };
        if over {
            state.live_since = None;
        }
        if live == state.live {
            return;
        }
        state.live = live;
        let what = if live {
            let since: Timestamp = *state.live_since.get_or_insert(now.wall);
            RoomEvent::RoomLive { since }
        } else {
            RoomEvent::RoomOffline
        };
        self.event(now, room, what);
    }
}
