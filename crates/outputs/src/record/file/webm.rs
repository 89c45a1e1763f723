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
