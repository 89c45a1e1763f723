//! One track on its way to viewers over WebRTC.

use std::time::Instant;

use inver_media::codec::inspect;
use inver_media::payload::{PacketizeError, Packetizer, Payload};
use inver_media::{Codec, Extensions, Frame, Kind, Packet};
use inver_rtc::Layer;
use inver_shard::Routed;

use super::clock::{Clock, Track};
use super::format_of;

/// Bytes of payload in one packet: what is left of 1200 bytes of datagram, which pass everywhere,
/// behind the RTP header, its extensions and the authentication tag.
const PAYLOAD: usize = 1148;

/// One track.
#[derive(Debug)]
pub(super) struct Lane {
    packetizer: Packetizer,
    codec: Codec,
    layer: u8,
    sequence: u64,
    payloads: Vec<Payload>,
}

impl Lane {
    pub(super) fn new(codec: Codec, layer: u8) -> Self {
        Self {
            packetizer: Packetizer::new(codec, PAYLOAD, 0),
            codec,
            layer,
            sequence: 1 << 16,
            payloads: Vec::new(),
        }
    }

    /// The same lane, far enough on in its numbers that what earlier ends of it, `times` so far,
    /// have sent cannot be confused with what follows: a day of packets.
    pub(super) fn onward(mut self, times: u32) -> Self {
        self.sequence += u64::from(times) << 28;
        self
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    /// Appends a frame's packets; `out_of_order`: no viewer may be shown them.
    pub(super) fn cut(
        &mut self,
        frame: &Frame,
        out_of_order: bool,
        clock: &Clock,
        now: Instant,
        packets: &mut Vec<Routed>,
    ) -> Result<(), PacketizeError> {
        self.payloads.clear();
        self.packetizer.packetize(frame, &mut self.payloads)?;
        let rate = self.codec.clock_rate();
        let format = format_of(frame);
        let track = match self.codec.kind() {
            Kind::Audio => Track::Audio,
            Kind::Video => Track::Video(self.layer),
        };
        let timestamp = clock.rtp(track, frame.pts, rate);
        let sender = clock.sender(rate);
        for payload in self.payloads.drain(..) {
            let mut info = inspect(self.codec, &payload.bytes);
            info.reordered |= out_of_order;
            let packet = Packet {
                sequence: self.sequence,
                timestamp,
                marker: payload.marker,
                arrival: now,
                format,
                info,
                extensions: Extensions::default(),
                clock: Some(sender),
                payload: payload.bytes,
            };
            self.sequence += 1;
            packets.push(Routed {
                kind: self.codec.kind(),
                layer: Layer(self.layer),
                packet,
            });
        }
        Ok(())
    }
}
