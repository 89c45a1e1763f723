//! Files on disk: appended, made durable, completed. Blocking; call it off the runtime's threads.

mod mp4;
mod webm;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::container::Container;

/// A file that grows.
#[derive(Debug)]
pub(super) struct Growing {
    file: File,
    container: Container,
    len: u64,
}

impl Growing {
    /// Begins a new file.
    pub(super) fn create(path: &Path, header: &[u8]) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create_new(true).open(path)?;
        file.write_all(header)?;
        Ok(Self {
            file,
            container: Container::of_name(path),
            len: header.len() as u64,
        })
    }

    /// Appends; gives the length of the file.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
        self.file.write_all(bytes)?;
        self.len += bytes.len() as u64;
        Ok(self.len)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Completes it; gives its length.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        let finished = match self.container {
            Container::Mp4 => mp4::finish(&mut self.file),
            Container::Webm => webm::finish(&mut self.file),
        };
        self.file.sync_all()?;
        finished
    }
}

/// What a file that was left behind came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Repaired {
    pub(super) len: u64,
    pub(super) lasts_ms: u64,
    pub(super) finished: bool,
}

/// Completes a file that was left behind.
pub(super) fn repair(path: &Path) -> io::Result<Repaired> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let (lasts_ms, finished) = match Container::of_name(path) {
        Container::Mp4 => {
            let index = mp4::scan(&mut file)?.index;
            let lasts_ms = index.map_or(0, |index| index.lasts_ms());
            (lasts_ms, mp4::finish(&mut file))
        }
        Container::Webm => {
            let index = webm::scan(&mut file)?.index;
            let lasts_ms = index.map_or(0, |index| index.lasts_ms());
            (lasts_ms, webm::finish(&mut file))
        }
    };
    file.sync_all()?;
    Ok(Repaired {
        len: file.metadata()?.len(),
        lasts_ms,
        finished: finished.is_ok(),
    })
}

/// What files can do beside reading and writing.
trait Cut {
    /// Drops what stands behind.
    fn cut(&mut self, len: u64) -> io::Result<()>;

    /// Makes durable what was written.
    fn durable(&mut self) -> io::Result<()>;
}

impl Cut for File {
    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn durable(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Bytes that are free for us where `path` is; `None`: nobody knows.
#[cfg(unix)]
pub(crate) fn free_space(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Bytes that are free for us where `path` is; `None`: nobody knows.
#[cfg(not(unix))]
pub(crate) fn free_space(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod small;
