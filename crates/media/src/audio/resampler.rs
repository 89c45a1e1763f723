//! Brings sound of any rate to 48 kHz, with a ratio that may change a little all the time.
//!
//! Knows nothing of timestamps; says exactly by how much its output trails its input.

use rubato::audioadapter_buffers::direct::{SequentialSliceOfSlices, SequentialSliceOfVecs};
use rubato::{
    Adjustable as _, Async, FixedAsync, Resampler as _, Resizable as _,
    SincInterpolationParameters, SincInterpolationType, WindowFunction,
};

use super::{Fault, RATE};

/// Rates that are resampled: all of AAC's. What declares another is broken.
pub(super) const RATES: std::ops::RangeInclusive<u32> = 7_350..=96_000;

/// Input samples taken at once; sets the memory of the library's buffer, not the latency.
const BLOCK: usize = 2048;

/// Taps of the filter for sound of `rate` hertz: enough to keep what Opus keeps, up to 20 kHz.
/// Each doubling doubles the time and halves the distance to half the rate that is lost; below
/// 48 kHz there is less to lose from.
fn taps(rate: u32) -> usize {
    if rate < RATE { 96 } else { 64 }
}

/// Positions between two samples for which the filter is stored; between two of them it is
/// interpolated linearly, which leaves noise below -90 dB.
const POSITIONS: usize = 256;

/// The widest departure from the first ratio.
const MAX_RELATIVE: f64 = 1.01;

/// Input samples that are kept to set up the filter in the middle of sound; more than it has taps.
const HISTORY: usize = 128;

/// A stereo resampler to [`RATE`].
pub(super) struct Resampler {
    rate: u32,
    ratio: f64,
    path: Path,
}

enum Path {
    /// The rate is right and nothing is to be corrected, as with most sources: sound is only
    /// delayed, by as much as the filter would.
    Straight(Straight),
    /// The way of everything else. Who once needed it keeps it.
    Filter(Box<Filter>),
}

impl Resampler {
    /// A resampler from `rate` hertz.
    pub(super) fn new(rate: u32) -> Result<Self, Fault> {
        if !RATES.contains(&rate) {
            return Err(Fault::new(format!(
                "a rate of {rate} Hz, where {} to {} are resampled",
                RATES.start(),
                RATES.end()
            )));
        }
        let path = if rate == RATE {
            Path::Straight(Straight::new())
        } else {
            Path::Filter(Box::new(Filter::new(rate)?))
        };
        Ok(Self {
            rate,
            ratio: nominal(rate),
            path,
        })
    }

    /// The rate that it takes.
    pub(super) fn rate(&self) -> u32 {
        self.rate
    }

    /// Input samples by which its output trails: the first sample that it gives stands for a
    /// moment this long before the first that it takes.
    pub(super) fn delay(&self) -> f64 {
        delay(self.rate)
    }

    /// Sets the number of output samples for one of input; outside one percent of the nominal
    /// ratio the nearest that is possible.
    pub(super) fn set_ratio(&mut self, ratio: f64) -> Result<(), Fault> {
        if ratio == self.ratio {
            return Ok(());
        }
        self.ratio = ratio;
        if let Path::Straight(straight) = &self.path {
            let mut filter = Box::new(Filter::new(self.rate)?);
            // What it makes of the past was heard already.
            filter.skip = HISTORY;
            let [left, right] = &straight.history;
            filter.push([left, right], &mut Vec::new(), &mut Vec::new())?;
            self.path = Path::Filter(filter);
        }
        match &mut self.path {
            Path::Filter(filter) => filter.set_relative(ratio / nominal(self.rate)),
            Path::Straight(_) => Ok(()),
        }
    }

    /// Forgets every sample and goes back to the nominal ratio.
    pub(super) fn reset(&mut self) {
        self.ratio = nominal(self.rate);
        match &mut self.path {
            Path::Straight(straight) => *straight = Straight::new(),
            Path::Filter(filter) => {
                filter.library.reset();
                filter.skip = 0;
            }
        }
    }

