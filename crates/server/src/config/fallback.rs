//! What stands in for publishers that are gone: its keys, what is wrong with them, what they come
//! to.

use inver_node::{ConfiguredFallback, FallbackRule, FallbackSource};
use inver_proto::RoomPattern;
use serde::{Deserialize, Serialize};

use super::schema::Config;
use super::value::{Period, Secret};

/// `[fallback]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fallback {
    /// Rooms with what each shows while its publisher is gone.
    pub rooms: Vec<FallbackRoom>,
}

/// `[[fallback.rooms]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FallbackRoom {
    /// A room's name, or the beginning of names with a star.
    pub room: String,
    /// A picture or film in `restream.files_dir`, or another source.
    pub url: Secret,
    /// How long the publisher has to be gone.
    #[serde(default = "two_seconds")]
    pub after: Period,
    /// How long it goes on at most; 0s for no end.
    #[serde(default = "ten_minutes")]
    pub longest: Period,
    /// Whether it is there before anybody has published, too, and then without an end.
    #[serde(default)]
    pub always: bool,
}

fn two_seconds() -> Period {
    Period::seconds(2)
}

fn ten_minutes() -> Period {
    Period::seconds(600)
}

impl FallbackRoom {
    fn parse(&self, config: &Config) -> Result<ConfiguredFallback, String> {
        let rooms: RoomPattern = self
            .room
            .parse()
            .map_err(|error: inver_proto::RoomPatternError| error.to_string())?;
        let wrong = |why: String| format!("{rooms}: {why}");
        let source = FallbackSource::parse(self.url.reveal()).map_err(wrong)?;
        if source.is_file() && config.restream.files_dir.is_none() {
            return Err(wrong("files need restream.files_dir".to_owned()));
        }
        if self.after.0 >= config.rooms.grace.0 {
            return Err(wrong(
                "after has to be below rooms.grace, or viewers have left by then".to_owned(),
            ));
        }
        if self.always && matches!(rooms, RoomPattern::Prefix(_)) {
            return Err(wrong(
                "always needs a room's whole name: what begins without a publisher has to know \
                 where"
                    .to_owned(),
            ));
        }
        Ok(ConfiguredFallback {
            rule: FallbackRule {
                after: self.after.0,
                longest: (!self.longest.0.is_zero() && !self.always).then_some(self.longest.0),
                always: self.always,
            },
            rooms,
            url: inver_node::Secret::new(self.url.reveal()),
        })
    }
}

impl Config {
    /// What stands in for publishers that are gone.
    pub fn fallbacks(&self) -> Vec<ConfiguredFallback> {
        let rooms = self.fallback.rooms.iter();
        rooms.filter_map(|room| room.parse(self).ok()).collect()
    }

    /// What is wrong with that.
    pub(super) fn fallback_problems(&self) -> Vec<String> {
        let rooms = self.fallback.rooms.iter();
        rooms.filter_map(|room| room.parse(self).err()).collect()
    }
}
