//! Token buckets by client address prefix and by bearer token, in bounded memory.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Most buckets kept at one time: 64 bytes each. More would let a large botnet cost more memory,
/// fewer would make strangers share the bucket for the rest sooner.
const MAX_BUCKETS: usize = 65_536;

/// Least time between two searches for full buckets. Shorter finds room sooner, longer spends
/// less time under the lock while a flood fills the table.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How many requests that change something are let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests per second in the long run; at least 1.
    pub per_second: u32,
    /// Requests at once.
    pub burst: u32,
}

/// Whose requests a bucket counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    /// An IPv4 address, or the /64 prefix of an IPv6 one: one subscriber usually has all of it.
    Prefix(IpAddr),
    /// A bearer token, by a hash that only this process knows.
    Token(u64),
    /// Everybody for whom there is no bucket left.
    Rest,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn refill(&mut self, rate: Rate, now: Instant) {
        let gained = now.saturating_duration_since(self.at).as_secs_f64()
            * f64::from(rate.per_second.max(1));
        self.tokens = (self.tokens + gained).min(f64::from(rate.burst.max(1)));
        self.at = now;
    }
}

/// All buckets. A full bucket is the same as none, so full ones are what is dropped for room.
#[derive(Debug)]
pub(crate) struct Limiter {
    address: Rate,
    token: Rate,
    hasher: RandomState,
    buckets: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    by_key: HashMap<Key, Bucket>,
    swept_at: Option<Instant>,
}

impl Limiter {
    pub(crate) fn new(address: Rate, token: Rate) -> Self {
        Self {
            address,
            token,
            hasher: RandomState::new(),
            buckets: Mutex::new(Buckets::default()),
        }
    }

    /// Takes `cost` from the client's buckets, or tells how long until there would be enough.
    pub(crate) fn take(
        &self,
        address: Option<IpAddr>,
        token: Option<&str>,
        cost: u32,
        now: Instant,
    ) -> Result<(), Duration> {
        let token = token.map(|token| Key::Token(self.hasher.hash_one(token)));
        let keys = [
            address.map(|address| (Key::Prefix(prefix(address)), self.address)),
            token.map(|token| (token, self.token)),
        ];
        let mut buckets = self
            .buckets
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for (key, rate) in keys.into_iter().flatten() {
            let key = self.place(&mut buckets, key, now);
            let bucket = buckets.by_key.entry(key).or_insert(Bucket {
                tokens: f64::from(rate.burst.max(1)),
                at: now,
            });
            bucket.refill(rate, now);
            if bucket.tokens < 1.0 {
                let missing = 1.0 - bucket.tokens;
                return Err(Duration::from_secs_f64(
                    missing / f64::from(rate.per_second.max(1)),
                ));
            }
            // May go below zero: a costly request is let through once and paid for afterwards.
            bucket.tokens -= f64::from(cost);
        }
        Ok(())
    }

    /// The key itself where it has a bucket or there is room for one, else the shared one.
    fn place(&self, buckets: &mut Buckets, key: Key, now: Instant) -> Key {
        if buckets.by_key.contains_key(&key) || buckets.by_key.len() < MAX_BUCKETS {
            return key;
        }
        let swept_lately = buckets
            .swept_at
            .is_some_and(|at| now.saturating_duration_since(at) < SWEEP_INTERVAL);
        if swept_lately {
            return Key::Rest;
        }
        buckets.swept_at = Some(now);
        let (address, token) = (self.address, self.token);
        buckets.by_key.retain(|key, bucket| {
            let rate = match key {
                Key::Prefix(_) | Key::Rest => address,
                Key::Token(_) => token,
            };
            bucket.refill(rate, now);
            bucket.tokens < f64::from(rate.burst.max(1))
        });
        if buckets.by_key.len() < MAX_BUCKETS {
            key
        } else {
            Key::Rest
        }
    }
}

/// What one subscriber is taken to own.
fn prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let bits = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(bits))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_second: 2,
        burst: 3,
    };

    fn v6(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let limiter = Limiter::new(RATE, RATE);
        let now = Instant::now();
        let home = v6("192.0.2.1");
        for _ in 0..3 {
            assert_eq!(limiter.take(home, None, 1, now), Ok(()));
        }
        let wait = limiter
            .take(home, None, 1, now)
            .expect_err("the bucket is empty");
        assert_eq!(wait, Duration::from_millis(500));
        assert_eq!(limiter.take(v6("192.0.2.2"), None, 1, now), Ok(()));
        assert_eq!(limiter.take(home, None, 1, now + wait), Ok(()));
    }

    #[test]
    fn an_ipv6_subscriber_has_one_bucket_for_the_prefix() {
        let limiter = Limiter::new(RATE, RATE);
        let now = Instant::now();
        for host in ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:0:0:1"] {
            assert_eq!(limiter.take(v6(host), None, 1, now), Ok(()));
        }
        assert!(limiter.take(v6("2001:db8::9"), None, 1, now).is_err());
        assert!(limiter.take(v6("2001:db8:0:1::9"), None, 1, now).is_ok());
    }

    #[test]
    fn a_token_is_limited_wherever_it_comes_from() {
        let limiter = Limiter::new(RATE, RATE);
        let now = Instant::now();
        for n in 0..3 {
            let from = v6(&format!("192.0.2.{n}"));
            assert_eq!(limiter.take(from, Some("t"), 1, now), Ok(()));
        }
        assert!(limiter.take(v6("192.0.2.9"), Some("t"), 1, now).is_err());
        assert!(limiter.take(v6("192.0.2.9"), Some("u"), 1, now).is_ok());
    }

    #[test]
    fn memory_is_bounded_and_strangers_share_what_is_left() {
        let limiter = Limiter::new(RATE, RATE);
        let now = Instant::now();
        for n in 0..u32::try_from(MAX_BUCKETS).expect("fits") + 10 {
            let from = Some(IpAddr::V4((n + 1).into()));
            let _ = limiter.take(from, None, 1, now);
        }
        let len = |limiter: &Limiter| limiter.buckets.lock().expect("no panic").by_key.len();
        assert_eq!(len(&limiter), MAX_BUCKETS + 1);
        // Once all have refilled, the next newcomer makes room for itself.
        let later = now + Duration::from_secs(60);
        assert_eq!(limiter.take(v6("2001:db8::1"), None, 1, later), Ok(()));
        assert_eq!(len(&limiter), 1);
    }
}
