//! Who may watch what, and who waits.

use std::time::Duration;

use inver_proto::{Direction, Door, ParticipantId, RoomId, RoomKind, SessionId, SourceId};

use crate::access::{Action, Vouched};
use crate::sessions::NewSession;
use crate::state::RoomState;
use crate::{ClientInfo, Control, Credentials, Now, Refusal, RefusalKind, Ticket};

/// When a viewer of a room without a publisher should ask again.
const NOT_LIVE_RETRY: Duration = Duration::from_secs(2);

/// A wish to watch.
#[derive(Debug, Clone)]
pub struct SubscribeRequest {
    /// What to watch.
    pub room: RoomId,
    /// Whose publication; the room's choice where absent.
    pub participant: Option<ParticipantId>,
    /// What was shown.
    pub credentials: Credentials,
    /// Who asks.
    pub client: ClientInfo,
    /// Whether to wait for a publisher.
    pub wait: bool,
    /// Protocol that it came through.
    pub door: Door,
    /// Whether a service has answered for it; its credentials are not looked at then.
    pub vouched: Option<Vouched>,
}

impl Control {
    /// Checks a wish to watch and reserves the place. Follow with
    /// [`accepted`](Self::accepted) or [`failed`](Self::failed).
    pub fn begin_subscribe(
        &mut self,
        request: SubscribeRequest,
        now: Now,
    ) -> Result<Ticket, Refusal> {
        self.check_admission(&request.client)?;
        let room = request.room;
        let subject = match request.vouched {
            Some(vouched) => vouched.participant,
            None => {
                let action = Action::Subscribe(&room);
                self.authorize(&request.credentials, action, now)?.subject
            }
        };
        let waits = self.check_room(&room, request.wait, now)?;
        let source = match self.source_to_watch(&room, request.participant.as_ref(), waits, now) {
            Ok(source) => source,
            Err(refusal) => {
                self.drop_room_if_empty(&room, now);
                return Err(refusal);
            }
        };
        let participant = subject.unwrap_or_else(|| {
            format!("viewer-{}", self.coming_session())
                .parse()
                .expect("a word and a number are a name")
        });
        let ticket = self.insert_session(
            NewSession {
                room,
                participant,
                door: request.door,
                direction: Direction::Subscribe,
                source,
                follows: request.participant.is_none(),
                waits,
                key: None,
                client: request.client,
            },
            now,
        );
        Ok(ticket)
    }

    /// Whether a wish to watch is one that may be granted as far as credentials go; changes
    /// nothing. Asked before another server is troubled for the room.
    pub fn check_subscribe(&self, request: &SubscribeRequest, now: Now) -> Result<(), Refusal> {
        self.check_admission(&request.client)?;
        if request.vouched.is_none() {
            let action = Action::Subscribe(&request.room);
            self.authorize(&request.credentials, action, now)?;
        }
        Ok(())
    }

    /// Says how many players without a session watch a room, as the door that serves them counts
    /// them; they take places as sessions do. A room that is not there has none.
    ///
    /// # Errors
    ///
    /// There are more than before, and the room has no place for them: nothing changes.
    pub fn set_players(&mut self, room: &RoomId, players: u32, now: Now) -> Result<(), Refusal> {
        let Some(state) = self.rooms.get_mut(room) else {
            return Ok(());
        };
        if state.players == players {
            return Ok(());
        }
        if let Some(more) = players.checked_sub(state.players) {
            let most = state.max_viewers.unwrap_or(self.policy.max_viewers);
            check_places(state, most, more)?;
        }
        state.players = players;
        self.viewers_changed(room, now);
        Ok(())
    }

    /// Whether a room that is there has a place for one more viewer.
    ///
    /// # Errors
    ///
    /// It has none.
    pub fn check_place(&self, room: &RoomId) -> Result<(), Refusal> {
        self.rooms.get(room).map_or(Ok(()), |state| {
            let most = state.max_viewers.unwrap_or(self.policy.max_viewers);
            check_places(state, most, 1)
        })
    }

    /// How many sessions of a door watch a room, connected or not.
    pub fn viewers_through(&self, room: &RoomId, door: Door) -> usize {
        let state = self.rooms.get(room);
        let who = state
            .into_iter()
            .flat_map(|state| state.participants.values());
        who.flat_map(|who| &who.sessions)
            .filter_map(|session| self.sessions.get(session))
            .filter(|session| session.direction == Direction::Subscribe && session.door == door)
            .count()
    }

    /// The rooms whose media flows, by name.
    pub fn live_rooms(&self) -> Vec<RoomId> {
        let live = self.rooms.values().filter(|room| room.live);
        live.map(|room| room.id.clone()).collect()
    }

