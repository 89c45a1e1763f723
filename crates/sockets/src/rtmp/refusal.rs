//! Refusals in RTMP's words.

use inver_node::RefusalKind;

/// The status code that refuses a publisher. Encoders show the description beside it; the code
/// decides whether they blame the key or the server.
pub fn publish_code(kind: RefusalKind) -> &'static str {
    match kind {
        RefusalKind::Conflict => "NetStream.Publish.BadName",
        RefusalKind::Unauthorized | RefusalKind::Forbidden | RefusalKind::NotFound => {
            "NetStream.Publish.Unauthorized"
        }
        RefusalKind::Unplayable | RefusalKind::Unprocessable => "NetStream.Publish.Rejected",
        RefusalKind::BadRequest
        | RefusalKind::PreconditionFailed
        | RefusalKind::PreconditionRequired
        | RefusalKind::TooMany
        | RefusalKind::Internal
        | RefusalKind::Unavailable
        | RefusalKind::Loop => "NetStream.Publish.Denied",
    }
}

/// The status code that refuses a player.
pub fn play_code(kind: RefusalKind) -> &'static str {
    match kind {
        // Nobody is live: players ask again later.
        RefusalKind::Conflict | RefusalKind::NotFound => "NetStream.Play.StreamNotFound",
        RefusalKind::BadRequest
        | RefusalKind::Unauthorized
        | RefusalKind::Forbidden
        | RefusalKind::Unplayable
        | RefusalKind::PreconditionFailed
        | RefusalKind::PreconditionRequired
        | RefusalKind::Unprocessable
        | RefusalKind::TooMany
        | RefusalKind::Internal
        | RefusalKind::Unavailable
        | RefusalKind::Loop => "NetStream.Play.Failed",
    }
}
