//! RTMP play: `rtmp://host/live/{room}`, where credentials are needed with `?token=` behind it.
//!
//! Connections come from the input that has the port. Players get the first layer of the picture
//! and the sound from a keyframe on; Opus becomes AAC for players that do not say that they take
//! it. Rights, rooms and media are the node's.

mod from_frames;
mod server;
mod session;

pub(crate) use from_frames::{FromFrames, Unplayable};
pub use server::{Config, Player};
