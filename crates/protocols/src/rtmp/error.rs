//! What ends a connection.

use std::fmt;

use inver_media::container::flv::amf0;

/// Why a connection ends. Each says what was wrong and, where that helps, what would be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The first byte is none of RTMP.
    #[error("the peer does not speak RTMP: {0}")]
    NotRtmp(&'static str),
    /// A version of RTMP other than 3.
    #[error("RTMP version {0} is not supported: expected 3, unencrypted")]
    Version(u8),
    /// A chunk names a chunk stream for the first time, but leaves out what only a first message
    /// can tell.
    #[error("the first chunk of chunk stream {0} has no full header")]
    NoFirstHeader(u32),
    /// A message begins inside another one on the same chunk stream.
    #[error(
        "a message begins on chunk stream {chunk_stream} where {missing} bytes of another are missing"
    )]
    Interrupted {
        /// The chunk stream.
        chunk_stream: u32,
        /// Bytes that the other one lacks.
        missing: usize,
    },
    /// More chunk streams than are kept.
    #[error("more than {0} chunk streams: encoders use about five")]
    ManyChunkStreams(usize),
    /// A message longer than is allowed at this point.
    #[error(
        "a message of type {message_type} declares {len} bytes: at most {max} are allowed here"
    )]
    LongMessage {
        /// Type of the message.
        message_type: u8,
        /// What it declares.
        len: usize,
        /// What is allowed.
        max: usize,
    },
    /// Messages that have begun but not ended hold too much together.
    #[error("unfinished messages hold more than {0} bytes")]
    ManyUnfinished(usize),
    /// A chunk size outside 1 to 2^31 - 1.
    #[error("chunk size {0} is not allowed: expected 1 to 2147483647")]
    ChunkSize(u32),
    /// A protocol control message that is too short.
    #[error("control message {message_type} has {len} bytes: too few")]
    ShortControl {
        /// Type of the message.
        message_type: u8,
        /// Its length.
        len: usize,
    },
    /// More input than is held back while a decision is pending.
    #[error("more than {0} bytes came before the request was answered")]
    ManyHeld(usize),
    /// A command that is not AMF0.
    #[error("a command cannot be read: {0}")]
    Command(#[from] amf0::Error),
    /// A command where it makes no sense.
    #[error("command {0} came out of order: connect, createStream, then publish or play")]
    Order(&'static str),
    /// The other end's answer makes no sense.
    #[error("the server's answer to {0} holds no usable value")]
    Answer(&'static str),
    /// A step took too long.
    #[error("{0} took too long")]
    Deadline(Stage),
}

/// What a deadline applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The exchange of random bytes at the start.
    Handshake,
    /// From there to a request to publish or to play, or to its answer.
    Request,
    /// Silence, even after a ping.
    Idle,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handshake => "the handshake",
            Self::Request => "the request to publish or play",
            Self::Idle => "a sign of life",
        })
    }
}
