//! Drives an estimator with chosen feedback, for the fuzz target `estimate`.
//!
//! Beyond the absence of panics it holds: the estimate keeps within its bounds, padding within its
//! account, and nothing is padded where nothing is wanted.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::rate::{CEILING, FLOOR};
use super::{Estimator, MalformedFeedback};

/// More than any probe asks for at once.
const PADDING_MOST: usize = 192_000;

#[expect(
    clippy::disallowed_methods,
    reason = "the one look at the clock that virtual time needs"
)]
fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// Feeds `data` to an estimator. Each round begins with three bytes: milliseconds that pass,
/// packets that leave, and the length of the feedback that follows.
#[doc(hidden)]
pub fn fuzz_estimate(data: &[u8]) {
    let mut now = start();
    let mut estimator = Estimator::new(1_000_000, now);
    let mut rest = data;
    while let Some((&[wait, packets, length], tail)) = rest.split_first_chunk::<3>() {
        now += Duration::from_millis(wait.into());
        for _ in 0..packets {
            estimator.sent(1_200, now);
        }
        let (body, tail) = tail.split_at(usize::from(length).min(tail.len()));
        rest = tail;
        match estimator.feedback(body, now) {
            Ok(()) => assert!(body.len() > 8),
            Err(MalformedFeedback::Header(bytes)) => assert_eq!(bytes, body.len()),
            Err(_) => assert!(body.len() >= 8),
        }
        match wait % 4 {
            0 => estimator.set_wanted(0, u64::from(packets) * 100_000),
            1 => estimator.round_trip(Duration::from_millis(u64::from(length) * 10)),
            2 => estimator.remb(u64::from(packets) * 50_000),
            _ => estimator.set_wanted(1_000_000, 1_000_000),
        }
        estimator.handle_timeout(now);
        let due = estimator.poll_timeout();
        let padding = estimator.padding(now);
        assert!(padding <= PADDING_MOST);
        assert!(padding == 0 || due.is_some_and(|due| due <= now));
        assert!(wait % 4 != 3 || padding == 0);
        assert!((FLOOR..=CEILING).contains(&estimator.bitrate()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_rounds_hold() {
        for seed in 0..10 {
            let mut random = fastrand::Rng::with_seed(seed);
            let data: Vec<u8> = (0..4_000).map(|_| random.u8(..)).collect();
            fuzz_estimate(&data);
        }
    }
}
