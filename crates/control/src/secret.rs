//! Secrets in memory: never printed, compared in constant time, wiped when dropped.

use std::fmt;
use std::hash::{Hash, Hasher};

use aws_lc_rs::constant_time;
use zeroize::Zeroizing;

/// Text that must not show up in logs.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself; whoever asks keeps it out of logs.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Compares without telling by timing where the difference is.
    pub fn matches(&self, other: &str) -> bool {
        constant_time::verify_slices_are_equal(self.0.as_bytes(), other.as_bytes()).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// What a client showed to prove its rights: a stream key, a token, or nothing.
#[derive(Debug, Clone, Default)]
pub struct Credentials(Option<Secret>);

impl Credentials {
    /// The client showed nothing.
    pub const NONE: Self = Self(None);

    /// A bearer token: stream key, `{room}-{key}`, JWT or admin token. Blank text counts as none.
    pub fn bearer(token: &str) -> Self {
        let token = token.trim();
        if token.is_empty() {
            Self(None)
        } else {
            Self(Some(Secret::new(token)))
        }
    }

    /// The secret, where there is one.
    pub fn secret(&self) -> Option<&Secret> {
        self.0.as_ref()
    }
}

/// The last segment of a session's URL: whoever knows it may steer the session.
///
/// At least 128 random bits in base62.
#[derive(Clone)]
pub struct SessionToken(Secret);

impl SessionToken {
    /// Takes the path segment of a request; unknown ones are refused where they are used.
    pub fn new(segment: impl Into<String>) -> Self {
        Self(Secret::new(segment))
    }

    /// The path segment.
    pub fn as_str(&self) -> &str {
        self.0.reveal()
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(session token)")
    }
}

impl PartialEq for SessionToken {
    fn eq(&self, other: &Self) -> bool {
        self.0.matches(other.as_str())
    }
}

impl Eq for SessionToken {}

impl Hash for SessionToken {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}
