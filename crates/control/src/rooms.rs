//! Configured rooms, stream keys and tokens: planned here, committed by the shell, applied here.

use std::time::Duration;

use inver_proto::{
    CloseCause, CreateKey, CreateRoom, CreateToken, CreatedKey, CreatedToken, Key, KeyId,
    RoomEvent, RoomId, SessionId,
};

use crate::entropy::base62;
use crate::policy::{MAX_KEYS_PER_ROOM, MAX_LABEL};
use crate::record::{Change, KeyRecord, Plan, RoomRecord};
use crate::state::{RoomState, Source};
use crate::token::Claims;
use crate::{Control, Now, Refusal, RefusalKind, Secret, token, vault};

/// How long a token is good where nothing else is asked.
const TOKEN_TTL: u64 = 60 * 60;

/// How long a token may be good. Tokens cannot be withdrawn one by one, so not for ever.
const MAX_TOKEN_TTL: u64 = 366 * 24 * 60 * 60;

impl Control {
    /// Plans a configured room.
    pub fn plan_create_room(
        &mut self,
        request: &CreateRoom,
        now: Now,
    ) -> Result<(Plan, RoomId), Refusal> {
        let id = match &request.id {
            Some(id) => id.clone(),
            None => self.free_room_id(),
        };
        if let Some(state) = self.rooms.get(&id) {
            let in_use = state.sources.iter().filter_map(|id| self.sources.get(id));
            if state.configured || in_use.into_iter().any(Source::is_taken) {
                let detail = format!("there is a room {id} already");
                return Err(Refusal::new(RefusalKind::Conflict, detail));
            }
        } else if self.rooms.len() >= self.policy.max_rooms {
            let detail = format!(
                "the server has {} rooms and takes no more",
                self.rooms.len()
            );
            return Err(Refusal::new(RefusalKind::Unavailable, detail));
        }
        if request.max_viewers == Some(0) {
            let detail = "max_viewers is 0; leave it out for the server's limit";
            return Err(Refusal::new(RefusalKind::BadRequest, detail));
        }
        let keyed = request.keyed.unwrap_or(!self.policy.open);
        let mut changes = Vec::new();
        let number = keyed.then_some(self.next_number);
        if number.is_some() {
            let next = self.next_number.checked_add(1).ok_or_else(|| {
                Refusal::new(
                    RefusalKind::Unavailable,
                    "all numbers of keyed rooms are given",
                )
            })?;
            changes.push(Change::NextNumber(next));
        }
        changes.push(Change::PutRoom(RoomRecord {
            id: id.clone(),
            kind: request.kind,
            number,
            keyed,
            wait_for_publisher: request.wait_for_publisher.unwrap_or(false),
            max_viewers: request.max_viewers,
            created_at: now.wall,
        }));
        Ok((
            Plan {
                changes,
                durable: true,
            },
            id,
        ))
    }

    /// Plans a room's end: its sessions, its configuration, its keys.
    pub fn plan_close_room(&self, room: &RoomId) -> Result<Plan, Refusal> {
        let state = self.known_room(room)?;
        let keys = state
            .keys
            .iter()
            .map(|key| Change::RemoveKey(room.clone(), key.id.clone()));
        let mut changes: Vec<Change> = keys.collect();
        changes.push(Change::RemoveRoom(room.clone()));
        Ok(Plan {
            changes,
            durable: state.configured,
        })
    }

    /// A room's stream keys, without their secrets.
    pub fn keys(&self, room: &RoomId) -> Result<Vec<Key>, Refusal> {
        Ok(self
            .known_room(room)?
            .keys
            .iter()
            .map(KeyRecord::view)
            .collect())
    }

    /// Plans a new stream key.
    pub fn plan_create_key(
        &mut self,
        room: &RoomId,
        request: CreateKey,
        now: Now,
    ) -> Result<(Plan, CreatedKey), Refusal> {
        let state = self.known_room(room)?;
        if !state.configured {
            let detail = format!("{room} is not configured; create it first (POST /rooms)");
            return Err(Refusal::new(RefusalKind::Conflict, detail));
        }
        if state.keys.len() >= MAX_KEYS_PER_ROOM {
            let detail = format!("{room} has {MAX_KEYS_PER_ROOM} keys and takes no more");
            return Err(Refusal::new(RefusalKind::Conflict, detail));
        }
        if request
            .label
            .as_ref()
            .is_some_and(|label| label.chars().count() > MAX_LABEL)
        {
            let detail = format!("a label has at most {MAX_LABEL} characters");
            return Err(Refusal::new(RefusalKind::BadRequest, detail));
        }
        let id = base62(&mut *self.entropy, 10)
            .parse()
            .expect("letters and digits are a name");
        Ok(self.plan_key(room.clone(), id, request.label, now))
    }

