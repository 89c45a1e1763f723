//! Who may come in: the service outside is asked first, then control decides.
//!
//! The admin token and tokens that this server has signed are control's own matter; the service
//! neither sees nor overrules them. It decides nothing but credentials: places, limits and second
//! publishers stay with control.

use inver_control::{
    Action, Control, Credentials, PublishRequest, PublishTarget, Refusal, Secret, SubscribeRequest,
    Vouched,
};
use inver_proto::{Door, ParticipantId, RoomId};
use inver_service::{
    Approved, Authority, HmacRequest, KeyLookup, Proof, Publish as MayPublish, Read as MayRead,
};

use crate::api::{Client, ReadFrames, Target};
use crate::handle::{Handle, Inner};
use crate::sessions::client_info;

/// Somebody who wants to publish, whatever carries its media.
pub(crate) struct Publisher<'a> {
    pub(crate) target: Target,
    pub(crate) participant: Option<ParticipantId>,
    pub(crate) credentials: Credentials,
    pub(crate) client: &'a Client,
    pub(crate) offer: Option<&'a str>,
    pub(crate) door: Door,
}

/// Somebody who wants to watch.
pub(crate) struct Viewer<'a> {
    pub(crate) room: RoomId,
    pub(crate) participant: Option<ParticipantId>,
    pub(crate) credentials: Credentials,
    pub(crate) client: &'a Client,
    pub(crate) offer: Option<&'a str>,
    pub(crate) wait: bool,
    pub(crate) door: Door,
}

impl Handle {
    /// Whether somebody may watch, without a session: for doors whose media is fetched piece by
    /// piece. Says nothing of whether somebody is live.
    ///
    /// # Errors
    ///
    /// The service or control refuses.
    pub async fn may_watch(&self, request: ReadFrames) -> Result<(), Refusal> {
        let inner = &self.0;
        let wish = Viewer {
            room: request.room,
            participant: request.participant,
            credentials: request.credentials,
            client: &request.client,
            offer: None,
            wait: false,
            door: request.door,
        };
        let wish = inner.ask_to_watch(wish).await?;
        if wish.vouched.is_none() {
            self.authorize(&wish.credentials, Action::Subscribe(&wish.room))?;
        }
        Ok(())
    }

    /// Says how many players without a session watch a room, for the door that serves them: they
    /// count as viewers and take places as viewers do.
    ///
    /// # Errors
    ///
    /// There are more than before, and the room has no place for them.
    pub fn set_players(&self, room: &RoomId, players: u32) -> Result<(), Refusal> {
        self.0
            .mutate(|control, now| control.set_players(room, players, now))
    }

    /// Whether a room has a place for one more viewer.
    ///
    /// # Errors
    ///
    /// It has none.
    pub fn check_place(&self, room: &RoomId) -> Result<(), Refusal> {
        self.0.look(|control| control.check_place(room))
    }

    /// Whether no service outside decides over viewers, so that asking again costs nothing.
    pub fn decides_alone(&self) -> bool {
        self.0.service.decides_nothing()
    }

    /// The room with this number and the keys that its publisher may prove, for protocols that
    /// know numbers; the service is asked first. `None`: there is no such room.
    ///
    /// # Errors
    ///
    /// The service cannot be asked now. Nobody can prove a key that nobody knows, so this is a
    /// refusal whatever else is configured for that case.
    pub async fn keys_by_number(
        &self,
        number: u32,
    ) -> Result<Option<(RoomId, Vec<Secret>)>, Refusal> {
        let known = self.room_by_number(number);
        let room = match &known {
            Some((room, _)) => Some(room.clone()),
            None => number.to_string().parse().ok(),
        };
        let Some(room) = room else {
            return Ok(known);
        };
        let service = &self.0.service;
        let request = HmacRequest {
            room: room.clone(),
            number,
        };
        match service.hmac_key(request).await {
            Ok(KeyLookup::AskControl) => Ok(known),
            Ok(KeyLookup::Key(key)) => Ok(Some((room, vec![key]))),
            Ok(KeyLookup::Unknown) => Ok(None),
            Err(fault) => {
                tracing::warn!(service = service.name(), %room, %fault, "a key was not found out");
                let denied = inver_service::Denied {
                    by: inver_service::DeniedBy::Down,
                    reason:
                        "the service that knows this room's key cannot be asked now; try again \
                             later"
                            .to_owned(),
                };
                Err(denied.into())
            }
        }
    }
}

