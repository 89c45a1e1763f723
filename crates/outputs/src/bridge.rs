//! Opus into AAC, for players and targets that take no Opus.

use inver_media::Frame;
use inver_media::audio::{AAC_BITRATE, Error, ToAac};

/// Makes AAC of Opus; begins with the first frame.
#[derive(Default)]
pub(crate) struct Bridge(Option<Box<ToAac>>);

impl std::fmt::Debug for Bridge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Bridge").field(&self.0.is_some()).finish()
    }
}

impl Bridge {
    /// Takes a frame of Opus and gives what it makes.
    pub(crate) fn push(&mut self, frame: &Frame) -> Vec<Frame> {
        if self.0.is_none() {
            match ToAac::new(AAC_BITRATE) {
                Ok(bridge) => self.0 = Some(Box::new(bridge)),
                Err(error) => {
                    tracing::warn!(%error, "Opus does not become AAC");
                    return Vec::new();
                }
            }
        }
        let Some(bridge) = &mut self.0 else {
            return Vec::new();
        };
        match bridge.push(frame) {
            Ok(frames) => frames,
            Err(error) => {
                tracing::debug!(%error, "sound was dropped");
                if matches!(error, Error::Panicked | Error::Ended) {
                    self.0 = None;
                }
                Vec::new()
            }
        }
    }
}
