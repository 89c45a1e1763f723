//! Keyframe requests to one layer of a publisher, coalesced.

use std::time::{Duration, Instant};

/// Shortest time between two requests. Less lets a crowd of joiners force keyframe after
/// keyframe on everybody; more lets a joiner wait longer for a picture.
const MIN_INTERVAL: Duration = Duration::from_millis(250);

/// A request that was not answered by then is made again.
const RETRY: Duration = Duration::from_millis(1000);

/// Decides when to ask for a keyframe on one layer.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyframeRequests {
    wanted: bool,
    /// Since when a keyframe has been awaited.
    since: Option<Instant>,
    asked: Option<Instant>,
    answered: bool,
}

impl KeyframeRequests {
    /// Somebody needs a keyframe. `true`: ask now; otherwise [`Self::poll_timeout`] tells when.
    pub fn want(&mut self, now: Instant) -> bool {
        self.wanted = true;
        self.since.get_or_insert(now);
        self.due(now)
    }

    /// How long a wanted keyframe has been awaited.
    pub fn awaited(&self, now: Instant) -> Option<Duration> {
        self.since.map(|since| now.saturating_duration_since(since))
    }

    /// A keyframe began to arrive.
    pub fn arrived(&mut self) {
        self.answered = true;
        self.wanted = false;
        self.since = None;
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let asked = self.asked?;
        self.wanted
            .then(|| asked + if self.answered { MIN_INTERVAL } else { RETRY })
    }

    /// Moves time forward. `true`: ask now.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        self.wanted && self.due(now)
    }

    fn due(&mut self, now: Instant) -> bool {
        let wait = if self.answered { MIN_INTERVAL } else { RETRY };
        if self.asked.is_some_and(|asked| now < asked + wait) {
            return false;
        }
        self.asked = Some(now);
        self.answered = false;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a base for virtual time")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn the_first_joiner_is_served_at_once_and_a_crowd_shares() {
        let now = start();
        let mut requests = KeyframeRequests::default();
        assert!(requests.want(now));
        for ms in 1..50 {
            assert!(
                !requests.want(now + Duration::from_millis(ms)),
                "within the interval"
            );
        }
        requests.arrived();
        assert_eq!(
            requests.poll_timeout(),
            None,
            "the crowd was served by that keyframe"
        );
    }

    #[test]
    fn a_joiner_soon_after_a_keyframe_waits_for_the_interval_only() {
        let now = start();
        let mut requests = KeyframeRequests::default();
        assert!(requests.want(now));
        requests.arrived();
        let soon = now + Duration::from_millis(100);
        assert!(!requests.want(soon));
        assert_eq!(requests.poll_timeout(), Some(now + MIN_INTERVAL));
        assert!(requests.handle_timeout(now + MIN_INTERVAL));
    }

    #[test]
    fn a_lost_request_is_made_again() {
        let now = start();
        let mut requests = KeyframeRequests::default();
        assert!(requests.want(now));
        assert!(!requests.handle_timeout(now + Duration::from_millis(999)));
        assert!(requests.handle_timeout(now + RETRY));
    }
}
