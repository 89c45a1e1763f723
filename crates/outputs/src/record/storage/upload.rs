//! The workers that upload.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::super::manifest::{self, Place, Recording, StorageState};
use super::super::recorder::Inner;
use super::bucket::{Bucket, Failure};
use super::queue::{Next, Work};

/// Uploads at once, each with a part in memory. More are faster where many rooms are recorded and
/// the storage is far away.
const WORKERS: usize = 3;

/// Longest sleep of a worker: a finished file may have slipped past it.
const LOOK: Duration = Duration::from_secs(5);

impl Inner {
    /// Uploads finished files from now on, until `stop`.
    pub(in crate::record) fn start_uploads(self: &Arc<Self>, stop: &watch::Receiver<bool>) {
        let Some(bucket) = self.bucket() else { return };
        for _ in 0..WORKERS {
            let worker = work(Arc::clone(self), bucket.clone(), stop.clone());
            tokio::spawn(worker);
        }
    }
}

async fn work(inner: Arc<Inner>, bucket: Bucket, mut stop: watch::Receiver<bool>) {
    loop {
        let next = inner.next_upload(bucket.delete_local);
        let doing = async {
            match next {
                Next::Work(work) => perform(&inner, &bucket, work).await,
                Next::Wait(time) => inner.until_finished(time.min(LOOK)).await,
                Next::Idle => inner.until_finished(LOOK).await,
            }
        };
        tokio::select! {
            // What was begun is resumed at the next start.
            _ = stop.wait_for(|stop| *stop) => return,
            () = doing => {}
        }
    }
}

async fn perform(inner: &Arc<Inner>, bucket: &Bucket, work: Work) {
    let (Work::File { id, .. } | Work::Manifest { id }) = &work;
    let Some(recording) = inner.recording(id) else {
        inner.queue().stopped(id);
        return;
    };
    let Some(location) = recording.storage.as_ref().map(|at| at.location.clone()) else {
        inner.queue().set_aside(id);
        return;
    };
    inner.stored(id, StorageState::Uploading, None);
    let done = match &work {
        Work::File { id, name } => upload(inner, bucket, id, name, &location).await,
        Work::Manifest { .. } => complete(inner, bucket, &recording, &location).await,
    };
    match done {
        Ok(()) => inner.queue().done(id),
        Err(Failure::Stopped) => {
            inner.stored(id, StorageState::Waiting, None);
            inner.queue().stopped(id);
        }
        Err(Failure::Disk(error)) if !is_for_good(&error) => {
            let why = format!("tried again: the disk says: {error}");
            tracing::warn!(recording = id, %error, "an upload failed");
            inner.stored(id, StorageState::Failing, Some(why));
            inner.queue().failed(id, inner.elapsed());
        }
        Err(failure @ Failure::Disk(_)) => {
            let why = format!("it cannot be uploaded, the disk says: {failure}");
            tracing::error!(recording = id, %failure, "a recording cannot be uploaded");
            inner.stored(id, StorageState::Failing, Some(why));
            inner.queue().set_aside(id);
        }
        Err(failure @ (Failure::Storage(_) | Failure::Missing)) => {
            let known = recording.storage.and_then(|storage| storage.trouble);
            let why = format!("kept on the disk, and tried again: {failure}");
            // Once for each trouble, not for each attempt.
            if known.as_deref() != Some(why.as_str()) {
                tracing::warn!(recording = id, %location, %failure, "an upload failed");
            }
            inner.stored(id, StorageState::Failing, Some(why));
            inner.queue().failed(id, inner.elapsed());
        }
    }
}

/// Whether what the disk says stays so: a file that is gone does not come back, a full disk may be
/// emptied.
fn is_for_good(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    matches!(error.kind(), NotFound | InvalidData | UnexpectedEof)
}

/// Uploads a file, and lets the disk go of it where that is wanted.
async fn upload(
    inner: &Arc<Inner>,
    bucket: &Bucket,
    id: &str,
    name: &str,
    location: &str,
) -> Result<(), Failure> {
    let path = inner.folder(id).join(name);
    let place = inner.recording(id).and_then(|recording| {
        let mut files = recording.files.into_iter();
        files.find(|file| file.name == name).map(|file| file.place)
    });
    // What went there long ago may be gone, or the storage be another one by now.
    let there = match place {
        Some(Place::Both) => bucket.has_all_of(&path, location, name).await?,
        Some(Place::Disk) => false,
        Some(Place::Storage) | None => true,
    };
    if !there {
        let wanted = || !inner.queue().is_held(id);
        bucket.send(&path, location, name, wanted).await?;
    }
    let place = if bucket.delete_local {
        Place::Storage
    } else {
        Place::Both
    };
    let (inner, id, name) = (Arc::clone(inner), id.to_owned(), name.to_owned());
    let noted = tokio::task::spawn_blocking(move || {
        // First it is noted where the file is, then it goes: never the other way round.
        inner.change_file(&id, &name, |file| file.place = place);
        inner.stored(&id, StorageState::Waiting, None);
        inner.save(&id)?;
        if place == Place::Storage {
            remove_file(&path)?;
        }
        Ok::<_, io::Error>(())
    });
    Ok(noted.await.map_err(io::Error::other).flatten()?)
}

/// Uploads what tells of a recording.
async fn complete(
    inner: &Arc<Inner>,
    bucket: &Bucket,
    recording: &Recording,
    location: &str,
) -> Result<(), Failure> {
    let id = &recording.id;
    if let Some(preview) = &recording.preview {
        let path = inner.folder(id).join(&preview.name);
        bucket.send(&path, location, &preview.name, || true).await?;
    }
    let mut told = inner.recording(id).unwrap_or_else(|| recording.clone());
    if let Some(storage) = &mut told.storage {
        storage.state = StorageState::Complete;
        storage.trouble = None;
    }
    let text = serde_json::to_vec_pretty(&told).map_err(io::Error::from)?;
    let key = bucket.key(location, manifest::NAME)?;
    bucket.put(&key, manifest::NAME, text.into()).await?;
    inner.stored(id, StorageState::Complete, None);
    tracing::info!(recording = id, %location, "uploaded");
    let (inner, id) = (Arc::clone(inner), id.clone());
    let saved = tokio::task::spawn_blocking(move || inner.save(&id)).await;
    Ok(saved.map_err(io::Error::other).flatten()?)
}

/// Removes a file that may be gone already.
pub(in crate::record) fn remove_file(path: &std::path::Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