    /// Plans a new secret for a key. Sessions that the old one let in go on.
    pub fn plan_rotate_key(
        &mut self,
        room: &RoomId,
        id: &KeyId,
        now: Now,
    ) -> Result<(Plan, CreatedKey), Refusal> {
        let label = self.known_key(room, id)?.label.clone();
        Ok(self.plan_key(room.clone(), id.clone(), label, now))
    }

    /// Plans a key's end; the sessions that it let in end too.
    pub fn plan_delete_key(&self, room: &RoomId, id: &KeyId) -> Result<Plan, Refusal> {
        self.known_key(room, id)?;
        let changes = vec![Change::RemoveKey(room.clone(), id.clone())];
        Ok(Plan {
            changes,
            durable: true,
        })
    }

    /// The stream keys themselves, for protocols that compute with them (FTL, SRT).
    pub fn reveal_keys(&self, room: &RoomId) -> Result<Vec<(KeyId, Secret)>, Refusal> {
        let keys = self.known_room(room)?.keys.iter();
        keys.map(|key| Ok((key.id.clone(), self.vault.open(room, &key.id, &key.sealed)?)))
            .collect()
    }

    /// The room with this number.
    pub fn room_by_number(&self, number: u32) -> Option<&RoomId> {
        self.rooms_by_number.get(&number)
    }

    /// The room's number, where it is here and has one.
    pub fn number_of(&self, room: &RoomId) -> Option<u32> {
        self.rooms.get(room)?.number
    }

    /// Signs a token.
    pub fn issue_token(&self, request: &CreateToken, now: Now) -> Result<CreatedToken, Refusal> {
        let bad = |detail: String| Refusal::new(RefusalKind::BadRequest, detail);
        let room = request.room.clone().unwrap_or_else(|| "*".to_owned());
        if room != "*" {
            room.parse::<RoomId>()
                .map_err(|error| bad(error.to_string()))?;
        }
        if !(request.publish || request.subscribe || request.admin) {
            let detail = "the token would allow nothing; set publish, subscribe or admin";
            return Err(bad(detail.to_owned()));
        }
        let ttl = request.ttl_seconds.unwrap_or(TOKEN_TTL);
        if ttl == 0 || ttl > MAX_TOKEN_TTL {
            return Err(bad(format!(
                "ttl_seconds is {ttl}; it goes from 1 to {MAX_TOKEN_TTL}"
            )));
        }
        let expires_at = now.wall.plus(Duration::from_secs(ttl));
        let claims = Claims {
            exp: expires_at.seconds(),
            iat: Some(now.wall.seconds()),
            sub: request.subject.as_ref().map(ToString::to_string),
            room: Some(room),
            publish: request.publish,
            subscribe: request.subscribe,
            admin: request.admin,
            ..Claims::default()
        };
        Ok(CreatedToken {
            token: token::sign(&self.vault, &claims)?,
            expires_at,
        })
    }

    /// Makes the changes that the store has taken.
    pub fn apply(&mut self, changes: Vec<Change>, now: Now) {
        for change in changes {
            match change {
                Change::PutRoom(record) => self.put_room(record, now),
                Change::RemoveRoom(room) => self.remove_room(&room, now),
                Change::PutKey(key) => self.insert_key(key),
                Change::RemoveKey(room, id) => self.remove_key(&room, &id, now),
                Change::NextNumber(next) => self.next_number = self.next_number.max(next),
            }
        }
    }

    /// Writes a room; viewers who wait in one without configuration stay in it.
    fn put_room(&mut self, record: RoomRecord, now: Now) {
        let (id, kind) = (record.id.clone(), record.kind);
        match self.rooms.get_mut(&id) {
            None => self.insert_room(RoomState::from_record(record, true)),
            Some(state) => {
                state.kind = record.kind;
                state.keyed = record.keyed;
                state.configured = true;
                state.number = record.number;
                state.wait_for_publisher = record.wait_for_publisher;
                state.max_viewers = record.max_viewers;
                state.created_at = record.created_at;
                if let Some(number) = record.number {
                    self.rooms_by_number.insert(number, id.clone());
                }
            }
        }
        self.event(
            now,
            &id,
            RoomEvent::RoomCreated {
                kind,
                configured: true,
            },
        );
    }

