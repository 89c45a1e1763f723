//! What an input hands on of a caller that wants to read.

use std::pin::Pin;

use inver_node::{Client, Credentials};
use inver_proto::{ParticipantId, RoomId};

use super::Call;
use crate::Stop;

/// A caller that waits for the answer to its wish to read.
#[derive(Debug)]
pub struct Read {
    /// The caller.
    pub call: Call,
    /// The room that it wants.
    pub room: RoomId,
    /// Whose publication; the room's choice where absent.
    pub participant: Option<ParticipantId>,
    /// What it showed in its stream id.
    pub credentials: Credentials,
    /// Who it is.
    pub client: Client,
    /// When to end.
    pub stop: Stop,
}

/// A reader's whole session.
pub type Reading<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Serves callers that want to read.
pub trait Reader: Send + Sync + 'static {
    /// Answers the wish and serves the caller until it or the room's media ends.
    fn read(&self, read: Read) -> Reading<'_>;
}
