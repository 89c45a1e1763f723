//! One transport packet (ISO/IEC 13818-1, 2.4.3): header and adaptation field, read and written.

use super::Pid;

/// Bytes of a packet.
pub(super) const PACKET: usize = 188;
/// The first byte of each packet.
pub(super) const SYNC: u8 = 0x47;
/// The PID of packets that mean nothing.
pub(super) const NULL: Pid = Pid(0x1fff);

/// What a packet holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) pid: Pid,
    /// Whoever received it could not correct it.
    pub(super) error: bool,
    /// A PES packet or a section begins in the payload.
    pub(super) start: bool,
    pub(super) scrambled: bool,
    pub(super) counter: u8,
    /// Counter, and on the PID of the PCR time, may begin anew here.
    pub(super) discontinuity: bool,
    /// Program clock reference in ticks of 90 kHz, of which 33 bits count.
    pub(super) pcr: Option<u64>,
    /// The adaptation field tells nothing, or is longer than what it tells.
    pub(super) stuffed: bool,
    /// `None` where the packet has none, so that its counter does not advance.
    pub(super) payload: Option<&'a [u8]>,
}

impl<'a> Packet<'a> {
    /// Reads a packet; `None` where it is none or its fields contradict each other.
    pub(super) fn parse(bytes: &'a [u8; PACKET]) -> Option<Self> {
        let [sync, b1, b2, b3, rest @ ..] = bytes;
        if *sync != SYNC {
            return None;
        }
        let mut packet = Self {
            pid: Pid(u16::from_be_bytes([b1 & 0x1f, *b2])),
            error: b1 & 0x80 != 0,
            start: b1 & 0x40 != 0,
            scrambled: b3 & 0xc0 != 0,
            counter: b3 & 0x0f,
            discontinuity: false,
            pcr: None,
            stuffed: false,
            payload: None,
        };
        let mut rest = &rest[..];
        if b3 & 0x20 != 0 {
            let (len, tail) = rest.split_first()?;
            let (field, tail) = tail.split_at_checked(usize::from(*len))?;
            packet.adaptation(field)?;
            rest = tail;
        }
        if b3 & 0x10 != 0 {
            packet.payload = Some(rest);
        }
        Some(packet)
    }

    fn adaptation(&mut self, field: &[u8]) -> Option<()> {
        let Some((flags, rest)) = field.split_first() else {
            // Nothing but its length: one byte of stuffing.
            self.stuffed = true;
            return Some(());
        };
        self.discontinuity = flags & 0x80 != 0;
        let mut used = 0;
        if flags & 0x10 != 0 {
            let &[b0, b1, b2, b3, b4, _] = rest.first_chunk::<6>()?;
            let high = u32::from_be_bytes([b0, b1, b2, b3]);
            self.pcr = Some((u64::from(high) << 1) | u64::from(b4 >> 7));
            used += 6;
        }
        if flags & 0x08 != 0 {
            used += 6;
        }
        if flags & 0x04 != 0 {
            used += 1;
        }
        // Private data, then the extension, each behind its length.
        for flag in [0x02, 0x01] {
            if flags & flag != 0 {
                used += 1 + usize::from(*rest.get(used)?);
            }
        }
        self.stuffed = *flags == 0 || rest.len() > used;
        Some(())
    }
}

/// What the adaptation field of a written packet tells.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Adaptation {
    /// Decoding can begin with this PES packet.
    pub(super) random_access: bool,
    /// The clock begins anew. Only beside a clock reference.
    pub(super) discontinuity: bool,
    /// In ticks of 90 kHz, of which 33 bits count.
    pub(super) pcr: Option<u64>,
}

impl Adaptation {
    /// Bytes of the field with its length, where it has to be there.
    fn len(self) -> usize {
        match (self.pcr, self.random_access) {
            (Some(_), _) => 8,
            (None, true) => 2,
            (None, false) => 0,
        }
    }
}

/// Appends one packet with as much of `payload` as fits, stuffed to its size; gives the rest.
///
/// The caller counts: `counter` is the one that the packet carries.
pub(super) fn write<'a>(
    out: &mut Vec<u8>,
    pid: Pid,
    start: bool,
    counter: u8,
    adaptation: Adaptation,
    payload: &'a [u8],
) -> &'a [u8] {
    let begin = out.len();
    let room = PACKET - 4 - adaptation.len();
    let (now, rest) = payload.split_at(payload.len().min(room));
    let field = PACKET - 4 - now.len();
    let [high, low] = (pid.0 & 0x1fff).to_be_bytes();
    let control = u8::from(field > 0) << 1 | u8::from(!now.is_empty());
    out.extend_from_slice(&[
        SYNC,
        high | u8::from(start) << 6,
        low,
        control << 4 | counter & 0x0f,
    ]);
    if let Some(len) = field.checked_sub(1) {
        out.push(u8::try_from(len).unwrap_or(183));
        if len > 0 {
            out.push(
                u8::from(adaptation.discontinuity) << 7
                    | u8::from(adaptation.random_access) << 6
                    | u8::from(adaptation.pcr.is_some()) << 4,
            );
        }
        if let Some(pcr) = adaptation.pcr {
            // 33 bits of the base, six that are reserved, an extension of zero.
            let field = (pcr & 0x1_ffff_ffff) << 15 | 0x7e00;
            out.extend_from_slice(&field.to_be_bytes()[2..]);
        }
        out.resize(begin + PACKET - now.len(), 0xff);
    }
    out.extend_from_slice(now);
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(adaptation: Adaptation, payload: &[u8]) -> ([u8; PACKET], usize) {
        let mut out = Vec::new();
        let rest = write(&mut out, Pid(0x123), true, 7, adaptation, payload).len();
        (out.try_into().expect("one packet"), rest)
    }

    #[test]
    fn packets_read_as_they_were_written() {
        for len in [0, 1, 175, 176, 177, 181, 182, 183, 184, 185, 400] {
            let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
            for (random_access, pcr) in [(false, None), (true, None), (true, Some(0x1_2345_6789))] {
                let adaptation = Adaptation {
                    random_access,
                    discontinuity: pcr.is_some(),
                    pcr,
                };
                let (bytes, rest) = written(adaptation, &payload);
                let packet = Packet::parse(&bytes).expect("a packet");
                assert_eq!((packet.pid, packet.counter), (Pid(0x123), 7));
                assert!(packet.start && !packet.error && !packet.scrambled);
                assert_eq!((packet.pcr, packet.discontinuity), (pcr, pcr.is_some()));
                let room = PACKET - 4 - adaptation.len();
                assert_eq!(packet.stuffed, len < room, "{len}");
                assert_eq!(packet.payload.unwrap_or_default(), &payload[..len - rest]);
                assert_eq!(rest, len.saturating_sub(room));
            }
        }
    }

    #[test]
    fn an_adaptation_field_longer_than_the_packet_is_no_packet() {
        let (mut bytes, _) = written(Adaptation::default(), &[1; 100]);
        bytes[4] = 184;
        assert_eq!(Packet::parse(&bytes), None);
        bytes[4] = 3;
        bytes[5] = 0x10;
        assert_eq!(Packet::parse(&bytes), None, "a PCR of six bytes in two");
    }
}
