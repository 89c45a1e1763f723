//! Why a service did not answer, or not in a form that is understood.

use std::time::Duration;

use crate::outbound::MAX_ANSWER;

/// No answer that means anything: the service is down, or as good as down.
///
/// Safe to log: it holds no secret and no URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Too slow.
    #[error("no answer within {0:?}")]
    Deadline(Duration),
    /// The name stands for addresses inside the network only.
    #[error(
        "{host} stands for an address inside the network (loopback, private or link local); set \
         allow_private to reach it"
    )]
    Inside {
        /// The name.
        host: String,
    },
    /// No connection, or one that broke.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// A status that is no answer.
    #[error("it answered with status {0}")]
    Status(u16),
    /// A redirect.
    #[error("it answered with a redirect ({0}), and redirects are not followed")]
    Redirected(u16),
    /// An answer that is too long.
    #[error("its answer has more than {MAX_ANSWER} bytes")]
    Oversized,
    /// An answer in another form.
    #[error("its answer is not understood: {0}")]
    Malformed(String),
    /// It does not know us.
    #[error("it grants no access (status {0}); see the client id and secret")]
    NoAccess(u16),
    /// It said that it could not do what it was asked.
    #[error("it answered with an error: {0}")]
    Answered(String),
    /// What was to be sent does not fit.
    #[error("{0}")]
    Unsendable(String),
}
