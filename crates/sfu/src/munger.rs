//! Renumbers forwarded packets so that a viewer sees one unbroken stream.

use inver_media::codec::{vp8, vp9};
use inver_media::{Codec, Packet};

/// Dropped runs that late packets can still be placed between.
const REMEMBERED_DROPS: usize = 32;

/// Sequence numbers, timestamps and picture ids of one outgoing stream.
///
/// Within one input stream the distance between numbers in and out is constant but for packets
/// that are left out on purpose (temporal layers), each of which closes the gap. Losses on the
/// way here stay gaps, so that a late retransmission finds its place.
#[derive(Debug, Clone)]
pub struct Munger {
    sequence_offset: i64,
    timestamp_offset: i64,
    /// Highest input sequence number forwarded or dropped.
    highest: Option<u64>,
    /// Lowest input sequence number of the present input stream.
    lowest: u64,
    last_sequence: u64,
    last_timestamp: u32,
    /// Input sequence number of each drop, with the offset that held before it.
    drops: Vec<(u64, i64)>,
    picture_id_offset: u16,
    tl0_offset: u8,
    last_picture_id: Option<u16>,
    last_tl0: Option<u8>,
    rewrite: bool,
}

impl Munger {
    /// A stream that begins with these numbers. `sequence` stays below 65536, since a receiver
    /// counts rollovers from zero (RFC 3711, 3.3.1).
    pub fn new(sequence: u16, timestamp: u32) -> Self {
        Self {
            sequence_offset: 0,
            timestamp_offset: 0,
            highest: None,
            lowest: 0,
            last_sequence: u64::from(sequence),
            last_timestamp: timestamp,
            drops: Vec::new(),
            picture_id_offset: 0,
            tl0_offset: 0,
            last_picture_id: None,
            last_tl0: None,
            rewrite: false,
        }
    }

    /// Takes up another input stream with `packet` as its first.
    ///
    /// `advance` is the distance in ticks of the codec's clock from the last packet that was
    /// forwarded to this one.
    pub fn switch(&mut self, packet: &Packet, advance: u32) {
        let began = self.highest.is_some();
        let next = self.last_sequence + u64::from(began);
        self.sequence_offset = next as i64 - packet.sequence as i64;
        self.last_timestamp = self.last_timestamp.wrapping_add(advance);
        self.timestamp_offset = i64::from(self.last_timestamp) - packet.timestamp as i64;
        self.highest = None;
        self.lowest = packet.sequence;
        self.drops.clear();
        if !began {
            return;
        }
        match packet.format.codec {
            Codec::Vp8 => {
                if let Some(d) = vp8::descriptor(&packet.payload) {
                    if let (Some((id, ..)), Some(last)) = (d.picture_id, self.last_picture_id) {
                        self.picture_id_offset = last.wrapping_add(1).wrapping_sub(id) & 0x7fff;
                        self.rewrite = true;
                    }
                    if let (Some((tl0, _)), Some(last)) = (d.tl0, self.last_tl0) {
                        self.tl0_offset = last.wrapping_add(1).wrapping_sub(tl0);
                        self.rewrite = true;
                    }
                }
            }
            Codec::Vp9 => {
                if let (Some((id, ..)), Some(last)) =
                    (vp9::picture_id(&packet.payload), self.last_picture_id)
                {
                    self.picture_id_offset = last.wrapping_add(1).wrapping_sub(id) & 0x7fff;
                    self.rewrite = true;
                }
            }
            Codec::Opus | Codec::Aac | Codec::H264 | Codec::H265 | Codec::Av1 => {}
        }
    }

    /// Leaves a packet of the present input stream out and closes the gap.
    ///
    /// A packet older than one already forwarded cannot be closed over any more; nothing
    /// changes then.
    pub fn drop_packet(&mut self, packet: &Packet) {
        if self
            .highest
            .is_some_and(|highest| packet.sequence <= highest)
            || packet.sequence < self.lowest
        {
            return;
        }
        if self.drops.len() == REMEMBERED_DROPS {
            self.drops.remove(0);
        }
        self.drops.push((packet.sequence, self.sequence_offset));
        self.sequence_offset -= 1;
        self.highest = Some(packet.sequence);
    }

    /// The outgoing sequence number and timestamp; `None` for a packet whose place is gone.
    pub fn number(&mut self, packet: &Packet) -> Option<(u64, u32)> {
        if packet.sequence < self.lowest {
            return None;
        }
        let mut offset = self.sequence_offset;
        if self
            .highest
            .is_some_and(|highest| packet.sequence < highest)
        {
            if self.drops.len() == REMEMBERED_DROPS && packet.sequence < self.drops[0].0 {
                return None;
            }
            if self
                .drops
                .iter()
                .any(|(dropped, _)| *dropped == packet.sequence)
            {
                return None;
            }
            // The first drop after this packet remembers the offset that held here.
            if let Some((_, before)) = self
                .drops
                .iter()
                .find(|(dropped, _)| *dropped > packet.sequence)
            {
                offset = *before;
            }
        } else {
            self.highest = Some(packet.sequence);
        }
        let sequence = u64::try_from(packet.sequence as i64 + offset).ok()?;
        let timestamp = (packet.timestamp as i64 + self.timestamp_offset) as u32;
        if sequence >= self.last_sequence {
            self.last_sequence = sequence;
            self.last_timestamp = timestamp;
        }
        Some((sequence, timestamp))
    }

