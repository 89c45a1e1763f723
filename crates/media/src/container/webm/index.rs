//! What is known of a file's clusters, and what finishing makes of it.

use super::ebml::{Elements, head, id};
use super::{BEFORE, Known, front};

/// Bytes of a block before its frame.
const BLOCK: usize = 4;

/// What is known of a file, from the beginnings of its elements.
#[derive(Debug)]
pub struct Index {
    /// Where the segment's contents end, if it tells.
    ends: Option<u64>,
    /// Where the first cluster is.
    first: u64,
    tracks: Vec<Blocks>,
    cues: Vec<Cue>,
}

/// One track's blocks.
#[derive(Debug)]
struct Blocks {
    number: u64,
    video: bool,
    latest: Option<i64>,
    /// From the one before to the latest.
    step: i64,
}

/// A place to which players can seek.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cue {
    at: i64,
    track: u64,
    cluster: u64,
}

/// The cluster whose elements are being looked at.
#[derive(Debug, Clone, Copy)]
pub struct Visited {
    cluster: u64,
    at: i64,
    cued: bool,
}

impl Index {
    /// Begins with what [`super::file_header`] wrote, and what may follow. `None`: it is none of
    /// ours, or not whole.
    pub fn begin(bytes: &[u8]) -> Option<Self> {
        let len = front(None).len();
        let segment_at = BEFORE - 12;
        // The header before the segment never differs.
        if bytes.get(..segment_at)? != &front(None)[..segment_at] {
            return None;
        }
        let segment = head(&bytes[segment_at..]).filter(|segment| segment.id == id::SEGMENT)?;
        let tracks = head(bytes.get(len..)?).filter(|tracks| tracks.id == id::TRACKS)?;
        let begin = len + usize::try_from(tracks.len).ok()?;
        let end = begin.checked_add(usize::try_from(tracks.inside?).ok()?)?;
        let mut found = Vec::new();
        for (name, entry) in Inside(bytes.get(begin..end)?) {
            if name == id::TRACK_ENTRY {
                let value = |name| Inside(entry).find(|(each, _)| *each == name);
                let (_, number) = value(id::TRACK_NUMBER)?;
                let (_, kind) = value(id::TRACK_TYPE)?;
                found.push(Blocks {
                    number: uint(number)?,
                    video: uint(kind)? == 1,
                    latest: None,
                    step: 0,
                });
            }
        }
        Some(Self {
            ends: segment.inside.map(|inside| BEFORE as u64 + inside),
            first: end as u64,
            tracks: found,
            cues: Vec::new(),
        })
    }

    /// Where the first cluster is, or will be.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Whether a file of this length is finished already.
    pub fn is_finished(&self, len: u64) -> bool {
        self.ends == Some(len)
    }

    /// A cluster, so far into the file, with its first bytes. `None`: it is something else.
    pub fn cluster(&self, at: u64, beginning: &[u8]) -> Option<Visited> {
        let is_one = head(beginning).is_some_and(|head| head.id == id::CLUSTER);
        is_one.then_some(Visited {
            cluster: at,
            at: 0,
            cued: false,
        })
    }

    /// An element in it; `body` is what is inside, at least its first eight bytes where there are
    /// as many. `None`: it is none of ours.
    pub fn inside(&mut self, visited: &mut Visited, name: u32, body: &[u8]) -> Option<()> {
        if name == id::TIMESTAMP {
            visited.at = i64::try_from(uint(body)?).ok()?;
            return Some(());
        }
        if name != id::SIMPLE_BLOCK || body.len() < BLOCK {
            return None;
        }
        let number = u64::from(body[0] & 0x7f);
        let after = i64::from(i16::from_be_bytes([body[1], body[2]]));
        let keyframe = body[3] & 0x80 != 0;
        let at = visited.at.checked_add(after)?;
        let mut tracks = self.tracks.iter_mut();
        let track = tracks.find(|track| track.number == number)?;
        if let Some(latest) = track.latest {
            track.step = at - latest;
        }
        track.latest = Some(at);
        if track.video && keyframe && !visited.cued {
            visited.cued = true;
            self.cues.push(Cue {
                at,
                track: number,
                cluster: visited.cluster,
            });
        }
        Some(())
    }

    /// Whether there is any frame.
    pub fn is_empty(&self) -> bool {
        self.tracks.iter().all(|track| track.latest.is_none())
    }

    /// How long it lasts, in milliseconds: a frame is as long as the one before it.
    pub fn lasts_ms(&self) -> u64 {
        let ends = self.tracks.iter().filter_map(|track| {
            let latest = track.latest?;
            Some(latest.saturating_add(track.step.max(1)))
        });
        ends.max().unwrap_or(0).max(0).unsigned_abs()
    }

    /// The cues to append.
    pub fn cues(&self) -> Vec<u8> {
        let start = Cue {
            at: 0,
            track: self.tracks.first().map_or(1, |track| track.number),
            cluster: self.first,
        };
        let none = [start];
        // There have to be some.
        let cues = if self.cues.is_empty() {
            &none[..]
        } else {
            &self.cues
        };
        let mut points = Elements::with_capacity(cues.len() * 24);
        for cue in cues {
            let mut place = Elements::default();
            place.uint(id::CUE_TRACK, cue.track);
            place.uint(id::CUE_CLUSTER_POSITION, cue.cluster - BEFORE as u64);
            let mut point = Elements::default();
            point.uint(id::CUE_TIME, cue.at.max(0).unsigned_abs());
            point.master(id::CUE_TRACK_POSITIONS, &place);
            points.master(id::CUE_POINT, &point);
        }
        let mut out = Elements::default();
        out.master(id::CUES, &points);
        out.into_bytes()
    }

    /// What to write over a file's first bytes, once cues of so many bytes stand at `end` and are on
    /// disk.
    pub fn front(&self, end: u64, cues: u64) -> Vec<u8> {
        let before = BEFORE as u64;
        front(Some(Known {
            len: end + cues - before,
            cues: end - before,
            // Exact up to 285 000 years.
            lasts: self.lasts_ms() as f64,
        }))
    }
}

/// Elements side by side; ends with the first that is not whole.
struct Inside<'a>(&'a [u8]);

impl<'a> Iterator for Inside<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let head = head(self.0)?;
        let begin = usize::try_from(head.len).ok()?;
        let end = begin.checked_add(usize::try_from(head.inside?).ok()?)?;
        let body = self.0.get(begin..end)?;
        self.0 = &self.0[end..];
        Some((head.id, body))
    }
}

fn uint(bytes: &[u8]) -> Option<u64> {
    let fits = bytes.len() <= 8;
    fits.then(|| {
        bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    })
}
