//! What doors on bare sockets share, as `http` is what HTTP doors share.
//!
//! One port serves publishers and players alike, so neither inputs nor outputs can own it alone:
//! here live the connections that an input accepts and hands on to an output. It drives the state
//! machines of `protocols` with sockets and the clock, bounds how many there are and what waits,
//! and says refusals in each protocol's words. It never looks into media and decides nothing about
//! rooms.

mod backoff;
mod connection;
mod limit;
mod listen;
mod outgoing;
pub mod rtmp;
pub mod rtsp;
mod said;
mod session;
pub mod srt;
#[cfg(feature = "testing")]
pub mod testing;

pub use backoff::Backoff;
pub use connection::{Connection, Core, End, Stream};
pub use limit::{Limit, Limits, Places, Slot};
pub use listen::accept;
pub use outgoing::tls_client;
pub use said::{room_in, shown};
pub use session::{Stop, client, stopped};
