//! SRT: publishers send MPEG transport streams, callers that want to read are handed on.
//!
//! A stream id says what a caller wants: `publish:{room}:{key}`, `publish:{room}:{user}:{pass}`,
//! `read:{room}`, `#!::r={room},m=publish,s={key}`, or `{room}-{key}`. Callers that encrypt have
//! the stream key for passphrase; the length of their AES key is theirs to choose. Rights, rooms
//! and media are the node's.

mod server;
mod session;

pub use server::{Config, Server};
