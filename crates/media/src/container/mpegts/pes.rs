//! PES packets (ISO/IEC 13818-1, 2.4.3.6): put together from packets, their header read and
//! written.

use super::Loss;

/// The longest PES packet that is put together. The largest pictures of real encoders have some
/// 2 MB (2160p, all intra); more would let each PID hold more of our memory.
pub(super) const MAX_PES: usize = 4 << 20;

/// PES packets of unknown length after which we believe that the sender stuffs only their last
/// packet. Fewer would cut pictures of senders that stuff elsewhere too; more delay longer.
const CONFIRM_STUFFING: u8 = 16;

/// Times as they stand in a header, in ticks of 90 kHz, 33 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Times {
    pub(super) pts: u64,
    pub(super) dts: u64,
}

/// A whole PES packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pes<'a> {
    pub(super) times: Option<Times>,
    pub(super) scrambled: bool,
    pub(super) payload: &'a [u8],
}

impl<'a> Pes<'a> {
    /// Reads a whole packet; `None` where it is none.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let [0, 0, 1, id, _, _, rest @ ..] = bytes else {
            return None;
        };
        // These have no header beyond the length.
        if matches!(id, 0xbc | 0xbe | 0xbf | 0xf0 | 0xf1 | 0xf2 | 0xf8 | 0xff) {
            return Some(Self {
                times: None,
                scrambled: false,
                payload: rest,
            });
        }
        let [flags, present, len, rest @ ..] = rest else {
            return None;
        };
        if flags & 0xc0 != 0x80 {
            return None;
        }
        let (header, payload) = rest.split_at_checked(usize::from(*len))?;
        let pts = match present >> 6 {
            0 => None,
            // A decoding time without a presentation time is forbidden.
            1 => return None,
            _ => Some(time(header.get(..5)?)?),
        };
        let dts = match present >> 6 {
            3 => Some(time(header.get(5..10)?)?),
            _ => None,
        };
        Some(Self {
            times: pts.map(|pts| Times {
                pts,
                dts: dts.unwrap_or(pts),
            }),
            scrambled: flags & 0x30 != 0,
            payload,
        })
    }
}

fn time(field: &[u8]) -> Option<u64> {
    let &[a, b, c, d, e] = field else {
        return None;
    };
    if a & c & e & 1 == 0 {
        return None;
    }
    let high = u64::from(a >> 1 & 7) << 30;
    let middle = u64::from(u16::from_be_bytes([b, c]) >> 1) << 15;
    Some(high | middle | u64::from(u16::from_be_bytes([d, e]) >> 1))
}

/// Appends the header of a PES packet that holds `payload` bytes and begins with an access unit.
/// A length that its field cannot tell is left open, as only video may.
pub(super) fn write_header(out: &mut Vec<u8>, stream_id: u8, times: Times, payload: usize) {
    let with_dts = times.dts != times.pts;
    let header: u8 = if with_dts { 10 } else { 5 };
    let len = u16::try_from(3 + usize::from(header) + payload).unwrap_or(0);
    out.extend_from_slice(&[0, 0, 1, stream_id]);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&[0x84, if with_dts { 0xc0 } else { 0x80 }, header]);
    write_time(out, if with_dts { 3 } else { 2 }, times.pts);
    if with_dts {
        write_time(out, 1, times.dts);
    }
}

fn write_time(out: &mut Vec<u8>, prefix: u8, time: u64) {
    let bits = |shift: u32, mask: u64| u8::try_from(time >> shift & mask).unwrap_or(0);
    out.extend_from_slice(&[
        prefix << 4 | bits(30, 7) << 1 | 1,
        bits(22, 0xff),
        bits(15, 0x7f) << 1 | 1,
        bits(7, 0xff),
        bits(0, 0x7f) << 1 | 1,
    ]);
}

/// What a piece did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// More is to come.
    Open,
    /// The PES packet is whole: [`Assembler::bytes`].
    Whole,
    /// It cannot become whole and is dropped.
    Dropped(Loss),
}

/// Puts PES packets of one PID together.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    held: Vec<u8>,
    active: bool,
    /// The last piece came in a packet with stuffing.
    stuffed: bool,
    /// The packet was given out because of stuffing, so that more of it may prove that wrong.
    ended_early: bool,
    confirmed: u8,
    /// Whether stuffing was seen elsewhere than at the end: never believe it again.
    misled: bool,
}

