//! MPEG transport streams as bare UDP datagrams, into a room that the configuration names.
//!
//! Nothing of the protocol says who sends: whoever reaches the address publishes, so it is for
//! networks that are trusted, and the room is the operator's choice alone. Datagrams may hold the
//! transport packets alone or in RTP (RFC 2250).

mod server;
mod session;

pub use server::serve;
