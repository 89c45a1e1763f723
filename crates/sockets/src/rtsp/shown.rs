//! What a client shows of its rights, and refusals in RTSP's words.

use inver_node::{Credentials, Handle, RefusalKind};
use inver_proto::RoomId;
use inver_protocols::rtsp::{Authorization, Status, Wish};

/// Names of the query in which clients put a key, the nearest first.
const KEYS: [&str; 3] = ["key", "token", "pass"];

/// What a client shows.
#[derive(Debug)]
pub enum Shown {
    /// A key or token, or nothing.
    Credentials(Credentials),
    /// What it shows proves nothing; why, for people.
    Wrong(&'static str),
}

/// What a client shows for a room: a key or token in the query, a digest made with one of the room's
/// stream keys or the administrator's token, or either as password where it comes `private`.
pub fn shown(handle: &Handle, wish: &Wish, room: &RoomId, private: bool) -> Shown {
    if let Some(key) = KEYS.iter().find_map(|name| wish.address.query(name)) {
        return Shown::Credentials(Credentials::bearer(key));
    }
    match &wish.authorization {
        None => Shown::Credentials(Credentials::NONE),
        Some(Authorization::Basic { password, .. }) if private => {
            Shown::Credentials(Credentials::bearer(password))
        }
        Some(Authorization::Basic { .. }) => Shown::Wrong(
            "passwords are not taken readable; use Digest, or TLS, or ?token= in the address",
        ),
        Some(Authorization::Digest(_)) if handle.is_open() => Shown::Credentials(Credentials::NONE),
        Some(Authorization::Digest(_)) => {
            let proved = handle.stream_keys(room).into_iter().find(|key| {
                let key = key.reveal();
                wish.proves(key) || wish.proves(&format!("{room}-{key}"))
            });
            if let Some(key) = proved {
                return Shown::Credentials(Credentials::bearer(key.reveal()));
            }
            let admin = handle.admin_token();
            if wish.proves(admin.reveal()) {
                return Shown::Credentials(Credentials::bearer(admin.reveal()));
            }
            // Of a token nothing is kept here that a digest could be compared with.
            Shown::Wrong(
                "the digest is made with none of the room's stream keys; a token goes into the \
                 address as ?token=, or over TLS as the password of Basic",
            )
        }
    }
}

/// The status that refuses a publisher or a reader.
pub fn status(kind: RefusalKind) -> Status {
    match kind {
        RefusalKind::Conflict => Status::Conflict,
        RefusalKind::Unauthorized => Status::Unauthorized,
        RefusalKind::Forbidden => Status::Forbidden,
        RefusalKind::NotFound => Status::NotFound,
        RefusalKind::Unplayable => Status::UnsupportedMedia,
        RefusalKind::BadRequest
        | RefusalKind::Unprocessable
        | RefusalKind::PreconditionFailed
        | RefusalKind::PreconditionRequired => Status::BadRequest,
        RefusalKind::TooMany => Status::NotEnoughBandwidth,
        RefusalKind::Internal | RefusalKind::Loop => Status::Internal,
        RefusalKind::Unavailable => Status::Unavailable,
    }
}
