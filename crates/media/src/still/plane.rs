//! One plane of samples, and how it is shrunk.

/// Rows of samples, each `stride` bytes behind the one before.
pub(crate) struct Plane<'a> {
    pub(crate) samples: &'a [u8],
    pub(crate) stride: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl Plane<'_> {
    /// The plane with another size, row by row without gaps: each sample is the mean of those that
    /// it stands for, or a copy of the nearest where it stands for less than one. `None` where the
    /// plane has fewer samples than it says.
    pub(crate) fn shrunk(&self, width: usize, height: usize) -> Option<Vec<u8>> {
        if self.width == 0 || self.height == 0 || self.stride < self.width {
            return None;
        }
        let spans = |from: usize, to: usize| -> Vec<(usize, usize)> {
            let span = |at: usize| {
                let begin = (at * from / to).min(from - 1);
                (begin, ((at + 1) * from / to).clamp(begin + 1, from))
            };
            (0..to).map(span).collect()
        };
        let columns = spans(self.width, width);
        let mut sums = vec![0_u32; width];
        let mut out = Vec::with_capacity(width * height);
        for (top, bottom) in spans(self.height, height) {
            sums.fill(0);
            for row in top..bottom {
                let row = self.samples.get(row * self.stride..)?.get(..self.width)?;
                for (sum, (left, right)) in sums.iter_mut().zip(&columns) {
                    let samples = row.get(*left..*right)?;
                    *sum += samples.iter().map(|sample| u32::from(*sample)).sum::<u32>();
                }
            }
            for (sum, (left, right)) in sums.iter().zip(&columns) {
                let count = u32::try_from((bottom - top) * (right - left)).ok()?;
                out.push(u8::try_from((sum + count / 2) / count).unwrap_or(u8::MAX));
            }
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_become_the_mean_of_what_they_stand_for() {
        let samples = [0, 10, 20, 30, 99, 40, 50, 60, 70, 99];
        let plane = Plane {
            samples: &samples,
            stride: 5,
            width: 4,
            height: 2,
        };
        assert_eq!(plane.shrunk(2, 1), Some(vec![25, 45]));
        assert_eq!(
            plane.shrunk(4, 2).as_deref(),
            Some(&[0, 10, 20, 30, 40, 50, 60, 70][..])
        );
        assert_eq!(plane.shrunk(1, 1), Some(vec![35]));
        let twice = plane.shrunk(8, 2).expect("drawn larger");
        assert_eq!(twice[..8], [0, 0, 10, 10, 20, 20, 30, 30]);
    }

    #[test]
    fn a_plane_that_ends_early_is_none() {
        let plane = Plane {
            samples: &[1, 2, 3],
            stride: 2,
            width: 2,
            height: 2,
        };
        assert_eq!(plane.shrunk(2, 2), None);
    }
}
