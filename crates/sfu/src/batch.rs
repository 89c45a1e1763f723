//! Packets that travel through a router together.

use inver_media::{Kind, Packet};
use inver_rtc::Layer;

/// A packet with its place among the tracks of a source.
#[derive(Debug, Clone)]
pub struct Routed {
    /// The track: a source has one of each kind at most.
    pub kind: Kind,
    /// Simulcast layer in the order of the publisher's offer.
    pub layer: Layer,
    /// The packet.
    pub packet: Packet,
}

/// What one publisher sent within a frame or a few milliseconds.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Counts the publisher's sessions: numbers and times of packets continue within one epoch
    /// and begin anew with the next.
    pub epoch: u64,
    /// The packets in order of arrival.
    pub packets: Vec<Routed>,
}

/// Packets of a frame that an encoder split about equally differ by a few bytes. Up to this many
/// are worth sending for nothing, so that all of them leave in one send.
const WORTH_PADDING: usize = 16;

impl Batch {
    /// Bytes of padding that make the packets of each frame equal in size, packet by packet, as
    /// far as few bytes do it. The last packet of a frame may be shorter anyway.
    pub fn paddings(&self, paddings: &mut Vec<u8>) {
        paddings.clear();
        let mut rest = self.packets.as_slice();
        while let Some(first) = rest.first() {
            let same = rest.iter().take_while(|routed| {
                routed.kind == first.kind
                    && routed.layer == first.layer
                    && routed.packet.timestamp == first.packet.timestamp
            });
            let frame = &rest[..same.count()];
            let most = frame.iter().map(|routed| routed.packet.payload.len()).max();
            for (index, routed) in frame.iter().enumerate() {
                let lacks = most.unwrap_or(0) - routed.packet.payload.len();
                let worth = lacks <= WORTH_PADDING && index + 1 < frame.len();
                paddings.push(if worth { lacks as u8 } else { 0 });
            }
            rest = &rest[frame.len()..];
        }
    }
}
