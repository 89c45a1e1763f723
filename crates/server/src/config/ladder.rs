//! Layers that FFmpeg makes: their keys, what is wrong with them, what they come to.

use std::path::PathBuf;

use inver_inputs::ladder::{self, Preset, Rendition, RenditionError};
use inver_proto::{RoomPattern, RoomPatternError};
use serde::{Deserialize, Serialize};

use super::schema::Config;
use super::value::one_or_many;

/// Renditions at most; an encoder can send as many again, and that is all a publication may have.
const MOST_RENDITIONS: usize = 4;

/// `[ladder]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ladder {
    /// Rooms whose encoders send a single layer, of which lower ones are made; each a name, or the
    /// beginning of names with a star.
    #[serde(deserialize_with = "one_or_many")]
    pub rooms: Vec<LadderRooms>,
    /// The layers, each as height and bitrate.
    #[serde(deserialize_with = "one_or_many")]
    pub renditions: Vec<LadderRendition>,
    /// The program; by default the one that the path finds.
    pub ffmpeg: PathBuf,
    /// How hard it tries to make pictures small.
    pub preset: LadderPreset,
    /// Threads of each encoder.
    pub threads: u32,
    /// How far everything else on the machine goes first, 0 to 19.
    pub nice: u32,
    /// Rooms at once.
    pub max: usize,
}

impl Default for Ladder {
    fn default() -> Self {
        Self {
            rooms: Vec::new(),
            renditions: [(720, 2_500_000), (480, 1_000_000)]
                .map(|(height, bitrate)| LadderRendition(Rendition { height, bitrate }))
                .to_vec(),
            ffmpeg: PathBuf::from("ffmpeg"),
            preset: LadderPreset::Veryfast,
            threads: 2,
            nice: 10,
            max: 2,
        }
    }
}

/// How hard FFmpeg tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LadderPreset {
    /// The least CPU.
    Ultrafast,
    /// Little more.
    Superfast,
    /// What live streams usually have.
    Veryfast,
    /// Much more CPU.
    Faster,
}

/// A room's name, or the beginning of names with a star.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LadderRooms(RoomPattern);

impl TryFrom<String> for LadderRooms {
    type Error = RoomPatternError;

    fn try_from(text: String) -> Result<Self, RoomPatternError> {
        text.parse().map(Self)
    }
}

impl From<LadderRooms> for String {
    fn from(rooms: LadderRooms) -> Self {
        rooms.0.to_string()
    }
}

/// A layer that is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LadderRendition(Rendition);

impl TryFrom<String> for LadderRendition {
    type Error = RenditionError;

    fn try_from(text: String) -> Result<Self, RenditionError> {
        text.parse().map(Self)
    }
}

impl From<LadderRendition> for String {
    fn from(rendition: LadderRendition) -> Self {
        rendition.0.to_string()
    }
}

impl Ladder {
    /// The highest first, as layers are numbered.
    fn sorted(&self) -> Vec<Rendition> {
        let mut sorted: Vec<Rendition> = self.renditions.iter().map(|one| one.0).collect();
        sorted.sort_by_key(|rendition| std::cmp::Reverse(rendition.height));
        sorted
    }
}

impl Config {
    /// What makes the layers.
    pub fn ladder(&self) -> ladder::Config {
        let ladder = &self.ladder;
        ladder::Config {
            ffmpeg: ladder.ffmpeg.clone(),
            rooms: ladder.rooms.iter().map(|rooms| rooms.0.clone()).collect(),
            renditions: ladder.sorted(),
            preset: match ladder.preset {
                LadderPreset::Ultrafast => Preset::Ultrafast,
                LadderPreset::Superfast => Preset::Superfast,
                LadderPreset::Veryfast => Preset::Veryfast,
                LadderPreset::Faster => Preset::Faster,
            },
            threads: ladder.threads,
            nice: i32::try_from(ladder.nice).unwrap_or(19).min(19),
            most: ladder.max,
        }
    }

    /// What is wrong with the section: a key of it, and why.
    pub(super) fn ladder_problems(&self) -> Vec<(&'static str, String)> {
        let ladder = &self.ladder;
        let mut wrong = Vec::new();
        let renditions = ladder.sorted();
        if renditions
            .windows(2)
            .any(|two| two[0].height == two[1].height)
        {
            let message = "each height may stand there once";
            wrong.push(("renditions", message.to_owned()));
        }
        if renditions.len() > MOST_RENDITIONS {
            let message = format!("there may be {MOST_RENDITIONS} at most");
            wrong.push(("renditions", message));
        }
        if !(1..=16).contains(&ladder.threads) {
            wrong.push(("threads", "must be 1 to 16".to_owned()));
        }
        if ladder.nice > 19 {
            wrong.push(("nice", "must be 0 to 19".to_owned()));
        }
        if ladder.max == 0 {
            wrong.push((
                "max",
                "must be at least 1; without rooms no layers are made".to_owned(),
            ));
        }
        wrong
    }
}
