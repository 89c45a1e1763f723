//! One track on its way to viewers over WebRTC.

use std::time::Instant;

use inver_media::codec::{inspect, records};
use inver_media::payload::{PacketizeError, Packetizer, Payload};
use inver_media::{Codec, Extensions, Frame, MediaTime, Packet};
use inver_rtc::Layer;
use inver_shard::Routed;

use super::clock::Clock;
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
    latest: Option<MediaTime>,
    /// Pictures come in another order than they are shown in.
    reordered: bool,
    payloads: Vec<Payload>,
}

impl Lane {
    pub(super) fn new(codec: Codec, layer: u8) -> Self {
        Self {
            packetizer: Packetizer::new(codec, PAYLOAD, 0),
            codec,
            layer,
            sequence: 1 << 16,
            latest: None,
            reordered: false,
            payloads: Vec::new(),
        }
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    /// Looks at a picture's place. `true` where this is the first that is out of order.
    pub(super) fn finds_reordering(&mut self, frame: &Frame) -> bool {
        let declared = records::reorder_depth(&frame.config).is_some_and(|depth| depth > 0);
        let seen = self.latest.is_some_and(|latest| frame.pts < latest);
        // A keyframe may come with an earlier time where the encoder's clock was set back.
        let seen = seen && !frame.keyframe;
        self.latest = Some(frame.pts);
        let found = (declared || seen) && !self.reordered;
        self.reordered |= declared || seen;
        found
    }

    /// Appends a frame's packets.
    pub(super) fn cut(
        &mut self,
        frame: &Frame,
        clock: &Clock,
        now: Instant,
        packets: &mut Vec<Routed>,
    ) -> Result<(), PacketizeError> {
        self.payloads.clear();
        self.packetizer.packetize(frame, &mut self.payloads)?;
        let rate = self.codec.clock_rate();
        let format = format_of(frame);
        let timestamp = clock.rtp(frame.pts, rate);
        let sender = clock.sender(rate);
        for payload in self.payloads.drain(..) {
            let mut info = inspect(self.codec, &payload.bytes);
            info.reordered |= self.reordered;
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
