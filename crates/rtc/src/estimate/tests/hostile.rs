//! Whatever comes as feedback, nothing panics, and the estimate keeps within its bounds.

use std::time::Duration;

use super::super::Estimator;
use super::super::feedback::MalformedFeedback;
use super::super::rate::{CEILING, FLOOR};

#[test]
fn random_bytes_never_panic() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut now = super::start();
        let mut estimator = Estimator::new(1_000_000, now);
        let mut taken = 0;
        for _ in 0..400 {
            now += Duration::from_micros(random.u64(0..40_000));
            let mut newest = 0;
            for _ in 0..random.usize(0..8) {
                newest = estimator.sent(random.usize(0..70_000), now);
            }
            let mut body: Vec<u8> = (0..random.usize(0..120)).map(|_| random.u8(..)).collect();
            if body.len() > 10 && random.bool() {
                // Plausible: near the packets that were sent, few of them, without status 3.
                body[..2].copy_from_slice(&newest.wrapping_sub(random.u16(0..40)).to_be_bytes());
                body[2..4].copy_from_slice(&random.u16(1..60).to_be_bytes());
                body[8] = *random.choice(&[0x20, 0x40, 0xa5, 0x9f]).expect("not empty");
            }
            taken += usize::from(estimator.feedback(&body, now).is_ok());
            estimator.set_wanted(random.u64(..), random.u64(..));
            estimator.remb(random.u64(1_000_000..));
            estimator.round_trip(Duration::from_micros(random.u64(..)));
            estimator.handle_timeout(now);
            let padding = estimator.padding(now);
            assert!(padding <= 192_000, "{padding}");
            assert!((FLOOR..=CEILING).contains(&estimator.bitrate()));
            estimator.poll_timeout();
        }
        assert!(taken > 20, "only {taken} were well formed");
    }
}

#[test]
fn feedback_on_what_was_never_sent_is_nothing() {
    let now = super::start();
    let mut estimator = Estimator::new(1_000_000, now);
    // A run of one arrival, before anything was sent and then of packets that were not.
    let body = [0, 9, 0, 1, 0, 0, 0, 0, 0x20, 1, 4, 0];
    assert_eq!(
        estimator.feedback(&body[..4], now),
        Err(MalformedFeedback::Header(4))
    );
    assert!(estimator.feedback(&body, now).is_ok());
    for _ in 0..5 {
        estimator.sent(1200, now);
    }
    assert!(estimator.feedback(&body, now).is_ok());
    assert_eq!(estimator.bitrate(), 1_000_000);
}
