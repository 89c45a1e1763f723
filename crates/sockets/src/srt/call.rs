//! A caller that waits for its answer.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use inver_node::Secret;
use inver_protocols::srt::{AcceptError, Rejection, Request, RequestId};
use tokio::sync::{mpsc, oneshot};

use super::Link;
use crate::Slot;

/// Passphrases that are tried for one caller. Each costs a millisecond in which no datagram is
/// read; rooms have one or two keys.
const MAX_PASSPHRASES: usize = 8;

/// Why an accepted call became no link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoLink {
    /// The handshake failed; the caller knows.
    #[error(transparent)]
    Handshake(#[from] AcceptError),
    /// The socket is closed.
    #[error("the door has stopped")]
    Stopped,
}

/// An answer on its way to the socket's owner.
pub(super) enum Verdict {
    Accept {
        request: Request,
        passphrases: Vec<Secret>,
        latency: Duration,
        slot: Slot,
        reply: oneshot::Sender<Result<Link, AcceptError>>,
    },
    Reject {
        id: RequestId,
        rejection: Rejection,
    },
}

/// A caller that waits for its answer; after three seconds it no longer does.
pub struct Call {
    pub(super) request: Request,
    pub(super) verdicts: mpsc::Sender<Verdict>,
    pub(super) slot: Slot,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.request.fmt(f)
    }
}

impl Call {
    /// Where the caller is.
    pub fn address(&self) -> SocketAddr {
        self.request.address
    }

    /// What it wants, in its own words; may hold a key.
    pub fn stream_id(&self) -> &str {
        &self.request.stream_id
    }

    /// Whether it sends and expects encrypted payloads.
    pub fn is_encrypted(&self) -> bool {
        self.request.encrypted
    }

    /// Lets the caller in. Of the passphrases the one that an encrypted caller has is taken; plain
    /// callers need none. `latency` is the least for both directions.
    ///
    /// # Errors
    /// The caller has another passphrase, gave up, or the door has stopped.
    pub async fn accept(
        self,
        mut passphrases: Vec<Secret>,
        latency: Duration,
    ) -> Result<Link, NoLink> {
        passphrases.truncate(MAX_PASSPHRASES);
        let (reply, answer) = oneshot::channel();
        let verdict = Verdict::Accept {
            request: self.request,
            passphrases,
            latency,
            slot: self.slot,
            reply,
        };
        if self.verdicts.send(verdict).await.is_err() {
            return Err(NoLink::Stopped);
        }
        Ok(answer.await.map_err(|_| NoLink::Stopped)??)
    }

    /// Turns the caller away.
    pub async fn reject(self, rejection: Rejection) {
        let verdict = Verdict::Reject {
            id: self.request.id,
            rejection,
        };
        // An error means that the socket is closed, which tells the caller as much.
        let _ = self.verdicts.send(verdict).await;
    }
}
