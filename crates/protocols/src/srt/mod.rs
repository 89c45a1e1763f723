//! SRT: secure reliable transport of live media over UDP (draft-sharabayko-srt, handshake
//! version 5 only, live mode).
//!
//! A [`Listener`] answers handshakes on a UDP socket and hands out requests; an accepted request
//! becomes a [`Connection`]. A [`Caller`] makes the handshake the other way round. Both directions
//! of a connection may carry media. Nothing here opens a socket, reads a clock or knows rooms.

mod caller;
mod connection;
mod crypto;
mod handshake;
mod key_material;
mod listener;
mod receiver;
mod rejection;
mod sender;
mod sequence;
mod statistics;
mod stream_id;
mod target;
mod time;
mod wire;

#[cfg(test)]
mod tests;

pub use caller::{CallError, Caller, CallerConfig, CallerEvent};
pub use connection::{CloseReason, Connection, Event, SendError};
pub use crypto::{KeyRefresh, MAX_PASSPHRASE, MIN_PASSPHRASE, PassphraseError, check_passphrase};
pub use key_material::KeyLength;
pub use listener::{AcceptError, Listener, Request, RequestId};
pub use rejection::Rejection;
pub use statistics::Statistics;
pub use stream_id::{Credential, StreamId, StreamIdError};
pub use target::{Target, TargetError};
pub use wire::destination;
