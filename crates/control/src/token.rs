//! Signed tokens (JWT, RFC 7519) with grants, HS256 and nothing else.
//!
//! The claims are `room` (`*` or an id), `publish`, `subscribe`, `admin`, `sub`, `exp`. The
//! `video` claim of LiveKit (`room`, `roomJoin`, `canPublish`, `canSubscribe`, `roomAdmin`) is
//! understood too, so that servers which mint such tokens need no change but the secret.

use inver_proto::{ParticipantId, RoomId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::access::{Grant, Origin, Scope};
use crate::entropy::BASE62;
use crate::vault::{self, Vault};
use crate::{Now, Refusal, RefusalKind};

/// How far a token's `nbf` may lie in the future, in seconds: clocks of two machines differ.
const LEEWAY: u64 = 30;

/// What a token says.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) exp: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) iat: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) nbf: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) sub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) room: Option<String>,
    #[serde(default)]
    pub(crate) publish: bool,
    #[serde(default)]
    pub(crate) subscribe: bool,
    #[serde(default)]
    pub(crate) admin: bool,
    #[serde(skip_serializing, default)]
    pub(crate) video: Option<Video>,
}

/// LiveKit's grant. Absent rights to publish and to subscribe mean yes there, once one may join.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Video {
    room: Option<String>,
    room_join: bool,
    can_publish: Option<bool>,
    can_subscribe: Option<bool>,
    room_admin: bool,
}

/// Signs the claims.
pub(crate) fn sign(vault: &Vault, claims: &Claims) -> Result<String, Refusal> {
    let key = EncodingKey::from_secret(&*vault.signing);
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key)
        .map_err(|_| Refusal::new(RefusalKind::Internal, "the token could not be signed"))
}

/// Whether the text has the three parts of a JWT; stream keys have no dot.
pub(crate) fn looks_like_one(text: &str) -> bool {
    text.matches('.').count() == 2
}

/// Checks signature and times and gives what the token allows.
pub(crate) fn verify(vault: &Vault, token: &str, now: Now) -> Result<Grant, Refusal> {
    let unauthorized = |detail: &str| Refusal::new(RefusalKind::Unauthorized, detail);
    let mut validation = Validation::new(Algorithm::HS256);
    // Times are checked below, against the time that was handed in.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let key = DecodingKey::from_secret(&*vault.signing);
    let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation)
        .map_err(|_| {
            unauthorized("the token is not one that this server signed (HS256, with an exp claim)")
        })?
        .claims;
    if claims.exp <= now.wall.seconds() {
        return Err(unauthorized("the token has expired"));
    }
    if claims
        .nbf
        .is_some_and(|from| from > now.wall.seconds() + LEEWAY)
    {
        return Err(unauthorized("the token is not valid yet"));
    }
    grant(claims)
}

fn grant(claims: Claims) -> Result<Grant, Refusal> {
    let subject = claims
        .sub
        .as_deref()
        .filter(|name| !name.is_empty())
        .map(participant);
    if let Some(video) = claims.video {
        // Without a room LiveKit's grant is about no room, not about all of them.
        let room = video.room.ok_or_else(|| {
            Refusal::new(
                RefusalKind::Unauthorized,
                "the token's video claim names no room",
            )
        })?;
        return Ok(Grant {
            scope: Scope::Room(self::room(&room)?),
            publish: video.room_join && video.can_publish.unwrap_or(true),
            subscribe: video.room_join && video.can_subscribe.unwrap_or(true),
            admin: video.room_admin,
            subject,
            origin: Origin::Token,
        });
    }
    let scope = match claims.room.as_deref() {
        None => {
            let detail = "the token has no room claim; it needs a room id or *";
            return Err(Refusal::new(RefusalKind::Unauthorized, detail));
        }
        Some("*") => Scope::AllRooms,
        Some(name) => Scope::Room(room(name)?),
    };
    Ok(Grant {
        scope,
        publish: claims.publish,
        subscribe: claims.subscribe,
        admin: claims.admin,
        subject,
        origin: Origin::Token,
    })
}

fn room(name: &str) -> Result<RoomId, Refusal> {
    name.parse().map_err(|error| {
        Refusal::new(
            RefusalKind::Unauthorized,
            format!("the token's room claim: {error}"),
        )
    })
}

/// The participant of a subject. Subjects that are no names (mail addresses, URLs) get a name
/// made from their hash, always the same one.
fn participant(subject: &str) -> ParticipantId {
    subject.parse().unwrap_or_else(|_| {
        let letters = vault::hash(subject).into_iter().take(16);
        let name: String = letters
            .map(|byte| char::from(BASE62[usize::from(byte) % BASE62.len()]))
            .collect();
        format!("sub-{name}")
            .parse()
            .expect("letters and digits after a letter are a name")
    })
}
