//! RTMP over a byte stream: TCP, or TLS above it.
//!
//! [`Connection`] drives the server's end of one connection; [`Play`] is what an input hands on
//! when a client wants to play instead of publish.

mod connection;
mod handover;
mod refusal;

pub use connection::{Connection, End, Stream};
pub use handover::{Play, Player, Playing};
pub use refusal::{play_code, publish_code};
