//! What was sent and may have to be sent again.

use std::sync::Arc;
use std::time::{Duration, Instant};

/// Packets kept at first; doubled while younger ones than [`KEEP`] would be overwritten.
const FIRST: usize = 256;

/// Packets kept at most: a second of 40 Mbit/s. An entry takes 48 bytes; the payloads are shared
/// by all viewers.
const MOST: usize = 4096;

/// A packet this young must not be overwritten by a newer one. Longer helps only round trips that
/// interactive video does not survive.
const KEEP: Duration = Duration::from_secs(1);

/// Older packets are not worth sending again: their picture is past.
const TOO_OLD: Duration = Duration::from_secs(2);

/// One sent packet.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) sequence: u64,
    pub(crate) payload: Arc<[u8]>,
    pub(crate) timestamp: u32,
    /// Marker bit and payload type as in the header.
    pub(crate) marker_and_type: u8,
    pub(crate) padding: u8,
    pub(crate) rotation: Option<u8>,
    pub(crate) at: Instant,
}

/// The latest packets of one stream by sequence number.
#[derive(Debug, Default)]
pub(crate) struct History {
    entries: Vec<Option<Sent>>,
    latest: Option<u64>,
}

impl History {
    /// Keeps a packet.
    pub(crate) fn add(&mut self, sent: Sent) {
        if self.entries.is_empty() {
            self.entries.resize(FIRST, None);
        }
        let crowded = self.slot(sent.sequence).is_some_and(|old| {
            old.sequence != sent.sequence && sent.at.saturating_duration_since(old.at) < KEEP
        });
        if crowded && self.entries.len() < MOST {
            self.grow();
        }
        self.latest = self.latest.max(Some(sent.sequence));
        let index = self.index(sent.sequence);
        self.entries[index] = Some(sent);
    }

    /// The packet with these 16 bits of sequence number, if it is worth sending again.
    pub(crate) fn find(&self, sequence: u16, now: Instant) -> Option<&Sent> {
        let latest = self.latest?;
        let behind = (latest as u16).wrapping_sub(sequence);
        let sequence = latest.checked_sub(u64::from(behind))?;
        self.slot(sequence).filter(|sent| {
            sent.sequence == sequence && now.saturating_duration_since(sent.at) < TOO_OLD
        })
    }

    /// The latest packet.
    pub(crate) fn latest(&self) -> Option<&Sent> {
        self.slot(self.latest?)
    }

    fn index(&self, sequence: u64) -> usize {
        // Lengths are powers of two.
        sequence as usize & (self.entries.len() - 1)
    }

    fn slot(&self, sequence: u64) -> Option<&Sent> {
        self.entries.get(self.index(sequence))?.as_ref()
    }

    fn grow(&mut self) {
        let larger = vec![None; self.entries.len() * 2];
        for sent in std::mem::replace(&mut self.entries, larger)
            .into_iter()
            .flatten()
        {
            let index = self.index(sent.sequence);
            self.entries[index] = Some(sent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(sequence: u64, at: Instant) -> Sent {
        Sent {
            sequence,
            payload: vec![sequence as u8].into(),
            timestamp: 0,
            marker_and_type: 96,
            padding: 0,
            rotation: None,
            at,
        }
    }

    #[test]
    fn packets_are_found_over_wraps_while_they_are_young() {
        #[expect(clippy::disallowed_methods, reason = "a base for virtual time")]
        let start = Instant::now();
        let mut history = History::default();
        assert!(history.find(0, start).is_none());
        let mut now = start;
        for sequence in 65_000..66_000_u64 {
            history.add(sent(sequence, now));
            now += Duration::from_millis(1);
        }
        assert_eq!(history.entries.len(), 1024, "a second of packets is kept");
        let found = history.find(65_999_u64 as u16, now).expect("the latest");
        assert_eq!(found.sequence, 65_999);
        assert_eq!(
            history.find(65_530, now).expect("before the wrap").sequence,
            65_530
        );
        assert!(history.find(1000, now).is_none(), "was never sent");
        assert!(history.find(65_530, now + TOO_OLD).is_none());
    }

    #[test]
    fn memory_is_bounded_and_a_number_means_one_packet() {
        #[expect(clippy::disallowed_methods, reason = "a base for virtual time")]
        let now = Instant::now();
        let mut history = History::default();
        for sequence in 0..20_000 {
            history.add(sent(sequence, now));
        }
        assert_eq!(history.entries.len(), MOST);
        assert!(history.find(19_999 - MOST as u16, now).is_none());
        assert!(history.find(19_999 - MOST as u16 + 1, now).is_some());
    }
}
