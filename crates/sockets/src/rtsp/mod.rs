//! RTSP over a byte stream, and its media over one pair of UDP ports.
//!
//! [`Connection`] is the server's end of a connection, [`ClientConnection`] the client's, which
//! [`connect`] makes; [`Read`] is what an input hands on
//! when a client wants to read instead of publish. [`Udp`] tells the datagrams of all clients
//! apart, [`Pair`] is a client's.

mod connect;
mod connection;
mod handover;
mod pair;
mod shown;
mod udp;

pub use connect::{Connected, connect};
pub use connection::{ClientConnection, ClientEnd, Connection, End};
pub use handover::{Read, Reader, Reading};
pub use pair::Pair;
pub use shown::{Shown, shown, status};
pub use udp::{Arrived, Registered, Taken, Udp};
