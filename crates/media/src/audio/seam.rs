//! Joins pieces of sound that do not continue one another, so that no click is heard.
//!
//! What was heard last is continued backwards in time and faded out, and what comes next is
//! faded in: the value is continuous, and nothing waits for a piece that may never come.

use std::collections::VecDeque;

use super::Stereo;

/// The length of a join is 1/200 of a second. Shorter, and low tones would click; longer, and
/// more of a word would be lost.
const PARTS_OF_SECOND: u32 = 200;

/// The end of what was heard, to be joined with what comes.
#[derive(Debug, Default)]
pub(super) struct Seam {
    rate: u32,
    /// The last samples, newest first.
    last: VecDeque<(f32, f32)>,
}

impl Seam {
    /// Remembers the end of `sound`.
    pub(super) fn heard(&mut self, sound: &Stereo) {
        self.rate = sound.rate;
        let length = length(sound.rate);
        let new = sound.left.iter().zip(&sound.right);
        for (left, right) in new.skip(sound.len().saturating_sub(length)) {
            self.last.push_front((*left, *right));
        }
        self.last.truncate(length);
    }

    /// Changes the beginning of `sound` so that it can follow what was heard.
    pub(super) fn join(&self, sound: &mut Stereo) {
        let length = length(sound.rate);
        // Where the rate changed the nearest sample serves: it is fading out.
        let step = f64::from(self.rate) / f64::from(sound.rate.max(1));
        let pairs = sound.left.iter_mut().zip(sound.right.iter_mut());
        for (at, (left, right)) in pairs.take(length).enumerate() {
            let phase = (at as f32 + 0.5) / length as f32;
            let rising = 0.5 - 0.5 * (std::f32::consts::PI * phase).cos();
            let back = (at as f64 * step) as usize;
            let (old_left, old_right) = self.last.get(back).copied().unwrap_or_default();
            *left = *left * rising + old_left * (1.0 - rising);
            *right = *right * rising + old_right * (1.0 - rising);
        }
    }
}

fn length(rate: u32) -> usize {
    usize::try_from(rate / PARTS_OF_SECOND).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(samples: usize, phase: f32) -> Stereo {
        let left: Vec<f32> = (0..samples)
            .map(|at| (at as f32 * 0.06 + phase).sin())
            .collect();
        Stereo {
            rate: 48_000,
            right: left.clone(),
            left,
        }
    }

    #[test]
    fn nothing_jumps_where_sound_stops_or_starts_or_changes() {
        let mut silence = Stereo {
            rate: 48_000,
            ..Stereo::default()
        };
        silence.silence(2_000);
        let pieces = [
            sine(1_024, 0.0),
            silence.clone(),
            sine(1_000, 1.5),
            sine(1_000, 0.2),
            silence,
        ];
        let mut seam = Seam::default();
        let mut all = Vec::new();
        for mut piece in pieces {
            seam.join(&mut piece);
            seam.heard(&piece);
            all.extend(piece.left);
        }
        let jump = all
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).abs())
            .fold(0.0, f32::max);
        // The sine itself moves by 0.06 from sample to sample.
        assert!(jump < 0.08, "{jump}");
        assert_eq!(all[2_000], 0.0);
        assert!(all[3_500].abs() > 0.01);
    }

    #[test]
    fn pieces_shorter_than_a_join_are_safe() {
        let mut seam = Seam::default();
        for samples in [0, 1, 10, 300] {
            let mut piece = sine(samples, 0.0);
            seam.join(&mut piece);
            seam.heard(&piece);
        }
        assert_eq!(seam.last.len(), 240);
    }
}
