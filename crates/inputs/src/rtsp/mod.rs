//! RTSP and its media over TCP or UDP: `rtsp://host:8554/{room}-{key}`.
//!
//! The key may stand in a query instead, as `key`, `token` or `pass`, or be the password of digest
//! authentication, for which `rtsp://any:{key}@host:8554/{room}` is what clients take. Clients that
//! want to read are handed on. Rights, rooms and media are the node's.

mod server;
mod session;
mod to_frames;

pub use server::{Config, Server};
pub(crate) use to_frames::ToFrames;
