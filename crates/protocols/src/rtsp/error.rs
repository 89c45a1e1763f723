//! Why a connection cannot go on.

/// What ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The lines before a body are longer than [`super::MAX_HEAD`].
    #[error("the header is longer than {} bytes", super::MAX_HEAD)]
    HeadTooLong,
    /// A body is longer than [`super::MAX_BODY`].
    #[error("the body is longer than {} bytes", super::MAX_BODY)]
    BodyTooLong,
    /// What came is no RTSP.
    #[error("{0}")]
    Malformed(&'static str),
    /// What came is RTSP of another version, or HTTP.
    #[error("only RTSP/1.0 is spoken here")]
    Version,
    /// Wrong credentials came again and again.
    #[error("too many wrong credentials")]
    TooManyRefusals,
    /// A request did not come, or not whole, in time.
    #[error("the client said nothing in time")]
    TimedOut,
}
