//! The index as it changes: files that begin, grow and end, what a crash left behind, what is where.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use inver_proto::{ParticipantId, Timestamp};

use super::super::file;
use super::super::manifest::{
    self, Place, Preview, RecordedFile, Recording, RecordingState, StorageState,
};
use super::super::storage::{Bucket, Next, Queue};
use super::super::writer::Opening;
use super::{Config, Inner, SAVING};

impl Inner {
    pub(super) fn mark_finished(&self, id: &str, at: Timestamp) -> io::Result<()> {
        self.lock().library.change(id, |recording| {
            recording.state = RecordingState::Finished;
            recording.ended_at = Some(at);
        });
        let saved = self.save(id);
        self.finished.notify_waiters();
        saved
    }

    /// Writes the manifest of a recording as it stands; nothing where it is gone.
    pub(in crate::record) fn save(&self, id: &str) -> io::Result<()> {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let lock = usize::try_from(hasher.finish() % SAVING as u64).unwrap_or(0);
        let _saving = self.saving[lock]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let recording = self.recording(id);
        recording.map_or(Ok(()), |recording| {
            manifest::write(&self.folder(id), &recording)
        })
    }

    /// Enters a file that begins; gives its name.
    pub(in crate::record) fn begin_file(
        &self,
        id: &str,
        participant: &ParticipantId,
        opening: &Opening,
    ) -> io::Result<String> {
        let at = self.wall(opening.at);
        let mut name = String::new();
        let changed = self.lock().library.change(id, |recording| {
            recording.begin_at(at);
            let number = recording.files.len() + 1;
            name = format!("{number:04}.{}", opening.container.ending());
            recording.files.push(RecordedFile {
                name: name.clone(),
                participant: participant.clone(),
                codecs: opening.codecs.clone(),
                offset_ms: at.0.saturating_sub(recording.started_at.0),
                duration_ms: 0,
                size_bytes: opening.header.len() as u64,
                gaps: 0,
                finished: false,
                place: Place::Disk,
                url: None,
            });
        });
        changed.ok_or(io::ErrorKind::NotFound)?;
        self.save(id)?;
        Ok(name)
    }

    pub(in crate::record) fn file_grew(
        &self,
        id: &str,
        name: &str,
        len: u64,
        lasts: Duration,
        gaps: u32,
    ) {
        self.change_file(id, name, |file| {
            file.size_bytes = len;
            file.duration_ms = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
            file.gaps = gaps;
        });
    }

    pub(in crate::record) fn file_ended(&self, id: &str, name: &str, len: u64) -> io::Result<()> {
        self.change_file(id, name, |file| {
            file.size_bytes = len;
            file.finished = true;
        });
        let saved = self.save(id);
        self.finished.notify_waiters();
        saved
    }

    pub(in crate::record) fn change_file(
        &self,
        id: &str,
        name: &str,
        change: impl FnOnce(&mut RecordedFile),
    ) {
        self.lock().library.change(id, |recording| {
            if let Some(file) = recording.files.iter_mut().find(|file| file.name == name) {
                change(file);
            }
        });
    }

    /// Notes the picture of a recording.
    pub(in crate::record) fn drawn(&self, id: &str, preview: Preview) {
        self.lock()
            .library
            .change(id, |recording| recording.preview = Some(preview));
    }

    /// Completes a recording that a crash left behind.
    pub(super) fn repair(&self, id: &str) {
        let folder = self.folder(id);
        let files = self.lock().library.get(id).map(|left| left.files.clone());
        for left in files
            .unwrap_or_default()
            .iter()
            .filter(|file| !file.finished)
        {
            match file::repair(&folder.join(&left.name)) {
                Ok(repaired) => {
                    self.change_file(id, &left.name, |file| {
                        file.size_bytes = repaired.len;
                        file.duration_ms = file.duration_ms.max(repaired.lasts_ms);
                        file.finished = repaired.finished;
                    });
                }
                Err(error) => self.warn(id, &format!("{} cannot be repaired: {error}", left.name)),
            }
        }
        let left = self.lock().library.get(id).cloned();
        let Some(left) = left else { return };
        if left.state != RecordingState::Finished {
            let warning = "the server ended while it recorded; what was on disk was kept";
            self.warn(id, warning);
        }
        let ended = left
            .started_at
            .plus(Duration::from_millis(left.duration_ms));
        if let Err(error) = self.mark_finished(id, left.ended_at.unwrap_or(ended)) {
            tracing::warn!(recording = id, %error, "no manifest written");
        }
    }

    /// What is too old or too much.
    pub(in crate::record) fn surplus(&self) -> Vec<String> {
        let Config {
            max_age,
            max_total_size,
            ..
        } = self.config;
        let now = self.now();
        self.lock().library.surplus(now, max_age, max_total_size)
    }

    pub(in crate::record) fn forget_recording(&self, id: &str) {
        self.lock().library.remove(id);
    }

    pub(in crate::record) fn recording(&self, id: &str) -> Option<Recording> {
        self.lock().library.get(id).cloned()
    }

    pub(in crate::record) fn bucket(&self) -> Option<&Bucket> {
        self.config.bucket.as_ref()
    }

    pub(in crate::record) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is uploaded next; `drop`: files go from the disk afterwards.
    pub(in crate::record) fn next_upload(&self, drop: bool) -> Next {
        let state = self.lock();
        self.queue()
            .next(self.elapsed(), state.library.each(), drop)
    }

    /// Waits until something is finished, but not longer than `time`.
    pub(in crate::record) async fn until_finished(&self, time: Duration) {
        let _ = tokio::time::timeout(time, self.finished.notified()).await;
    }

    /// Notes how a recording's way into the storage stands.
    pub(in crate::record) fn stored(&self, id: &str, state: StorageState, trouble: Option<String>) {
        self.lock().library.change(id, |recording| {
            if let Some(storage) = &mut recording.storage {
                storage.state = state;
                // While it is tried again, what went wrong is still to be seen.
                if state != StorageState::Uploading {
                    storage.trouble = trouble;
                }
            }
        });
    }

    /// Leaves alone what lies, or was to lie, in another storage than the one that is set.
    pub(super) fn set_strangers_aside(&self) {
        let mut strangers = Vec::new();
        for recording in self.lock().library.each() {
            if let Some(storage) = &recording.storage
                && !self
                    .bucket()
                    .is_some_and(|bucket| bucket.holds(&storage.location))
            {
                let complete = storage.state == StorageState::Complete;
                strangers.push((recording.id.clone(), complete));
            }
        }
        for (id, complete) in strangers {
            self.queue().set_aside(&id);
            if !complete {
                let why = "the server is not set to this storage in [recording_s3]";
                self.stored(&id, StorageState::Failing, Some(why.to_owned()));
            }
        }
    }
}
