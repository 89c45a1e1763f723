//! The current group of pictures of a source whose encoder cannot be asked for a keyframe.

use std::time::{Duration, Instant};

use inver_media::Kind;
use inver_rtc::Layer;

use crate::Batch;
use crate::Routed;

/// Bytes kept of one source at most: ten seconds of 12 Mbit/s. A group that grows beyond it is
/// dropped, and joiners wait for the next keyframe.
const MOST_BYTES: usize = 16 << 20;

/// Age of a group at most. An older one would take a joiner longer to receive than waiting.
const MOST_AGE: Duration = Duration::from_secs(20);

/// Time between the pictures of a group when a joiner gets it: it is shown as fast as a player
/// can, and ends with the picture that is live.
const STEP: Duration = Duration::from_millis(1);

#[derive(Debug, Clone, Default)]
struct Layered {
    packets: Vec<(Routed, Instant)>,
    bytes: usize,
    /// Timestamp of the keyframe that it begins with.
    begins: Option<u64>,
}

/// The packets of each layer since its last keyframe.
#[derive(Debug, Clone, Default)]
pub struct GroupCache {
    layers: Vec<Layered>,
}

/// A cached packet's place when a joiner gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// How much earlier than the group's last picture this one is to be shown.
    pub before_last: Duration,
}

impl GroupCache {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes the video packets of a batch with the moments that they stand for.
    pub fn observe(&mut self, batch: &Batch, moments: &[Instant]) {
        for (routed, moment) in batch.packets.iter().zip(moments) {
            if routed.kind == Kind::Video {
                self.add(routed, *moment);
            }
        }
    }

    fn add(&mut self, routed: &Routed, moment: Instant) {
        let index = usize::from(routed.layer.0);
        if self.layers.len() <= index {
            self.layers.resize_with(index + 1, Layered::default);
        }
        let layer = &mut self.layers[index];
        let packet = &routed.packet;
        if packet.info.keyframe_start && layer.begins != Some(packet.timestamp) {
            layer.packets.clear();
            layer.bytes = 0;
            layer.begins = Some(packet.timestamp);
        }
        if layer.begins.is_none() {
            return;
        }
        let age = layer.packets.first().map_or(Duration::ZERO, |(_, first)| {
            moment.saturating_duration_since(*first)
        });
        layer.bytes += packet.payload.len();
        if layer.bytes > MOST_BYTES || age > MOST_AGE {
            *layer = Layered::default();
            return;
        }
        layer.packets.push((routed.clone(), moment));
    }

    /// The packets of a layer from its keyframe on, each with its place and with its moment.
    pub fn packets(&self, layer: Layer) -> impl Iterator<Item = (&Routed, Place, Instant)> {
        let cached = self.layers.get(usize::from(layer.0));
        let packets = cached.map_or(&[][..], |layer| layer.packets.as_slice());
        let pictures = packets
            .chunk_by(|a, b| a.0.packet.timestamp == b.0.packet.timestamp)
            .count();
        let mut picture = 0;
        let mut timestamp = packets.first().map(|(routed, _)| routed.packet.timestamp);
        let last = packets.last().map(|(_, moment)| *moment);
        packets.iter().map(move |(routed, moment)| {
            if timestamp != Some(routed.packet.timestamp) {
                timestamp = Some(routed.packet.timestamp);
                picture += 1;
            }
            let behind = u32::try_from(pictures - 1 - picture).unwrap_or(u32::MAX);
            let place = Place {
                before_last: STEP * behind,
            };
            let shown = last.unwrap_or(*moment);
            (
                routed,
                place,
                shown.checked_sub(place.before_last).unwrap_or(shown),
            )
        })
    }

    /// Timestamp of the latest picture of a layer.
    pub fn last_timestamp(&self, layer: Layer) -> Option<u64> {
        let cached = self.layers.get(usize::from(layer.0))?;
        Some(cached.packets.last()?.0.packet.timestamp)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.layers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inver_media::codec::PayloadInfo;
    use inver_media::{Codec, Extensions, Format, Packet};

    fn routed(timestamp: u64, keyframe_start: bool, bytes: usize, at: Instant) -> Routed {
        Routed {
            kind: Kind::Video,
            layer: Layer(0),
            packet: Packet {
                payload: vec![0; bytes].into(),
                sequence: timestamp,
                timestamp,
                marker: true,
                arrival: at,
                format: Format::new(Codec::H264),
                info: PayloadInfo {
                    keyframe_start,
                    frame_start: true,
                    ..PayloadInfo::default()
                },
                extensions: Extensions::default(),
                clock: None,
            },
        }
    }

    fn add(cache: &mut GroupCache, routed: Routed) {
        let moment = routed.packet.arrival;
        let batch = Batch {
            epoch: 1,
            packets: vec![routed],
        };
        cache.observe(&batch, &[moment]);
    }

    #[test]
    fn a_group_begins_with_its_keyframe_and_ends_live() {
        #[expect(clippy::disallowed_methods, reason = "a base for virtual time")]
        let start = Instant::now();
        let mut cache = GroupCache::new();
        let frame = Duration::from_millis(33);
        for picture in 0..10_u32 {
            let at = start + frame * picture;
            add(
                &mut cache,
                routed(u64::from(picture) * 3000, picture == 4, 100, at),
            );
        }
        let packets: Vec<_> = cache.packets(Layer(0)).collect();
        assert_eq!(packets.len(), 6, "nothing from before the keyframe");
        assert!(packets[0].0.packet.info.keyframe_start);
        assert_eq!(packets[0].1.before_last, Duration::from_millis(5));
        assert_eq!(packets[5].1.before_last, Duration::ZERO);
        assert_eq!(packets[5].2, start + frame * 9);
        assert_eq!(packets[0].2, start + frame * 9 - Duration::from_millis(5));
        assert_eq!(cache.last_timestamp(Layer(0)), Some(27_000));
        assert_eq!(cache.packets(Layer(1)).count(), 0);
    }

    #[test]
    fn memory_and_age_are_bounded() {
        #[expect(clippy::disallowed_methods, reason = "a base for virtual time")]
        let start = Instant::now();
        let mut cache = GroupCache::new();
        add(&mut cache, routed(0, true, 1000, start));
        for picture in 1..20_u64 {
            add(&mut cache, routed(picture, false, 1 << 20, start));
        }
        assert_eq!(cache.packets(Layer(0)).count(), 0, "too large");
        add(&mut cache, routed(100, true, 1000, start));
        add(&mut cache, routed(101, false, 1000, start + MOST_AGE * 2));
        assert_eq!(cache.packets(Layer(0)).count(), 0, "too old");
    }
}
