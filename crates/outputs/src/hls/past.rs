//! The past on disk: segments that are older than what memory holds, for those who wind back.
//!
//! Owns the files, which are gone with the last segment that needs them, and at the next start where
//! the process was killed. Nothing in them is needed for what is live. Blocking; call it off the
//! runtime's threads, but for [`Stored::read`].

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Bytes;
use tokio::sync::Semaphore;

use super::from_frames::Name;
use crate::record::free_space;

/// Segments of a file. More keep what is too old for longer, less make more files.
const SEGMENTS: u32 = 32;

/// Files that are read at once: each read holds a thread and a segment in memory.
const READS: usize = 32;

static READING: Semaphore = Semaphore::const_new(READS);

/// Numbers of files.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Where files are, and how much of the disk is others'.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Folder of the files; what is in it is removed.
    pub folder: PathBuf,
    /// Bytes of the disk that stay free.
    pub reserve: u64,
}

impl Disk {
    /// Makes the folder empty: what is in it was left by a process that was killed.
    ///
    /// # Errors
    ///
    /// The file system refuses.
    pub(super) fn clear(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        fs::create_dir_all(&self.folder)
    }
}

/// A segment that is to be stored.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) name: Name,
    pub(super) msn: u64,
    pub(super) parts: Vec<Bytes>,
}

/// A file, for as long as something in it is needed.
#[derive(Debug)]
struct Kept(PathBuf);

impl Drop for Kept {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.0);
        let remove = move || {
            if let Err(error) = fs::remove_file(&path) {
                tracing::debug!(%error, "a file of old segments was not removed");
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// A segment on disk.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    file: Arc<Kept>,
    at: u64,
    len: usize,
}

impl Stored {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// The file system refuses.
    pub(super) async fn read(self) -> io::Result<Bytes> {
        let permit = READING.acquire().await.map_err(io::Error::other)?;
        let reading = tokio::task::spawn_blocking(move || {
            // The file stays until it is read, whatever becomes of the segment.
            let _permit = permit;
            let mut file = File::open(&self.file.0)?;
            file.seek(SeekFrom::Start(self.at))?;
            let mut bytes = vec![0; self.len];
            file.read_exact(&mut bytes)?;
            Ok(Bytes::from(bytes))
        });
        reading.await.map_err(io::Error::other)?
    }
}

/// A file that grows.
#[derive(Debug)]
struct Growing {
    file: File,
    kept: Arc<Kept>,
    len: u64,
    segments: u32,
}

/// Writes the segments of one stream.
#[derive(Debug)]
pub(super) struct Writer {
    disk: Disk,
    growing: BTreeMap<Name, Growing>,
}

/// What became of segments.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) stored: Vec<(Name, u64, Stored)>,
    /// Why the rest is not stored.
    pub(super) fault: Option<io::Error>,
}

impl Writer {
    pub(super) fn new(disk: Disk) -> Self {
        Self {
            disk,
            growing: BTreeMap::new(),
        }
    }

    /// Stores segments, up to the first fault.
    pub(super) fn write(&mut self, pieces: &[Piece]) -> Written {
        let mut written = Written::default();
        for piece in pieces {
            match self.append(piece) {
                Ok(stored) => written.stored.push((piece.name, piece.msn, stored)),
                Err(error) => {
                    // What was half written is gone with the file's other segments.
                    self.growing.remove(&piece.name);
                    written.fault = Some(error);
                    break;
                }
            }
        }
        written
    }

    fn append(&mut self, piece: &Piece) -> io::Result<Stored> {
        let len: usize = piece.parts.iter().map(Bytes::len).sum();
        let needed = self.disk.reserve.saturating_add(len as u64);
        if free_space(&self.disk.folder).is_some_and(|free| free < needed) {
            let detail = "the disk is nearly full";
            return Err(io::Error::new(io::ErrorKind::StorageFull, detail));
        }
        let is_full = |growing: &mut Growing| growing.segments >= SEGMENTS;
        if self.growing.get_mut(&piece.name).is_none_or(is_full) {
            let growing = create(&self.disk.folder)?;
            self.growing.insert(piece.name, growing);
        }
        let Some(growing) = self.growing.get_mut(&piece.name) else {
            return Err(io::Error::other("the file is not there"));
        };
        for part in &piece.parts {
            growing.file.write_all(part)?;
        }
        let stored = Stored {
            file: Arc::clone(&growing.kept),
            at: growing.len,
            len,
        };
        growing.len += len as u64;
        growing.segments += 1;
        Ok(stored)
    }
}

fn create(folder: &Path) -> io::Result<Growing> {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("{number}.m4s"));
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)?;
    Ok(Growing {
        file,
        kept: Arc::new(Kept(path)),
        len: 0,
        segments: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(msn: u64, text: &'static str) -> Piece {
        Piece {
            name: Name::Video(0),
            msn,
            parts: vec![
                Bytes::from_static(text.as_bytes()),
                Bytes::from_static(b"."),
            ],
        }
    }

    fn files(folder: &Path) -> usize {
        fs::read_dir(folder).expect("a folder").count()
    }

    #[tokio::test]
    async fn what_is_stored_is_read_again_and_gone_with_its_last_segment() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Disk {
            folder: folder.path().join("past"),
            reserve: 0,
        };
        fs::create_dir_all(&disk.folder).expect("a folder");
        fs::write(disk.folder.join("left"), "by a killed process").expect("a file");
        disk.clear().expect("a folder");
        assert_eq!(files(&disk.folder), 0);
        let mut writer = Writer::new(disk.clone());
        let written = writer.write(&[piece(1, "one"), piece(2, "two")]);
        assert!(written.fault.is_none(), "{written:?}");
        let mut stored = written.stored.into_iter().map(|(.., stored)| stored);
        let (one, two) = (stored.next().expect("one"), stored.next().expect("two"));
        assert_eq!(&one.clone().read().await.expect("is there")[..], b"one.");
        assert_eq!(&two.clone().read().await.expect("is there")[..], b"two.");
        assert_eq!(files(&disk.folder), 1);
        let folder = disk.folder.clone();
        // Outside of the runtime files are removed at once.
        let gone = std::thread::spawn(move || {
            drop(one);
            drop(writer);
            assert_eq!(files(&folder), 1, "the second one needs it");
            drop(two);
            files(&folder)
        });
        assert_eq!(gone.join().expect("no panic"), 0);
    }

    #[test]
    fn a_full_disk_is_told_and_costs_no_more_than_what_was_to_be_stored() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Disk {
            folder: folder.path().to_owned(),
            reserve: u64::MAX,
        };
        let mut writer = Writer::new(disk);
        let written = writer.write(&[piece(1, "one")]);
        assert!(written.stored.is_empty());
        let kind = written.fault.map(|fault| fault.kind());
        assert_eq!(kind, Some(io::ErrorKind::StorageFull));
        assert_eq!(files(folder.path()), 0);
    }
}
