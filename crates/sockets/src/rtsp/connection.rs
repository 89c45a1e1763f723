//! Both ends of RTSP connections.

use inver_protocols::rtsp::{
    Client, ClientConfig, ClientError, ClientEvent, Error, Event, Server, Settings, Started,
    Status, Transport,
};

use crate::Stream;
use crate::connection::{self, core, now};

core!(Server, Event, Error, Server::wants_input);
core!(Client, ClientEvent, ClientError, Client::wants_input);

/// Why a connection is over.
pub type End = connection::End<Error>;

/// Why a connection to another server is over.
pub type ClientEnd = connection::End<ClientError>;

/// The server's end.
pub type Connection = connection::Connection<Server>;

/// The client's end.
pub type ClientConnection = connection::Connection<Client>;

impl Connection {
    /// A connection that was just accepted.
    pub fn new(stream: impl Stream + 'static, settings: Settings) -> Self {
        Self::with(Box::new(stream), Server::new(settings, now()))
    }

    /// Lets the publisher go on.
    ///
    /// # Errors
    /// Bytes that had to wait for the answer make no sense.
    pub fn accept_announce(&mut self) -> Result<(), End> {
        self.core.accept_announce();
        self.advance()
    }

    /// Tells the reader what there is.
    ///
    /// # Errors
    /// As [`Self::accept_announce`].
    pub fn accept_describe(&mut self, description: &str, tracks: usize) -> Result<(), End> {
        self.core.accept_describe(description, tracks);
        self.advance()
    }

    /// Lets media flow; readers are told where it begins.
    ///
    /// # Errors
    /// As [`Self::accept_announce`].
    pub fn accept_start(&mut self, started: &[Started]) -> Result<(), End> {
        self.core.accept_start(started, now());
        self.advance()
    }

    /// Refuses what the client asked for.
    ///
    /// # Errors
    /// It was refused too often, or as [`Self::accept_announce`].
    pub fn refuse(&mut self, status: Status, detail: &str) -> Result<(), End> {
        let refused = self.core.refuse(status, detail, now());
        refused.map_err(End::Protocol)?;
        self.advance()
    }

    /// Notes that media or a report of the client came over UDP.
    pub fn heard(&mut self) {
        self.core.heard(now());
    }

    fn advance(&mut self) -> Result<(), End> {
        self.core.advance(now()).map_err(End::Protocol)
    }
}

impl ClientConnection {
    /// Has the tracks sent that have a transport here.
    ///
    /// # Errors
    /// None has, or what came behind the description makes no sense.
    pub fn choose(&mut self, transports: &[Option<Transport>]) -> Result<(), ClientEnd> {
        let chosen = self.core.choose(transports, now());
        chosen.map_err(ClientEnd::Protocol)
    }

    /// Ends the session and closes the connection.
    pub async fn leave(mut self) {
        self.core.tear_down(now());
        self.close().await;
    }

    /// A connection that was just made.
    pub fn client(stream: Box<dyn Stream>, config: ClientConfig) -> Self {
        Self::with(stream, Client::new(config, now()))
    }
}
