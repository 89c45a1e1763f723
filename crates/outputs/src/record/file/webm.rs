//! WebM: whole clusters, then cues; the beginning is written anew in place.

use std::io::{self, Read, Seek, SeekFrom, Write};

use inver_media::container::webm::{Index, head};

use super::Cut;

/// Bytes that are read of a file's beginning; a real one has a few hundred.
const MOST_HEADER: u64 = 64 << 10;

/// Bytes of an element that are looked at: id, length, and what a block tells of itself.
const LOOK: usize = 32;

/// What was found in a file.
pub(super) struct Scan {
    pub(super) index: Option<Index>,
    /// Behind the last whole cluster.
    pub(super) end: u64,
    finished: bool,
}

/// Completes a file. What is cut off at its end is dropped; when there is no space for the cues, the
/// file stays what it is, which plays too.
pub(super) fn finish(file: &mut (impl Read + Write + Seek + Cut)) -> io::Result<u64> {
    let Scan {
        index,
        end,
        finished,
    } = scan(file)?;
    let Some(index) = index else {
        return Ok(end);
    };
    if finished {
        return Ok(end);
    }
    file.cut(end)?;
    if index.is_empty() {
        return Ok(end);
    }
    let cues = index.cues();
    file.seek(SeekFrom::Start(end))?;
    if let Err(error) = file.write_all(&cues) {
        file.cut(end)?;
        return Err(error);
    }
    file.durable()?;
    let len = cues.len() as u64;
    file.rewind()?;
    file.write_all(&index.front(end, len))?;
    Ok(end + len)
}

/// Reads the beginnings of a file's elements.
pub(super) fn scan(file: &mut (impl Read + Seek)) -> io::Result<Scan> {
    let len = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    let mut beginning = Vec::new();
    (&mut *file).take(MOST_HEADER).read_to_end(&mut beginning)?;
    let Some(mut index) = Index::begin(&beginning) else {
        return Ok(Scan {
            index: None,
            end: len,
            finished: false,
        });
    };
    let finished = index.is_finished(len);
    let mut end = index.first();
    // Reads of some bytes here and there: a buffer would fetch what nobody looks at.
    while let Some((body, inside)) = element(file, end, len)? {
        if !cluster(file, &mut index, end, body, body + inside)? {
            break;
        }
        end = body + inside;
    }
    let end = if finished { len } else { end };
    Ok(Scan {
        index: Some(index),
        end,
        finished,
    })
}

/// Where the inside of the cluster at `at` begins, and its length; `None`: no whole one is there.
fn element(file: &mut (impl Read + Seek), at: u64, len: u64) -> io::Result<Option<(u64, u64)>> {
    let bytes = look(file, at, len)?;
    let found = head(&bytes).and_then(|head| Some((at + head.len, head.inside?)));
    Ok(found.filter(|(body, inside)| *inside <= len - (*body).min(len)))
}

/// Looks at everything in a cluster; `false`: it is none of ours.
fn cluster(
    file: &mut (impl Read + Seek),
    index: &mut Index,
    at: u64,
    mut from: u64,
    to: u64,
) -> io::Result<bool> {
    let beginning = look(file, at, to)?;
    let Some(mut visited) = index.cluster(at, &beginning) else {
        return Ok(false);
    };
    while from < to {
        let bytes = look(file, from, to)?;
        let Some(head) = head(&bytes) else {
            return Ok(false);
        };
        let Some(inside) = head.inside.filter(|inside| *inside <= to - from) else {
            return Ok(false);
        };
        let start = usize::try_from(head.len).unwrap_or(usize::MAX);
        let body = bytes.get(start..).unwrap_or_default();
        let told = usize::try_from(inside).unwrap_or(usize::MAX);
        let body = &body[..body.len().min(told)];
        if index.inside(&mut visited, head.id, body).is_none() {
            return Ok(false);
        }
        from += head.len + inside;
    }
    Ok(from == to)
}

/// The first bytes at a place.
fn look(file: &mut (impl Read + Seek), at: u64, end: u64) -> io::Result<Vec<u8>> {
    let count = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; count.min(LOOK)];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::sync::Arc;

    use inver_media::container::fmp4::{Sample, Track};
    use inver_media::container::webm::{cluster, file_header};
    use inver_media::{Config, Frame, MediaTime};

    use super::super::small::Small;
    use super::*;

    fn track() -> Track {
        let frame = Frame {
            config: Arc::new(Config::Vp8),
            pts: MediaTime::ZERO,
            dts: MediaTime::ZERO,
            keyframe: true,
            data: Arc::from([0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01]),
        };
        Track::of(1, &frame)
    }

    /// A second of pictures.
    fn second(number: i64) -> Vec<u8> {
        let sample = |at: i64| Sample {
            dts: number * 90_000 + at * 3_600,
            duration: 3_600,
            composition: 0,
            keyframe: at == 0,
            data: Arc::from([7; 100]),
        };
        let samples: Vec<Sample> = (0..25).map(sample).collect();
        cluster(&[(&track(), &samples)])
    }

    /// A file of so many seconds that the disk took, and where the last whole one ended.
    fn written(seconds: i64, space: u64) -> (Small, u64) {
        let mut file = Small {
            bytes: Cursor::default(),
            space,
        };
        let header = file_header(&[track()]).expect("carried");
        file.write_all(&header).expect("there is space");
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
    fn a_file_is_finished_once_and_stays_it() {
        let (mut file, whole) = written(3, u64::MAX);
        let before = file.bytes.get_ref().clone();
        let len = finish(&mut file).expect("there is space");
        let after = file.bytes.get_ref().clone();
        assert_eq!(after.len() as u64, len);
        assert!(len > whole);
        let header = file_header(&[track()]).expect("carried").len();
        let end = usize::try_from(whole).expect("small");
        assert_eq!(before[header..], after[header..end]);
        assert_eq!(finish(&mut file).expect("nothing to do"), len);
        assert_eq!(*file.bytes.get_ref(), after);
        let found = scan(&mut file).expect("is readable");
        assert_eq!(found.index.map(|index| index.lasts_ms()), Some(3_000));
    }

    #[test]
    fn a_full_disk_costs_nothing_that_was_whole() {
        let space = written(2, u64::MAX).1 + 10;
        let (mut file, whole) = written(9, space);
        assert!(finish(&mut file).is_err());
        assert_eq!(file.bytes.get_ref().len() as u64, whole);
        // With space again it is completed.
        file.space = u64::MAX;
        finish(&mut file).expect("there is space");
        let found = scan(&mut file).expect("is readable");
        assert_eq!(found.index.map(|index| index.lasts_ms()), Some(2_000));
    }

    #[test]
    fn any_end_can_be_completed() {
        let (mut file, whole) = written(2, u64::MAX);
        finish(&mut file).expect("there is space");
        let all = file.bytes.into_inner();
        let header = file_header(&[track()]).expect("carried");
        for end in 0..all.len() {
            // As before its beginning was written anew, and so with cues that are cut off.
            let mut left = all[..end].to_vec();
            let begun = header.len().min(end);
            left[..begun].copy_from_slice(&header[..begun]);
            let mut file = Small {
                bytes: Cursor::new(left),
                space: u64::MAX,
            };
            finish(&mut file).expect("there is space");
            if end as u64 >= whole {
                assert_eq!(*file.bytes.get_ref(), all, "{end}");
            }
        }
    }
}
