//! Mixing up to eight channels down to stereo with the coefficients of ITU-R BS.775-3, annex 4.

use super::Stereo;

/// Channels that can be mixed; what a source has beyond these is not heard.
pub(super) const MAX_CHANNELS: usize = 8;

/// Where a channel is to be heard from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// In front, left.
    FrontLeft,
    /// In front, right.
    FrontRight,
    /// In front, in the middle.
    FrontCentre,
    /// Bass effects; not part of a stereo mix.
    LowFrequency,
    /// Beside or behind, left.
    SurroundLeft,
    /// Beside or behind, right.
    SurroundRight,
    /// Behind, in the middle.
    BackCentre,
    /// Not said by the source.
    Unknown,
}

/// -3 dB: what one loudspeaker gives when its sound is shared among two.
const HALF_POWER: f32 = std::f32::consts::FRAC_1_SQRT_2;

impl Speaker {
    /// Its share in left and right.
    fn shares(self) -> (f32, f32) {
        match self {
            Self::FrontLeft => (1.0, 0.0),
            Self::FrontRight => (0.0, 1.0),
            Self::FrontCentre => (HALF_POWER, HALF_POWER),
            Self::LowFrequency => (0.0, 0.0),
            Self::SurroundLeft => (HALF_POWER, 0.0),
            Self::SurroundRight => (0.0, HALF_POWER),
            Self::BackCentre | Self::Unknown => (0.5, 0.5),
        }
    }
}

/// The usual order of `channels` channels where the source does not name them: that of AAC's
/// channel configurations with the centre behind left and right.
pub(super) fn usual_order(channels: usize) -> &'static [Speaker] {
    use Speaker::{
        BackCentre, FrontCentre, FrontLeft, FrontRight, LowFrequency, SurroundLeft, SurroundRight,
    };
    match channels {
        0 => &[],
        1 => &[FrontCentre],
        2 => &[FrontLeft, FrontRight],
        3 => &[FrontLeft, FrontRight, FrontCentre],
        4 => &[FrontLeft, FrontRight, FrontCentre, BackCentre],
        5 => &[
            FrontLeft,
            FrontRight,
            FrontCentre,
            SurroundLeft,
            SurroundRight,
        ],
        6 => &[
            FrontLeft,
            FrontRight,
            FrontCentre,
            LowFrequency,
            SurroundLeft,
            SurroundRight,
        ],
        _ => &[
            FrontLeft,
            FrontRight,
            FrontCentre,
            LowFrequency,
            SurroundLeft,
            SurroundRight,
            SurroundLeft,
            SurroundRight,
        ],
    }
}

/// Overwrites `sound` with the mix of `planes`, whose places `speakers` tells; a plane without a
/// place is [`Speaker::Unknown`].
///
/// One channel alone goes to both sides unchanged, two are left and right whatever they are
/// called. A larger mix is scaled so that it cannot clip: all at full level give full level. It
/// is quieter than the same programme in stereo, which a listener can turn up; distortion cannot
/// be turned down.
pub(super) fn mix(planes: &[&[f32]], speakers: &[Speaker], sound: &mut Stereo) {
    sound.clear();
    let planes = planes
        .get(..planes.len().min(MAX_CHANNELS))
        .unwrap_or(planes);
    match planes {
        [] => {}
        [mono] => {
            sound.left.extend_from_slice(mono);
            sound.right.extend_from_slice(mono);
        }
        [left, right] => {
            let len = left.len().min(right.len());
            sound.left.extend(left.iter().take(len));
            sound.right.extend(right.iter().take(len));
        }
        many => {
            let len = many.iter().map(|plane| plane.len()).min().unwrap_or(0);
            let shares = |at: usize| {
                speakers
                    .get(at)
                    .copied()
                    .unwrap_or(Speaker::Unknown)
                    .shares()
            };
            let (sum_left, sum_right) = (0..many.len())
                .map(shares)
                .fold((0.0, 0.0), |sum, share| (sum.0 + share.0, sum.1 + share.1));
            let scale = 1.0 / f32::max(1.0, f32::max(sum_left, sum_right));
            sound.silence(len);
            for (at, plane) in many.iter().enumerate() {
                let (left, right) = shares(at);
                add(&mut sound.left, plane, left * scale);
                add(&mut sound.right, plane, right * scale);
            }
        }
    }
}

fn add(to: &mut [f32], plane: &[f32], share: f32) {
    if share != 0.0 {
        for (sum, sample) in to.iter_mut().zip(plane) {
            *sum += sample * share;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each of `channels` channels alone, at full level, gives left and right.
    fn alone(channels: usize) -> Vec<(f32, f32)> {
        (0..channels)
            .map(|loud| {
                let planes: Vec<Vec<f32>> = (0..channels)
                    .map(|at| vec![if at == loud { 1.0 } else { 0.0 }; 3])
                    .collect();
                let planes: Vec<&[f32]> = planes.iter().map(Vec::as_slice).collect();
                let mut sound = Stereo::default();
                mix(&planes, usual_order(channels), &mut sound);
                assert_eq!((sound.left.len(), sound.right.len()), (3, 3));
                (sound.left[1], sound.right[1])
            })
            .collect()
    }

    #[test]
    fn mono_and_stereo_pass_unchanged() {
        assert_eq!(alone(1), [(1.0, 1.0)]);
        assert_eq!(alone(2), [(1.0, 0.0), (0.0, 1.0)]);
    }

    #[test]
    fn five_one_keeps_the_recommended_proportions() {
        let shares = alone(6);
        let front = shares[0].0;
        assert!((front - 1.0 / 2.414_213_6).abs() < 1e-6, "{front}");
        let side = front * HALF_POWER;
        let near = |(l, r): (f32, f32), (a, b): (f32, f32)| {
            assert!(
                (l - a).abs() < 1e-6 && (r - b).abs() < 1e-6,
                "{l} {r} not {a} {b}"
            );
        };
        near(shares[1], (0.0, front));
        near(shares[2], (side, side));
        near(shares[3], (0.0, 0.0));
        near(shares[4], (side, 0.0));
        near(shares[5], (0.0, side));
    }

    #[test]
    fn nothing_clips() {
        for channels in 1..=8 {
            let shares = alone(channels);
            let left: f32 = shares.iter().map(|share| share.0).sum();
            let right: f32 = shares.iter().map(|share| share.1).sum();
            assert!(
                left <= 1.000_001 && right <= 1.000_001,
                "{channels}: {left} {right}"
            );
        }
    }
}
