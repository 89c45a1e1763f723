//! Files of MP4: fragmented while they grow, ordinary once they are finished.
//!
//! Behind the brands stands an empty box of sixteen bytes. Finishing appends a movie that points
//! into the fragments, and then turns the empty box into the header of one `mdat` that swallows
//! all in between, initialisation and fragments. No byte of media moves, nothing is read but the
//! fragments' headers, and until those sixteen bytes are written the file is what it was.

use super::boxes::Boxes;
use super::{Track, Unsupported, init_segment};

/// Bytes of the box that becomes the header of `mdat`.
const COVER: usize = 16;

/// Ticks per second of the movie's own times.
const MOVIE_TIMESCALE: u32 = 90_000;

/// What a file of these tracks begins with: brands, the empty box, tracks.
///
/// # Errors
///
/// A codec that MP4 does not carry, or parameter sets that are missing.
pub fn file_header(tracks: &[Track]) -> Result<Vec<u8>, Unsupported> {
    let init = init_segment(tracks)?;
    let brands = ReadBox::first(&init).map_or(0, |first| first.len);
    let mut out = Vec::with_capacity(init.len() + COVER);
    out.extend_from_slice(&init[..brands]);
    out.extend_from_slice(&[0, 0, 0, COVER as u8]);
    out.extend_from_slice(b"free\0\0\0\0\0\0\0\0");
    out.extend_from_slice(&init[brands..]);
    Ok(out)
}

/// What is known of a file's samples, from the headers of its fragments.
#[derive(Debug)]
pub struct Index {
    cover: u64,
    tracks: Vec<Samples>,
}

/// One track's samples.
#[derive(Debug, Default)]
struct Samples {
    id: u32,
    timescale: u32,
    video: bool,
    /// The box of the track as the file begins with it.
    described: Vec<u8>,
    first: i64,
    end: i64,
    earliest: i64,
    durations: Vec<(u32, u32)>,
    compositions: Vec<(u32, i32)>,
    sizes: Vec<u32>,
    keyframes: Vec<u32>,
    chunks: Vec<(u64, u32)>,
}

impl Index {
    /// Begins with what [`file_header`] wrote. `None`: it is none of ours.
    pub fn begin(header: &[u8]) -> Option<Self> {
        let brands = ReadBox::first(header)?;
        let cover = ReadBox::first(&header[brands.len..])?;
        let movie = ReadBox::first(&header[brands.len + cover.len..])?;
        let ours = brands.name == *b"ftyp" && movie.name == *b"moov";
        // A file whose movie is appended and whose cover is not yet written is no special case.
        if !ours || cover.name != *b"free" || cover.len != COVER {
            return None;
        }
        let tracks = movie.children().filter(|inner| inner.name == *b"trak");
        let tracks = tracks.map(|track| Samples::described(track.body));
        Some(Self {
            cover: brands.len as u64,
            tracks: tracks.collect::<Option<_>>()?,
        })
    }

    /// Takes the header (`moof`) of the fragment that begins at `at` in the file. `None`: it is
    /// none of ours.
    pub fn fragment(&mut self, at: u64, header: &[u8]) -> Option<()> {
        let header = ReadBox::first(header)?;
        if header.name != *b"moof" {
            return None;
        }
        for run in header.children().filter(|inner| inner.name == *b"traf") {
            let id = u32_at(run.child(b"tfhd")?.body, 4)?;
            let samples = self.tracks.iter_mut().find(|track| track.id == id)?;
            samples.run(at, &run)?;
        }
        Some(())
    }

    /// Whether there is any sample.
    pub fn is_empty(&self) -> bool {
        self.tracks.iter().all(|track| track.sizes.is_empty())
    }

    /// How long the longest track lasts, in milliseconds.
    pub fn lasts_ms(&self) -> u64 {
        let each = self.tracks.iter().map(Samples::length);
        let longest = each.max().unwrap_or(0).max(0).unsigned_abs();
        longest / u64::from(MOVIE_TIMESCALE / 1000)
    }

    /// The movie to append.
    pub fn movie(&self) -> Vec<u8> {
        let used = || self.tracks.iter().filter(|track| !track.sizes.is_empty());
        let origin = used().map(Samples::begins).min().unwrap_or(0);
        let length = used()
            .map(|track| (track.begins() - origin).saturating_add(track.length()))
            .max()
            .unwrap_or(0);
        let mut out = Boxes::with_capacity(64 * 1024);
        out.nest(b"moov", |out| {
            out.full(b"mvhd", 1, 0, |out| {
                out.zeros(16);
                out.u32(MOVIE_TIMESCALE);
                out.u64(length.unsigned_abs());
                out.u32(0x1_0000);
                out.u16(0x100);
                out.zeros(10);
                for value in [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000] {
                    out.u32(value);
                }
                out.zeros(24);
                out.u32(used().map(|track| track.id).max().unwrap_or(0) + 1);
            });
            for track in used() {
                out.nest(b"trak", |out| track.write(out, origin));
            }
        });
        out.finish()
    }

