//! What outputs of frames share: one picture and one sound of a room, on one line of time.

use std::sync::Arc;
use std::time::Duration;

use inver_media::{Config, Frame, Kind, Line};
use inver_node::{FrameReader, Read};
use tokio::time::{Instant, timeout_at};

/// How long a player waits for the second kind of media before it gets the first alone. With less,
/// sound that begins late would be missing from what players are told at the start.
const OPENING: Duration = Duration::from_millis(700);

/// The same where a publisher over WebRTC is asked for a keyframe first: some take no requests, and
/// their next one is up to their usual interval away.
const OPENING_WITH_KEYFRAME: Duration = Duration::from_millis(2500);

/// Frames that are held meanwhile: a group of pictures may come at once.
const OPENING_FRAMES: usize = 200;

/// The frames that one player gets: the first layer of the picture, and the sound.
///
/// A player that is too slow loses what waits for it and goes on live, with the next keyframe.
/// Where the publisher comes back or its clock begins anew, times go on.
#[derive(Debug)]
pub(crate) struct Frames {
    reader: FrameReader,
    /// What waits is old: it is dropped up to the present.
    behind: bool,
    awaits_keyframe: bool,
    has_video: bool,
    line: Line,
}

/// What a player begins with.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    /// The frames, in the order in which they came.
    pub(crate) frames: Vec<Arc<Frame>>,
    /// The configuration of the picture, where there is one.
    pub(crate) video: Option<Arc<Config>>,
    /// The configuration of the sound, where there is any.
    pub(crate) audio: Option<Arc<Config>>,
}

impl Frames {
    pub(crate) fn new(reader: FrameReader) -> Self {
        Self {
            reader,
            behind: false,
            awaits_keyframe: false,
            has_video: false,
            line: Line::default(),
        }
    }

    /// The player did not take a frame: it goes on live, with the next keyframe.
    pub(crate) fn skip(&mut self) {
        self.behind = true;
        self.awaits_keyframe = self.has_video;
    }

    /// What there is at the start. Empty where nothing comes.
    pub(crate) async fn opening(&mut self) -> Opening {
        let patience = if self.reader.is_over_webrtc() {
            OPENING_WITH_KEYFRAME
        } else {
            OPENING
        };
        let until = Instant::now() + patience;
        let mut opening = Opening::default();
        while opening.frames.len() < OPENING_FRAMES
            && (opening.video.is_none() || opening.audio.is_none())
            && let Ok(Some(frame)) = timeout_at(until, self.next()).await
        {
            let config = match frame.codec().kind() {
                Kind::Video => &mut opening.video,
                Kind::Audio => &mut opening.audio,
            };
            config.get_or_insert_with(|| frame.config.clone());
            opening.frames.push(frame);
        }
        opening
    }

    /// The next frame; `None` once the session has ended. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Arc<Frame>> {
        loop {
            let read = if self.behind {
                tokio::select! {
                    biased;
                    read = self.reader.next() => Some(read?),
                    () = std::future::ready(()) => None,
                }
            } else {
                Some(self.reader.next().await?)
            };
            let frame = match read {
                None => {
                    self.behind = false;
                    continue;
                }
                Some(Read::Video { layer: 0, frame }) => {
                    self.has_video = true;
                    frame
                }
                Some(Read::Audio(frame)) => frame,
                Some(Read::Video { .. }) => continue,
                Some(Read::Lost) => {
                    self.skip();
                    continue;
                }
                Some(Read::Idle) => {
                    self.line.break_off();
                    continue;
                }
            };
            if self.behind {
                continue;
            }
            if self.awaits_keyframe {
                // Sound without its picture would run ahead of it.
                if frame.codec().kind() == Kind::Audio || !frame.keyframe {
                    continue;
                }
                self.awaits_keyframe = false;
            }
            return Some(self.line.place(frame));
        }
    }
}
