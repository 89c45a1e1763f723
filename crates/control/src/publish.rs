//! Who may publish where: rooms, stream keys, second publishers, takeovers.

use std::time::Duration;

use inver_proto::{
    Direction, Door, ParticipantId, RoomEvent, RoomId, RoomKind, SessionId, SourceId,
};

use crate::access::{Action, Grant, Origin, Scope, Vouched};
use crate::output::Command;
use crate::policy::ANONYMOUS_TAKEOVER;
use crate::record::Change;
use crate::sessions::NewSession;
use crate::state::ParticipantState;
use crate::{ClientInfo, Control, Credentials, Now, Refusal, RefusalKind, Secret, SessionToken};

/// Least time between two notes of a key's use.
const KEY_USE_RESOLUTION_MS: u64 = 60_000;

/// Where a publisher wants to publish.
#[derive(Debug, Clone)]
pub enum PublishTarget {
    /// A room named by itself.
    Room(RoomId),
    /// `{room}-{key}` in one string.
    RoomWithKey(Secret),
}

/// A wish to publish.
#[derive(Debug, Clone)]
pub struct PublishRequest {
    /// Where to.
    pub target: PublishTarget,
    /// As whom.
    pub participant: Option<ParticipantId>,
    /// What was shown.
    pub credentials: Credentials,
    /// Who asks.
    pub client: ClientInfo,
    /// Protocol that it came through.
    pub door: Door,
    /// Whether a service has answered for it; its credentials are not looked at then.
    pub vouched: Option<Vouched>,
}

/// A session that was let in and waits for the data plane's word.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// Its number.
    pub session: SessionId,
    /// Its secret name.
    pub token: SessionToken,
    /// What it feeds or gets.
    pub source: SourceId,
    /// Where it is.
    pub room: RoomId,
    /// Whose it is.
    pub participant: ParticipantId,
}

impl Control {
    /// Checks a wish to publish and reserves the place. Follow with
    /// [`accepted`](Self::accepted) or [`failed`](Self::failed).
    pub fn begin_publish(&mut self, request: PublishRequest, now: Now) -> Result<Ticket, Refusal> {
        self.check_admission(&request.client)?;
        let (room, grant) = match &request.vouched {
            Some(vouched) => self.vouched_target(&request.target, vouched)?,
            None => self.publish_target(&request.target, &request.credentials, now)?,
        };
        let participant = if request.door == Door::Fallback {
            self.stood_in_for(&room)?
        } else {
            who(&grant, request.participant)?
        };
        self.make_way(&room, request.door, now);
        let kind = match self.rooms.get(&room) {
            Some(state) => state.kind,
            None => {
                let kind = kind_made_by(request.door);
                self.make_passing_room(&room, kind, now)?;
                kind
            }
        };
        let reserved = self.reserve(&room, kind, &participant, &grant, request.door, now);
        let source = match reserved {
            Ok(source) => source,
            Err(refusal) => {
                self.drop_room_if_empty(&room, now);
                return Err(refusal);
            }
        };
        let key = match &grant.origin {
            Origin::StreamKey(key) => Some(key.clone()),
            Origin::Anonymous | Origin::Token | Origin::AdminToken | Origin::Service => None,
        };
        if let Some(key) = &key {
            self.note_key_use(&room, key.as_str(), now);
        }
        let ticket = self.insert_session(
            NewSession {
                room,
                participant,
                door: request.door,
                direction: Direction::Publish,
                source,
                follows: false,
                waits: false,
                key,
                client: request.client,
            },
            now,
        );
        if let Some(state) = self.sources.get_mut(&source) {
            state.pending = Some(ticket.session);
        }
        Ok(ticket)
    }

    fn publish_target(
        &self,
        target: &PublishTarget,
        credentials: &Credentials,
        now: Now,
    ) -> Result<(RoomId, Grant), Refusal> {
        let text = match target {
            PublishTarget::Room(room) => {
                let grant = self.authorize(credentials, Action::Publish(room), now)?;
                return Ok((room.clone(), grant));
            }
            PublishTarget::RoomWithKey(text) => text.reveal(),
        };
        if let Some((room, _)) = self.split_stream_key(text) {
            let credentials = Credentials::bearer(text);
            let grant = self.authorize(&credentials, Action::Publish(&room), now)?;
            return Ok((room, grant));
        }
        // No match: the whole string is a room, on an open server or for other credentials.
        if !self.policy.open && credentials.secret().is_none() {
            return Err(unknown_key());
        }
        let room: RoomId = text.parse().map_err(|_| unknown_key())?;
        let grant = self.authorize(credentials, Action::Publish(&room), now)?;
        Ok((room, grant))
    }

