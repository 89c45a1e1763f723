//! SRT over one UDP socket.
//!
//! [`serve`] owns the socket: it answers handshakes and finds the connection that a datagram is
//! for. Each caller is a [`Call`] until it is answered, then a [`Link`]; [`Read`] is what an input
//! hands on when a caller wants to read instead of publish.

mod call;
mod caller;
mod endpoint;
mod handover;
mod link;
mod refusal;

pub use call::{Call, NoLink};
pub use caller::{NoCall, call};
pub use endpoint::serve;
pub use handover::{Read, Reader, Reading};
pub use link::Link;
pub use refusal::{publish_rejection, read_rejection};
