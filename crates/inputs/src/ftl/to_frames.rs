//! RTP packets in order into frames.

use inver_media::payload::{Depacketized, Depacketizer, PayloadPacket};
use inver_media::{Frame, Kind};
use inver_protocols::ftl::{Attributes, Received, SenderReport};

use crate::clock::Clock;

/// Turns the packets of one client into frames.
#[derive(Debug)]
pub(super) struct ToFrames {
    video: Option<Depacketizer>,
    audio: Option<Depacketizer>,
    clock: Clock,
    out: Vec<Depacketized>,
    /// A picture out of order was named in the log.
    reordered: bool,
}

impl ToFrames {
    /// For what a client announced.
    pub(super) fn new(attributes: &Attributes, now: std::time::Instant) -> Self {
        Self {
            video: attributes
                .video
                .map(|stream| Depacketizer::new(stream.codec)),
            audio: attributes
                .audio
                .map(|stream| Depacketizer::new(stream.codec)),
            clock: Clock::new(now),
            out: Vec::new(),
            reordered: false,
        }
    }

    /// Takes what the client says about its clocks.
    pub(super) fn report(&mut self, kind: Kind, report: &SenderReport) {
        self.clock.report(kind, report);
    }

    /// Takes the next packet of a stream and appends the frames that it completes.
    pub(super) fn read(&mut self, kind: Kind, packet: &Received, frames: &mut Vec<Frame>) {
        self.clock.packet(kind, packet.timestamp, packet.arrival);
        let depacketizer = match kind {
            Kind::Video => &mut self.video,
            Kind::Audio => &mut self.audio,
        };
        let Some(depacketizer) = depacketizer else {
            return;
        };
        let payload = PayloadPacket {
            payload: &packet.payload,
            marker: packet.marker,
            timestamp: packet.timestamp,
            gap: packet.gap,
        };
        depacketizer.push(payload, &mut self.out);
        for done in self.out.drain(..) {
            let unit = match done {
                Depacketized::Frame(unit) if unit.decodable => unit,
                Depacketized::Frame(_) => continue,
                Depacketized::Damaged { timestamp } => {
                    tracing::debug!(%kind, timestamp, "a frame is lost");
                    continue;
                }
            };
            if unit.reordered && !self.reordered {
                self.reordered = true;
                tracing::warn!(
                    "the encoder makes B-frames, whose times FTL cannot tell: set B-frames to 0"
                );
            }
            let at = self.clock.time(kind, unit.timestamp);
            frames.push(Frame {
                config: unit.config,
                pts: at,
                dts: at,
                keyframe: unit.keyframe,
                data: unit.data,
            });
        }
    }
}
