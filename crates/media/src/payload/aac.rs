//! AAC (RFC 3640, mode AAC-hbr): sizes of 13 bits and indices of 3 before the access units.

use super::depacketizer::Broken;
use super::packetizer::{Sink, even};

/// Largest access unit that 13 bits can tell.
pub(super) const MAX_UNIT: usize = 8191;
/// Length of the headers in bits, and one header.
const HEADERS: usize = 4;

pub(super) fn packetize(unit: &[u8], sink: &mut Sink<'_>) {
    let size = u16::try_from(unit.len()).unwrap_or(u16::MAX) << 3;
    let [high, low] = size.to_be_bytes();
    // Every fragment tells the size of the whole.
    for piece in unit.chunks(even(unit.len(), sink.most - HEADERS)) {
        sink.scratch.extend_from_slice(&[0, 16, high, low]);
        sink.scratch.extend_from_slice(piece);
        sink.close();
    }
}

/// Puts access units together.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    /// Whole units behind lengths of two bytes.
    units: Vec<Vec<u8>>,
    /// A unit whose end still comes, and its whole size.
    open: Option<(Vec<u8>, usize)>,
}

/// Units that one timestamp has at most: an interleaved second is 47.
const MAX_UNITS: usize = 64;

impl Assembly {
    pub(super) fn clear(&mut self) {
        self.units.clear();
        self.open = None;
    }

    pub(super) fn push(&mut self, payload: &[u8]) -> Result<(), Broken> {
        let (bits, rest) = payload.split_first_chunk().ok_or(Broken)?;
        let bits = usize::from(u16::from_be_bytes(*bits));
        let (headers, mut rest) = rest.split_at_checked(bits.div_ceil(8)).ok_or(Broken)?;
        if bits == 0 || !bits.is_multiple_of(16) {
            return Err(Broken);
        }
        for header in headers.chunks_exact(2) {
            let header = header
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            let (size, index) = (header >> 3, header & 0x07);
            // An index other than zero belongs to interleaved units, which were not agreed on.
            if index != 0 || size == 0 || self.units.len() >= MAX_UNITS {
                return Err(Broken);
            }
            if let Some((mut unit, whole)) = self.open.take() {
                if headers.len() != 2 || whole != size || unit.len() + rest.len() > whole {
                    return Err(Broken);
                }
                unit.extend_from_slice(rest);
                rest = &[];
                if unit.len() == whole {
                    self.units.push(unit);
                } else {
                    self.open = Some((unit, whole));
                }
            } else if let Some((unit, behind)) = rest.split_at_checked(size) {
                rest = behind;
                self.units.push(unit.to_vec());
            } else if headers.len() == 2 {
                self.open = Some((rest.to_vec(), size));
                rest = &[];
            } else {
                return Err(Broken);
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(Broken) }
    }

    pub(super) fn finish(&mut self) -> Result<Vec<Vec<u8>>, Broken> {
        if self.open.is_some() {
            return Err(Broken);
        }
        Ok(std::mem::take(&mut self.units))
    }
}
