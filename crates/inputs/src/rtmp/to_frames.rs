//! Tags into frames: which track is which layer, what is refused, what is dropped.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use inver_media::codec::records;
use inver_media::container::flv::{Item, TagReader, TagType, Track};
use inver_media::{Config, Frame, Kind};
use inver_sockets::shown;

/// Tags without sense in a row that end a publication: an encoder whose tags are not FLV at all
/// would be live without anything to see. Fewer might end one over a short fault.
const MAX_SENSELESS: u32 = 100;

/// What a tag means for the room.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// A picture of a layer; 0 is the largest.
    Video { layer: u8, frame: Frame },
    /// Sound.
    Audio(Frame),
    /// The encoder told its name.
    Encoder(String),
    /// A track is dropped; which and why, for people.
    Drop(String),
    /// The publisher cannot go on so; why, for people.
    Refuse(String),
}

/// Turns the tags of one publication into what the room takes.
#[derive(Debug, Default)]
pub(crate) struct ToFrames {
    reader: TagReader,
    layers: Layers,
    /// The track of sound that is taken: the first that has frames.
    audio: Option<u8>,
    /// Tracks that are dropped.
    dropped: BTreeSet<Track>,
    senseless: u32,
}

impl ToFrames {
    /// Takes a tag and appends what it means.
    pub(crate) fn read(
        &mut self,
        tag_type: TagType,
        timestamp: u32,
        body: &[u8],
        steps: &mut Vec<Step>,
    ) {
        let items = match self.reader.read(tag_type, timestamp, body) {
            Ok(items) => items,
            Err(error) => {
                tracing::debug!(%error, "a tag was dropped");
                self.senseless += 1;
                if self.senseless == MAX_SENSELESS {
                    let detail = format!("the stream holds no FLV tags: {error}");
                    steps.push(Step::Refuse(detail));
                }
                return;
            }
        };
        self.senseless = 0;
        for item in items {
            self.item(item, steps);
        }
    }

    fn item(&mut self, item: Item, steps: &mut Vec<Step>) {
        match item {
            Item::Metadata(metadata) => {
                let encoder = metadata.encoder.map(|name| shown(&name));
                steps.extend(encoder.map(Step::Encoder));
            }
            Item::Config { track, config } => {
                if track.kind == Kind::Video {
                    self.layers.config(track.id, &config);
                }
            }
            Item::Frame { track, frame } => match track.kind {
                Kind::Video => {
                    let layer = self.layers.of(track.id);
                    steps.push(Step::Video { layer, frame });
                }
                Kind::Audio if *self.audio.get_or_insert(track.id) == track.id => {
                    steps.push(Step::Audio(frame));
                }
                Kind::Audio => self.drop(track, "a room has one track of sound", steps),
            },
            Item::Ended { track } => tracing::debug!(?track, "a track ended"),
            // The first track is what the publisher wants to be seen or heard.
            Item::Unsupported { track, codec } if track.id == 0 => {
                steps.push(Step::Refuse(codec.to_string()));
            }
            Item::Unsupported { track, codec } => self.drop(track, &codec.to_string(), steps),
            Item::Dropped { track, reason } => {
                tracing::debug!(?track, ?reason, "a part of a tag was dropped");
            }
        }
    }

    fn drop(&mut self, track: Track, reason: &str, steps: &mut Vec<Step>) {
        if self.dropped.insert(track) {
            let (kind, id) = (track.kind, track.id);
            steps.push(Step::Drop(format!(
                "{kind} track {id} is dropped: {reason}"
            )));
        }
    }
}

/// Which layer each track of pictures is: ordered by size, and once given, kept.
#[derive(Debug, Default)]
struct Layers {
    /// Pixels by track, as far as known.
    sizes_by_track: BTreeMap<u8, u64>,
    layers_by_track: BTreeMap<u8, u8>,
}

impl Layers {
    fn config(&mut self, track: u8, config: &Config) {
        let pixels =
            records::size(config).map_or(0, |(width, height)| u64::from(width) * u64::from(height));
        self.sizes_by_track.insert(track, pixels);
    }

    /// The layer of a track. The first picture settles the order of all tracks that are
    /// configured: encoders configure them all before it.
    fn of(&mut self, track: u8) -> u8 {
        if let Some(layer) = self.layers_by_track.get(&track) {
            return *layer;
        }
        self.sizes_by_track.entry(track).or_default();
        let mut new: Vec<(Reverse<u64>, u8)> = self
            .sizes_by_track
            .iter()
            .filter(|(track, _)| !self.layers_by_track.contains_key(track))
            .map(|(track, pixels)| (Reverse(*pixels), *track))
            .collect();
        new.sort_unstable();
        for (_, track) in new {
            // A reader keeps no more tracks than 16.
            let layer = u8::try_from(self.layers_by_track.len()).unwrap_or(u8::MAX);
            self.layers_by_track.insert(track, layer);
        }
        self.layers_by_track.get(&track).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(sizes: &[(u8, u64)]) -> Layers {
        Layers {
            sizes_by_track: sizes.iter().copied().collect(),
            ..Layers::default()
        }
    }

    #[test]
    fn the_largest_picture_is_the_first_layer() {
        let mut layers = layers(&[(0, 640 * 360), (1, 1920 * 1080), (2, 1280 * 720)]);
        assert_eq!([0, 1, 2].map(|track| layers.of(track)), [2, 0, 1]);
    }

    #[test]
    fn a_layer_once_given_stays() {
        let mut layers = layers(&[(0, 640 * 360)]);
        assert_eq!(layers.of(0), 0);
        layers.sizes_by_track.insert(1, 1920 * 1080);
        assert_eq!((layers.of(1), layers.of(0)), (1, 0));
        assert_eq!(layers.of(7), 2);
    }

    #[test]
    fn tracks_of_unknown_size_keep_the_order_of_their_numbers() {
        let mut layers = layers(&[(3, 0), (1, 0)]);
        assert_eq!((layers.of(3), layers.of(1)), (1, 0));
    }

    #[test]
    fn mp3_is_refused_by_name() {
        let mut frames = ToFrames::default();
        let mut steps = Vec::new();
        // MP3 is number 2 of plain FLV.
        frames.read(TagType::Audio, 0, &[0x2f, 0xff, 0xfb], &mut steps);
        let [Step::Refuse(detail)] = steps.as_slice() else {
            panic!("{steps:?}");
        };
        assert!(detail.contains("MP3") && detail.contains("AAC"), "{detail}");
    }

    #[test]
    fn what_is_no_flv_ends_after_a_while() {
        let mut frames = ToFrames::default();
        let mut steps = Vec::new();
        let mut tags = 0;
        while steps.is_empty() && tags < 1000 {
            // Enhanced, without the four characters of a codec.
            frames.read(TagType::Video, 0, &[0x90, 1], &mut steps);
            tags += 1;
        }
        assert_eq!(tags, MAX_SENSELESS);
        assert!(matches!(steps.as_slice(), [Step::Refuse(_)]), "{steps:?}");
    }
}
