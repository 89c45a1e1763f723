//! Which credentials allow what.

use inver_proto::{KeyId, RoomId};

use crate::access::{Action, Grant, Origin, Scope};
use crate::policy::MAX_CREDENTIALS;
use crate::{Control, Credentials, Now, Refusal, RefusalKind, Secret, token, vault};

impl Control {
    /// What the credentials allow for this action, or why not.
    ///
    /// On an open server everything is allowed; credentials then only say who somebody is.
    /// Elsewhere credentials that are not known are refused even where none are needed, so that
    /// a client with a stale token learns it.
    pub fn authorize(
        &self,
        credentials: &Credentials,
        action: Action<'_>,
        now: Now,
    ) -> Result<Grant, Refusal> {
        let grant = self.grant(credentials, now)?;
        if grant.allows(action) || self.is_public(action) {
            return Ok(grant);
        }
        let needed = match action {
            Action::Publish(room) => {
                format!("publishing to {room} needs its stream key or a token that allows it")
            }
            Action::Subscribe(room) => format!("watching {room} needs a token that allows it"),
            Action::AdministerRoom(room) => {
                format!("this needs the admin token or one that administers {room}")
            }
            Action::AdministerServer => {
                "this needs the admin token or a token with admin for all rooms".to_owned()
            }
        };
        let kind = if grant.is_authenticated() {
            RefusalKind::Forbidden
        } else {
            RefusalKind::Unauthorized
        };
        Err(Refusal::new(kind, needed))
    }

    /// Whether the credentials are the admin token or a token that this server has signed and that
    /// is good now: about those nobody else is asked.
    pub fn is_own_token(&self, credentials: &Credentials, now: Now) -> bool {
        let grant = credentials.secret().map(|shown| self.recognise(shown, now));
        matches!(
            grant,
            Some(Ok(Grant {
                origin: Origin::Token | Origin::AdminToken,
                ..
            }))
        )
    }

    /// What everybody may do.
    fn is_public(&self, action: Action<'_>) -> bool {
        match action {
            Action::Publish(room) => self
                .rooms
                .get(room)
                .is_some_and(|r| r.configured && !r.keyed),
            Action::Subscribe(_) => self.policy.public_viewing,
            Action::AdministerRoom(_) | Action::AdministerServer => false,
        }
    }

    fn grant(&self, credentials: &Credentials, now: Now) -> Result<Grant, Refusal> {
        let shown = match credentials.secret() {
            None => Ok(nothing()),
            Some(secret) => self.recognise(secret, now),
        };
        if !self.policy.open {
            return shown;
        }
        let known = shown.unwrap_or_else(|_| nothing());
        let everything = (true, true, true);
        let (publish, subscribe, admin) = everything;
        Ok(Grant {
            scope: Scope::AllRooms,
            publish,
            subscribe,
            admin,
            ..known
        })
    }

    fn recognise(&self, secret: &Secret, now: Now) -> Result<Grant, Refusal> {
        let text = secret.reveal();
        if text.len() > MAX_CREDENTIALS {
            let detail = format!("credentials have at most {MAX_CREDENTIALS} bytes");
            return Err(Refusal::new(RefusalKind::Unauthorized, detail));
        }
        if self.admin_token.matches(text) {
            return Ok(Grant {
                scope: Scope::AllRooms,
                publish: true,
                subscribe: true,
                admin: true,
                subject: None,
                origin: Origin::AdminToken,
            });
        }
        if token::looks_like_one(text) {
            return token::verify(&self.vault, text, now);
        }
        let (room, key) = self
            .find_key(text)
            .or_else(|| self.split_stream_key(text))
            .ok_or_else(|| {
                let detail = "this stream key or token is not known here";
                Refusal::new(RefusalKind::Unauthorized, detail)
            })?;
        Ok(Grant {
            scope: Scope::Room(room),
            publish: true,
            subscribe: true,
            admin: false,
            subject: None,
            origin: Origin::StreamKey(key),
        })
    }

    /// Finds a key by itself.
    fn find_key(&self, key: &str) -> Option<(RoomId, KeyId)> {
        let hash = vault::hash(key);
        let room = self.rooms_by_key.get(&hash)?;
        let record = self
            .rooms
            .get(room)?
            .keys
            .iter()
            .find(|record| record.hash == hash)?;
        Some((room.clone(), record.id.clone()))
    }

    /// Splits `{room}-{key}`: each `-` from the right against known rooms, since a room id may
    /// contain `-`.
    /// The room of a `{room}-{key}` in one string, where a room has that key.
    pub fn room_of_stream_key(&self, text: &str) -> Option<RoomId> {
        self.split_stream_key(text).map(|(room, _)| room)
    }

    pub(crate) fn split_stream_key(&self, text: &str) -> Option<(RoomId, KeyId)> {
        // More dashes than a room id has letters are no stream key.
        text.rmatch_indices('-')
            .take(inver_proto::MAX_NAME)
            .find_map(|(at, _)| {
                let room = self.rooms.get_key_value(&text[..at].parse().ok()?)?.0;
                self.find_key(&text[at + 1..]).filter(|(of, _)| of == room)
            })
    }
}

fn nothing() -> Grant {
    Grant {
        scope: Scope::AllRooms,
        publish: false,
        subscribe: false,
        admin: false,
        subject: None,
        origin: Origin::Anonymous,
    }
}
