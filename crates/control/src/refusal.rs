//! Why a request is not granted, in a form that every door can translate.

use std::fmt;
use std::time::Duration;

/// What kind of refusal; the HTTP doors answer the status named with each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// The request makes no sense (400).
    BadRequest,
    /// Credentials are missing or not known (401).
    Unauthorized,
    /// The credentials are good, for something else (403).
    Forbidden,
    /// What was named does not exist (404).
    NotFound,
    /// The room's state does not allow it now: nobody live, a second publisher, a name in use (409).
    Conflict,
    /// Somebody is live, in a form that cannot be shown until the publisher changes it (409).
    Unplayable,
    /// `If-Match` names an older ICE session (412).
    PreconditionFailed,
    /// `If-Match` is missing (428).
    PreconditionRequired,
    /// The description is understood and cannot be fulfilled: SDP rules, codecs (422).
    Unprocessable,
    /// The client does this too often or has too many sessions half open (429).
    TooMany,
    /// Something on the server failed that another try may not cure (500).
    Internal,
    /// The server cannot do it now: draining, full, storage out of order (503).
    Unavailable,
    /// The room would be relayed back to where it comes from, or through too many servers (508).
    Loop,
}

impl RefusalKind {
    /// The HTTP status that says the same.
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict | Self::Unplayable => 409,
            Self::PreconditionFailed => 412,
            Self::PreconditionRequired => 428,
            Self::Unprocessable => 422,
            Self::TooMany => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
            Self::Loop => 508,
        }
    }
}

/// A request that is not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of refusal.
    pub kind: RefusalKind,
    /// What was wrong and what would be right; safe to show, holds no secret.
    pub detail: String,
    /// When another try makes sense.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal without a time for another try.
    pub fn new(kind: RefusalKind, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self {
            kind,
            detail,
            retry_after: None,
        }
    }

    /// The same refusal with a time for another try.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Refusal {}
