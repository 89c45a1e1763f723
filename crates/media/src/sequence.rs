//! Numbers that wrap on the wire and must not wrap inside.

/// Extends a wrapping counter of `BITS` bits to one that does not wrap.
///
/// Takes each value as the one nearest to the last: a step of up to half the range forward or
/// backward is understood rightly.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwrapper<const BITS: u32> {
    last: Option<u64>,
}

impl<const BITS: u32> Unwrapper<BITS> {
    /// Extends `value`; only its low `BITS` bits count.
    pub fn extend(&mut self, value: u64) -> u64 {
        let range = 1_u64 << BITS;
        let low = value & (range - 1);
        let extended = match self.last {
            None => low + range,
            Some(last) => {
                let forward = low.wrapping_sub(last) & (range - 1);
                if forward < range / 2 {
                    last + forward
                } else {
                    last.saturating_sub(range - forward)
                }
            }
        };
        self.last = Some(extended);
        extended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_forward_and_back_over_the_edge() {
        let mut seven = Unwrapper::<7>::default();
        let start = seven.extend(126);
        assert_eq!(seven.extend(127), start + 1);
        assert_eq!(seven.extend(1), start + 3);
        assert_eq!(seven.extend(127), start + 1);
        assert_eq!(seven.extend(0), start + 2);
    }
}
