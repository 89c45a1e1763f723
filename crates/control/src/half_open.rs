//! Counts sessions that are accepted and not connected yet, per address prefix.
//!
//! Each of them holds ICE and DTLS state before its client has proved anything. The counts are
//! bounded by the number of sessions: an entry goes when its count reaches zero.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The part of an address that one customer of a network usually shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Prefix {
    V4([u8; 3]),
    V6([u16; 4]),
}

impl Prefix {
    /// `None` for loopback addresses, which are not limited.
    pub(crate) fn of(address: IpAddr) -> Option<Self> {
        match address.to_canonical() {
            IpAddr::V4(Ipv4Addr::LOCALHOST) | IpAddr::V6(Ipv6Addr::LOCALHOST) => None,
            IpAddr::V4(address) if address.is_loopback() => None,
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                Some(Self::V4([a, b, c]))
            }
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Some(Self::V6([a, b, c, d]))
            }
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct HalfOpen {
    total: usize,
    by_prefix: HashMap<Prefix, usize>,
}

impl HalfOpen {
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    pub(crate) fn of(&self, prefix: Option<Prefix>) -> usize {
        prefix
            .and_then(|prefix| self.by_prefix.get(&prefix))
            .copied()
            .unwrap_or(0)
    }

    pub(crate) fn add(&mut self, prefix: Option<Prefix>) {
        self.total += 1;
        if let Some(prefix) = prefix {
            *self.by_prefix.entry(prefix).or_default() += 1;
        }
    }

    pub(crate) fn remove(&mut self, prefix: Option<Prefix>) {
        self.total = self.total.saturating_sub(1);
        let Some(prefix) = prefix else { return };
        if let Some(count) = self.by_prefix.get_mut(&prefix) {
            *count -= 1;
            if *count == 0 {
                self.by_prefix.remove(&prefix);
            }
        }
    }
}