    /// Where to write, and what, once a movie stands at `end` of the file and is on disk.
    pub fn cover(&self, end: u64) -> (u64, [u8; COVER]) {
        let mut header = [0; COVER];
        header[3] = 1;
        header[4..8].copy_from_slice(b"mdat");
        header[8..].copy_from_slice(&(end - self.cover).to_be_bytes());
        (self.cover, header)
    }
}

impl Samples {
    fn described(track: &[u8]) -> Option<Self> {
        let own = ReadBox::named(track, b"tkhd")?.body;
        let media = ReadBox::named(track, b"mdia")?;
        Some(Self {
            id: u32_at(own, 12)?,
            timescale: u32_at(media.child(b"mdhd")?.body, 12)?.max(1),
            video: media.child(b"hdlr")?.body.get(8..12)? == b"vide",
            described: track.to_vec(),
            ..Self::default()
        })
    }

    /// Takes one run of a fragment.
    fn run(&mut self, at: u64, run: &ReadBox<'_>) -> Option<()> {
        let time = run.child(b"tfdt")?.body;
        let time = u64::from(u32_at(time, 4)?) << 32 | u64::from(u32_at(time, 8)?);
        let mut dts = i64::try_from(time).ok()?;
        let run = run.child(b"trun")?.body;
        let moved = u32_at(run, 0)? & 0x800 != 0;
        let count = u32_at(run, 4)?;
        let width = if moved { 16 } else { 12 };
        let rows = run.get(12..)?;
        if count == 0 || rows.len() != usize::try_from(count).ok()?.checked_mul(width)? {
            return None;
        }
        if self.sizes.is_empty() {
            (self.first, self.earliest) = (dts, i64::MAX);
        } else {
            // What lies between two fragments is the duration of the sample before.
            let gap = dts.saturating_sub(self.end);
            self.stretch(gap);
        }
        self.chunks.push((at + u64::from(u32_at(run, 8)?), count));
        for row in rows.chunks_exact(width) {
            let duration = u32_at(row, 0)?;
            let composition = if moved {
                u32_at(row, 12)?.cast_signed()
            } else {
                0
            };
            self.sizes.push(u32_at(row, 4)?);
            if u32_at(row, 8)? & 0x1_0000 == 0 {
                self.keyframes.push(u32::try_from(self.sizes.len()).ok()?);
            }
            self.earliest = self.earliest.min(dts.saturating_add(composition.into()));
            count_in(&mut self.durations, duration);
            count_in(&mut self.compositions, composition);
            dts = dts.saturating_add(duration.into());
        }
        self.end = dts;
        Some(())
    }

    /// Lets the last sample last longer, or less long.
    fn stretch(&mut self, by: i64) {
        let Some(last) = self.durations.last_mut().filter(|_| by != 0) else {
            return;
        };
        let duration = u32::try_from((i64::from(last.1) + by).max(0)).unwrap_or(u32::MAX);
        last.0 -= 1;
        if last.0 == 0 {
            self.durations.pop();
        }
        count_in(&mut self.durations, duration);
    }

    fn scaled(&self, ticks: i64) -> i64 {
        let scaled = i128::from(ticks) * i128::from(MOVIE_TIMESCALE) / i128::from(self.timescale);
        i64::try_from(scaled).unwrap_or(i64::MAX)
    }

    /// When it is first shown or heard, on the movie's clock.
    fn begins(&self) -> i64 {
        self.scaled(self.earliest)
    }

    fn length(&self) -> i64 {
        self.scaled(self.end - self.first)
    }

