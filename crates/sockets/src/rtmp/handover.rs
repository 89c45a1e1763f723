//! What an input hands on of a client that wants to play.

use std::pin::Pin;

use inver_node::Client;
use inver_protocols::rtmp::Address;

use super::Connection;
use crate::Stop;

/// A client that waits for the answer to its wish to play.
#[derive(Debug)]
pub struct Play {
    /// The connection; the wish is pending.
    pub connection: Connection,
    /// What it wants to play.
    pub address: Address,
    /// Who it is.
    pub client: Client,
    /// When to end.
    pub stop: Stop,
}

/// A player's whole session.
pub type Playing<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Serves clients that want to play.
pub trait Player: Send + Sync + 'static {
    /// Answers the wish and serves the client until it or the room's media ends.
    fn play(&self, play: Play) -> Playing<'_>;
}