    /// Whether media of a room flows.
    pub fn is_live(&self, room: &RoomId) -> bool {
        self.rooms.get(room).is_some_and(|room| room.live)
    }

    /// Checks that the room is there and has a place; says whether its viewers wait.
    fn check_room(&mut self, room: &RoomId, wait: bool, now: Now) -> Result<bool, Refusal> {
        let Some(state) = self.rooms.get(room) else {
            if !self.policy.open {
                let detail = format!("there is no room {room}");
                return Err(Refusal::new(RefusalKind::NotFound, detail));
            }
            let wait = wait || self.policy.wait_for_publisher;
            if !wait {
                return Err(not_live(room));
            }
            self.make_passing_room(room, RoomKind::Broadcast, now)?;
            return Ok(true);
        };
        let most = state.max_viewers.unwrap_or(self.policy.max_viewers);
        check_places(state, most, 1)?;
        Ok(wait || state.wait_for_publisher || self.policy.wait_for_publisher)
    }

    fn source_to_watch(
        &mut self,
        room: &RoomId,
        participant: Option<&ParticipantId>,
        waits: bool,
        now: Now,
    ) -> Result<SourceId, Refusal> {
        let Some(state) = self.rooms.get(room) else {
            return Err(not_live(room));
        };
        let kind = state.kind;
        let found = match (kind, participant) {
            (RoomKind::Call, Some(who)) => state.participants.get(who).and_then(|p| p.source),
            (RoomKind::Call, None) | (RoomKind::Broadcast, _) => state.stage,
        };
        let taken = found
            .and_then(|id| self.sources.get(&id))
            .filter(|source| source.session.is_some() || source.grace_until.is_some());
        if let Some(source) = taken {
            let other = participant.filter(|who| source.participant.as_ref() != Some(*who));
            if let Some(who) = other {
                let detail = format!("nobody named {who} publishes in {room}");
                return Err(Refusal::new(RefusalKind::NotFound, detail));
            }
        } else if !waits {
            return Err(not_live(room));
        }
        if let Some(source) = found {
            return Ok(source);
        }
        // The first who waits makes the place where the publisher will be.
        let source = self.new_source(room, None, now);
        let Some(state) = self.rooms.get_mut(room) else {
            return Ok(source);
        };
        match (kind, participant) {
            (RoomKind::Call, Some(who)) => {
                state.participants.entry(who.clone()).or_default().source = Some(source);
                if let Some(source) = self.sources.get_mut(&source) {
                    source.participant = Some(who.clone());
                }
            }
            (RoomKind::Call, None) | (RoomKind::Broadcast, _) => state.stage = Some(source),
        }
        Ok(source)
    }

    /// Says that somebody reads a viewer's signals and gives those that hold now.
    ///
    /// `None` where the session is gone.
    pub fn watch(&mut self, session: SessionId) -> Option<WatchState> {
        let state = self.sessions.get_mut(&session)?;
        state.watched = true;
        let active = self
            .sources
            .get(&state.source)
            .is_some_and(|source| source.flowing);
        let viewers = self.rooms.get(&state.room).map_or(0, RoomState::audience);
        Some(WatchState {
            source: state.source,
            active,
            viewers,
            draining: self.draining,
        })
    }

    /// Nobody reads the session's signals any more.
    pub fn unwatch(&mut self, session: SessionId) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.watched = false;
        }
    }
}

/// What a reader of a session's signals is told first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchState {
    /// What the session feeds or gets.
    pub source: SourceId,
    /// Whether media flows.
    pub active: bool,
    /// How many watch the room.
    pub viewers: u32,
    /// Whether the server is about to stop.
    pub draining: bool,
}

/// Refuses `more` viewers where a room that takes `most` has no place for them.
fn check_places(room: &RoomState, most: u32, more: u32) -> Result<(), Refusal> {
    let most_taken = usize::try_from(most).unwrap_or(usize::MAX);
    let more = usize::try_from(more).unwrap_or(usize::MAX);
    if room.taken().saturating_add(more) <= most_taken {
        return Ok(());
    }
    let detail = format!("{} has {most} viewers and takes no more", room.id);
    Err(Refusal::new(RefusalKind::Unavailable, detail).retry_after(Duration::from_secs(5)))
}

fn not_live(room: &RoomId) -> Refusal {
    Refusal::new(
        RefusalKind::Conflict,
        format!("nobody publishes in {room} now"),
    )
    .retry_after(NOT_LIVE_RETRY)
}
