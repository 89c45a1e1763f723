//! Fragments: samples with their times.

use super::Sample;
use super::boxes::Boxes;

/// `sample_depends_on` 2: needs no other.
const KEYFRAME: u32 = 0x0200_0000;

/// `sample_depends_on` 1, and `sample_is_non_sync_sample`.
const OTHER: u32 = 0x0101_0000;

/// `default-base-is-moof`: offsets count from the fragment.
const FROM_FRAGMENT: u32 = 0x2_0000;

const DATA_OFFSET: u32 = 0x1;
const DURATIONS: u32 = 0x100;
const SIZES: u32 = 0x200;
const FLAGS: u32 = 0x400;
const COMPOSITION: u32 = 0x800;

/// Samples of one track, in order of decoding.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// The track's number.
    pub track: u32,
    /// At least one.
    pub samples: &'a [Sample],
}

/// A fragment, `moof` and `mdat`, with these samples. `sequence` counts the fragments of a stream
/// from 1.
pub fn fragment(sequence: u32, runs: &[Run<'_>]) -> Vec<u8> {
    let samples = || runs.iter().flat_map(|run| run.samples);
    let bytes: usize = samples().map(|sample| sample.data.len()).sum();
    let mut out = Boxes::with_capacity(bytes + 16 * samples().count() + 128 * (runs.len() + 1));
    let mut offsets = Vec::with_capacity(runs.len());
    out.nest(b"moof", |out| {
        out.full(b"mfhd", 0, 0, |out| out.u32(sequence));
        for run in runs {
            out.nest(b"traf", |out| offsets.push(write_run(out, run)));
        }
    });
    // Behind the header of `mdat`.
    let mut at = out.position() + 8;
    for (offset, run) in offsets.into_iter().zip(runs) {
        out.set_u32(offset, u32::try_from(at).unwrap_or(u32::MAX));
        at += run
            .samples
            .iter()
            .map(|sample| sample.data.len())
            .sum::<usize>();
    }
    out.nest(b"mdat", |out| {
        for sample in samples() {
            out.bytes(&sample.data);
        }
    });
    out.finish()
}

/// Writes what is inside `traf`; gives the place of the data's offset.
fn write_run(out: &mut Boxes, run: &Run<'_>) -> usize {
    out.full(b"tfhd", 0, FROM_FRAGMENT, |out| out.u32(run.track));
    let first = run.samples.first().map_or(0, |sample| sample.dts);
    out.full(b"tfdt", 1, 0, |out| {
        out.u64(u64::try_from(first).unwrap_or(0))
    });
    let moved = run.samples.iter().any(|sample| sample.composition != 0);
    let flags = DATA_OFFSET | DURATIONS | SIZES | FLAGS | if moved { COMPOSITION } else { 0 };
    let mut offset = 0;
    // Version 1: composition offsets may be negative.
    out.full(b"trun", 1, flags, |out| {
        out.u32(u32::try_from(run.samples.len()).unwrap_or(u32::MAX));
        offset = out.position();
        out.u32(0);
        for sample in run.samples {
            out.u32(sample.duration);
            out.u32(u32::try_from(sample.data.len()).unwrap_or(u32::MAX));
            out.u32(if sample.keyframe { KEYFRAME } else { OTHER });
            if moved {
                out.bytes(&sample.composition.to_be_bytes());
            }
        }
    });
    offset
}
