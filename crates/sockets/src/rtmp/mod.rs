//! RTMP over a byte stream: TCP, or TLS above it.
//!
//! [`Connection`] is the server's end of a connection, [`ClientConnection`] the client's; [`Play`]
//! is what an input hands on when a client wants to play instead of publish; [`connect`] makes
//! connections to other servers.

mod connect;
mod connection;
mod handover;
mod refusal;

pub use connect::{Begun, NoConnection, connect, started};
pub use connection::{ClientConnection, Connection, End};
pub use handover::{Play, Player, Playing};
pub use refusal::{play_code, publish_code};