    /// Takes samples, two channels of equal length, and appends what comes of them.
    pub(super) fn push(
        &mut self,
        input: [&[f32]; 2],
        left: &mut Vec<f32>,
        right: &mut Vec<f32>,
    ) -> Result<(), Fault> {
        match &mut self.path {
            Path::Straight(straight) => {
                straight.push(input, [left, right]);
                Ok(())
            }
            Path::Filter(filter) => filter.push(input, left, right),
        }
    }
}

fn nominal(rate: u32) -> f64 {
    f64::from(RATE) / f64::from(rate)
}

fn delay(rate: u32) -> f64 {
    taps(rate) as f64 / 2.0 - f64::from(rate) / f64::from(RATE)
}

/// A delay by as much as the filter has at [`RATE`].
struct Straight {
    /// The last [`HISTORY`] samples of each channel, silence before the first.
    history: [Vec<f32>; 2],
}

impl Straight {
    fn new() -> Self {
        Self {
            history: [vec![0.0; HISTORY], vec![0.0; HISTORY]],
        }
    }

    fn push(&mut self, input: [&[f32]; 2], output: [&mut Vec<f32>; 2]) {
        // Whole at this rate.
        let from = HISTORY - delay(RATE) as usize;
        for ((history, input), output) in self.history.iter_mut().zip(input).zip(output) {
            history.extend_from_slice(input);
            output.extend(history.iter().skip(from).take(input.len()));
            history.drain(..input.len());
        }
    }
}

/// The library's filter.
struct Filter {
    library: Async<f32>,
    output: Vec<Vec<f32>>,
    /// Samples to drop of what it gives next.
    skip: usize,
}

impl Filter {
    fn new(rate: u32) -> Result<Self, Fault> {
        let parameters = SincInterpolationParameters::new(taps(rate), WindowFunction::Blackman2)
            .oversampling_factor(POSITIONS)
            .interpolation(SincInterpolationType::Linear);
        let fixed = FixedAsync::Input;
        let library = Async::new_sinc(nominal(rate), MAX_RELATIVE, &parameters, BLOCK, 2, fixed)
            .map_err(Fault::new)?;
        let output = vec![vec![0.0; library.output_frames_max()]; 2];
        Ok(Self {
            library,
            output,
            skip: 0,
        })
    }

    fn set_relative(&mut self, relative: f64) -> Result<(), Fault> {
        let relative = relative.clamp(1.0 / MAX_RELATIVE, MAX_RELATIVE);
        self.library
            .set_resample_ratio_relative(relative, false)
            .map_err(Fault::new)
    }

