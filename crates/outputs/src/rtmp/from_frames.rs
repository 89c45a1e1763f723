//! Frames into tags that a player takes.

use std::sync::Arc;

use inver_media::codec::aac::AudioSpecificConfig;
use inver_media::codec::records;
use inver_media::container::flv::amf0::Value;
use inver_media::container::flv::{FourCc, Metadata, Tag, TagWriter, Track};
use inver_media::{Codec, Config, Frame, Kind};
use inver_protocols::rtmp::Capabilities;

use crate::bridge::Bridge;

/// The name that players see beside ours.
const ENCODER: &str = "Inver";

/// What a player does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the room's picture is {0}, and this player does not say that it takes it: use one with \
     Enhanced RTMP, or watch the room by WHEP"
)]
pub(crate) struct Unplayable(pub(crate) Codec);

/// Turns the frames of one publication into tags for one player.
pub(crate) struct FromFrames {
    capabilities: Capabilities,
    writer: TagWriter,
    /// Makes AAC of Opus, where the player takes no Opus.
    bridge: Bridge,
    metadata: Metadata,
    /// What the metadata was told of.
    told: [Option<Arc<Config>>; 2],
}

impl FromFrames {
    /// For a player that said this about itself; the first frame has time zero.
    pub(crate) fn new(capabilities: Capabilities) -> Self {
        Self {
            capabilities,
            writer: TagWriter::new(),
            bridge: Bridge::default(),
            metadata: Metadata {
                encoder: Some(ENCODER.to_owned()),
                ..Metadata::default()
            },
            told: [None, None],
        }
    }

    /// Whether the player takes the picture.
    pub(crate) fn check(&self, codec: Codec) -> Result<(), Unplayable> {
        if codec.kind() == Kind::Audio || self.capabilities.supports(codec) {
            Ok(())
        } else {
            Err(Unplayable(codec))
        }
    }

    /// Takes a frame and appends its tags.
    pub(crate) fn write(&mut self, frame: &Frame, tags: &mut Vec<Tag>) -> Result<(), Unplayable> {
        self.check(frame.codec())?;
        if frame.codec() != Codec::Opus || self.capabilities.supports(Codec::Opus) {
            self.tags(frame, tags);
            return Ok(());
        }
        for frame in self.bridge.push(frame) {
            self.tags(&frame, tags);
        }
        Ok(())
    }

    fn tags(&mut self, frame: &Frame, tags: &mut Vec<Tag>) {
        let track = match frame.codec().kind() {
            Kind::Video => Track::VIDEO,
            Kind::Audio => Track::AUDIO,
        };
        let mut written = match self.writer.write(track, frame) {
            Ok(written) => written,
            Err(error) => return tracing::debug!(%error, "a frame was dropped"),
        };
        let known = match frame.codec().kind() {
            Kind::Video => &mut self.told[0],
            Kind::Audio => &mut self.told[1],
        };
        let new = known
            .as_ref()
            .is_none_or(|known| !Arc::ptr_eq(known, &frame.config) && *known != frame.config);
        if new {
            *known = Some(frame.config.clone());
            describe(&mut self.metadata, &frame.config);
            // At time 0 also where a track begins late: FFmpeg takes later ones for subtitles.
            tags.push(self.writer.metadata(&self.metadata));
        }
        tags.append(&mut written);
    }
}

