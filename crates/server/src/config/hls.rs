//! What can be set about HLS.

use serde::{Deserialize, Serialize};

use super::value::Period;

/// `[hls]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hls {
    /// Whether rooms can be watched over HLS.
    pub enabled: bool,
    /// Whether every live room is cut into segments before anybody asks.
    pub always_on: bool,
    /// Usual length of a segment, 1 to 10 s; twice as much is the longest.
    pub segment_duration: Period,
    /// Length of a part, 100 ms to 1 s.
    pub part_duration: Period,
    /// How far back players can go without the disk.
    pub window: Period,
    /// How far back players can go; what `window` does not hold is on the disk. 0: no further.
    pub dvr: Period,
}

impl Default for Hls {
    fn default() -> Self {
        Self {
            enabled: true,
            always_on: false,
            segment_duration: Period::seconds(2),
            part_duration: Period(std::time::Duration::from_millis(200)),
            window: Period::seconds(30),
            dvr: Period::seconds(0),
        }
    }
}