    fn remove_room(&mut self, room: &RoomId, now: Now) {
        let Some(state) = self.rooms.get_mut(room) else {
            return;
        };
        // From here on it is like a room that goes when the last one leaves.
        state.configured = false;
        if let Some(number) = state.number.take() {
            self.rooms_by_number.remove(&number);
        }
        let in_room = self
            .sessions
            .values()
            .filter(|session| session.room == *room);
        let sessions: Vec<SessionId> = in_room.map(|session| session.id).collect();
        for session in sessions {
            self.close_session(session, CloseCause::Kicked, now);
        }
        self.end_fallback(room, CloseCause::Kicked, now);
        // Nobody comes back to a room that is closed.
        let Some(state) = self.rooms.get(room) else {
            return;
        };
        for source in state.sources.clone() {
            self.grace_over(source, now);
        }
        self.drop_room_if_empty(room, now);
    }

    pub(crate) fn insert_key(&mut self, key: KeyRecord) {
        let Some(room) = self.rooms.get_mut(&key.room) else {
            return;
        };
        self.rooms_by_key.insert(key.hash, key.room.clone());
        match room.keys.iter_mut().find(|known| known.id == key.id) {
            Some(known) => {
                if known.hash != key.hash {
                    self.rooms_by_key.remove(&known.hash);
                }
                *known = key;
            }
            None => {
                let at = room
                    .keys
                    .partition_point(|known| known.created_at <= key.created_at);
                room.keys.insert(at, key);
            }
        }
    }

    fn remove_key(&mut self, room: &RoomId, id: &KeyId, now: Now) {
        let Some(state) = self.rooms.get_mut(room) else {
            return;
        };
        let Some(at) = state.keys.iter().position(|key| key.id == *id) else {
            return;
        };
        let key = state.keys.remove(at);
        self.rooms_by_key.remove(&key.hash);
        let with_key = self
            .sessions
            .values()
            .filter(|session| session.room == *room && session.key.as_ref() == Some(id));
        let sessions: Vec<SessionId> = with_key.map(|session| session.id).collect();
        for session in sessions {
            self.close_session(session, CloseCause::Kicked, now);
        }
    }

    fn plan_key(
        &mut self,
        room: RoomId,
        id: KeyId,
        label: Option<String>,
        now: Now,
    ) -> (Plan, CreatedKey) {
        let secret = vault::new_key(&mut *self.entropy);
        let record = KeyRecord {
            id: id.clone(),
            room: room.clone(),
            label: label.clone(),
            created_at: now.wall,
            last_used_at: None,
            hash: vault::hash(secret.reveal()),
            sealed: self.vault.seal(&mut *self.entropy, &room, &id, &secret),
        };
        let stream_key = format!("{room}-{}", secret.reveal());
        let key = secret.reveal().to_owned();
        let created = CreatedKey {
            id,
            label,
            created_at: now.wall,
            room,
            key,
            stream_key,
        };
        (
            Plan {
                changes: vec![Change::PutKey(record)],
                durable: true,
            },
            created,
        )
    }

    fn known_room(&self, room: &RoomId) -> Result<&RoomState, Refusal> {
        self.rooms.get(room).ok_or_else(|| no_room(room))
    }

    fn known_key(&self, room: &RoomId, id: &KeyId) -> Result<&KeyRecord, Refusal> {
        self.known_room(room)?
            .keys
            .iter()
            .find(|key| key.id == *id)
            .ok_or_else(|| Refusal::new(RefusalKind::NotFound, format!("{room} has no key {id}")))
    }

    fn free_room_id(&mut self) -> RoomId {
        loop {
            // Ten letters are 59 bits: a second round is a curiosity.
            let id = base62(&mut *self.entropy, 10).to_lowercase();
            let id: RoomId = id
                .parse()
                .expect("ten letters and digits are no reserved word");
            if !self.rooms.contains_key(&id) {
                return id;
            }
        }
    }
}

pub(crate) fn no_room(room: &RoomId) -> Refusal {
    Refusal::new(RefusalKind::NotFound, format!("there is no room {room}"))
}
