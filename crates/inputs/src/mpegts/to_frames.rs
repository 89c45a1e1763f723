//! Transport streams into frames: which tracks are taken, what is dropped and named.

use std::collections::BTreeSet;

use inver_media::container::mpegts::{DataKind, Item, Pid, Reader, Track};
use inver_media::{Frame, Kind};
use inver_node::Feed;
use inver_proto::WarningKind;

/// Streams whose loss is named, each once. A stream that changes its tracks forever fills no log.
const MAX_NAMED: usize = 64;

/// What a stream gives the room.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// A picture.
    Video(Frame),
    /// Sound.
    Audio(Frame),
    /// Something is not carried, or wrong with the stream; for people.
    Warning(String),
}

impl Step {
    /// Hands it to the room.
    pub(crate) fn feed(self, feed: &mut Feed) {
        match self {
            Self::Video(frame) => feed.video(0, &frame),
            Self::Audio(frame) => feed.audio(&frame),
            Self::Warning(message) => {
                tracing::warn!("{message}");
                feed.warn(WarningKind::Unsupported, message);
            }
        }
    }
}

/// Turns one transport stream into what the room takes: its first track of pictures and its first
/// of sound. Everything else is named, once.
#[derive(Debug)]
pub(crate) struct ToFrames {
    reader: Reader,
    video: Option<Pid>,
    audio: Option<Pid>,
    /// Pictures up to the next keyframe refer to what never came.
    waits_for_keyframe: bool,
    named: BTreeSet<(Pid, &'static str)>,
}

impl Default for ToFrames {
    fn default() -> Self {
        Self {
            reader: Reader::default(),
            video: None,
            audio: None,
            waits_for_keyframe: true,
            named: BTreeSet::new(),
        }
    }
}

impl ToFrames {
    /// Takes bytes of the stream and appends what they give.
    pub(crate) fn read(&mut self, bytes: &[u8], steps: &mut Vec<Step>) {
        self.reader.push(bytes);
        self.drain(steps);
    }

    /// The stream ended.
    pub(crate) fn finish(&mut self, steps: &mut Vec<Step>) {
        self.reader.finish();
        self.drain(steps);
    }

    fn drain(&mut self, steps: &mut Vec<Step>) {
        while let Some(item) = self.reader.poll() {
            self.item(item, steps);
        }
    }

    fn item(&mut self, item: Item, steps: &mut Vec<Step>) {
        match item {
            Item::Tracks(tracks) => self.choose(&tracks, steps),
            Item::Frame { track, frame } if Some(track) == self.video => {
                if frame.keyframe {
                    self.waits_for_keyframe = false;
                }
                if !self.waits_for_keyframe {
                    steps.push(Step::Video(frame));
                }
            }
            Item::Frame { track, frame } if Some(track) == self.audio => {
                steps.push(Step::Audio(frame));
            }
            Item::Frame { .. } => {}
            Item::Data { pid, kind, .. } => self.name(
                pid,
                match kind {
                    DataKind::Id3 => "ID3",
                    DataKind::Scte35 => "SCTE-35",
                },
                steps,
            ),
            // The reader tells each once.
            Item::Unsupported { pid, name } => {
                steps.push(Step::Warning(format!(
                    "PID {pid} is dropped: {name} is not supported"
                )));
            }
            Item::ProgramSkipped { number } => {
                steps.push(Step::Warning(format!(
                    "program {number} is dropped: another one is read"
                )));
            }
            Item::Lost { pid, reason } => {
                tracing::debug!(?pid, %reason, "frames are lost");
                if pid.is_none() || pid == self.video {
                    self.waits_for_keyframe = true;
                }
            }
            Item::Discontinuity { pid, shift, .. } => {
                tracing::debug!(%pid, shift, "the stream's times jumped");
            }
            Item::Warning(warning) => steps.push(Step::Warning(warning.to_string())),
        }
    }

    /// Chooses the tracks to take: those that were, else the first of each kind.
    fn choose(&mut self, tracks: &[Track], steps: &mut Vec<Step>) {
        let first = |kind, current: Option<Pid>| {
            let pids = || {
                tracks
                    .iter()
                    .filter(move |track| track.codec.kind() == kind)
                    .map(|track| track.pid)
            };
            pids().find(|pid| Some(*pid) == current).or(pids().next())
        };
        let video = first(Kind::Video, self.video);
        self.waits_for_keyframe |= video != self.video;
        self.video = video;
        self.audio = first(Kind::Audio, self.audio);
        for track in tracks {
            if ![self.video, self.audio].contains(&Some(track.pid)) {
                self.name(
                    track.pid,
                    match track.codec.kind() {
                        Kind::Video => "another picture",
                        Kind::Audio => "another sound",
                    },
                    steps,
                );
            }
        }
    }

