//! From luma and colour differences to red, green and blue (ITU-T H.273, 8.3).

use crate::codec::h264::Colour;

/// Rows from which on video that does not say how its samples stand for colours is taken for
/// BT.709, as browsers do; what is smaller is taken for BT.601.
const HIGH_DEFINITION: u32 = 720;

/// What samples stand for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Conversion {
    /// Shares of red and blue in luma.
    red: f32,
    blue: f32,
    full_range: bool,
}

impl Conversion {
    /// BT.601 with studio levels.
    pub(super) const BT601: Self = Self {
        red: 0.299,
        blue: 0.114,
        full_range: false,
    };

    /// What an H.264 stream says, and what is usual where it does not.
    pub(super) fn of(colour: Option<Colour>, height: u32) -> Self {
        let (red, blue) = match colour.map_or(2, |colour| colour.matrix) {
            1 => (0.2126, 0.0722),
            4 => (0.30, 0.11),
            5 | 6 => (0.299, 0.114),
            7 => (0.212, 0.087),
            9 | 10 => (0.2627, 0.0593),
            _ if height >= HIGH_DEFINITION => (0.2126, 0.0722),
            _ => (0.299, 0.114),
        };
        Self {
            red,
            blue,
            full_range: colour.is_some_and(|colour| colour.full_range),
        }
    }

    /// Three bytes for each sample of the planes, which have the same size.
    pub(super) fn rgb(&self, luma: &[u8], blue: &[u8], red: &[u8]) -> Vec<u8> {
        let (black, high, wide) = if self.full_range {
            (0.0, 1.0, 1.0)
        } else {
            (16.0, 255.0 / 219.0, 255.0 / 224.0)
        };
        let green = 1.0 - self.red - self.blue;
        let of_red = 2.0 * (1.0 - self.red) * wide;
        let of_blue = 2.0 * (1.0 - self.blue) * wide;
        let mut out = Vec::with_capacity(luma.len() * 3);
        for ((y, u), v) in luma.iter().zip(blue).zip(red) {
            let y = (f32::from(*y) - black) * high;
            let u = (f32::from(*u) - 128.0) * of_blue;
            let v = (f32::from(*v) - 128.0) * of_red;
            let between = y - (self.red * v + self.blue * u) / green;
            // The cast ends at 0 and 255.
            out.extend([y + v, between, y + u].map(|value| value.round() as u8));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_end_at_black_and_white() {
        let grey = [128; 4];
        let rgb = Conversion::BT601.rgb(&[0, 16, 235, 255], &grey, &grey);
        assert_eq!(rgb, [0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255]);
        let full = Colour {
            full_range: true,
            primaries: 2,
            transfer: 2,
            matrix: 6,
        };
        let rgb = Conversion::of(Some(full), 480).rgb(&[16], &[128], &[128]);
        assert_eq!(rgb, [16, 16, 16]);
    }

    #[test]
    fn pure_colours_come_back() {
        // Red, green and blue in BT.601 with studio levels, as tables have them.
        let rgb = Conversion::BT601.rgb(&[81, 145, 41], &[90, 54, 240], &[240, 34, 110]);
        for (one, other) in rgb.iter().zip([255, 0, 0, 0, 255, 0, 0, 0, 255]) {
            assert!(one.abs_diff(other) <= 2, "{rgb:?}");
        }
    }

    #[test]
    fn what_is_not_said_depends_on_the_size() {
        assert_eq!(Conversion::of(None, 480), Conversion::BT601);
        assert_ne!(Conversion::of(None, 1080), Conversion::BT601);
    }
}
