//! What an input hands on of a client that wants to read.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use inver_node::Client;
use inver_protocols::rtsp::Wish;

use super::{Connection, Udp};
use crate::Stop;

/// A client that waits for a description.
#[derive(Debug)]
pub struct Read {
    /// The connection; the wish is pending.
    pub connection: Connection,
    /// What it wants to read.
    pub wish: Wish,
    /// Who it is.
    pub client: Client,
    /// Its address as the sockets see it.
    pub from: IpAddr,
    /// Whether passwords may come readable.
    pub private: bool,
    /// Media over UDP, where there is any.
    pub udp: Option<Arc<Udp>>,
    /// When to end.
    pub stop: Stop,
}

/// A reader's whole session.
pub type Reading<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Serves clients that want to read.
pub trait Reader: Send + Sync + 'static {
    /// Answers the wish and serves the client until it or the room's media ends.
    fn read(&self, read: Read) -> Reading<'_>;
}