    /// Where somebody may publish for whom a service answers.
    fn vouched_target(
        &self,
        target: &PublishTarget,
        vouched: &Vouched,
    ) -> Result<(RoomId, Grant), Refusal> {
        let room = match target {
            PublishTarget::Room(room) => room.clone(),
            PublishTarget::RoomWithKey(text) => {
                self.room_in_key(text.reveal()).ok_or_else(unknown_key)?
            }
        };
        let grant = Grant {
            scope: Scope::Room(room.clone()),
            publish: true,
            subscribe: false,
            admin: false,
            subject: vouched.participant.clone(),
            origin: Origin::Service,
        };
        Ok((room, grant))
    }

    /// The room that `{room}-{key}` in one string means: the one that has the key, else the room
    /// with the whole text for its name.
    pub fn room_in_key(&self, text: &str) -> Option<RoomId> {
        self.room_of_stream_key(text).or_else(|| text.parse().ok())
    }

    /// Finds or makes the source that the participant feeds, unless somebody else has the place.
    fn reserve(
        &mut self,
        room: &RoomId,
        kind: RoomKind,
        participant: &ParticipantId,
        grant: &Grant,
        door: Door,
        now: Now,
    ) -> Result<SourceId, Refusal> {
        let Some(state) = self.rooms.get(room) else {
            return Err(Refusal::new(
                RefusalKind::NotFound,
                format!("there is no room {room}"),
            ));
        };
        let own = match kind {
            RoomKind::Broadcast => state.stage,
            RoomKind::Call => state.participants.get(participant).and_then(|p| p.source),
        };
        if let Some(source) = own {
            self.check_takeover(source, participant, grant, door, now)?;
            self.hand_over(source, participant, now);
            if kind == RoomKind::Broadcast {
                self.assign(room, participant, source);
            }
            return Ok(source);
        }
        let publishers = state
            .participants
            .values()
            .filter(|p| p.source.is_some())
            .count();
        if kind == RoomKind::Call && publishers >= self.policy.max_publishers {
            let detail = format!("{room} has {publishers} publishers and takes no more");
            return Err(Refusal::new(RefusalKind::Unavailable, detail));
        }
        let source = self.new_source(room, Some(participant.clone()), now);
        self.assign(room, participant, source);
        if kind == RoomKind::Broadcast
            && let Some(state) = self.rooms.get_mut(room)
        {
            state.stage = Some(source);
        }
        Ok(source)
    }

    /// Whoever had the source before has left for good.
    fn hand_over(&mut self, id: SourceId, participant: &ParticipantId, now: Now) {
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        source.released = false;
        let before = source.participant.replace(participant.clone());
        let Some(before) = before.filter(|before| before != participant) else {
            return;
        };
        let joined = std::mem::take(&mut source.joined);
        let room = source.room.clone();
        let stays = self
            .rooms
            .get(&room)
            .and_then(|room| room.participants.get(&before))
            .is_some_and(|who| !who.sessions.is_empty());
        if joined && !stays {
            let what = RoomEvent::ParticipantLeft {
                participant: before,
            };
            self.event(now, &room, what);
        }
    }

    /// Makes the source the participant's, and nobody else's.
    fn assign(&mut self, room: &RoomId, participant: &ParticipantId, source: SourceId) {
        let Some(state) = self.rooms.get_mut(room) else {
            return;
        };
        for other in state.participants.values_mut() {
            if other.source == Some(source) {
                other.source = None;
            }
        }
        state
            .participants
            .retain(|id, p| id == participant || p.source.is_some() || !p.sessions.is_empty());
        let own: &mut ParticipantState = state.participants.entry(participant.clone()).or_default();
        own.source = Some(source);
    }

