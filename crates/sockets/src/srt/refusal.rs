//! Refusals in SRT's words.

use inver_node::RefusalKind;
use inver_protocols::srt::Rejection;

/// The code that refuses a publisher.
pub fn publish_rejection(kind: RefusalKind) -> Rejection {
    match kind {
        RefusalKind::Unauthorized => Rejection::Unauthorized,
        RefusalKind::Forbidden => Rejection::Forbidden,
        RefusalKind::NotFound => Rejection::NotFound,
        RefusalKind::Conflict => Rejection::Conflict,
        RefusalKind::Unplayable | RefusalKind::Unprocessable => Rejection::UnsupportedMedia,
        RefusalKind::TooMany => Rejection::Overload,
        RefusalKind::Internal | RefusalKind::Loop => Rejection::ServerError,
        RefusalKind::Unavailable => Rejection::Down,
        RefusalKind::BadRequest
        | RefusalKind::PreconditionFailed
        | RefusalKind::PreconditionRequired => Rejection::BadRequest,
    }
}

/// The code that refuses a reader.
pub fn read_rejection(kind: RefusalKind) -> Rejection {
    match kind {
        // Nobody is live: players ask again later.
        RefusalKind::Conflict => Rejection::NotFound,
        RefusalKind::BadRequest
        | RefusalKind::Unauthorized
        | RefusalKind::Forbidden
        | RefusalKind::NotFound
        | RefusalKind::Unplayable
        | RefusalKind::PreconditionFailed
        | RefusalKind::PreconditionRequired
        | RefusalKind::Unprocessable
        | RefusalKind::TooMany
        | RefusalKind::Internal
        | RefusalKind::Unavailable
        | RefusalKind::Loop => publish_rejection(kind),
    }
}