impl Inner {
    /// Asks whether somebody may publish; gives the wish in control's words.
    pub(crate) async fn ask_to_publish(
        &self,
        wish: Publisher<'_>,
    ) -> Result<PublishRequest, Refusal> {
        let mut request = PublishRequest {
            target: match wish.target {
                Target::Room(room) => PublishTarget::Room(room),
                Target::RoomWithKey(text) => PublishTarget::RoomWithKey(text),
            },
            participant: wish.participant,
            credentials: wish.credentials,
            client: client_info(wish.client, wish.offer),
            door: wish.door,
            vouched: None,
        };
        // Whom the server cannot take is no question, or a flood would be passed on.
        self.look(|control| control.check_admission(&request.client))?;
        let Some((room, credentials)) = self.read_target(&request) else {
            // No room is meant that could be: control says so.
            return Ok(request);
        };
        if self.is_own_matter(&credentials) {
            return Ok(request);
        }
        let number = self.look(|control| control.number_of(&room));
        let challenged = wish.door == Door::Ftl && credentials.secret().is_some();
        let asked = MayPublish {
            room: room.clone(),
            number,
            participant: request.participant.clone(),
            proof: if challenged {
                Proof::Challenge
            } else {
                Proof::Shown(credentials.clone())
            },
            door: request.door,
            remote: request.client.address,
            user_agent: request.client.user_agent.clone(),
        };
        let approved = self.service.authenticate(asked).await?;
        request.vouched = vouched(approved);
        if request.vouched.is_some() || self.service_divides(&request.target) {
            // The room that the service was asked about, and no other.
            request.target = PublishTarget::Room(room);
            request.credentials = credentials;
        }
        Ok(request)
    }

    /// Asks whether somebody may watch; gives the wish in control's words.
    pub(crate) async fn ask_to_watch(&self, wish: Viewer<'_>) -> Result<SubscribeRequest, Refusal> {
        let mut request = SubscribeRequest {
            room: wish.room,
            participant: wish.participant,
            credentials: wish.credentials,
            client: client_info(wish.client, wish.offer),
            wait: wish.wait,
            door: wish.door,
            vouched: None,
        };
        self.look(|control| control.check_admission(&request.client))?;
        if self.is_own_matter(&request.credentials) {
            return Ok(request);
        }
        let asked = MayRead {
            room: request.room.clone(),
            participant: request.participant.clone(),
            credentials: request.credentials.clone(),
            door: request.door,
            remote: request.client.address,
            user_agent: request.client.user_agent.clone(),
        };
        request.vouched = vouched(self.service.authorize_read(asked).await?);
        Ok(request)
    }

    fn is_own_matter(&self, credentials: &Credentials) -> bool {
        let now = self.now();
        self.look(|control| control.is_own_token(credentials, now))
    }

    fn service_divides(&self, target: &PublishTarget) -> bool {
        match target {
            PublishTarget::Room(_) => false,
            PublishTarget::RoomWithKey(text) => self.service.split_key(text).is_some(),
        }
    }

    /// Which room is meant, and what is shown for it.
    fn read_target(&self, request: &PublishRequest) -> Option<(RoomId, Credentials)> {
        match &request.target {
            PublishTarget::Room(room) => {
                // Encoders that send `{room}-{key}` everywhere mean the key.
                let shown = request.credentials.secret();
                let key = shown
                    .and_then(|shown| self.service.split_key(shown))
                    .filter(|(of, _)| of == room)
                    .map(|(_, key)| Credentials::bearer(key.reveal()));
                let credentials = key.unwrap_or_else(|| request.credentials.clone());
                Some((room.clone(), credentials))
            }
            PublishTarget::RoomWithKey(text) => match self.service.split_key(text) {
                Some((room, key)) => Some((room, Credentials::bearer(key.reveal()))),
                None => self.look(|control| divided(control, text, &request.credentials)),
            },
        }
    }
}

/// Divides `{room}-{key}` as control does: the room that has the key, else a room with the whole
/// text for its name.
fn divided(control: &Control, text: &Secret, shown: &Credentials) -> Option<(RoomId, Credentials)> {
    let room = control.room_in_key(text.reveal())?;
    let key = text
        .reveal()
        .strip_prefix(room.as_str())
        .and_then(|rest| rest.strip_prefix('-'));
    let credentials = key.map_or_else(|| shown.clone(), Credentials::bearer);
    Some((room, credentials))
}

fn vouched(approved: Approved) -> Option<Vouched> {
    let Approved {
        authority,
        participant,
    } = approved;
    match authority {
        Authority::Control => None,
        Authority::Service => Some(Vouched { participant }),
    }
}
