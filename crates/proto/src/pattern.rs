//! Which rooms a setting is about.

use std::fmt;
use std::str::FromStr;

use crate::RoomId;

/// One room by its name, all that begin alike (`tv-*`), or all (`*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomPattern {
    /// One room.
    Room(RoomId),
    /// All rooms that begin with this.
    Prefix(String),
}

/// The text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no room; write a room's name, or the beginning of names with a star: tv-*")]
pub struct RoomPatternError(String);

impl FromStr for RoomPattern {
    type Err = RoomPatternError;

    fn from_str(text: &str) -> Result<Self, RoomPatternError> {
        let wrong = || RoomPatternError(text.to_owned());
        let Some(prefix) = text.strip_suffix('*') else {
            return text.parse().map(Self::Room).map_err(|_| wrong());
        };
        let fits = prefix
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if fits {
            Ok(Self::Prefix(prefix.to_owned()))
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for RoomPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room(room) => write!(f, "{room}"),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

impl RoomPattern {
    /// Whether it is about a room.
    pub fn covers(&self, room: &RoomId) -> bool {
        match self {
            Self::Room(own) => own == room,
            Self::Prefix(prefix) => room.as_str().starts_with(prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_rooms_and_beginnings() {
        let room = |name: &str| name.parse::<RoomId>().expect("a name");
        let pattern = |text: &str| text.parse::<RoomPattern>();
        let tv = pattern("tv-*").expect("a pattern");
        assert!(tv.covers(&room("tv-1")) && !tv.covers(&room("radio")));
        assert!(pattern("*").expect("a pattern").covers(&room("radio")));
        let one = pattern("radio").expect("a pattern");
        assert!(one.covers(&room("radio")) && !one.covers(&room("radio2")));
        assert_eq!(tv.to_string(), "tv-*");
        for wrong in ["", "a*b", "a/*", "*x*", "ä*"] {
            assert!(pattern(wrong).is_err(), "{wrong:?}");
        }
    }
}
