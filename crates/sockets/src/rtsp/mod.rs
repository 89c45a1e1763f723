//! RTSP over a byte stream, and its media over one pair of UDP ports.
//!
//! [`Connection`] drives the server's end of one connection; [`Read`] is what an input hands on
//! when a client wants to read instead of publish. [`Udp`] tells the datagrams of all clients
//! apart.

mod connection;
mod handover;
mod shown;
mod udp;

pub use connection::{Connection, End};
pub use handover::{Read, Reader, Reading};
pub use shown::{Shown, shown, status};
pub use udp::{Arrived, Registered, Taken, Udp};