    fn write(&self, out: &mut Boxes, origin: i64) {
        let begins = self.begins() - origin;
        let child = |name| ReadBox::named(&self.described, name);
        // What was read at the beginning is still there.
        let body = |found: Option<ReadBox<'_>>, from: usize| -> Vec<u8> {
            found
                .and_then(|found| found.body.get(from..))
                .unwrap_or_default()
                .to_vec()
        };
        out.full(b"tkhd", 1, 7, |out| {
            out.zeros(16);
            out.u32(self.id);
            out.u32(0);
            out.u64((begins + self.length()).unsigned_abs());
            out.bytes(&body(child(b"tkhd"), 24));
        });
        out.nest(b"edts", |out| {
            out.full(b"elst", 1, 0, |out| {
                out.u32(if begins > 0 { 2 } else { 1 });
                if begins > 0 {
                    out.u64(begins.unsigned_abs());
                    out.u64(u64::MAX);
                    out.u32(0x1_0000);
                }
                out.u64(self.length().unsigned_abs());
                out.u64((self.earliest - self.first).max(0).unsigned_abs());
                out.u32(0x1_0000);
            });
        });
        let Some(media) = child(b"mdia") else { return };
        out.nest(b"mdia", |out| {
            out.full(b"mdhd", 1, 0, |out| {
                out.zeros(16);
                out.u32(self.timescale);
                out.u64((self.end - self.first).unsigned_abs());
                out.bytes(&body(media.child(b"mdhd"), 20));
            });
            out.nest(b"hdlr", |out| out.bytes(&body(media.child(b"hdlr"), 0)));
            let Some(inner) = media.child(b"minf") else {
                return;
            };
            out.nest(b"minf", |out| {
                for kept in inner.children().filter(|inner| inner.name != *b"stbl") {
                    out.nest(&kept.name, |out| out.bytes(kept.body));
                }
                out.nest(b"stbl", |out| {
                    let described = inner.child(b"stbl").and_then(|table| table.child(b"stsd"));
                    out.nest(b"stsd", |out| out.bytes(&body(described, 0)));
                    self.write_table(out);
                });
            });
        });
    }

    fn write_table(&self, out: &mut Boxes) {
        let len = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        out.full(b"stts", 0, 0, |out| {
            out.u32(len(self.durations.len()));
            for (count, duration) in &self.durations {
                out.u32(*count);
                out.u32(*duration);
            }
        });
        if self.compositions.iter().any(|(_, moved)| *moved != 0) {
            let negative = self.compositions.iter().any(|(_, moved)| *moved < 0);
            out.full(b"ctts", u8::from(negative), 0, |out| {
                out.u32(len(self.compositions.len()));
                for (count, composition) in &self.compositions {
                    out.u32(*count);
                    out.bytes(&composition.to_be_bytes());
                }
            });
        }
        if self.video && self.keyframes.len() < self.sizes.len() {
            out.full(b"stss", 0, 0, |out| {
                out.u32(len(self.keyframes.len()));
                for number in &self.keyframes {
                    out.u32(*number);
                }
            });
        }
        let mut rows: Vec<(u32, u32)> = Vec::new();
        for (number, (_, count)) in (1..).zip(&self.chunks) {
            if rows.last().is_none_or(|(_, last)| last != count) {
                rows.push((number, *count));
            }
        }
        out.full(b"stsc", 0, 0, |out| {
            out.u32(len(rows.len()));
            for (first, count) in rows {
                out.u32(first);
                out.u32(count);
                out.u32(1);
            }
        });
        out.full(b"stsz", 0, 0, |out| {
            out.u32(0);
            out.u32(len(self.sizes.len()));
            for size in &self.sizes {
                out.u32(*size);
            }
        });
        out.full(b"co64", 0, 0, |out| {
            out.u32(len(self.chunks.len()));
            for (at, _) in &self.chunks {
                out.u64(*at);
            }
        });
    }
}

/// Counts one more of the same value, as tables of MP4 have it.
fn count_in<T: PartialEq>(runs: &mut Vec<(u32, T)>, value: T) {
    match runs.last_mut() {
        Some((count, last)) if *last == value => *count += 1,
        Some(_) | None => runs.push((1, value)),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}

/// A box as read.
#[derive(Debug, Clone, Copy)]
struct ReadBox<'a> {
    name: [u8; 4],
    body: &'a [u8],
    /// With its header.
    len: usize,
}

impl<'a> ReadBox<'a> {
    fn first(bytes: &'a [u8]) -> Option<Self> {
        let len = usize::try_from(u32_at(bytes, 0)?).ok()?;
        Some(Self {
            name: bytes.get(4..8)?.try_into().ok()?,
            body: bytes.get(8..len)?,
            len,
        })
    }

    fn all(bytes: &'a [u8]) -> impl Iterator<Item = Self> {
        let mut rest = bytes;
        std::iter::from_fn(move || {
            let found = Self::first(rest)?;
            rest = &rest[found.len..];
            Some(found)
        })
    }

    fn named(bytes: &'a [u8], name: &[u8; 4]) -> Option<Self> {
        Self::all(bytes).find(|found| found.name == *name)
    }

    fn children(&self) -> impl Iterator<Item = Self> + use<'a> {
        Self::all(self.body)
    }

    fn child(&self, name: &[u8; 4]) -> Option<Self> {
        Self::named(self.body, name)
    }
}
