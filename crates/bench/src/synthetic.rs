//! Frame sizes as a real encoder at a constant bitrate makes them.

use std::time::Duration;

/// How many times a keyframe is larger than the average frame: what 720p at 2.5 Mbit/s shows.
const KEYFRAME_RATIO: f64 = 6.0;

/// Smallest frame as a share of the average one, while a keyframe's bytes are paid back.
const SMALLEST: f64 = 0.15;

/// Least time between keyframes that viewers ask for, as in browsers' encoders.
const REQUEST_GAP: Duration = Duration::from_millis(300);

/// One encoded frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Whether decoding can begin with it.
    pub(crate) keyframe: bool,
    /// Bytes of the frame.
    pub(crate) size: usize,
}

/// Makes frame sizes: keyframes at intervals and on request, the others varied around what keeps
/// the bitrate. The same seed and the same requests give the same frames.
#[derive(Debug)]
pub(crate) struct Encoder {
    average: f64,
    /// Frames from one keyframe to the next.
    interval: u64,
    request_gap: u64,
    /// Frames over which excess is paid back.
    horizon: f64,
    ratio: f64,
    rng: fastrand::Rng,
    /// Slowly wandering complexity of the scene.
    scene: f64,
    /// Bytes above the bitrate so far.
    excess: f64,
    since_keyframe: u64,
    wanted: bool,
}

impl Encoder {
    pub(crate) fn new(bitrate: u64, fps: u32, keyframe_interval: Duration, seed: u64) -> Self {
        let fps = f64::from(fps);
        let frames = |time: Duration| ((time.as_secs_f64() * fps).round() as u64).max(1);
        let interval = frames(keyframe_interval);
        Self {
            average: bitrate as f64 / 8.0 / fps,
            interval,
            request_gap: frames(REQUEST_GAP),
            horizon: fps.min(interval as f64).max(1.0),
            // With keyframes close together there is less to save on the others.
            ratio: KEYFRAME_RATIO.min(SMALLEST + (1.0 - SMALLEST) * interval as f64),
            rng: fastrand::Rng::with_seed(seed),
            scene: 1.0,
            excess: 0.0,
            since_keyframe: interval,
            wanted: true,
        }
    }

    /// Somebody needs a keyframe.
    pub(crate) fn want_keyframe(&mut self) {
        self.wanted = true;
    }

    pub(crate) fn next_frame(&mut self) -> Frame {
        let due = self.since_keyframe >= self.interval;
        let keyframe = due || (self.wanted && self.since_keyframe >= self.request_gap);
        self.scene = (self.scene + (self.rng.f64() - 0.5) * 0.1).clamp(0.8, 1.2);
        let noise = 0.7 + 0.6 * self.rng.f64();
        let size = if keyframe {
            self.average * self.ratio * (0.5 + 0.5 * noise)
        } else {
            let target = self.average - self.excess / self.horizon;
            (target * noise * self.scene).clamp(self.average * SMALLEST, self.average * 3.0)
        };
        self.excess += size - self.average;
        if keyframe {
            self.since_keyframe = 0;
            self.wanted = false;
        }
        self.since_keyframe += 1;
        Frame {
            keyframe,
            size: size as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(count: usize, seed: u64) -> Vec<Frame> {
        let mut encoder = Encoder::new(2_500_000, 30, Duration::from_secs(4), seed);
        (0..count).map(|_| encoder.next_frame()).collect()
    }

    #[test]
    fn the_bitrate_is_kept() {
        for seed in 0..20 {
            let bytes: usize = frames(30 * 60, seed).iter().map(|frame| frame.size).sum();
            let bitrate = bytes as f64 * 8.0 / 60.0;
            assert!(
                (2_425_000.0..2_575_000.0).contains(&bitrate),
                "seed {seed}: {bitrate}"
            );
        }
    }

    #[test]
    fn keyframes_come_at_the_interval_and_are_several_times_larger() {
        let frames = frames(600, 3);
        for (number, frame) in frames.iter().enumerate() {
            assert_eq!(frame.keyframe, number % 120 == 0, "frame {number}");
        }
        let mean = |keyframe: bool| {
            let sizes = || frames.iter().filter(|f| f.keyframe == keyframe);
            sizes().map(|f| f.size).sum::<usize>() / sizes().count()
        };
        let ratio = mean(true) as f64 / mean(false) as f64;
        assert!((4.0..9.0).contains(&ratio), "{ratio}");
    }

    #[test]
    fn sizes_vary_and_a_seed_repeats_them() {
        assert_eq!(frames(300, 7), frames(300, 7));
        assert_ne!(frames(300, 7), frames(300, 8));
        let sizes: Vec<f64> = frames(120, 7)[60..].iter().map(|f| f.size as f64).collect();
        let mean = sizes.iter().sum::<f64>() / sizes.len() as f64;
        let variance = sizes.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / sizes.len() as f64;
        let deviation = variance.sqrt() / mean;
        assert!((0.08..0.5).contains(&deviation), "{deviation}");
    }

    #[test]
    fn requests_bring_keyframes_but_not_in_a_row() {
        let mut encoder = Encoder::new(2_500_000, 30, Duration::from_secs(4), 1);
        assert!(encoder.next_frame().keyframe);
        let mut keyframes = 0;
        for _ in 0..90 {
            encoder.want_keyframe();
            keyframes += usize::from(encoder.next_frame().keyframe);
        }
        assert_eq!(keyframes, 10, "one in nine frames (300 ms)");
    }

    #[test]
    fn keyframes_only_still_keep_the_bitrate() {
        let mut encoder = Encoder::new(1_000_000, 25, Duration::from_millis(1), 1);
        let bytes: usize = (0..250).map(|_| encoder.next_frame().size).sum();
        let bitrate = bytes as f64 * 8.0 / 10.0;
        assert!((950_000.0..1_050_000.0).contains(&bitrate), "{bitrate}");
    }
}
