//! A picture in the publisher's place, with silence.

use std::path::PathBuf;

use inver_media::video::Slate;
use inver_media::{Codec, MediaTime};
use inver_node::{Encoder, RestreamNews};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use super::Task;
use crate::pull::within;

/// Pictures that are read at once.
static MAKING: Semaphore = Semaphore::const_new(1);

/// Largest file that is read.
const MOST_BYTES: u64 = 32 << 20;

impl Task {
    /// Shows a picture; gives why that ended.
    pub(super) async fn picture(&self, path: &str, since: &mut Option<Instant>) -> String {
        let Some(folder) = self.handle.files_dir() else {
            return "this server has no folder for such files (restream.files_dir)".to_owned();
        };
        let found = match within(&folder, path).await {
            Ok(found) => found,
            Err(reason) => return reason,
        };
        // As the publisher's was, so that players need not change how they decode it.
        let sound = self.handle.former_sound(&self.wanted.room);
        // A large picture takes much memory while it is read, and many rooms can lose their
        // publishers at once.
        let Ok(turn) = MAKING.acquire().await else {
            return "the server stops".to_owned();
        };
        let making = tokio::task::spawn_blocking(move || make(found, sound)).await;
        drop(turn);
        let slate = match making {
            Ok(Ok(slate)) => slate,
            Ok(Err(reason)) => return format!("{path}: {reason}"),
            Err(_) => return format!("{path}: the picture cannot be read"),
        };
        let mut feed = match self.handle.publish_fallback(&self.wanted.room).await {
            Ok(feed) => feed,
            Err(refusal) => return refusal.detail,
        };
        feed.tell(Encoder {
            name: Some(self.wanted.source.shown()),
            ..Encoder::default()
        });
        *since = Some(Instant::now());
        self.tell(RestreamNews::Live);
        let begun = Instant::now();
        let due = |at: MediaTime| begun + at.since(MediaTime::ZERO);
        let (mut pictures, mut sounds) = (0, 0);
        loop {
            let (picture, sound) = (slate.picture(pictures), slate.sound(sounds));
            tokio::select! {
                biased;
                cause = feed.closed() => return format!("the room ended it ({cause:?})"),
                () = sleep_until(due(picture.dts.min(sound.dts))) => {}
            }
            if picture.dts <= sound.dts {
                feed.video(0, &picture);
                pictures += 1;
            } else {
                feed.audio(&sound);
                sounds += 1;
            }
        }
    }
}

/// Reads the file and makes a slate of it.
fn make(path: PathBuf, sound: Codec) -> Result<Slate, String> {
    let bytes = std::fs::metadata(&path).map(|found| found.len());
    let bytes = bytes.map_err(|error| format!("the file cannot be read: {error}"))?;
    if bytes > MOST_BYTES {
        return Err(format!("the file is larger than {} MiB", MOST_BYTES >> 20));
    }
    let file = std::fs::read(&path).map_err(|error| format!("the file cannot be read: {error}"))?;
    Slate::new(&file, sound).map_err(|error| error.to_string())
}
