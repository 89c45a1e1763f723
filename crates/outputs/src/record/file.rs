//! Files on disk: appended, made durable, completed. Blocking; call it off the runtime's threads.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use inver_media::container::fmp4::Index;

/// Largest header that is read: of a file a few hundred bytes, of a fragment a few per sample.
const MOST_HEADER: u64 = 4 << 20;

/// A file that grows.
#[derive(Debug)]
pub(super) struct Growing {
    file: File,
    len: u64,
}

impl Growing {
    /// Begins a new file.
    pub(super) fn create(path: &Path, header: &[u8]) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create_new(true).open(path)?;
        file.write_all(header)?;
        let len = header.len() as u64;
        Ok(Self { file, len })
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
        let finished = finish(&mut self.file);
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
    let scan = scan(&mut file)?;
    let lasts_ms = scan.index.as_ref().map_or(0, Index::lasts_ms);
    let finished = finish(&mut file);
    file.sync_all()?;
    Ok(Repaired {
        len: file.metadata()?.len(),
        lasts_ms,
        finished: finished.is_ok(),
    })
}

/// What was found in a file.
struct Scan {
    index: Option<Index>,
    /// Behind the last whole fragment.
    end: u64,
}

/// Makes a fragmented file an ordinary one. What is cut off at its end is dropped; when there is no
/// space for the movie, the file stays what it is, which plays too.
fn finish(file: &mut (impl Read + Write + Seek + Cut)) -> io::Result<u64> {
    let Scan { index, end } = scan(file)?;
    file.cut(end)?;
    let Some(index) = index.filter(|index| !index.is_empty()) else {
        return Ok(end);
    };
    let movie = index.movie();
    file.seek(SeekFrom::Start(end))?;
    if let Err(error) = file.write_all(&movie) {
        file.cut(end)?;
        return Err(error);
    }
    file.durable()?;
    let (at, header) = index.cover(end);
    file.seek(SeekFrom::Start(at))?;
    file.write_all(&header)?;
    Ok(end + movie.len() as u64)
}

