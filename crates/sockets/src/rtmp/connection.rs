//! Both ends of RTMP connections.

use inver_protocols::rtmp::{Client, ClientConfig, ClientEvent, Error, Server, ServerEvent};

use crate::Stream;
use crate::connection::{self, core, now};

core!(Server, ServerEvent, Error, Server::wants_input);
core!(Client, ClientEvent, Error, |_: &Client| true);

/// Why a connection is over.
pub type End = connection::End<Error>;

/// The server's end.
pub type Connection = connection::Connection<Server>;

/// The client's end.
pub type ClientConnection = connection::Connection<Client>;

impl Connection {
    /// A connection that was just accepted.
    pub fn new(stream: impl Stream + 'static) -> Self {
        Self::with(Box::new(stream), Server::new(now()))
    }

    /// Allows what the client asked for.
    ///
    /// # Errors
    /// Bytes that had to wait for the answer make no sense.
    pub fn accept(&mut self) -> Result<(), End> {
        self.core.accept(now()).map_err(End::Protocol)
    }
}

impl ClientConnection {
    /// A connection that was just made.
    pub fn client(stream: Box<dyn Stream>, config: ClientConfig) -> Self {
        Self::with(stream, Client::new(config, now()))
    }
}
