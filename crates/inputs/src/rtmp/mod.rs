//! RTMP and RTMPS, with the extensions of Enhanced RTMP: `rtmp://host/live/{room}-{key}`.
//!
//! The key may stand in a query instead, as `key`, `token` or `pass` of the stream's name, the
//! application or the URL: `rtmp://host/live/{room}?key={key}`. Any application is taken. Several
//! pictures of one publication are its layers, the largest first. Clients that want to play are
//! handed on. Rights, rooms and media are the node's.

mod server;
mod session;
mod to_frames;

pub use server::{Config, Server};
pub(crate) use to_frames::{Step, ToFrames};