/// Reads a file's headers.
fn scan(file: &mut (impl Read + Seek)) -> io::Result<Scan> {
    let len = file.seek(SeekFrom::End(0))?;
    let mut at = 0;
    let mut header = Vec::new();
    let mut index = None;
    let mut end = 0;
    let mut fragment = None;
    file.rewind()?;
    while len - at >= 8 {
        let mut head = [0; 8];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut head)?;
        let size = u64::from(u32::from_be_bytes([head[0], head[1], head[2], head[3]]));
        if size < 8 || size > len - at {
            // Finished already, or cut off.
            break;
        }
        let mut whole = |header: &mut Vec<u8>| -> io::Result<()> {
            if size > MOST_HEADER {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let from = header.len();
            header.resize(from + usize::try_from(size).unwrap_or(0), 0);
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(&mut header[from..])
        };
        match (&head[4..8], index.is_some()) {
            (b"ftyp" | b"free", false) => whole(&mut header)?,
            (b"moov", false) => {
                whole(&mut header)?;
                index = Some(Index::begin(&header).ok_or(io::ErrorKind::InvalidData)?);
                end = at + size;
            }
            (b"moof", true) => {
                let mut moof = Vec::new();
                whole(&mut moof)?;
                fragment = Some((at, moof));
            }
            (b"mdat", true) => {
                let Some(((from, moof), index)) = fragment.take().zip(index.as_mut()) else {
                    break;
                };
                if index.fragment(from, &moof).is_none() {
                    break;
                }
                end = at + size;
            }
            _ => break,
        }
        at += size;
    }
    match index {
        Some(_) => Ok(Scan { index, end }),
        None => Ok(Scan { index, end: len }),
    }
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
mod tests {
    use std::io::Cursor;
    use std::sync::Arc;

    use inver_media::container::fmp4::{Run, Sample, Track, file_header, fragment};
    use inver_media::{Config, Frame, MediaTime};

    use super::*;

    /// A file in memory, on a disk of so many bytes.
    struct Small {
        bytes: Cursor<Vec<u8>>,
        space: u64,
    }

    impl Read for Small {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.bytes.read(into)
        }
    }

    impl Seek for Small {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.bytes.seek(to)
        }
    }

    impl Write for Small {
        fn write(&mut self, from: &[u8]) -> io::Result<usize> {
            let left = self.space.saturating_sub(self.bytes.position());
            let fits = from.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if fits == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.bytes.write(&from[..fits])
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Cut for Small {
        fn cut(&mut self, len: u64) -> io::Result<()> {
            let len = usize::try_from(len).expect("the test's file is small");
            self.bytes.get_mut().truncate(len);
            Ok(())
        }

        fn durable(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn track() -> Track {
        let config = Config::Opus {
            channels: 2,
            pre_skip: 312,
        };
        let frame = Frame {
            config: Arc::new(config),
            pts: MediaTime::ZERO,
            dts: MediaTime::ZERO,
            keyframe: true,
            data: Arc::from([7; 100]),
        };
        Track::of(1, &frame)
    }

    /// A second of sound.
    fn second(number: u32) -> Vec<u8> {
        let sample = |at: i64| Sample {
            dts: at * 960,
            duration: 960,
            composition: 0,
            keyframe: true,
            data: Arc::from([7; 100]),
        };
        let first = i64::from(number) * 50;
        let samples: Vec<Sample> = (first..first + 50).map(sample).collect();
        let run = Run {
            track: 1,
            samples: &samples,
        };
        fragment(number + 1, &[run])
    }

    /// A file of so many seconds that the disk took, and where the last whole one ended.
    fn written(seconds: u32, space: u64) -> (Small, u64) {
        let mut file = Small {
            bytes: Cursor::default(),
            space,
        };
        file.write_all(&file_header(&[track()]).expect("carried"))
            .expect("there is space");
        let mut whole = file.bytes.position();
        for number in 0..seconds {
            if file.write_all(&second(number)).is_err() {
                break;
            }
            whole = file.bytes.position();
        }
        (file, whole)
    }

    #[test]
    fn a_file_becomes_an_ordinary_one_and_stays_it() {
        let (mut file, whole) = written(3, u64::MAX);
        let before = file.bytes.get_ref().clone();
        let len = finish(&mut file).expect("there is space");
        let after = file.bytes.get_ref();
        assert_eq!(after.len() as u64, len);
        let whole = usize::try_from(whole).expect("small");
        assert_eq!(&after[whole + 4..whole + 8], b"moov");
        // Nothing but the cover differs.
        let differing = before.iter().zip(after).filter(|(old, new)| old != new);
        assert!(differing.count() <= 16);
        let ordinary = after.clone();
        assert_eq!(finish(&mut file).expect("nothing to do"), len);
        assert_eq!(*file.bytes.get_ref(), ordinary);
    }

    #[test]
    fn a_full_disk_costs_nothing_that_was_whole() {
        // Two seconds fit, and a part of the third; a movie does not.
        let space = written(2, u64::MAX).1 + 400;
        let (mut file, whole) = written(9, space);
        assert_eq!(file.bytes.get_ref().len() as u64, space);
        assert!(finish(&mut file).is_err());
        assert_eq!(file.bytes.get_ref().len() as u64, whole);
        let found = scan(&mut file).expect("is readable");
        assert_eq!(found.end, whole);
        assert_eq!(found.index.map(|index| index.lasts_ms()), Some(2_000));
        // With space again it is completed.
        file.space = u64::MAX;
        finish(&mut file).expect("there is space");
    }

    #[test]
    fn any_end_can_be_completed() {
        let (file, _) = written(2, u64::MAX);
        let all = file.bytes.into_inner();
        for end in 0..all.len() {
            let mut file = Small {
                bytes: Cursor::new(all[..end].to_vec()),
                space: u64::MAX,
            };
            // Where even the beginning is missing there is nothing to complete, and no panic.
            let _ = finish(&mut file);
        }
    }
}
