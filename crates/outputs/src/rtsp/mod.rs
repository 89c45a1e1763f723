//! RTSP reading: `rtsp://host:8554/{room}`, where credentials are needed with `?token=` behind it
//! or by digest authentication with a stream key of the room.
//!
//! Connections come from the input that has the port. Readers get the first layer of the picture
//! and the sound as the encoder sent them, from a keyframe on. Rights, rooms and media are the
//! node's.

mod from_frames;
mod server;
mod session;

pub use server::{Config, Reader};