/// What players that look at metadata need of a configuration.
fn describe(metadata: &mut Metadata, config: &Config) {
    let name = match config.codec() {
        Codec::H264 => Value::Number(7.0),
        Codec::Aac => Value::Number(10.0),
        other => Value::Number(f64::from(u32::from_be_bytes(FourCc::of(other).0))),
    };
    match config.codec().kind() {
        Kind::Video => {
            metadata.video_codec = Some(name);
            (metadata.width, metadata.height) = records::size(config).unzip();
        }
        Kind::Audio => metadata.audio_codec = Some(name),
    }
    match config {
        Config::Aac { asc } => {
            let asc = AudioSpecificConfig::parse(asc).ok();
            metadata.audio_sample_rate = asc.as_ref().map(AudioSpecificConfig::output_rate);
            metadata.audio_channels = asc.as_ref().map(AudioSpecificConfig::output_channels);
        }
        Config::Opus { channels, .. } => {
            metadata.audio_sample_rate = Some(inver_media::audio::RATE);
            metadata.audio_channels = Some(*channels);
        }
        Config::H264 { .. }
        | Config::H265 { .. }
        | Config::Av1 { .. }
        | Config::Vp8
        | Config::Vp9 { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use inver_media::MediaTime;
    use inver_media::audio::OpusEncoder;
    use inver_media::container::flv::TagType;

    use super::*;

    fn frame(config: &Arc<Config>, ms: i64, data: &[u8]) -> Frame {
        let at = MediaTime(ms * 1_000_000);
        Frame {
            config: config.clone(),
            pts: at,
            dts: at,
            keyframe: true,
            data: data.into(),
        }
    }

    fn aac() -> Arc<Config> {
        Arc::new(Config::Aac {
            asc: vec![0x11, 0x90],
        })
    }

    #[test]
    fn metadata_comes_before_what_it_tells_of_and_only_once() {
        let mut frames = FromFrames::new(Capabilities::default());
        let config = aac();
        let mut tags = Vec::new();
        for ms in [1000, 1021] {
            frames
                .write(&frame(&config, ms, &[1, 2]), &mut tags)
                .expect("AAC is always taken");
        }
        let found: Vec<_> = tags
            .iter()
            .map(|tag| (tag.tag_type, tag.timestamp))
            .collect();
        let audio = TagType::Audio;
        assert_eq!(
            found,
            [(TagType::Data, 0), (audio, 0), (audio, 0), (audio, 21)]
        );
        let metadata = Metadata::parse(&tags[0].body)
            .expect("AMF0")
            .expect("metadata");
        assert_eq!(metadata.audio_sample_rate, Some(48_000));
        assert_eq!(metadata.audio_codec, Some(Value::Number(10.0)));
    }

    #[test]
    fn a_picture_that_the_player_does_not_take_is_named() {
        let mut frames = FromFrames::new(Capabilities::default());
        let config = Arc::new(Config::Vp9 { profile: 0 });
        let refused = frames
            .write(&frame(&config, 0, &[0x82]), &mut Vec::new())
            .expect_err("plain RTMP has no VP9");
        assert!(refused.to_string().contains("VP9"), "{refused}");
        let mut enhanced = FromFrames::new(Capabilities::ours());
        let mut tags = Vec::new();
        enhanced
            .write(&frame(&config, 0, &[0x82]), &mut tags)
            .expect("Enhanced RTMP has");
        assert!(tags.iter().any(|tag| tag.body.get(1..5) == Some(b"vp09")));
    }

    #[test]
    fn opus_becomes_aac_unless_the_player_takes_it() {
        let mut encoder = OpusEncoder::new(96_000).expect("a bitrate");
        let silence = vec![0.0; 960];
        let packet =
            inver_media::audio::Encoder::encode(&mut encoder, &silence, &silence).expect("20 ms");
        let config = Arc::new(Config::Opus {
            channels: 2,
            pre_skip: 312,
        });
        let codecs = |capabilities| {
            let mut frames = FromFrames::new(capabilities);
            let mut tags = Vec::new();
            for index in 0..20 {
                frames
                    .write(&frame(&config, index * 20, &packet), &mut tags)
                    .expect("sound is always taken");
            }
            let first_bytes = tags.iter().filter(|tag| tag.tag_type == TagType::Audio);
            first_bytes.map(|tag| tag.body[0]).collect::<Vec<_>>()
        };
        let plain = codecs(Capabilities::default());
        assert!(plain.len() > 10 && plain.iter().all(|first| *first == 0xaf));
        let enhanced = codecs(Capabilities::ours());
        assert!(enhanced.len() > 10 && enhanced.iter().all(|first| first >> 4 == 9));
    }
}
