//! Why a connection is refused: the codes of SRT and those for applications, which follow HTTP's.

use std::fmt;

/// A reason for a refusal.
///
/// Codes below 1000 are the protocol's, those from 1000 on the application's. What travels is
/// 1000 more: [`Rejection::BadSecret`] is 10 in programs and logs of clients and 1010 in a packet,
/// [`Rejection::Unauthorized`] is 1401 and 2401.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// No reason given.
    Unknown,
    /// The system failed.
    System,
    /// The peer refused.
    Peer,
    /// Out of resources.
    Resource,
    /// What the peer sent breaks the protocol.
    Rogue,
    /// Too many half-open handshakes.
    Backlog,
    /// A fault in the program.
    Internal,
    /// The listener closes.
    Close,
    /// The peer's version is not supported.
    Version,
    /// The passphrase is wrong.
    BadSecret,
    /// One side wants encryption and the other has no passphrase.
    Unsecure,
    /// One side wants messages and the other a stream of bytes.
    MessageApi,
    /// The congestion control is not supported.
    Congestion,
    /// The packet filter is not supported.
    Filter,
    /// Socket groups are not supported.
    Group,
    /// It took too long.
    Timeout,
    /// The cipher is not supported.
    Crypto,
    /// The application cannot read the request (1400).
    BadRequest,
    /// Wrong credentials (1401).
    Unauthorized,
    /// Too much load (1402).
    Overload,
    /// Not allowed (1403).
    Forbidden,
    /// No such room (1404).
    NotFound,
    /// The mode is not supported (1405).
    BadMode,
    /// Somebody else publishes already (1409).
    Conflict,
    /// The media is not supported (1415).
    UnsupportedMedia,
    /// The server failed (1500).
    ServerError,
    /// The server is stopping (1503).
    Down,
    /// Any other code of the application or of a later version.
    Other(u16),
}

use Rejection as R;

const NAMED: [(Rejection, u16, &str); 27] = [
    (R::Unknown, 0, "no reason given"),
    (R::System, 1, "the system failed"),
    (R::Peer, 2, "the peer refused"),
    (R::Resource, 3, "out of resources"),
    (R::Rogue, 4, "the handshake breaks the protocol"),
    (R::Backlog, 5, "too many half-open handshakes"),
    (R::Internal, 6, "a fault in the program"),
    (R::Close, 7, "the listener closes"),
    (
        R::Version,
        8,
        "version not supported; 1.3.0 or later is needed",
    ),
    (R::BadSecret, 10, "wrong passphrase"),
    (R::Unsecure, 11, "a passphrase is set on one side only"),
    (R::MessageApi, 12, "live mode is needed"),
    (
        R::Congestion,
        13,
        "only live congestion control is supported",
    ),
    (R::Filter, 14, "packet filters are not supported"),
    (R::Group, 15, "socket groups are not supported"),
    (R::Timeout, 16, "no answer in time"),
    (R::Crypto, 17, "only AES-CTR is supported"),
    (R::BadRequest, 1400, "bad request"),
    (R::Unauthorized, 1401, "unauthorised"),
    (R::Overload, 1402, "overload"),
    (R::Forbidden, 1403, "forbidden"),
    (R::NotFound, 1404, "not found"),
    (R::BadMode, 1405, "mode not supported"),
    (R::Conflict, 1409, "conflict: somebody publishes already"),
    (R::UnsupportedMedia, 1415, "media not supported"),
    (R::ServerError, 1500, "server error"),
    (R::Down, 1503, "the server is stopping"),
];

impl Rejection {
    /// The code as clients' programs and logs show it.
    #[must_use]
    pub fn code(self) -> u16 {
        if let Self::Other(code) = self {
            return code;
        }
        let found = NAMED.iter().find(|(named, ..)| *named == self);
        found.map_or(0, |(_, code, _)| *code)
    }

    /// The reason with this code.
    #[must_use]
    pub fn from_code(code: u16) -> Self {
        let found = NAMED.iter().find(|(_, named, _)| *named == code);
        found.map_or(Self::Other(code), |(rejection, ..)| *rejection)
    }

    /// The handshake type that carries it.
    pub(super) fn to_wire(self) -> u32 {
        1000 + u32::from(self.code())
    }

    /// The reason that a handshake type stands for, `None` when it is no refusal.
    pub(super) fn from_wire(kind: u32) -> Option<Self> {
        // The largest values are ordinary handshakes.
        if !(1000..0xffff).contains(&kind) {
            return None;
        }
        u16::try_from(kind - 1000).ok().map(Self::from_code)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = NAMED.iter().find(|(named, ..)| named == self);
        let text = found.map_or("refused", |(.., text)| *text);
        write!(f, "{text} (code {})", self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_travel_and_come_back() {
        for (rejection, code, _) in NAMED {
            assert_eq!(rejection.code(), code);
            assert_eq!(Rejection::from_wire(rejection.to_wire()), Some(rejection));
        }
        assert_eq!(Rejection::BadSecret.to_wire(), 1010);
        assert_eq!(Rejection::Conflict.to_wire(), 2409);
        assert_eq!(Rejection::from_wire(2777), Some(Rejection::Other(1777)));
        assert_eq!(Rejection::from_wire(0xffff_ffff), None);
        assert_eq!(Rejection::from_wire(1), None);
    }

    #[test]
    fn a_reason_is_shown_with_its_code() {
        assert_eq!(
            Rejection::BadSecret.to_string(),
            "wrong passphrase (code 10)"
        );
        assert_eq!(Rejection::Other(1777).to_string(), "refused (code 1777)");
    }
}
