//! Bytes of a source into what the room takes, by the readers that encoders' doors use.

use inver_media::container::flv::TagType;
use inver_media::{Frame, MediaTime};
use inver_node::{Encoder, Feed};
use inver_proto::WarningKind;

use crate::{mpegts, rtmp};

/// What a source gives.
#[derive(Debug)]
pub(super) enum Piece {
    /// A picture of a layer.
    Video(u8, Frame),
    /// Sound.
    Audio(Frame),
    /// What the encoder calls itself.
    Encoder(String),
    /// Something is not carried; for people.
    Warning(String),
    /// It cannot go on so; for people.
    Refuse(String),
}

impl Piece {
    /// When it is decoded, where it has a time.
    pub(super) fn dts(&self) -> Option<MediaTime> {
        match self {
            Self::Video(_, frame) | Self::Audio(frame) => Some(frame.dts),
            Self::Encoder(_) | Self::Warning(_) | Self::Refuse(_) => None,
        }
    }

    /// Hands it to the room.
    ///
    /// # Errors
    /// The source cannot go on so.
    pub(super) fn feed(self, feed: &mut Feed) -> Result<(), String> {
        match self {
            Self::Video(layer, frame) => feed.video(layer, &frame),
            Self::Audio(frame) => feed.audio(&frame),
            // The source's own name stays: it says where the stream comes from.
            Self::Encoder(version) => feed.tell(Encoder {
                version: Some(version),
                ..Encoder::default()
            }),
            Self::Warning(message) => feed.warn(WarningKind::Unsupported, message),
            Self::Refuse(reason) => return Err(reason),
        }
        Ok(())
    }
}

/// Tags of FLV.
#[derive(Debug, Default)]
pub(super) struct Tags {
    frames: rtmp::ToFrames,
    steps: Vec<rtmp::Step>,
}

impl Tags {
    pub(super) fn read(
        &mut self,
        tag_type: TagType,
        timestamp: u32,
        body: &[u8],
        pieces: &mut Vec<Piece>,
    ) {
        self.frames.read(tag_type, timestamp, body, &mut self.steps);
        pieces.extend(self.steps.drain(..).map(|step| match step {
            rtmp::Step::Video { layer, frame } => Piece::Video(layer, frame),
            rtmp::Step::Audio(frame) => Piece::Audio(frame),
            rtmp::Step::Encoder(name) => Piece::Encoder(name),
            rtmp::Step::Drop(message) => Piece::Warning(message),
            rtmp::Step::Refuse(reason) => Piece::Refuse(reason),
        }));
    }
}

/// A transport stream.
#[derive(Debug, Default)]
pub(super) struct Packets {
    frames: mpegts::ToFrames,
    steps: Vec<mpegts::Step>,
}

impl Packets {
    pub(super) fn read(&mut self, bytes: &[u8], pieces: &mut Vec<Piece>) {
        self.frames.read(bytes, &mut self.steps);
        self.drain(pieces);
    }

    pub(super) fn finish(&mut self, pieces: &mut Vec<Piece>) {
        self.frames.finish(&mut self.steps);
        self.drain(pieces);
    }

    fn drain(&mut self, pieces: &mut Vec<Piece>) {
        pieces.extend(self.steps.drain(..).map(|step| match step {
            mpegts::Step::Video(frame) => Piece::Video(0, frame),
            mpegts::Step::Audio(frame) => Piece::Audio(frame),
            mpegts::Step::Warning(message) => Piece::Warning(message),
        }));
    }
}