    fn check_takeover(
        &self,
        source: SourceId,
        participant: &ParticipantId,
        grant: &Grant,
        door: Door,
        now: Now,
    ) -> Result<(), Refusal> {
        let Some(source) = self.sources.get(&source) else {
            return Ok(());
        };
        let room = &source.room;
        let conflict = |detail: String, after: Duration| {
            Err(Refusal::new(RefusalKind::Conflict, detail).retry_after(after))
        };
        if source.pending.is_some() {
            let detail = format!("another request to publish to {room} is being answered");
            return conflict(detail, Duration::from_secs(1));
        }
        // It is there for nobody else's sake.
        if source
            .session
            .is_some_and(|session| self.stands_in(session))
        {
            return Ok(());
        }
        let same = source.participant.as_ref() == Some(participant);
        let Some(session) = source.session else {
            return match source.grace_until {
                Some(until) if !same && !source.released => conflict(
                    format!("the publisher of {room} has lost contact and may come back"),
                    until
                        .saturating_sub(now.elapsed)
                        .max(Duration::from_secs(1)),
                ),
                Some(_) | None => Ok(()),
            };
        };
        if !same {
            let detail = format!(
                "{room} is a broadcast and has a publisher already (session {session}); a second \
                 one is not let in"
            );
            return conflict(detail, Duration::from_secs(5));
        }
        // Encoders that reconnect by themselves would throw each other out for ever.
        // And nobody's own publication gives way to one from another server.
        let patient = matches!(
            door,
            Door::Rtmp
                | Door::Rtsp
                | Door::Srt
                | Door::Ftl
                | Door::Udp
                | Door::Pull
                | Door::Relay
                | Door::Fallback
        );
        if grant.is_authenticated() && !patient {
            return Ok(());
        }
        let quiet = now.elapsed.saturating_sub(source.quiet_since);
        if !source.flowing && quiet >= ANONYMOUS_TAKEOVER {
            return Ok(());
        }
        let detail = format!(
            "{participant} publishes to {room} already (session {session}); its place is free \
             after {} s without media",
            ANONYMOUS_TAKEOVER.as_secs()
        );
        conflict(detail, ANONYMOUS_TAKEOVER)
    }

    fn note_key_use(&mut self, room: &RoomId, key: &str, now: Now) {
        let Some(room) = self.rooms.get_mut(room) else {
            return;
        };
        let Some(key) = room
            .keys
            .iter_mut()
            .find(|record| record.id.as_str() == key)
        else {
            return;
        };
        let last = key.last_used_at.map_or(0, |at| at.0);
        if now.wall.0.saturating_sub(last) >= KEY_USE_RESOLUTION_MS {
            key.last_used_at = Some(now.wall);
            let note = Change::PutKey(key.clone());
            self.command(Command::Note(note));
        }
    }
}

fn unknown_key() -> Refusal {
    let detail = "no room has this stream key; the form is {room}-{key}";
    Refusal::new(RefusalKind::Unauthorized, detail)
}

/// The publisher's name: the one that a service gives, its token's subject, the one that it gave,
/// else `main`.
fn who(grant: &Grant, asked: Option<ParticipantId>) -> Result<ParticipantId, Refusal> {
    match (&grant.subject, asked) {
        (Some(subject), _) if grant.origin == Origin::Service => Ok(subject.clone()),
        (Some(subject), Some(asked)) if *subject != asked && !grant.admin => {
            let detail = format!("the token is {subject}'s; it cannot publish as {asked}");
            Err(Refusal::new(RefusalKind::Forbidden, detail))
        }
        (_, Some(asked)) => Ok(asked),
        (Some(subject), None) => Ok(subject.clone()),
        (None, None) => Ok(ParticipantId::main()),
    }
}

/// What kind of room comes to be when somebody publishes through this door.
fn kind_made_by(door: Door) -> RoomKind {
    match door {
        Door::Whip
        | Door::Whep
        | Door::Rtmp
        | Door::Rtsp
        | Door::Srt
        | Door::Ftl
        | Door::Udp
        | Door::Hls
        | Door::Pull
        | Door::Relay
        | Door::Fallback => RoomKind::Broadcast,
    }
}
