//! Scenarios on virtual time: a sender, a bottleneck, and a receiver that writes feedback.

mod encoder;
mod hostile;
mod link;
mod scenarios;

use std::time::Instant;

/// Where virtual time begins.
#[expect(
    clippy::disallowed_methods,
    reason = "the one look at the clock that virtual time needs"
)]
pub(super) fn start() -> Instant {
    Instant::now()
}