impl Assembler {
    /// What is whole after [`Progress::Whole`], or where the next packet begins.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.held
    }

    /// Whether a packet is being put together.
    pub(super) fn active(&self) -> bool {
        self.active
    }

    /// A packet ends, because the next begins or the stream ends. `Open` says that there was none.
    pub(super) fn end(&mut self) -> Progress {
        if !std::mem::take(&mut self.active) {
            return Progress::Open;
        }
        if self.stuffed && !self.misled {
            self.confirmed = self.confirmed.saturating_add(1);
        }
        match self.len() {
            Some(0) => Progress::Whole,
            Some(_) => Progress::Dropped(Loss::Short),
            None => Progress::Dropped(Loss::Malformed),
        }
    }

    /// The next packet begins; what was held is gone.
    pub(super) fn begin(&mut self) {
        self.held.clear();
        self.active = true;
        self.stuffed = false;
        self.ended_early = false;
    }

    /// Something is missing: drops what is held, if anything.
    pub(super) fn abandon(&mut self) -> bool {
        self.stuffed = false;
        self.ended_early = false;
        std::mem::take(&mut self.active)
    }

    /// The next piece of the packet.
    pub(super) fn push(&mut self, piece: &[u8], stuffed: bool) -> Progress {
        if !self.active {
            if std::mem::take(&mut self.ended_early) {
                self.misled = true;
                return Progress::Dropped(Loss::Cut);
            }
            return Progress::Open;
        }
        if self.stuffed {
            self.misled = true;
        }
        self.stuffed = stuffed;
        if self.held.len() + piece.len() > MAX_PES {
            self.active = false;
            return Progress::Dropped(Loss::TooLong);
        }
        self.held.extend_from_slice(piece);
        if !self.held.starts_with(&[0, 0, 1][..self.held.len().min(3)]) {
            self.active = false;
            return Progress::Dropped(Loss::Malformed);
        }
        match self.len() {
            Some(len) if len > 0 => {
                let whole = 6 + len;
                if self.held.len() < whole {
                    return Progress::Open;
                }
                self.held.truncate(whole);
                self.active = false;
                Progress::Whole
            }
            Some(_) if stuffed && !self.misled && self.confirmed >= CONFIRM_STUFFING => {
                self.active = false;
                self.ended_early = true;
                Progress::Whole
            }
            Some(_) | None => Progress::Open,
        }
    }

    /// `PES_packet_length`; zero leaves it open.
    fn len(&self) -> Option<usize> {
        let length = self.held.get(4..6)?.first_chunk::<2>()?;
        Some(usize::from(u16::from_be_bytes(*length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times {
        pts: 0x1_ffff_fff0,
        dts: 0x1_2345_6789,
    };

    fn packet(payload: &[u8], times: Times) -> Vec<u8> {
        let mut out = Vec::new();
        write_header(&mut out, 0xe0, times, payload.len());
        out.extend_from_slice(payload);
        out
    }

    #[test]
    fn headers_read_as_they_were_written() {
        for times in [TIMES, Times { pts: 5, dts: 5 }] {
            let bytes = packet(&[7; 20], times);
            let pes = Pes::parse(&bytes).expect("a packet");
            assert_eq!(pes.times, Some(times));
            assert_eq!(pes.payload, &[7; 20]);
        }
        for len in 0..19 {
            assert_eq!(Pes::parse(&packet(&[], TIMES)[..len]), None);
        }
    }

    #[test]
    fn a_told_length_ends_the_packet_and_a_missing_piece_does_not() {
        let bytes = packet(&[7; 200], TIMES);
        let mut assembler = Assembler::default();
        assembler.begin();
        assert_eq!(assembler.push(&bytes[..100], false), Progress::Open);
        assert_eq!(assembler.push(&bytes[100..], true), Progress::Whole);
        assert_eq!(assembler.bytes(), bytes);
        assert_eq!(assembler.end(), Progress::Open, "it ended already");
        assembler.begin();
        assembler.push(&bytes[..100], false);
        assert_eq!(assembler.end(), Progress::Dropped(Loss::Short));
    }

    #[test]
    fn stuffing_ends_a_packet_once_it_always_did() {
        let mut bytes = packet(&[7; 200], TIMES);
        bytes[4] = 0;
        bytes[5] = 0;
        let mut assembler = Assembler::default();
        for _ in 0..CONFIRM_STUFFING {
            assembler.begin();
            assert_eq!(assembler.push(&bytes[..100], false), Progress::Open);
            assert_eq!(assembler.push(&bytes[100..], true), Progress::Open);
            assert_eq!(assembler.end(), Progress::Whole);
        }
        assembler.begin();
        assembler.push(&bytes[..100], false);
        assert_eq!(assembler.push(&bytes[100..], true), Progress::Whole);
        // More of it proves the guess wrong, for ever.
        assert_eq!(
            assembler.push(&bytes[100..], false),
            Progress::Dropped(Loss::Cut)
        );
        assembler.begin();
        assert_eq!(assembler.push(&bytes, true), Progress::Open);
    }

    #[test]
    fn no_packet_grows_without_end() {
        let mut assembler = Assembler::default();
        assembler.begin();
        assembler.push(&[0, 0, 1, 0xe0, 0, 0, 0x80, 0, 0], false);
        let mut pieces = 0;
        while assembler.push(&[0; 184], false) == Progress::Open {
            pieces += 1;
        }
        assert_eq!(pieces, (MAX_PES - 9) / 184);
        assert!(!assembler.active());
    }
}
