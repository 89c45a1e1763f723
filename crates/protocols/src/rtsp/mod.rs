//! RTSP 1.0 (RFC 2326): the server's end of one connection.
//!
//! [`Server`] takes bytes and the time and gives bytes and events: who wants to publish
//! (ANNOUNCE, RECORD) or to read (DESCRIBE, PLAY), and the packets that come between the requests.
//! It answers by itself what needs no decision. [`sdp`] reads and writes descriptions, [`rtp`]
//! headers and sender reports. It knows no rooms, keeps no keys and never decodes media.

mod address;
mod authorization;
mod error;
mod event;
mod message;
mod reader;
pub mod rtp;
pub mod sdp;
mod server;
mod setup;
mod transport;

#[cfg(test)]
mod tests;

pub use address::Address;
pub use authorization::{Algorithm, Authorization, Digest};
pub use error::Error;
pub use event::{Event, Output, Started, Wish};
pub use message::{Method, Request, Status};
pub use reader::{MAX_BODY, MAX_HEAD, Part, Reader};
pub use server::{Server, Settings};
pub use transport::{Ports, Transport};
