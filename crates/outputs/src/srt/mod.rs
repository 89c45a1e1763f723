//! SRT read: MPEG transport streams for callers whose stream id is `read:{room}`.
//!
//! Callers come from the input that has the port. They get the first layer of the picture and the
//! sound from a keyframe on, in datagrams of 1316 bytes; H.264, H.265, AAC and Opus as they are.
//! Rights, rooms and media are the node's.

mod from_frames;
mod server;
mod session;

pub(crate) use from_frames::FromFrames;
pub use server::{Config, Reader};