    /// The payload with picture ids that continue over switches; the same one where no switch
    /// has happened.
    pub fn payload(&mut self, packet: &Packet) -> std::sync::Arc<[u8]> {
        match packet.format.codec {
            Codec::Vp8 => {
                let Some(d) = vp8::descriptor(&packet.payload) else {
                    return packet.payload.clone();
                };
                let id = d
                    .picture_id
                    .map(|(id, ..)| id.wrapping_add(self.picture_id_offset) & 0x7fff);
                let tl0 = d.tl0.map(|(tl0, _)| tl0.wrapping_add(self.tl0_offset));
                self.last_picture_id = id.or(self.last_picture_id);
                self.last_tl0 = tl0.or(self.last_tl0);
                if !self.rewrite {
                    return packet.payload.clone();
                }
                let mut payload = packet.payload.to_vec();
                vp8::rewrite(&mut payload, id.unwrap_or(0), tl0.unwrap_or(0));
                payload.into()
            }
            Codec::Vp9 => {
                let Some((id, ..)) = vp9::picture_id(&packet.payload) else {
                    return packet.payload.clone();
                };
                let id = id.wrapping_add(self.picture_id_offset) & 0x7fff;
                self.last_picture_id = Some(id);
                if !self.rewrite {
                    return packet.payload.clone();
                }
                let mut payload = packet.payload.to_vec();
                vp9::rewrite(&mut payload, id);
                payload.into()
            }
            Codec::Opus | Codec::Aac | Codec::H264 | Codec::H265 | Codec::Av1 => {
                packet.payload.clone()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inver_media::{Extensions, Format};
    use std::time::Instant;

    fn packet(sequence: u64, timestamp: u64) -> Packet {
        #[expect(clippy::disallowed_methods, reason = "a base for virtual time")]
        let arrival = Instant::now();
        Packet {
            payload: vec![
                0x90,
                0xe0,
                0x80 | (sequence >> 8) as u8,
                sequence as u8,
                3,
                0x20,
            ]
            .into(),
            sequence,
            timestamp,
            marker: false,
            arrival,
            format: Format::new(Codec::Vp8),
            info: inver_media::codec::PayloadInfo::default(),
            extensions: Extensions::default(),
            clock: None,
        }
    }

    fn begun() -> Munger {
        let mut munger = Munger::new(1000, 5000);
        munger.switch(&packet(70_000, 900_000), 0);
        munger
    }

    #[test]
    fn numbers_begin_where_told_and_keep_their_distances() {
        let mut munger = begun();
        assert_eq!(munger.number(&packet(70_000, 900_000)), Some((1000, 5000)));
        assert_eq!(munger.number(&packet(70_003, 903_000)), Some((1003, 8000)));
        assert_eq!(
            munger.number(&packet(70_001, 900_000)),
            Some((1001, 5000)),
            "a late packet finds its place"
        );
        assert_eq!(
            munger.number(&packet(69_999, 890_000)),
            None,
            "before the start there is no place"
        );
    }

    #[test]
    fn drops_close_the_gap_and_late_packets_go_between() {
        let mut munger = begun();
        munger.number(&packet(70_000, 0));
        munger.drop_packet(&packet(70_002, 0));
        assert_eq!(munger.number(&packet(70_003, 0)).map(|n| n.0), Some(1002));
        assert_eq!(munger.number(&packet(70_001, 0)).map(|n| n.0), Some(1001));
        assert_eq!(munger.number(&packet(70_002, 0)), None);
        munger.drop_packet(&packet(70_001, 0));
        assert_eq!(
            munger.number(&packet(70_004, 0)).map(|n| n.0),
            Some(1003),
            "a late drop changes nothing"
        );
    }

    #[test]
    fn a_switch_goes_on_in_time_number_and_picture() {
        let mut munger = begun();
        let first = packet(70_000, 900_000);
        munger.number(&first);
        munger.payload(&first);
        let other = packet(12, 44);
        munger.switch(&other, 3000);
        assert_eq!(munger.number(&other), Some((1001, 8000)));
        let before = vp8::descriptor(&first.payload)
            .and_then(|d| d.picture_id)
            .map(|p| p.0)
            .expect("has one");
        let after = vp8::descriptor(&munger.payload(&other))
            .and_then(|d| d.picture_id)
            .map(|p| p.0);
        assert_eq!(after, Some(before + 1));
    }

    #[test]
    fn no_two_packets_ever_get_one_number() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut munger = begun();
        let mut seen = std::collections::HashSet::new();
        let mut order: Vec<u64> = (70_000..71_000).collect();
        for i in 0..order.len() - 4 {
            let j = i + random.usize(0..4);
            order.swap(i, j);
        }
        for sequence in order {
            let packet = packet(sequence, sequence * 100);
            if random.u8(0..4) == 0 {
                munger.drop_packet(&packet);
            } else if let Some((number, _)) = munger.number(&packet) {
                assert!(seen.insert(number), "{number} given twice");
            }
        }
        assert!(seen.len() > 600);
    }
}
