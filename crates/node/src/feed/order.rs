//! Whether a track's pictures come in the order in which they are shown.

use inver_media::codec::records;
use inver_media::{Frame, MediaTime};

/// Watches the times and declarations of one video track.
#[derive(Debug, Default)]
pub(super) struct Order {
    latest: Option<MediaTime>,
    reordered: bool,
}

impl Order {
    /// Looks at a picture. `true` where it is the first that shows the track to be out of order.
    pub(super) fn finds(&mut self, frame: &Frame) -> bool {
        let declared = records::reorder_depth(&frame.config).is_some_and(|depth| depth > 0);
        // A keyframe may come with an earlier time where the encoder's clock was set back.
        let seen = !frame.keyframe && self.latest.is_some_and(|latest| frame.pts < latest);
        self.latest = Some(match self.latest {
            Some(latest) if !frame.keyframe => latest.max(frame.pts),
            _ => frame.pts,
        });
        let found = (declared || seen) && !self.reordered;
        self.reordered |= found;
        found
    }

    /// Whether pictures come in another order than they are shown in.
    pub(super) fn is_reordered(&self) -> bool {
        self.reordered
    }
}
