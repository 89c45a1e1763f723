//! RTP packets in order into frames.

use inver_media::codec::records;
use inver_media::payload::{Depacketized, Depacketizer, PayloadPacket};
use inver_media::{Config, Frame, Kind, MediaTime};
use inver_protocols::ftl::{Attributes, Received, SenderReport};

use crate::clock::Clock;
use crate::order::Order;

/// Turns the packets of one client into frames.
#[derive(Debug)]
pub(super) struct ToFrames {
    video: Option<Depacketizer>,
    audio: Option<Depacketizer>,
    clock: Clock,
    out: Vec<Depacketized>,
    pictures: Pictures,
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
            pictures: Pictures::default(),
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
            let at = self.clock.time(kind, unit.timestamp);
            let decoded = match kind {
                Kind::Video => self.pictures.decoded_at(at, unit.keyframe, &unit.config),
                Kind::Audio => at,
            };
            frames.push(Frame {
                config: unit.config,
                pts: at,
                dts: decoded,
                keyframe: unit.keyframe,
                data: unit.data,
            });
        }
    }
}

/// When pictures are decoded.
#[derive(Debug, Default)]
struct Pictures {
    order: Order,
    /// The latest time of a picture.
    latest: Option<MediaTime>,
    /// They come with the times at which they are shown, and out of their order. FTL's own library
    /// sends decode times in their place, which rise whatever the encoder does.
    out_of_order: bool,
}

impl Pictures {
    fn decoded_at(&mut self, pts: MediaTime, keyframe: bool, config: &Config) -> MediaTime {
        self.out_of_order |= !keyframe && self.latest.is_some_and(|latest| pts < latest);
        self.latest = if keyframe {
            Some(pts)
        } else {
            self.latest.max(Some(pts))
        };
        let depth = if self.out_of_order {
            let declared = records::reorder_depth(config).unwrap_or(0);
            // Two is what encoders use where they do not say.
            usize::try_from(declared).unwrap_or(0).max(2)
        } else {
            0
        };
        self.order.decoded_at(pts, keyframe, depth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(shown: &[i64]) -> Vec<(i64, i64)> {
        let mut pictures = Pictures::default();
        let config = Config::H264 {
            sps: Vec::new(),
            pps: Vec::new(),
        };
        let shown = shown.iter().enumerate();
        shown
            .map(|(index, ms)| {
                let pts = MediaTime(ms * 1_000_000);
                let dts = pictures.decoded_at(pts, index == 0, &config);
                (*ms, dts.0 / 1_000_000)
            })
            .collect()
    }

    #[test]
    fn decode_times_stay_as_they_are() {
        let times = decoded(&[0, 40, 80, 120, 160]);
        assert!(times.iter().all(|(pts, dts)| pts == dts), "{times:?}");
    }

    #[test]
    fn times_of_showing_become_decode_times_that_rise() {
        let times = decoded(&[0, 160, 80, 40, 120, 320, 240, 200, 280, 480, 400, 360, 440]);
        // What came before the first step back is as it was.
        let behind = &times[3..];
        assert!(
            behind.windows(2).all(|two| two[0].1 < two[1].1),
            "{times:?}"
        );
        assert!(times.iter().all(|(pts, dts)| dts <= pts), "{times:?}");
    }
}
