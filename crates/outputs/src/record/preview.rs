//! A picture of a recording, of a keyframe near its beginning.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use inver_media::Frame;
use inver_media::still::{Settings, still};

use super::manifest::Preview;
use super::recorder::Inner;

/// The picture's name in a recording's folder.
const NAME: &str = "preview.jpg";

/// How long after the first keyframe a better picture is looked for: what is shown at first is often
/// black.
const BETTER: Duration = Duration::from_secs(3);

/// Decides of which keyframes of a participant pictures are made: of the first one, so that there is
/// one soon, and of one some seconds later.
#[derive(Debug, Default)]
pub(super) struct Chooser {
    first: Option<Duration>,
    done: bool,
}

impl Chooser {
    /// Whether a picture is made of this frame.
    pub(super) fn wants(&mut self, frame: &Frame, now: Duration) -> bool {
        if self.done || !frame.keyframe {
            return false;
        }
        let Some(first) = self.first else {
            self.first = Some(now);
            return true;
        };
        self.done = now.saturating_sub(first) >= BETTER;
        self.done
    }
}

impl Inner {
    /// Makes a picture of a keyframe the recording's, some time soon.
    pub(super) fn draw(self: &Arc<Self>, id: &str, frame: Arc<Frame>) {
        let (inner, id) = (Arc::clone(self), id.to_owned());
        tokio::spawn(async move {
            // One at a time: a picture takes a core for some tens of milliseconds.
            let Ok(_drawing) = inner.drawing().acquire().await else {
                return;
            };
            let drawing = Arc::clone(&inner);
            let drawn = tokio::task::spawn_blocking(move || drawing.draw_now(&id, &frame)).await;
            if let Err(error) = drawn.map_err(io::Error::other).flatten() {
                tracing::debug!(%error, "no picture of a recording");
            }
        });
    }

    fn draw_now(&self, id: &str, frame: &Frame) -> io::Result<()> {
        let picture = still(frame, &Settings::default()).map_err(io::Error::other)?;
        let folder = self.folder(id);
        let beside = folder.join(format!("{NAME}.new"));
        fs::write(&beside, &picture.jpeg)?;
        fs::rename(&beside, folder.join(NAME))?;
        self.drawn(
            id,
            Preview {
                name: NAME.to_owned(),
                width: picture.width,
                height: picture.height,
                url: None,
            },
        );
        self.save(id)
    }
}

#[cfg(test)]
mod tests {
    use inver_media::{Config, MediaTime};

    use super::*;

    #[test]
    fn the_first_keyframe_and_a_later_one_are_taken() {
        let frame = |keyframe| Frame {
            config: Arc::new(Config::Vp8),
            pts: MediaTime::ZERO,
            dts: MediaTime::ZERO,
            keyframe,
            data: Arc::from([0]),
        };
        let mut chooser = Chooser::default();
        let taken = [
            (0, false),
            (1, true),
            (2, true),
            (3, true),
            (4, false),
            (5, true),
            (9, true),
        ];
        let taken = taken.map(|(at, key)| chooser.wants(&frame(key), Duration::from_secs(at)));
        assert_eq!(taken, [false, true, false, false, false, true, false]);
    }
}
