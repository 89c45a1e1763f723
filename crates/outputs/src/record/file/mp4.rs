//! MP4: whole fragments, then a movie; sixteen bytes in front join them.

use std::io::{self, Read, Seek, SeekFrom, Write};

use inver_media::container::fmp4::Index;

use super::Cut;

/// Largest header that is read: of a file a few hundred bytes, of a fragment a few per sample.
const MOST_HEADER: u64 = 4 << 20;

/// What was found in a file.
pub(super) struct Scan {
    pub(super) index: Option<Index>,
    /// Behind the last whole fragment.
    end: u64,
}

/// Makes a fragmented file an ordinary one. What is cut off at its end is dropped; when there is no
/// space for the movie, the file stays what it is, which plays too.
pub(super) fn finish(file: &mut (impl Read + Write + Seek + Cut)) -> io::Result<u64> {
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
pub(super) fn scan(file: &mut (impl Read + Seek)) -> io::Result<Scan> {
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

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::sync::Arc;

    use inver_media::container::fmp4::{Run, Sample, Track, file_header, fragment};
    use inver_media::{Config, Frame, MediaTime};

    use super::super::small::Small;
    use super::*;

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
