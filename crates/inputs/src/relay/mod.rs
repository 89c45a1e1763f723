//! Rooms of other servers, pulled over WHEP and served here to this server's own viewers.
//!
//! One session with the origin however many viewers there are: it begins with the first of them
//! and ends a while after the last. Where it is lost, viewers stay in their room's grace while the
//! origin is asked again. Only what the configuration names is ever pulled, so the origin's address
//! needs no guard; what its answers redirect to does. draft-ietf-wish-whep.

mod client;
mod retry;
mod server;

pub use client::UrlError;
pub(crate) use client::{Granted, Origin, origin_of};
pub use inver_proto::{RoomPattern as Pattern, RoomPatternError as PatternError};
pub use server::{Config, Relays, Room};
