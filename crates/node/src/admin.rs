//! The control API: rooms, participants, keys, tokens, rights.

use inver_control::{Action, Control, Credentials, Grant, Now, Plan, Refusal, RefusalKind, Secret};
use inver_proto::{
    CreateKey, CreateRoom, CreateToken, CreatedKey, CreatedToken, Key, KeyId, Participant,
    ParticipantId, Room, RoomId, SessionId,
};

use crate::figures::Measured;
use crate::handle::{Handle, store_refusal};

impl Handle {
    /// What the credentials allow for this action, or why not.
    pub fn authorize(
        &self,
        credentials: &Credentials,
        action: Action<'_>,
    ) -> Result<Grant, Refusal> {
        let now = self.0.now();
        self.0
            .look(|control| control.authorize(credentials, action, now))
    }

    /// All rooms, by name, with everything about them.
    pub fn rooms(&self) -> Vec<Room> {
        let measured = Measured::new(&self.0);
        let rooms = self.0.look(|control| control.rooms(&measured));
        rooms.into_iter().map(|room| self.completed(room)).collect()
    }

    /// One room, with everything about it.
    pub fn room(&self, room: &RoomId) -> Result<Room, Refusal> {
        let measured = Measured::new(&self.0);
        let room = self.0.look(|control| control.room(room, &measured))?;
        Ok(self.completed(room))
    }

    /// The room with what control does not know: where it comes from, and what doors warn of.
    fn completed(&self, mut room: Room) -> Room {
        self.0.notices.add_to(&mut room);
        room.relay = self
            .0
            .relays
            .get()
            .and_then(|relays| relays.relay(&room.id));
        room
    }

    /// The rooms that the credentials may see: all about those they administer, the reduced form
    /// ([`Room::reduced`]) of those they may watch.
    pub fn visible_rooms(&self, credentials: &Credentials) -> Result<Vec<Room>, Refusal> {
        let now = self.0.now();
        // Credentials that are not known are refused, not taken for none. What nobody may see
        // without credentials is simply not listed.
        if let Err(refusal) = self
            .0
            .look(|control| control.authorize(credentials, Action::AdministerServer, now))
            && credentials.secret().is_some()
            && refusal.kind == RefusalKind::Unauthorized
        {
            return Err(refusal);
        }
        let rooms = self.rooms().into_iter();
        let visible = self.0.look(|control| {
            rooms
                .filter_map(|room| see(control, credentials, room, now).ok())
                .collect()
        });
        Ok(visible)
    }

    /// One room as the credentials may see it.
    pub fn visible_room(&self, credentials: &Credentials, room: &RoomId) -> Result<Room, Refusal> {
        let now = self.0.now();
        // The right comes first, so that an answer tells nobody else which rooms there are.
        self.0
            .look(|control| control.authorize(credentials, Action::Subscribe(room), now))?;
        let room = self.room(room)?;
        self.0.look(|control| see(control, credentials, room, now))
    }

    /// Everyone in a room, by name.
    pub fn participants(&self, room: &RoomId) -> Result<Vec<Participant>, Refusal> {
        Ok(self.room(room)?.participants)
    }

    /// Makes a configured room; it survives a restart.
    pub async fn create_room(&self, request: CreateRoom) -> Result<Room, Refusal> {
        let id = self
            .change(move |control, now| control.plan_create_room(&request, now))
            .await?;
        self.room(&id)
    }

    /// Ends a room's sessions and forgets its configuration, keys, pushes, pulls and fallback.
    pub async fn close_room(&self, room: &RoomId) -> Result<(), Refusal> {
        let closed = room.clone();
        self.change(move |control, _| Ok((control.plan_close_room(&closed)?, ())))
            .await?;
        self.forget_restreams_of(room).await?;
        self.forget_fallback_of(room).await
    }

    /// Ends all sessions of a participant.
    pub fn kick(&self, room: &RoomId, participant: &ParticipantId) -> Result<(), Refusal> {
        self.0
            .mutate(|control, now| control.kick(room, participant, now))
    }

    /// Ends a session of a room.
    pub fn end_session(&self, room: &RoomId, session: SessionId) -> Result<(), Refusal> {
        self.0
            .mutate(|control, now| control.end_session(room, session, now))
    }

    /// A room's stream keys, without their secrets.
    pub fn keys(&self, room: &RoomId) -> Result<Vec<Key>, Refusal> {
        self.0.look(|control| control.keys(room))
    }

    /// Makes a stream key; its secret is shown this once.
    pub async fn create_key(
        &self,
        room: &RoomId,
        request: CreateKey,
    ) -> Result<CreatedKey, Refusal> {
        let room = room.clone();
        self.change(move |control, now| control.plan_create_key(&room, request, now))
            .await
    }

    /// Gives a key a new secret. Sessions that the old one let in go on.
    pub async fn rotate_key(&self, room: &RoomId, key: &KeyId) -> Result<CreatedKey, Refusal> {
        let (room, key) = (room.clone(), key.clone());
        self.change(move |control, now| control.plan_rotate_key(&room, &key, now))
            .await
    }

    /// Withdraws a key; the sessions that it let in end.
    pub async fn delete_key(&self, room: &RoomId, key: &KeyId) -> Result<(), Refusal> {
        let (room, key) = (room.clone(), key.clone());
        self.change(move |control, _| Ok((control.plan_delete_key(&room, &key)?, ())))
            .await
    }

    /// A room's stream keys themselves, for doors that compute with them (FTL, SRT).
    pub fn reveal_keys(&self, room: &RoomId) -> Result<Vec<(KeyId, Secret)>, Refusal> {
        self.0.look(|control| control.reveal_keys(room))
    }

    /// Signs a token.
    pub fn issue_token(&self, request: &CreateToken) -> Result<CreatedToken, Refusal> {
        let now = self.0.now();
        self.0.look(|control| control.issue_token(request, now))
    }

    /// Plans, commits and applies a durable change, in a task of its own: a client that hangs up
    /// in between must not leave the disk and the memory apart.
    async fn change<T: Send + 'static>(
        &self,
        plan: impl FnOnce(&mut Control, Now) -> Result<(Plan, T), Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let inner = self.0.clone();
        let task = tokio::spawn(async move {
            let _order = inner.writing.lock().await;
            let (plan, value) = inner.mutate(plan)?;
            let Plan { changes, durable } = plan;
            let changes = if durable {
                let store = inner.store.clone();
                let commit =
                    tokio::task::spawn_blocking(move || store.commit(&changes).map(|()| changes));
                commit
                    .await
                    .map_err(internal)?
                    .map_err(|error| store_refusal(&error))?
            } else {
                changes
            };
            inner.mutate(|control, now| control.apply(changes, now));
            Ok(value)
        });
        task.await.map_err(internal)?
    }
}

fn see(
    control: &Control,
    credentials: &Credentials,
    room: Room,
    now: Now,
) -> Result<Room, Refusal> {
    if control
        .authorize(credentials, Action::AdministerRoom(&room.id), now)
        .is_ok()
    {
        return Ok(room);
    }
    control.authorize(credentials, Action::Subscribe(&room.id), now)?;
    Ok(room.reduced())
}

fn internal(error: tokio::task::JoinError) -> Refusal {
    tracing::error!(%error, "a task failed");
    Refusal::new(
        RefusalKind::Internal,
        "the server failed to do this; see its log",
    )
}
