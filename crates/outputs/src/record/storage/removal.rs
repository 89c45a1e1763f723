//! Recordings that go: by request, for their age, for want of space; from the disk and from the
//! bucket.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::super::manifest::{self, Place, Recording, StorageState};
use super::super::recorder::Inner;
use super::bucket::{Bucket, Failure};

/// Longest wait for an upload to notice that nobody wants it any more.
const LETTING_GO: Duration = Duration::from_secs(10);

/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(50);

/// Longest time for giving up an upload that was begun, which is a favour to the storage.
const GIVING_UP: Duration = Duration::from_secs(5);

/// Why a recording was kept.
#[derive(Debug, thiserror::Error)]
pub(in crate::record) enum Kept {
    /// The disk does not let go of it.
    #[error("the disk keeps it: {0}")]
    Disk(#[from] io::Error),
    /// The storage cannot be asked, so that its files would stay there.
    #[error("its files at {location} cannot be deleted now, so that nothing was: {why}")]
    Storage {
        /// Where they are.
        location: String,
        /// Its words.
        why: String,
    },
    /// It takes longer than anybody waits.
    #[error("it is being deleted, or an upload of it does not end")]
    Busy,
}

impl Inner {
    /// Deletes what is too old or too much.
    pub(in crate::record) async fn clear(self: Arc<Self>) {
        for id in self.surplus() {
            match self.remove(&id).await {
                Ok(()) => tracing::info!(recording = id, "deleted, as retention says"),
                Err(error) => tracing::warn!(recording = id, %error, "cannot be deleted"),
            }
        }
    }

    /// Deletes a finished recording, first in the storage.
    pub(in crate::record) async fn remove(self: &Arc<Self>, id: &str) -> Result<(), Kept> {
        if !self.queue().hold(id) {
            return Err(Kept::Busy);
        }
        let removed = self.remove_held(id).await;
        self.queue().release(id);
        removed
    }

    async fn remove_held(self: &Arc<Self>, id: &str) -> Result<(), Kept> {
        let until = Instant::now() + LETTING_GO;
        while self.queue().is_busy(id) {
            if Instant::now() >= until {
                return Err(Kept::Busy);
            }
            tokio::time::sleep(LOOK).await;
        }
        if let Some(recording) = self.recording(id) {
            self.remove_stored(&recording).await?;
        }
        let folder = self.folder(id);
        let removed = tokio::task::spawn_blocking(move || fs::remove_dir_all(folder)).await;
        match removed.map_err(io::Error::other).flatten() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        self.forget_recording(id);
        Ok(())
    }

    /// Deletes what the storage has of a recording.
    async fn remove_stored(&self, recording: &Recording) -> Result<(), Kept> {
        let Some(storage) = &recording.storage else {
            return Ok(());
        };
        let kept = |why: String| Kept::Storage {
            location: storage.location.clone(),
            why,
        };
        let there = |place| place != Place::Disk;
        let mut stored: Vec<&str> = Vec::new();
        if recording.files.iter().any(|file| there(file.place))
            || storage.state == StorageState::Complete
        {
            // The manifest last: what it names is gone before it is.
            stored.extend(recording.files.iter().map(|file| file.name.as_str()));
            stored.extend(
                recording
                    .preview
                    .iter()
                    .map(|preview| preview.name.as_str()),
            );
            stored.push(manifest::NAME);
        }
        let Some(bucket) = self.bucket() else {
            return match stored.is_empty() {
                true => Ok(()),
                false => Err(kept("no storage is set in [recording_s3]".to_owned())),
            };
        };
        self.give_up(bucket, recording).await;
        for name in stored {
            let deleted = bucket.delete(&storage.location, name).await;
            deleted.map_err(|failure| kept(failure.to_string()))?;
        }
        Ok(())
    }

    async fn give_up(&self, bucket: &Bucket, recording: &Recording) {
        let folder = self.folder(&recording.id);
        for file in &recording.files {
            let path = folder.join(&file.name);
            let given_up = timeout(GIVING_UP, bucket.give_up(&path)).await;
            let given_up = given_up
                .unwrap_or_else(|_| Err(Failure::Storage("the storage does not answer".into())));
            if let Err(failure) = given_up {
                let id = &recording.id;
                tracing::warn!(recording = id, %failure, "parts of an upload stay in the storage");
            }
        }
    }
}
