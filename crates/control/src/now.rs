//! Time as an argument.

use std::time::Duration;

use inver_proto::Timestamp;

/// One moment, on the clock that timers use and on the one that people read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Time since the server started; never goes back.
    pub elapsed: Duration,
    /// Time of day.
    pub wall: Timestamp,
}

impl Now {
    /// The moment `later` after this one, on both clocks.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        Self {
            elapsed: self.elapsed + later,
            wall: self.wall.plus(later),
        }
    }
}
