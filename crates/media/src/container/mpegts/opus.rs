//! Opus in transport streams (registered as `Opus`, published by Opus's authors as a draft for ETSI): the descriptor and
//! the control header before each packet. Durations are RFC 6716's, 3.1.

/// Tag inside the extension descriptor.
pub(super) const EXTENSION_TAG: u8 = 0x80;

/// Most samples of one packet: 120 ms.
const MAX_SAMPLES: u32 = 5_760;

/// One packet with what its control header tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unit<'a> {
    /// Samples at 48 kHz to drop at the front.
    pub(super) start_trim: u16,
    pub(super) packet: &'a [u8],
    /// What follows.
    pub(super) rest: &'a [u8],
}

impl<'a> Unit<'a> {
    /// Reads the control header and the packet at the front; `None` where there is no whole one.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let [0x7f, flags, rest @ ..] = bytes else {
            return None;
        };
        if flags & 0xe0 != 0xe0 {
            return None;
        }
        let mut rest = rest;
        let mut len = 0;
        loop {
            let (more, tail) = rest.split_first()?;
            rest = tail;
            len += usize::from(*more);
            if *more != 255 {
                break;
            }
        }
        let mut start_trim = 0;
        if flags & 0x10 != 0 {
            let (trim, tail) = rest.split_first_chunk::<2>()?;
            start_trim = u16::from_be_bytes(*trim) & 0x1fff;
            rest = tail;
        }
        if flags & 0x08 != 0 {
            rest = rest.get(2..)?;
        }
        if flags & 0x04 != 0 {
            let (skip, tail) = rest.split_first()?;
            rest = tail.get(usize::from(*skip)..)?;
        }
        let (packet, rest) = rest.split_at_checked(len)?;
        (!packet.is_empty()).then_some(Self {
            start_trim,
            packet,
            rest,
        })
    }
}

/// Appends the control header of a packet of `len` bytes. A trim of more than 13 bits is cut.
pub(super) fn write_header(out: &mut Vec<u8>, len: usize, start_trim: u16) {
    out.extend_from_slice(&[0x7f, 0xe0 | u8::from(start_trim > 0) << 4]);
    out.resize(out.len() + len / 255, 255);
    out.push(u8::try_from(len % 255).unwrap_or(0));
    if start_trim > 0 {
        out.extend_from_slice(&start_trim.min(0x1fff).to_be_bytes());
    }
}

/// Samples at 48 kHz that a packet holds; `None` where it is none.
pub(super) fn samples(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let frame = match toc >> 3 {
        config @ 0..=11 => [480, 960, 1920, 2880][usize::from(config & 3)],
        config @ 12..=15 => [480, 960][usize::from(config & 1)],
        config => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3f),
    };
    Some(frame * frames).filter(|samples| (1..=MAX_SAMPLES).contains(samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_read_as_they_were_written() {
        for (len, trim) in [(1, 0), (254, 312), (255, 0), (256, 8191), (600, 1)] {
            let packet = vec![9; len];
            let mut bytes = Vec::new();
            write_header(&mut bytes, len, trim);
            bytes.extend_from_slice(&packet);
            bytes.extend_from_slice(b"next");
            let unit = Unit::parse(&bytes).expect("a unit");
            assert_eq!((unit.start_trim, unit.packet), (trim, &packet[..]));
            assert_eq!(unit.rest, b"next");
            for cut in 0..bytes.len() - 4 {
                assert_eq!(Unit::parse(&bytes[..cut]), None);
            }
        }
    }

    #[test]
    fn durations_are_those_of_the_first_byte() {
        // CELT 20 ms once, twice; SILK 60 ms; hybrid 10 ms; six frames of 20 ms; seven are too many.
        assert_eq!(samples(&[0xfc]), Some(960));
        assert_eq!(samples(&[0xfd]), Some(1920));
        assert_eq!(samples(&[0x18]), Some(2880));
        assert_eq!(samples(&[0x60]), Some(480));
        assert_eq!(samples(&[0xff, 6]), Some(5760));
        assert_eq!(samples(&[0xff, 7]), None);
        assert_eq!(samples(&[0xff]), None);
        assert_eq!(samples(&[]), None);
    }
}
