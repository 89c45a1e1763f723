//! Ids of everything the control plane names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Longest name of a room, participant or key, in bytes.
pub const MAX_NAME: usize = 64;

/// Room names that are path segments of the doors (`/whip/stream/...`) and so name no room.
pub const RESERVED_ROOMS: [&str; 5] = ["watch", "endpoint", "stream", "session", "create"];

/// Number of one live session on this node; public, shown by the control API and in logs.
///
/// It is not a secret: the URL of a WHIP or WHEP session carries an unguessable token instead.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
#[schema(value_type = u64)]
pub struct SessionId(pub u64);

/// Number of one place where media of a participant enters the data plane.
///
/// A source outlives the sessions that feed it, so that viewers stay attached while a publisher
/// reconnects, and it may exist before its first publisher so that viewers can wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a string is no name of a room, participant or key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There are no characters.
    #[error("the {what} is empty; it needs 1 to {MAX_NAME} letters, digits, '-' or '_'")]
    Empty {
        /// What was named.
        what: &'static str,
    },
    /// There are too many characters.
    #[error("the {what} has {bytes} bytes; at most {MAX_NAME} are allowed")]
    TooLong {
        /// What was named.
        what: &'static str,
        /// How long the string is.
        bytes: usize,
    },
    /// A character is not allowed where it stands.
    #[error(
        "the {what} has {found:?} at position {at}; allowed are letters, digits, '-' and '_', \
         the first one a letter or digit"
    )]
    Character {
        /// What was named.
        what: &'static str,
        /// The character.
        found: char,
        /// Where it stands, counted in bytes from 0.
        at: usize,
    },
    /// The name is a path segment of the doors.
    #[error("{name:?} is reserved and cannot name a room")]
    Reserved {
        /// The name.
        name: String,
    },
}

/// Checks `[A-Za-z0-9][A-Za-z0-9_-]{0,63}`.
fn check(what: &'static str, name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty { what });
    }
    if name.len() > MAX_NAME {
        let bytes = name.len();
        return Err(NameError::TooLong { what, bytes });
    }
    for (at, found) in name.char_indices() {
        let fits = found.is_ascii_alphanumeric() || (at > 0 && matches!(found, '-' | '_'));
        if !fits {
            return Err(NameError::Character { what, found, at });
        }
    }
    Ok(())
}

/// Gives a name type its parsing, printing and serde.
macro_rules! name {
    ($type:ident) => {
        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, NameError> {
                name.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }
    };
}

/// Name of a room: `[A-Za-z0-9][A-Za-z0-9_-]{0,63}`, case-sensitive, none of [`RESERVED_ROOMS`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", example = "studio")]
pub struct RoomId(String);

name!(RoomId);

impl FromStr for RoomId {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        check("room id", name)?;
        if RESERVED_ROOMS.contains(&name) {
            let name = name.to_owned();
            return Err(NameError::Reserved { name });
        }
        Ok(Self(name.to_owned()))
    }
}

/// Name of a participant within its room; the alphabet of [`RoomId`] without reserved names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", example = "main")]
pub struct ParticipantId(String);

name!(ParticipantId);

impl ParticipantId {
    /// The publisher of a broadcast that gives no name of its own: `main`.
    pub fn main() -> Self {
        Self("main".to_owned())
    }
}

impl FromStr for ParticipantId {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        check("participant id", name)?;
        Ok(Self(name.to_owned()))
    }
}

/// Public name of a stream key; not the secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", example = "k7Qm2xPa")]
pub struct KeyId(String);

name!(KeyId);

impl FromStr for KeyId {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        check("key id", name)?;
        Ok(Self(name.to_owned()))
    }
}

/// Public name of a push or pull; not a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", example = "p8Xw2mQa")]
pub struct RestreamId(String);

name!(RestreamId);

impl FromStr for RestreamId {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        check("id", name)?;
        Ok(Self(name.to_owned()))
    }
}
