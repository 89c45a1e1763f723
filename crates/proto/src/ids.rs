//! Ids of everything the control plane names.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Number of one live session on this node; public, shown by the control API and in logs.
///
/// It is not a secret: the URL of a WHIP or WHEP session carries an unguessable token instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub u64);

/// Number of one place where media of a participant enters the data plane.
///
/// A source outlives the sessions that feed it, so that viewers stay attached while a publisher
/// reconnects, and it may exist before its first publisher so that viewers can wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
