//! What every session of these doors needs: its client and the stop.

use std::net::SocketAddr;

use inver_node::Client;

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