    fn push(
        &mut self,
        input: [&[f32]; 2],
        left: &mut Vec<f32>,
        right: &mut Vec<f32>,
    ) -> Result<(), Fault> {
        for (block_left, block_right) in input[0].chunks(BLOCK).zip(input[1].chunks(BLOCK)) {
            let frames = block_left.len().min(block_right.len());
            let block = [block_left, block_right];
            self.library.set_chunk_size(frames).map_err(Fault::new)?;
            let room = self.output.first().map_or(0, Vec::len);
            let from = SequentialSliceOfSlices::new(&block, 2, frames).map_err(Fault::new)?;
            let mut to =
                SequentialSliceOfVecs::new_mut(&mut self.output, 2, room).map_err(Fault::new)?;
            let (_, made) = self
                .library
                .process_into_buffer(&from, &mut to, None)
                .map_err(Fault::new)?;
            let skipped = self.skip.min(made);
            self.skip -= skipped;
            for (channel, all) in self.output.iter().zip([&mut *left, &mut *right]) {
                all.extend(channel.iter().take(made).skip(skipped));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sine of `hertz` for one second at `rate`, resampled in blocks of `block` samples.
    fn resampled(rate: u32, hertz: f64, block: usize) -> (Resampler, Vec<f32>) {
        let mut resampler = Resampler::new(rate).expect("a rate of AAC");
        let input: Vec<f32> = (0..rate)
            .map(|at| {
                (std::f64::consts::TAU * hertz * f64::from(at) / f64::from(rate)).sin() as f32
            })
            .collect();
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for part in input.chunks(block) {
            resampler
                .push([part, part], &mut left, &mut right)
                .expect("a block of samples");
        }
        assert_eq!(left, right);
        (resampler, left)
    }

    #[test]
    fn delay_is_known_to_a_hundredth_of_a_sample() {
        for rate in [8_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000] {
            let (resampler, output) = resampled(rate, 440.0, 1024);
            let delay = resampler.delay() / f64::from(rate);
            let worst = output
                .iter()
                .enumerate()
                .skip(4_000)
                .take(40_000)
                .map(|(at, sample)| {
                    let time = at as f64 / f64::from(RATE) - delay;
                    let truth = (std::f64::consts::TAU * 440.0 * time).sin();
                    (truth - f64::from(*sample)).abs()
                })
                .fold(0.0, f64::max);
            // A hundredth of a sample at 8 kHz is 0.0035 of a sine of 440 Hz.
            assert!(worst < 0.003, "{rate}: {worst}");
        }
    }

    #[test]
    fn blocks_of_any_length_give_the_same() {
        let (_, whole) = resampled(44_100, 1_000.0, 1024);
        for block in [1, 7, 100, 2_049, 44_100] {
            let (_, parts) = resampled(44_100, 1_000.0, block);
            assert!(parts.len().abs_diff(whole.len()) <= 1, "{block}");
            for (a, b) in parts.iter().zip(&whole) {
                assert!((a - b).abs() < 1e-5, "{block}");
            }
        }
    }

    #[test]
    fn a_ratio_changes_the_count_as_told() {
        let mut resampler = Resampler::new(48_000).expect("a rate of AAC");
        resampler.set_ratio(1.001).expect("within one percent");
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let silence = vec![0.0; 48_000];
        for part in silence.chunks(1024) {
            resampler
                .push([part, part], &mut left, &mut right)
                .expect("a block of samples");
        }
        assert!(left.len().abs_diff(48_048) <= 66, "{}", left.len());
        resampler.set_ratio(5.0).expect("brought within bounds");
    }

    #[test]
    fn the_filter_takes_over_in_the_middle_of_a_tone() {
        let tone: Vec<f32> = (0..20_000).map(|at| (at as f32 * 0.13).sin()).collect();
        for block in [960, 1_024, 31] {
            let mut resampler = Resampler::new(48_000).expect("a rate of AAC");
            let (mut left, mut right) = (Vec::new(), Vec::new());
            for (at, part) in tone.chunks(block).enumerate() {
                if at * block > 9_000 {
                    resampler.set_ratio(1.0 + 1e-9).expect("within one percent");
                }
                resampler
                    .push([part, part], &mut left, &mut right)
                    .expect("a block of samples");
            }
            assert!(matches!(resampler.path, Path::Filter(_)));
            assert!(left.len().abs_diff(tone.len()) <= 2, "{}", left.len());
            let worst = left.iter().skip(31).zip(&tone).map(|(a, b)| (a - b).abs());
            assert!(worst.fold(0.0, f32::max) < 0.002, "{block}");
        }
    }

    #[test]
    fn a_reset_one_is_as_new() {
        let tone: Vec<f32> = (0..3_000).map(|at| (at as f32 * 0.13).sin()).collect();
        for rate in [44_100, 48_000] {
            let mut resampler = Resampler::new(rate).expect("a rate of AAC");
            let (mut first, mut second, mut other) = (Vec::new(), Vec::new(), Vec::new());
            resampler
                .push([&tone, &tone], &mut first, &mut other)
                .expect("samples");
            resampler
                .set_ratio(nominal(rate) * 1.0005)
                .expect("within one percent");
            resampler
                .push([&tone, &tone], &mut other, &mut Vec::new())
                .expect("samples");
            resampler.reset();
            resampler
                .push([&tone, &tone], &mut second, &mut other)
                .expect("samples");
            // The filter waits for two samples more than it needs.
            assert!(first.len().abs_diff(second.len()) <= 2, "{rate}");
            let worst = first.iter().zip(&second).map(|(a, b)| (a - b).abs());
            assert!(worst.fold(0.0, f32::max) < 0.01, "{rate}");
        }
    }

    #[test]
    fn rates_that_no_codec_has_are_refused() {
        for rate in [0, 7_349, 96_001, u32::MAX] {
            assert!(Resampler::new(rate).is_err(), "{rate}");
        }
    }
}
