//! Makes an IDR picture of the picture at a recovery point.
//!
//! Groups of pictures may be open: their first picture stands alone, but is no IDR picture (ITU-T
//! H.264, 7.4.1.2.4), and some encoders send an IDR picture once and never again. The decoder
//! begins at an IDR picture only. The two differ in the header of the slices (7.3.3): this writes
//! the header again and leaves the rest as it is. An IDR picture has the frame number zero, so the
//! numbers of all pictures behind it are moved as far; what refers to pictures by number counts
//! differences, and goes on.

use super::source::PictureSet;
use crate::codec::h264::Sps;
use crate::codec::{Bits, unescape};

/// The slice as one of an IDR picture; `None` where it is not an intra slice that others refer to,
/// or ends early.
pub(super) fn idr_slice(nal: &[u8], sps: &Sps, sets: &[PictureSet]) -> Option<Vec<u8>> {
    let (&first, rest) = nal.split_first()?;
    // Without a reference count there is nothing that others refer to.
    if first & 0x60 == 0 {
        return None;
    }
    let bytes = unescape(rest, rest.len());
    let mut header = Rewriter {
        bits: Bits::new(&bytes),
        read: 0,
        out: Writer::default(),
    };
    header.number()?;
    if header.number()? % 5 != 2 {
        return None;
    }
    let id = header.number()?;
    let set = sets.iter().rev().find(|set| set.id == id)?;
    for _ in 0..sps.frame_num_bits {
        header.take()?;
        header.out.bit(0);
    }
    // `idr_pic_id`: zero.
    header.out.bit(1);
    header.copy(sps.order_bits?)?;
    if set.bottom_order {
        header.number()?;
    }
    if set.redundant_count {
        header.number()?;
    }
    header.marking()?;
    if set.arithmetic {
        header.number()?;
        if set.deblocking_control && header.number()? != 1 {
            header.number()?;
            header.number()?;
        }
        // The header is followed by ones up to a whole byte, and by bytes.
        while !header.out.aligned() {
            header.out.bit(1);
        }
        let data = bytes.get(header.read.div_ceil(8)..)?;
        header.out.bytes.extend_from_slice(data);
    } else {
        while let Some(bit) = header.bits.bit() {
            header.out.bit(bit);
        }
    }
    let mut payload = header.out.bytes;
    while let [.., 0] = payload.as_slice() {
        payload.pop();
    }
    Some(escaped((first & 0xe0) | 5, &payload))
}

/// The slice with its frame number lowered by `by`, modulo what the field holds.
pub(super) fn renumbered(nal: &[u8], sps: &Sps, by: u32) -> Option<Vec<u8>> {
    let (&first, rest) = nal.split_first()?;
    let mut bytes = unescape(rest, rest.len());
    let mut header = Rewriter {
        bits: Bits::new(&bytes),
        read: 0,
        out: Writer::default(),
    };
    for _ in 0..3 {
        header.number()?;
    }
    let at = header.read;
    let number = header.bits.bits(sps.frame_num_bits)?.wrapping_sub(by);
    for place in 0..sps.frame_num_bits {
        let at = at + place as usize;
        let bit = number >> (sps.frame_num_bits - 1 - place) & 1;
        let mask = 0x80 >> (at % 8);
        let byte = bytes.get_mut(at / 8)?;
        *byte = if bit == 1 {
            *byte | mask
        } else {
            *byte & !mask
        };
    }
    Some(escaped(first, &bytes))
}

/// A NAL unit with emulation prevention (7.4.1).
fn escaped(header: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + payload.len() / 64 + 8);
    out.push(header);
    let mut zeros = 0;
    for &byte in payload {
        if zeros >= 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

#[derive(Debug, Default)]
struct Writer {
    bytes: Vec<u8>,
    used: u8,
}

impl Writer {
    fn bit(&mut self, bit: u32) {
        if self.used == 0 {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut()
            && bit != 0
        {
            *last |= 0x80 >> self.used;
        }
        self.used = (self.used + 1) % 8;
    }

    fn aligned(&self) -> bool {
        self.used == 0
    }
}

/// Reads a header and writes what it reads.
struct Rewriter<'a> {
    bits: Bits<'a>,
    /// Bits read.
    read: usize,
    out: Writer,
}

impl Rewriter<'_> {
    fn take(&mut self) -> Option<u32> {
        self.read += 1;
        self.bits.bit()
    }

    fn copy(&mut self, count: u32) -> Option<()> {
        for _ in 0..count {
            let bit = self.take()?;
            self.out.bit(bit);
        }
        Some(())
    }

    /// Copies an Exponential Golomb code; gives it as an unsigned number.
    fn number(&mut self) -> Option<u32> {
        let mut zeros = 0;
        loop {
            let bit = self.take()?;
            self.out.bit(bit);
            if bit == 1 {
                break;
            }
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let mut value = 1_u32;
        for _ in 0..zeros {
            let bit = self.take()?;
            self.out.bit(bit);
            value = (value << 1) | bit;
        }
        Some(value - 1)
    }

    /// `dec_ref_pic_marking` (7.3.3.3): what is done to earlier pictures, of which there are none
    /// any more, gives way to the two flags of an IDR picture.
    fn marking(&mut self) -> Option<()> {
        let mut dropped = Rewriter {
            bits: self.bits.clone(),
            read: self.read,
            out: Writer::default(),
        };
        if dropped.take()? == 1 {
            // As many operations as there can be pictures, and then some.
            for _ in 0..64 {
                match dropped.number()? {
                    0 => break,
                    3 => {
                        dropped.number()?;
                        dropped.number()?;
                    }
                    1 | 2 | 4 | 6 => {
                        dropped.number()?;
                    }
                    _ => {}
                }
            }
        }
        self.bits = dropped.bits;
        self.read = dropped.read;
        self.out.bit(0);
        self.out.bit(0);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_escaped_where_they_must_be() {
        let payload = [0, 0, 0, 0, 1, 0, 0, 3, 0, 0, 4, 7];
        let nal = escaped(0x65, &payload);
        assert_eq!(nal, [0x65, 0, 0, 3, 0, 0, 3, 1, 0, 0, 3, 3, 0, 0, 4, 7]);
        assert_eq!(unescape(&nal[1..], nal.len()), payload);
    }

    #[test]
    fn numbers_are_copied_as_they_are() {
        // 1, 010, 00111, 0000100 and padding: 0, 1, 6, 3... as codes of 1, 3, 5 and 7 bits.
        let bytes = [0b1010_0011, 0b1000_1000, 0];
        let mut header = Rewriter {
            bits: Bits::new(&bytes),
            read: 0,
            out: Writer::default(),
        };
        let numbers: Vec<_> = (0..4).filter_map(|_| header.number()).collect();
        assert_eq!(numbers, [0, 1, 6, 7]);
        assert_eq!(header.read, 16);
        assert_eq!(header.out.bytes, bytes[..2]);
        assert_eq!(header.number(), None);
    }
}
