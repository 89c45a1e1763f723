//! RTMP and Enhanced RTMP.
//!
//! [`Server`] and [`Client`] are the two ends of a connection as state machines: bytes and time
//! go in, bytes and events come out. They never open a socket, read a clock or decide who may
//! publish, and they carry media without looking inside: [`inver_media::container::flv`] does.
//!
//! Follows Adobe's RTMP specification 1.0 and, for what clients and servers tell each other about
//! codecs, Veovera's Enhanced RTMP, versions 1 and 2.
//!
//! After every call that takes input, time or a decision, drain `poll_output` to `None`. Every
//! error ends the connection: send what is still queued, if that is quick, and close.

mod address;
mod capabilities;
mod chunk_reader;
mod chunk_writer;
mod client;
mod command;
mod connection;
mod digest;
mod error;
mod handshake;
mod message;
mod server;

pub use crate::Output;
pub(crate) use address::host_and_port;
pub use address::{Address, Target, TargetError};
pub use capabilities::Capabilities;
pub use client::{Client, ClientConfig, ClientEvent, Purpose};
pub use error::{Error, Stage};
pub use message::Media;
pub use server::{Connected, Server, ServerEvent};

#[cfg(test)]
mod tests;
