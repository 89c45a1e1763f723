//! Pictures out of order, coded again for viewers over WebRTC on a thread of their own.
//!
//! It begins with the first viewer and ends with the last one; all viewers share it. How many
//! there may be at once is a budget of the node, since each takes up to a core.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use inver_media::video::{Reencoder, Settings};
use inver_media::{Frame, MediaTime};
use inver_shard::FeedSender;
use tokio::sync::OwnedSemaphorePermit;

use super::clock::Clock;
use super::lane::Lane;

/// Pictures that wait for the coder at most: half a second. A coder that is further behind does
/// not keep up, and goes on with the next keyframe.
const WAITING: usize = 32;

/// One source that is coded again.
#[derive(Debug)]
pub(super) struct Recoding {
    pictures: SyncSender<(Frame, Clock)>,
    state: Arc<State>,
    /// The coder fell behind: nothing is given to it before the next keyframe.
    behind: bool,
}

#[derive(Debug, Default)]
struct State {
    failed: AtomicBool,
    why: Mutex<Option<String>>,
}

impl Recoding {
    /// Begins on a thread of its own. `lane` goes on counting packets; pictures up to `sent` have
    /// been sent already. `None`: no thread can be had.
    pub(super) fn begin(
        lane: Lane,
        sent: Option<MediaTime>,
        sender: FeedSender,
        permit: OwnedSemaphorePermit,
    ) -> Option<Self> {
        let (pictures, waiting) = sync_channel(WAITING);
        let state = Arc::new(State::default());
        let coder = Coder {
            lane,
            sent,
            sender,
            state: Arc::clone(&state),
            awaits_keyframe: false,
        };
        std::thread::Builder::new()
            .name("inver-recode".to_owned())
            .spawn(move || {
                coder.run(&waiting);
                drop(permit);
            })
            .ok()?;
        Some(Self {
            pictures,
            state,
            behind: false,
        })
    }

    /// Gives a picture to the coder. Never waits.
    pub(super) fn push(&mut self, frame: &Frame, clock: &Clock) {
        if self.behind && !frame.keyframe {
            return;
        }
        let given = self.pictures.try_send((frame.clone(), clock.clone()));
        self.behind = matches!(given, Err(TrySendError::Full(_)));
    }

    /// Why the coder has given up, if it has.
    pub(super) fn failure(&self) -> Option<String> {
        if !self.state.failed.load(Ordering::Acquire) {
            return None;
        }
        let why = self.state.why.lock();
        why.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Coder {
    lane: Lane,
    sent: Option<MediaTime>,
    sender: FeedSender,
    state: Arc<State>,
    awaits_keyframe: bool,
}

impl Coder {
    fn run(mut self, waiting: &Receiver<(Frame, Clock)>) {
        let mut coder = match Reencoder::new(Settings::default()) {
            Ok(coder) => coder,
            Err(error) => return self.fail(&error),
        };
        // Ends when the feed lets go of its end.
        while let Ok((frame, clock)) = waiting.recv() {
            match coder.push(&frame) {
                Ok(pictures) => {
                    for picture in pictures {
                        self.send(&picture, &clock, &mut coder);
                    }
                }
                Err(error) => return self.fail(&error),
            }
        }
    }

    fn send(&mut self, picture: &Frame, clock: &Clock, coder: &mut Reencoder) {
        if self.sent.is_some_and(|sent| picture.pts <= sent) {
            // Viewers have it; they can go on behind it from a keyframe only.
            self.awaits_keyframe = true;
            coder.request_keyframe();
            return;
        }
        if std::mem::take(&mut self.awaits_keyframe) && !picture.keyframe {
            self.awaits_keyframe = true;
            return;
        }
        self.sent = Some(picture.pts);
        let mut packets = Vec::new();
        let now = Instant::now();
        if let Err(error) = self.lane.cut(picture, false, clock, now, &mut packets) {
            tracing::debug!(%error, "a picture that was coded again was not sent on");
            return;
        }
        if !self.sender.send(packets) {
            tracing::debug!("the data plane is behind; a picture is lost");
        }
    }

    fn fail(&self, error: &inver_media::video::Error) {
        let mut why = self
            .state
            .why
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *why = Some(error.to_string());
        self.state.failed.store(true, Ordering::Release);
    }
}
