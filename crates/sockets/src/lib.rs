//! What doors on bare sockets share, as `http` is what HTTP doors share.
//!
//! One port serves publishers and players alike, so neither inputs nor outputs can own it alone:
//! here live the connections that an input accepts and hands on to an output. It drives the state
//! machines of `protocols` with sockets and the clock, bounds how many there are and what waits,
//! and says refusals in each protocol's words. It never looks into media and decides nothing about
//! rooms.

use std::net::SocketAddr;

use inver_node::Client;

mod limit;
mod listen;
pub mod rtmp;
mod said;
pub mod srt;
#[cfg(feature = "testing")]
pub mod testing;

pub use limit::{Limit, Limits, Places, Slot};
pub use listen::accept;
pub use said::{room_in, shown};

/// Turns to true, once, when a door has to end its sessions and return.
pub type Stop = tokio::sync::watch::Receiver<bool>;

/// A client as the node knows it, of which only the address is known. IPv4 inside IPv6 counts as
/// IPv4.
pub fn client(from: SocketAddr) -> Client {
    Client {
        remote: Some(SocketAddr::new(from.ip().to_canonical(), from.port())),
        ..Client::default()
    }
}

/// Waits for the stop. A sender that is gone counts as one.
pub async fn stopped(stop: &mut Stop) {
    // An error means that nobody can say it any more.
    let _ = stop.wait_for(|stop| *stop).await;
}
