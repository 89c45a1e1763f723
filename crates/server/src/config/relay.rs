//! Rooms that come from other servers: their keys, what is wrong with them, what they come to.

use inver_inputs::relay;
use serde::{Deserialize, Serialize};

use super::schema::Config;
use super::value::{Secret, one_or_many};

/// `[relay]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Relay {
    /// Rooms with where each comes from.
    #[serde(deserialize_with = "one_or_many")]
    pub rooms: Vec<RelayedRoom>,
}

/// `[[relay.rooms]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayedRoom {
    /// A room's name, or the beginning of names with a star.
    pub room: String,
    /// WHEP URL with `{room}` in it.
    pub url: String,
    /// Bearer token for it.
    #[serde(default)]
    pub token: Option<Secret>,
    /// Whether it is fetched without viewers too.
    #[serde(default)]
    pub always: bool,
}

impl RelayedRoom {
    fn parse(&self) -> Result<relay::Room, String> {
        let pattern: relay::Pattern = self
            .room
            .parse()
            .map_err(|error: relay::PatternError| error.to_string())?;
        if self.always && matches!(pattern, relay::Pattern::Prefix(_)) {
            return Err(format!(
                "`{pattern}` with always = true: what is fetched without viewers needs a room's \
                 whole name"
            ));
        }
        let room = relay::Room {
            pattern,
            url: self.url.clone(),
            token: self
                .token
                .as_ref()
                .map(|token| inver_node::Secret::new(token.reveal())),
            always: self.always,
        };
        room.check().map_err(|error| error.to_string())?;
        Ok(room)
    }
}

impl Config {
    /// The rooms that come from other servers.
    pub fn relays(&self) -> relay::Config {
        let rooms = self.relay.rooms.iter();
        relay::Config {
            rooms: rooms.filter_map(|room| room.parse().ok()).collect(),
        }
    }

    /// What is wrong with them.
    pub(super) fn relay_problems(&self) -> Vec<String> {
        let rooms = self.relay.rooms.iter();
        rooms.filter_map(|room| room.parse().err()).collect()
    }
}