    fn name(&mut self, pid: Pid, what: &'static str, steps: &mut Vec<Step>) {
        if self.named.len() < MAX_NAMED && self.named.insert((pid, what)) {
            steps.push(Step::Warning(format!(
                "PID {pid} is dropped: it is {what}, and rooms take one picture and one sound"
            )));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use inver_media::container::mpegts::{TrackConfig, Writer};
    use inver_media::{Codec, Config, MediaTime};

    use super::*;

    fn opus() -> Arc<Config> {
        Arc::new(Config::Opus {
            channels: 2,
            pre_skip: 312,
        })
    }

    fn h264() -> Arc<Config> {
        // 640x360, baseline.
        let sps = [
            0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x70, 0x11, 0x00, 0x00, 0x03,
            0x00, 0x01, 0x00, 0x00, 0x03, 0x00, 0x3c, 0x0f, 0x16, 0x2e, 0x48,
        ];
        Arc::new(Config::H264 {
            sps: vec![sps.to_vec()],
            pps: vec![vec![0x68, 0xcb, 0x83, 0xcb, 0x20]],
        })
    }

    fn frame(config: &Arc<Config>, ms: i64, keyframe: bool) -> Frame {
        let at = MediaTime(ms * 1_000_000);
        let data: &[u8] = match config.codec() {
            Codec::H264 if keyframe => &[0, 0, 0, 4, 0x65, 0x88, 0x84, 0x11],
            Codec::H264 => &[0, 0, 0, 4, 0x41, 0x9a, 0x24, 0x11],
            // 20 ms of one frame.
            _ => &[0xfc, 1, 2, 3],
        };
        Frame {
            config: config.clone(),
            pts: at,
            dts: at,
            keyframe,
            data: data.into(),
        }
    }

    /// A stream of one picture and two sounds, in pieces of one frame.
    fn stream(frames: &[(usize, Frame)]) -> Vec<Vec<u8>> {
        let track = |config| TrackConfig {
            config,
            language: None,
        };
        let tracks = [track(h264()), track(opus()), track(opus())];
        let mut writer = Writer::new(&tracks).expect("three tracks");
        let mut pieces = Vec::new();
        for (index, frame) in frames {
            writer.write(*index, frame).expect("fits");
            let mut piece = Vec::new();
            while let Some(bytes) = writer.datagram() {
                piece.extend_from_slice(bytes);
            }
            piece.extend_from_slice(writer.rest().unwrap_or_default());
            pieces.push(piece);
        }
        pieces
    }

    fn kinds(steps: &[Step]) -> String {
        steps
            .iter()
            .map(|step| match step {
                Step::Video(frame) if frame.keyframe => 'K',
                Step::Video(_) => 'v',
                Step::Audio(_) => 'a',
                Step::Warning(_) => '!',
            })
            .collect()
    }

    #[test]
    fn the_first_picture_and_the_first_sound_are_taken() {
        let (video, audio) = (h264(), opus());
        let pieces = stream(&[
            (0, frame(&video, 0, true)),
            (1, frame(&audio, 0, true)),
            (2, frame(&audio, 0, true)),
            (0, frame(&video, 33, false)),
            (1, frame(&audio, 20, true)),
            (2, frame(&audio, 20, true)),
        ]);
        let mut frames = ToFrames::default();
        let mut steps = Vec::new();
        for piece in &pieces {
            frames.read(piece, &mut steps);
        }
        frames.finish(&mut steps);
        let kinds = kinds(&steps);
        // A piece of sound is known to be whole before a picture is, so the kinds come mixed.
        assert_eq!(kinds.replace('a', ""), "!Kv");
        assert_eq!(kinds.matches('a').count(), 2);
    }

    #[test]
    fn pictures_before_a_keyframe_are_dropped_at_the_start_and_after_a_loss() {
        let (video, audio) = (h264(), opus());
        let pieces = stream(&[
            (0, frame(&video, 0, false)),
            (0, frame(&video, 33, true)),
            (0, frame(&video, 66, false)),
            (0, frame(&video, 100, false)),
            (0, frame(&video, 133, false)),
            (1, frame(&audio, 133, true)),
            (0, frame(&video, 166, true)),
            (0, frame(&video, 200, false)),
        ]);
        let mut frames = ToFrames::default();
        let mut steps = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            // The picture at 100 ms is lost.
            if index != 3 {
                frames.read(piece, &mut steps);
            }
        }
        frames.finish(&mut steps);
        assert_eq!(kinds(&steps), "!KvaKv");
    }
}
