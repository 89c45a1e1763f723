//! How many connections there may be, in all and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// How many connections a door takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In all. More cost memory: some 40 kB each while idle.
    pub connections: usize,
    /// From one IPv4 address or one IPv6 network of 64 bits. Fewer would turn away venues behind
    /// one address; more let one address take a larger share.
    pub per_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1000,
            per_address: 250,
        }
    }
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// [`Limits::connections`].
    #[error("this door has no place for another connection")]
    Connections,
    /// [`Limits::per_address`].
    #[error("this address has no place for another connection")]
    Address,
}

/// Counts the connections of one door. Clones count together.
#[derive(Debug, Clone)]
pub struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: Limits,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The place of one connection; free again when dropped.
#[derive(Debug)]
pub struct Slot {
    places: Arc<Inner>,
    address: IpAddr,
}

impl Places {
    /// None is taken.
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Inner {
            limits,
            taken: Mutex::default(),
        }))
    }

    /// Takes a place.
    ///
    /// # Errors
    /// Says which limit is reached.
    pub fn take(&self, address: IpAddr) -> Result<Slot, Limit> {
        let address = network(address);
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.0.limits.connections {
            return Err(Limit::Connections);
        }
        let of_address = taken.by_address.get(&address).copied().unwrap_or(0);
        if of_address >= self.0.limits.per_address {
            return Err(Limit::Address);
        }
        taken.by_address.insert(address, of_address + 1);
        taken.all += 1;
        drop(taken);
        Ok(Slot {
            places: self.0.clone(),
            address,
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let taken = &self.places.taken;
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        if let Some(count) = taken.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

/// What counts as one address: of IPv6 whoever has one has a network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => {
            let bits = u128::from(six) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(bits))
        }
        four @ IpAddr::V4(_) => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places::new(Limits {
            connections: 3,
            per_address: 2,
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_takes_no_more_than_its_share() {
        let places = places();
        let first = places.take(ip("192.0.2.1")).expect("a place");
        let _second = places.take(ip("::ffff:192.0.2.1")).expect("a place");
        let third = places.take(ip("192.0.2.1"));
        assert_eq!(third.err(), Some(Limit::Address));
        drop(first);
        let _again = places
            .take(ip("192.0.2.1"))
            .expect("the place is free again");
    }

    #[test]
    fn all_together_take_no_more_than_there_is() {
        let places = places();
        let _one = places.take(ip("2001:db8::1")).expect("a place");
        let _two = places.take(ip("2001:db8::2:3")).expect("a place");
        let same_network = places.take(ip("2001:db8::ffff"));
        assert_eq!(same_network.err(), Some(Limit::Address));
        let _three = places.take(ip("192.0.2.1")).expect("a place");
        let fourth = places.take(ip("192.0.2.2"));
        assert_eq!(fourth.err(), Some(Limit::Connections));
    }
}
