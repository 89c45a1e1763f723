//! What a connection tells, why it ends and why it does not take a payload.

use thiserror::Error;

/// What a connection has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The handshake is done. Comes first, and once.
    Connected,
    /// A payload, in order, at its time.
    Data(Vec<u8>),
    /// So many packets were given up at this place of the stream.
    Dropped {
        /// How many.
        packets: u64,
    },
    /// The connection is over. Comes last, and once.
    Closed(CloseReason),
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CloseReason {
    /// The peer said so; what it had sent was delivered before.
    #[error("the peer closed the connection")]
    PeerShutdown,
    /// The peer has said nothing for five seconds.
    #[error("the peer has said nothing for 5 s")]
    PeerIdle,
    /// [`Connection::close`](super::Connection::close) was called.
    #[error("closed here")]
    Local,
    /// The peer never took a new key, and the old one is used up.
    #[error("the peer does not take a new key and the old one is used up")]
    KeyExhausted,
}

/// Why a payload is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// 8192 packets wait already: the peer or the way to it is too slow.
    #[error("the send buffer is full")]
    QueueFull,
    /// The payload does not fit a datagram.
    #[error("the payload is longer than {limit} bytes")]
    TooLong {
        /// What fits.
        limit: usize,
    },
    /// The connection is over.
    #[error("the connection is closed")]
    Closed,
}
