//! Decisions about rooms, participants, sessions and grants. Never touches a packet, never reads a clock.

mod access;
mod refusal;
mod secret;

pub use access::{Action, Grant, Origin, Scope};
pub use refusal::{Refusal, RefusalKind};
pub use secret::{Credentials, Secret, SessionToken};
