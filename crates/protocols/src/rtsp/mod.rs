//! RTSP 1.0 (RFC 2326): both ends of a connection.
//!
//! [`Server`] takes bytes and the time and gives bytes and events: who wants to publish
//! (ANNOUNCE, RECORD) or to read (DESCRIBE, PLAY), and the packets that come between the requests.
//! It answers by itself what needs no decision. [`Client`] is the other end, which plays what a
//! camera or another server has. [`sdp`] reads and writes descriptions, [`rtp`] headers and
//! reports. They know no rooms, keep no keys and never decode media.

mod address;
mod authorization;
mod challenge;
mod client;
mod error;
mod event;
mod message;
mod reader;
pub mod rtp;
pub mod sdp;
mod server;
mod setup;
mod target;
mod transport;

#[cfg(test)]
mod tests;

pub use address::Address;
pub use authorization::{Algorithm, Authorization, Digest};
pub use client::{Client, ClientConfig, ClientError, ClientEvent};
pub use error::Error;
pub use event::{Event, Started, Wish};
pub use message::{Method, Request, Response, Status};
pub use reader::{MAX_BODY, MAX_HEAD, Part, Reader};
pub use server::{Server, Settings};
pub use target::{Login, Target, TargetError};
pub use transport::{Ports, Transport};

pub use crate::Output;
