//! LATM in LOAS (ISO/IEC 14496-3, 1.7): `AudioSyncStream` with `AudioMuxElement(1)`.
//!
//! Reads what broadcasting sends: one program with one layer. Units stand at any bit, so they
//! are copied.

use super::{AudioSpecificConfig, Error};
use crate::codec::Bits;

/// The longest element that the thirteen bits of its length can tell, with the three bytes
/// before it.
pub const MAX_ELEMENT: usize = 8191 + 3;

/// Bytes of the `AudioSyncStream` frame at the front of `bytes`, with its three bytes of header;
/// `None` where none begins there or fewer than three bytes are given.
pub fn frame_len(bytes: &[u8]) -> Option<usize> {
    let &[b0, b1, b2] = bytes.first_chunk::<3>()?;
    let sync = b0 == 0x56 && b1 & 0xe0 == 0xe0;
    sync.then(|| 3 + ((usize::from(b1 & 0x1f) << 8) | usize::from(b2)))
}

/// Reads elements, keeping the configuration that later ones refer to.
#[derive(Debug, Clone, Default)]
pub struct Reader {
    mux: Option<Mux>,
}

/// `StreamMuxConfig` (1.7.3).
#[derive(Debug, Clone)]
struct Mux {
    asc: Vec<u8>,
    config: AudioSpecificConfig,
    units: u32,
    /// Bytes of every unit, where the configuration tells it.
    fixed_len: Option<usize>,
    other_bits: usize,
}

impl Reader {
    /// The configuration that holds since the last element, and its bytes.
    pub fn config(&self) -> Option<(&AudioSpecificConfig, &[u8])> {
        let mux = self.mux.as_ref()?;
        Some((&mux.config, &mux.asc))
    }

    /// Reads an `AudioMuxElement` (what follows the three bytes of `AudioSyncStream`) and gives
    /// its access units.
    pub fn element(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        let mut bits = Bits::new(bytes);
        if bits.bit().ok_or(Error::Short)? == 0 {
            self.mux = Some(mux(&mut bits, bytes)?);
        }
        let mux = self.mux.as_ref().ok_or(Error::LatmUnconfigured)?;
        let mut units = Vec::new();
        for _ in 0..mux.units {
            let len = match mux.fixed_len {
                Some(len) => len,
                None => unit_len(&mut bits).ok_or(Error::Short)?,
            };
            units.push(copy(&mut bits, bytes, len * 8).ok_or(Error::Short)?);
        }
        bits.skip(mux.other_bits).ok_or(Error::Short)?;
        Ok(units)
    }
}

fn mux(bits: &mut Bits<'_>, bytes: &[u8]) -> Result<Mux, Error> {
    let one = |bits: &mut Bits<'_>, count| bits.bits(count).ok_or(Error::Short);
    let version = one(bits, 1)?;
    if version == 1 {
        if one(bits, 1)? == 1 {
            return Err(Error::LatmShape("a version of the future"));
        }
        value(bits)?;
    }
    if one(bits, 1)? == 0 {
        return Err(Error::LatmShape("separate time framing"));
    }
    let units = one(bits, 6)? + 1;
    if one(bits, 4)? != 0 {
        return Err(Error::LatmShape("several programs"));
    }
    if one(bits, 3)? != 0 {
        return Err(Error::LatmShape("several layers"));
    }
    let (config, asc) = if version == 0 {
        let mut ahead = bits.clone();
        let config = AudioSpecificConfig::read(&mut ahead, None)?;
        let len = ahead.at - bits.at;
        (config, copy(bits, bytes, len).ok_or(Error::Short)?)
    } else {
        let len = value(bits)?;
        let asc = copy(bits, bytes, len).ok_or(Error::Short)?;
        (AudioSpecificConfig::parse(&asc)?, asc)
    };
    let fixed_len = match one(bits, 3)? {
        0 => {
            one(bits, 8)?;
            None
        }
        1 => Some(one(bits, 9)? as usize + 20),
        _ => return Err(Error::LatmShape("frame lengths of other codecs")),
    };
    let mut other_bits = 0;
    if one(bits, 1)? == 1 {
        if version == 1 {
            other_bits = value(bits)?;
        } else {
            // Four bytes of length are more than an element can hold.
            for round in 0..=4 {
                if round == 4 {
                    return Err(Error::LatmShape("more other data than an element holds"));
                }
                let more = one(bits, 1)? == 1;
                other_bits = (other_bits << 8) | one(bits, 8)? as usize;
                if !more {
                    break;
                }
            }
        }
    }
    if one(bits, 1)? == 1 {
        one(bits, 8)?;
    }
    Ok(Mux {
        asc,
        config,
        units,
        fixed_len,
        other_bits,
    })
}

/// `LatmGetValue`, refused where it tells more bits than an element has.
fn value(bits: &mut Bits<'_>) -> Result<usize, Error> {
    let bytes = bits.bits(2).ok_or(Error::Short)? + 1;
    let value = bits.bits(bytes * 8).ok_or(Error::Short)?;
    Ok(value as usize)
}

/// `PayloadLengthInfo`: bytes that add up until one is less than 255.
fn unit_len(bits: &mut Bits<'_>) -> Option<usize> {
    let mut len = 0;
    loop {
        let more = bits.bits(8)?;
        len += more as usize;
        if more != 255 {
            return Some(len);
        }
    }
}

/// Copies `count` bits to the front of bytes.
fn copy(bits: &mut Bits<'_>, bytes: &[u8], count: usize) -> Option<Vec<u8>> {
    let from = bits.at;
    if count > (bytes.len() * 8).checked_sub(from)? {
        return None;
    }
    bits.skip(count)?;
    let (first, shift) = (from / 8, from % 8);
    let mut out: Vec<u8> = (first..first + count.div_ceil(8))
        .map(|at| {
            let byte = bytes.get(at).copied().unwrap_or(0);
            let next = bytes.get(at + 1).copied().unwrap_or(0);
            u8::try_from((u16::from_be_bytes([byte, next]) << shift) >> 8).unwrap_or(0)
        })
        .collect();
    if let (Some(last), rest @ 1..) = (out.last_mut(), count % 8) {
        *last &= 0xff << (8 - rest);
    }
    Some(out)
}
