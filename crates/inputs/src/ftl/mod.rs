//! FTL: a control connection over TCP, media over one UDP port.
//!
//! A channel is a room's number, and the challenge is answered with one of the room's stream keys.
//! H.264 or VP8, and Opus. Rights, rooms and media are the node's.

mod demux;
mod server;
mod session;
mod to_frames;

pub use server::{Config, Server};
