//! What a recording tells of itself: in its manifest, and in the API's answers.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use inver_proto::{ParticipantId, RoomId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The manifest's name in a recording's folder.
pub(super) const NAME: &str = "manifest.json";

/// Where a recording stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecordingState {
    /// Media is being written.
    Recording,
    /// The last files are being completed.
    Finishing,
    /// It is complete.
    Finished,
}

/// A recording: everything of a room from a start to a stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Recording {
    /// Its name.
    pub id: String,
    /// The room.
    pub room: RoomId,
    /// Where it stands.
    pub state: RecordingState,
    /// The beginning of the clock that all its files are placed on.
    pub started_at: Timestamp,
    /// When it was complete.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_at: Option<Timestamp>,
    /// From the first frame of all files to the last one, in milliseconds.
    pub duration_ms: u64,
    /// Bytes of all files.
    pub size_bytes: u64,
    /// Who was recorded.
    pub participants: Vec<ParticipantId>,
    /// What went wrong.
    pub warnings: Vec<String>,
    /// Its files, in the order in which they began.
    pub files: Vec<RecordedFile>,
    /// The object storage that its files go to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub storage: Option<Stored>,
    /// A picture of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub preview: Option<Preview>,
}

/// How a recording's way into object storage stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RecordingStorage)]
pub struct Stored {
    /// Where its files go, as `s3://bucket/folder`.
    pub location: String,
    /// How far it is.
    pub state: StorageState,
    /// What went wrong at the latest attempt. What is not uploaded is kept on the disk.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trouble: Option<String>,
}

/// How far a recording's way into object storage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = RecordingStorageState)]
pub enum StorageState {
    /// What is finished waits for its turn.
    Waiting,
    /// A file is being uploaded.
    Uploading,
    /// The latest attempt failed; there will be others.
    Failing,
    /// Everything is there.
    Complete,
}

/// Where a file is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = RecordedFilePlace)]
pub enum Place {
    /// On the server's disk.
    #[default]
    Disk,
    /// On the disk and in object storage.
    Both,
    /// In object storage.
    Storage,
}

/// A picture of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RecordingPreview)]
pub struct Preview {
    /// Its name within the recording; it is a JPEG.
    pub name: String,
    /// Pixels in a row.
    pub width: u16,
    /// Rows.
    pub height: u16,
    /// Where it can be had for a while without a token. Only in answers of the API.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub url: Option<String>,
}

/// One file of a recording: one participant, from a beginning to a change or the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecordedFile {
    /// Its name within the recording.
    pub name: String,
    /// Whose media it holds.
    pub participant: ParticipantId,
    /// Its codecs.
    pub codecs: Vec<String>,
    /// When its first frame was taken, in milliseconds after the recording's start.
    pub offset_ms: u64,
    /// How long it lasts, in milliseconds.
    pub duration_ms: u64,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Stretches that are missing because the disk or this server was too slow.
    pub gaps: u32,
    /// Whether it is complete and can be sought in.
    pub finished: bool,
    /// Where it is; a download finds it there.
    #[serde(default)]
    pub place: Place,
    /// Where it can be had for a while without a token. Only in answers of the API.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub url: Option<String>,
}

impl Recording {
    /// Sums up what the files tell.
    pub(super) fn sum_up(&mut self) {
        self.size_bytes = self.files.iter().map(|file| file.size_bytes).sum();
        let begins = self.files.iter().map(|file| file.offset_ms).min();
        let ends = self
            .files
            .iter()
            .map(|file| file.offset_ms + file.duration_ms)
            .max();
        self.duration_ms = ends.unwrap_or(0) - begins.unwrap_or(0);
        for file in &self.files {
            if !self.participants.contains(&file.participant) {
                self.participants.push(file.participant.clone());
            }
        }
    }

    /// Lets the common clock begin no later than this: the first frames may be older than the wish
    /// to record them.
    pub(super) fn begin_at(&mut self, at: Timestamp) {
        let earlier = self.started_at.0.saturating_sub(at.0);
        self.started_at.0 -= earlier;
        for file in &mut self.files {
            file.offset_ms += earlier;
        }
    }

    /// Adds a warning, once.
    pub(super) fn warn(&mut self, warning: &str) -> bool {
        let new = self.warnings.iter().all(|known| known != warning);
        if new {
            self.warnings.push(warning.to_owned());
        }
        new
    }
}

/// Writes the manifest so that a crash leaves the old one or the new one.
pub(super) fn write(folder: &Path, recording: &Recording) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(recording)?;
    let beside = folder.join(format!("{NAME}.new"));
    let mut file = fs::File::create(&beside)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&beside, folder.join(NAME))?;
    sync_folder(folder)
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Reads all manifests below `root`. Folders without one are none of ours.
pub(super) fn read_all(root: &Path) -> Vec<Recording> {
    let Ok(folders) = fs::read_dir(root) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for folder in folders.flatten() {
        let Ok(text) = fs::read(folder.path().join(NAME)) else {
            continue;
        };
        match serde_json::from_slice::<Recording>(&text) {
            // Only what stands where its name says can be found again.
            Ok(recording) if folder.file_name().to_str() == Some(&recording.id) => {
                found.push(recording);
            }
            Ok(_) => tracing::warn!(folder = %folder.path().display(), "a recording was moved"),
            Err(error) => {
                tracing::warn!(folder = %folder.path().display(), %error, "no manifest");
            }
        }
    }
    found
}
