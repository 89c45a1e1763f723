//! What a service is asked, and what it may answer.

use std::net::IpAddr;

use inver_control::{Credentials, Refusal, RefusalKind, Secret};
use inver_proto::{Door, ParticipantId, RoomId, SessionId};

/// Characters of a service's own words that are shown to a publisher or viewer: a long sentence,
/// and no page of HTML.
const MAX_REASON: usize = 200;

/// How a publisher shows that it may publish.
#[derive(Debug, Clone)]
pub enum Proof {
    /// It showed this key or token, or nothing.
    Shown(Credentials),
    /// It answered a challenge, or encrypts, with the key that [`Service::hmac_key`] gave; the
    /// door has verified that.
    ///
    /// [`Service::hmac_key`]: crate::Service::hmac_key
    Challenge,
}

/// A wish to publish.
#[derive(Debug, Clone)]
pub struct Publish {
    /// Where to.
    pub room: RoomId,
    /// The room's number, where it has one.
    pub number: Option<u32>,
    /// As whom, where the publisher says.
    pub participant: Option<ParticipantId>,
    /// What it has to show for it.
    pub proof: Proof,
    /// Protocol that it came through.
    pub door: Door,
    /// Address that it came from.
    pub remote: Option<IpAddr>,
    /// Program that it says it is.
    pub user_agent: Option<String>,
}

/// A wish to watch.
#[derive(Debug, Clone)]
pub struct Read {
    /// What.
    pub room: RoomId,
    /// Whom of the room, where the viewer says.
    pub participant: Option<ParticipantId>,
    /// What it has to show for it.
    pub credentials: Credentials,
    /// Protocol that it came through.
    pub door: Door,
    /// Address that it came from.
    pub remote: Option<IpAddr>,
    /// Program that it says it is.
    pub user_agent: Option<String>,
}

/// Which room's key is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HmacRequest {
    /// The room: the one that has the number, else the number in decimal.
    pub room: RoomId,
    /// The number that the client named.
    pub number: u32,
}

/// What is known of a room's key.
#[derive(Debug, Clone)]
pub enum KeyLookup {
    /// This is the key.
    Key(Secret),
    /// There is no such room or it has no key: refuse.
    Unknown,
    /// The service keeps no keys: control's own count.
    AskControl,
}

/// A stream that begins.
#[derive(Debug, Clone)]
pub struct Start {
    /// Where.
    pub room: RoomId,
    /// The room's number, where it has one.
    pub number: Option<u32>,
    /// Whose.
    pub participant: ParticipantId,
    /// The session that feeds it.
    pub session: SessionId,
    /// Protocol that it comes through.
    pub door: Door,
}

/// Whose word lets somebody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// The service has no opinion: control's keys, tokens and policy decide alone.
    Control,
    /// The service vouches: control asks for no credentials of its own.
    Service,
}

/// Somebody may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    /// Whose word that is.
    pub authority: Authority,
    /// Who the service says it is; overrides what the client said.
    pub participant: Option<ParticipantId>,
}

impl Approved {
    /// Control decides.
    pub const BY_CONTROL: Self = Self {
        authority: Authority::Control,
        participant: None,
    };

    /// The service vouches for whoever it is.
    pub const BY_SERVICE: Self = Self {
        authority: Authority::Service,
        participant: None,
    };
}

/// Who said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeniedBy {
    /// The service: the credentials are missing or wrong.
    Credentials,
    /// The service: not this room, not now, not you.
    Policy,
    /// The configuration, because the service is down.
    Down,
}

/// Somebody may not come in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Denied {
    /// Who said so.
    pub by: DeniedBy,
    /// What was wrong; safe to show: short, without control characters, without secrets of ours.
    pub reason: String,
}

impl Denied {
    /// A denial in the service's words, made fit to show; in ours where it has none.
    pub(crate) fn new(by: DeniedBy, words: Option<&str>, ours: &str) -> Self {
        let reason = words.map(shown).filter(|words| !words.is_empty());
        Self {
            by,
            reason: reason.unwrap_or_else(|| ours.to_owned()),
        }
    }

    /// What is denied while the service is down.
    pub(crate) fn down() -> Self {
        let ours = "the service that decides about this cannot be asked now; try again later";
        Self::new(DeniedBy::Down, None, ours)
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        let kind = match denied.by {
            DeniedBy::Credentials => RefusalKind::Unauthorized,
            DeniedBy::Policy => RefusalKind::Forbidden,
            DeniedBy::Down => RefusalKind::Unavailable,
        };
        let refusal = Refusal::new(kind, denied.reason);
        match denied.by {
            DeniedBy::Down => refusal.retry_after(std::time::Duration::from_secs(5)),
            DeniedBy::Credentials | DeniedBy::Policy => refusal,
        }
    }
}

/// Somebody else's words, fit to be shown and logged: one line of bounded length.
pub(crate) fn shown(words: &str) -> String {
    let printable = |letter: char| if letter.is_control() { ' ' } else { letter };
    let line: String = words.trim().chars().take(MAX_REASON).collect();
    line.chars().map(printable).collect::<String>()
}

/// Divides `{room}-{key}` at its first `-`, as services that number their rooms do.
pub fn split_at_first_dash(text: &Secret) -> Option<(RoomId, Secret)> {
    let (room, key) = text.reveal().split_once('-')?;
    if key.is_empty() {
        return None;
    }
    Some((room.parse().ok()?, Secret::new(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_divided_at_the_first_dash() {
        let (room, key) = split_at_first_dash(&Secret::new("1234-a-b")).expect("divides");
        assert_eq!(room.as_str(), "1234");
        assert_eq!(key.reveal(), "a-b");
        for text in ["1234", "1234-", "-key", "no room!-key"] {
            assert!(split_at_first_dash(&Secret::new(text)).is_none(), "{text}");
        }
    }

    #[test]
    fn a_services_words_are_cut_and_kept_on_one_line() {
        let long = "a\r\nb".to_owned() + &"é".repeat(500);
        let denied = Denied::new(DeniedBy::Policy, Some(&long), "ours");
        assert!(denied.reason.starts_with("a  b"));
        assert_eq!(denied.reason.chars().count(), MAX_REASON);
        let empty = Denied::new(DeniedBy::Policy, Some(" \n"), "ours");
        assert_eq!(empty.reason, "ours");
    }

    #[test]
    fn every_denial_has_a_refusal_in_controls_words() {
        let kind = |by| Refusal::from(Denied::new(by, None, "no"));
        assert_eq!(kind(DeniedBy::Credentials).kind, RefusalKind::Unauthorized);
        assert_eq!(kind(DeniedBy::Policy).kind, RefusalKind::Forbidden);
        let down = kind(DeniedBy::Down);
        assert_eq!(down.kind, RefusalKind::Unavailable);
        assert!(down.retry_after.is_some());
    }
}
