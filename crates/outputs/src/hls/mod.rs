//! HLS with low latency (RFC 8216bis), for players that hold no WebRTC connection and for CDNs.
//!
//! Owns segments, parts and playlists of rooms, which are made while somebody asks for them, or
//! always by policy. Layers of a publication become variants, nothing is coded again but Opus,
//! of which AAC is made for players that need it, while they ask. Rights are the node's.

#[cfg(any(test, feature = "testing"))]
pub mod check;
mod from_frames;
mod mover;
mod past;
mod players;
mod playlist;
mod rendition;
mod server;
mod session;
mod signature;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use past::Disk;
pub use server::{OpenError, router};

use from_frames::Shape;

/// Settings of this output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Whether every live room is cut into segments, asked for or not.
    pub always_on: bool,
    /// A segment ends with the first keyframe after this time. Twice as much is the longest that
    /// a segment can be.
    pub segment_duration: Duration,
    /// Length of parts: less makes more requests, more makes more latency.
    pub part_duration: Duration,
    /// How far back segments are in memory.
    pub window: Duration,
    /// How far back players can go where that is further, and where segments are that memory does
    /// not hold. Streams are always on then.
    pub past: Option<(Duration, Disk)>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            always_on: false,
            segment_duration: Duration::from_secs(2),
            part_duration: Duration::from_millis(200),
            window: Duration::from_secs(30),
            past: None,
        }
    }
}

impl Config {
    fn shape(&self) -> Shape {
        let past = self.past.as_ref().map(|(past, _)| *past);
        Shape {
            segment: self.segment_duration,
            part: self.part_duration,
            memory: self.window,
            window: past.unwrap_or_default().max(self.window),
        }
    }

    fn is_always_on(&self) -> bool {
        self.always_on || self.past.is_some()
    }
}
