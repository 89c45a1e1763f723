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
