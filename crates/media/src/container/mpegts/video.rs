//! Access units of H.264 and H.265 cut out of the byte stream that PES packets carry.
//!
//! Most senders put one access unit into each PES packet. Once that was seen, a unit comes out
//! when its packet ends; until then, and with senders that cut elsewhere, when the next begins.

use std::collections::VecDeque;

use super::Loss;
use super::pes::{MAX_PES, Times};
use crate::Codec;
use crate::codec::nal;

/// Packets in a row that have to begin with an access unit, after one did not, until we believe
/// again that they all do. A sender that cuts elsewhere does so more often.
const CONFIRM_AGAIN: u32 = 64;

/// What comes out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut<'a> {
    /// A whole access unit with start codes, and the times that its packet told.
    Unit(&'a [u8], Option<Times>),
    Lost(Loss),
}

/// Cuts one track.
#[derive(Debug)]
pub(super) struct Cutter {
    codec: Codec,
    /// From the start code of the unit that is under way.
    held: Vec<u8>,
    /// Up to where start codes were looked for.
    scanned: usize,
    /// Whether there is a slice in the unit under way.
    picture: bool,
    /// Where in `held` packets began, and what they told.
    marks: VecDeque<(usize, Option<Times>)>,
    /// Skip until an access unit begins.
    broken: bool,
    /// Packets in a row that began with an access unit.
    run: u32,
    needed: u32,
    /// A unit was given out because its packet ended.
    ended: bool,
}

/// What a NAL unit means for the cutting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Always the first of its unit.
    Delimiter,
    /// Before the picture of its unit.
    Before,
    /// The first slice of a picture.
    FirstSlice,
    /// Another slice of it.
    Slice,
    /// Whatever else: it belongs to the unit under way.
    After,
}

impl Cutter {
    pub(super) fn new(codec: Codec) -> Self {
        Self {
            codec,
            held: Vec::new(),
            scanned: 0,
            picture: false,
            marks: VecDeque::new(),
            broken: true,
            run: 0,
            needed: 1,
            ended: false,
        }
    }

    /// Something is missing: drops the unit under way.
    pub(super) fn abandon(&mut self) {
        self.held.clear();
        self.marks.clear();
        self.scanned = 0;
        self.picture = false;
        self.broken = true;
        self.ended = false;
    }

    /// The payload of a whole PES packet.
    pub(super) fn push(
        &mut self,
        payload: &[u8],
        times: Option<Times>,
        mut out: impl FnMut(Cut<'_>),
    ) {
        self.judge(payload, &mut out);
        if self.held.len() + payload.len() > MAX_PES {
            self.abandon();
            out(Cut::Lost(Loss::TooLong));
            return;
        }
        self.marks.push_back((self.held.len(), times));
        self.held.extend_from_slice(payload);
        self.scan(&mut out);
        if self.run >= self.needed && self.picture {
            self.flush(&mut out);
            self.ended = true;
        }
    }

    /// The stream ends: gives out what is under way.
    pub(super) fn flush(&mut self, out: &mut impl FnMut(Cut<'_>)) {
        if self.picture && !self.broken {
            let end = self.held.len();
            self.emit(end, out);
        }
    }

    /// Learns from how a packet begins whether packets are units.
    fn judge(&mut self, payload: &[u8], out: &mut impl FnMut(Cut<'_>)) {
        let zeros = payload.iter().take_while(|byte| **byte == 0).count();
        let first = payload.get(zeros + 1..).unwrap_or_default();
        let opens = zeros >= 2
            && payload.get(zeros) == Some(&1)
            && !matches!(part(self.codec, first), Part::Slice | Part::After);
        let follows = self.ended || !self.held.is_empty();
        if opens {
            self.run = self.run.saturating_add(u32::from(follows));
        } else if follows {
            self.run = 0;
            self.needed = CONFIRM_AGAIN;
        }
        if std::mem::take(&mut self.ended) && !opens && !payload.is_empty() {
            self.abandon();
            out(Cut::Lost(Loss::Cut));
        }
    }

    /// Cuts at each unit that begins in what was not looked at yet.
    fn scan(&mut self, out: &mut impl FnMut(Cut<'_>)) {
        while let Some(code) = nal::start_code(&self.held, self.scanned) {
            // What a NAL unit is stands in at most three bytes; without them, look again later.
            let Some(head) = self.held.get(code + 3..code + 6) else {
                self.scanned = code;
                return;
            };
            let part = part(self.codec, head);
            let opens = match part {
                Part::Delimiter => true,
                Part::Before | Part::FirstSlice => self.picture || self.broken,
                Part::Slice | Part::After => false,
            };
            self.scanned = code + 3;
            if opens {
                if self.picture && !self.broken {
                    self.emit(code, out);
                } else if self.broken {
                    self.drop_front(code);
                }
                self.broken = false;
            }
            self.picture |= !self.broken && matches!(part, Part::FirstSlice | Part::Slice);
        }
        // A start code may lie over the edge.
        self.scanned = self.scanned.max(self.held.len().saturating_sub(2));
        if self.broken {
            let keep = self.held.len().min(2);
            self.drop_front(self.held.len() - keep);
        }
    }

    fn emit(&mut self, end: usize, out: &mut impl FnMut(Cut<'_>)) {
        // Times belong to the first unit that begins in their packet: of the packets that began
        // up to this unit's first byte, the last.
        let unit = self.held.get(..end).unwrap_or_default();
        let mut times = None;
        while let Some((0, told)) = self.marks.front() {
            times = *told;
            self.marks.pop_front();
        }
        out(Cut::Unit(unit, times));
        self.drop_front(end);
        self.picture = false;
    }

    fn drop_front(&mut self, count: usize) {
        self.held.drain(..count);
        self.scanned = self.scanned.saturating_sub(count);
        for (at, _) in &mut self.marks {
            *at = at.saturating_sub(count);
        }
        // Of packets that began before what is held only the last can matter.
        while self.marks.len() > 1 && self.marks.get(1).is_some_and(|(at, _)| *at == 0) {
            self.marks.pop_front();
        }
    }
}

/// Classifies a NAL unit by its first bytes.
fn part(codec: Codec, nal: &[u8]) -> Part {
    let (kind, slice, first) = match (codec, nal) {
        (Codec::H264, [head, rest @ ..]) => {
            let kind = head & 0x1f;
            (kind, matches!(kind, 1 | 2 | 5), rest.first())
        }
        // Layers above the base belong to its unit.
        (Codec::H265, [head, layer, rest @ ..]) if head & 1 == 0 && *layer < 8 => {
            let kind = head >> 1 & 0x3f;
            (kind, kind < 32, rest.first())
        }
        _ => return Part::After,
    };
    if slice {
        // The first bit is set in the slice with the first macroblock, the first segment.
        return match first {
            Some(byte) if byte & 0x80 != 0 => Part::FirstSlice,
            _ => Part::Slice,
        };
    }
    match (codec, kind) {
        (Codec::H264, 9) | (Codec::H265, 35) => Part::Delimiter,
        (Codec::H264, 6..=8 | 14..=18) | (Codec::H265, 32..=34 | 39 | 41..=44 | 48..=55) => {
            Part::Before
        }
        _ => Part::After,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDR: [u8; 9] = [0, 0, 0, 1, 0x65, 0x88, 1, 1, 1];
    const P: [u8; 9] = [0, 0, 0, 1, 0x41, 0x9a, 2, 2, 2];
    const MORE: [u8; 8] = [0, 0, 1, 0x41, 0x5a, 3, 3, 3];
    const AUD: [u8; 6] = [0, 0, 0, 1, 9, 0xf0];

    fn at(pts: u64) -> Option<Times> {
        Some(Times { pts, dts: pts })
    }

    /// A unit without start codes, and its time.
    type Unit = (Vec<u8>, u64);

    fn unit(cut: Cut<'_>) -> Unit {
        match cut {
            Cut::Unit(bytes, times) => {
                let nals: Vec<u8> = nal::annex_b(bytes).flatten().copied().collect();
                (nals, times.map_or(0, |times| times.pts))
            }
            Cut::Lost(_) => (Vec::new(), 0),
        }
    }

    fn cut(cutter: &mut Cutter, payload: &[u8], times: Option<Times>) -> Vec<Unit> {
        let mut units = Vec::new();
        cutter.push(payload, times, |cut| units.push(unit(cut)));
        units
    }

    #[test]
    fn a_unit_comes_out_with_its_packet_once_the_first_two_were_units() {
        let mut cutter = Cutter::new(Codec::H264);
        assert_eq!(cut(&mut cutter, &IDR, at(1)), []);
        let first = (IDR[4..].to_vec(), 1);
        let second = ([&P[4..], &MORE[3..]].concat(), 2);
        let payload = [&P[..], &MORE].concat();
        assert_eq!(cut(&mut cutter, &payload, at(2)), [first, second]);
        assert_eq!(cut(&mut cutter, &P, at(3)), [(P[4..].to_vec(), 3)]);
    }

    #[test]
    fn units_across_packets_and_several_in_one_have_their_own_times() {
        let stream = [&AUD[..], &IDR, &AUD, &P, &AUD, &P, &MORE].concat();
        let expected = [
            [&AUD[4..], &IDR[4..]].concat(),
            [&AUD[4..], &P[4..]].concat(),
            [&AUD[4..], &P[4..], &MORE[3..]].concat(),
        ];
        for first in 1..stream.len() {
            let mut cutter = Cutter::new(Codec::H264);
            let mut units = cut(&mut cutter, &stream[..first], at(1));
            units.extend(cut(&mut cutter, &stream[first..], at(2)));
            cutter.flush(&mut |cut| units.push(unit(cut)));
            let data: Vec<_> = units.iter().map(|(data, _)| data.clone()).collect();
            assert_eq!(data, expected, "cut at {first}");
            // The second packet's time is that of the first unit that begins in it.
            let starts = [
                1,
                AUD.len() + IDR.len() + 1,
                2 * (AUD.len() + IDR.len()) + 1,
            ];
            let told: Vec<_> = units.iter().map(|(_, time)| *time).collect();
            let second = starts.iter().position(|start| *start >= first);
            for (unit, time) in told.into_iter().enumerate() {
                let expected = match unit {
                    unit if Some(unit) == second => 2,
                    0 => 1,
                    _ => 0,
                };
                assert_eq!(time, expected, "unit {unit}, cut at {first}");
            }
        }
    }

    #[test]
    fn after_a_loss_the_rest_of_a_unit_is_not_taken_for_one() {
        let mut cutter = Cutter::new(Codec::H264);
        cut(&mut cutter, &IDR, at(1));
        cutter.abandon();
        assert_eq!(cut(&mut cutter, &[&MORE[..], &P].concat(), at(2)), []);
        let units = cut(&mut cutter, &P, at(3));
        assert_eq!(units[0].0, P[4..]);
    }

    #[test]
    fn parts_of_h265_are_known() {
        let part = |nal: &[u8]| part(Codec::H265, nal);
        assert_eq!(part(&[0x46, 1, 0x50]), Part::Delimiter);
        assert_eq!(part(&[0x40, 1, 0x0c]), Part::Before);
        assert_eq!(part(&[0x26, 1, 0xaf]), Part::FirstSlice);
        assert_eq!(part(&[0x02, 1, 0x50]), Part::Slice);
        assert_eq!(part(&[0x02, 9, 0xd0]), Part::After);
        assert_eq!(part(&[0x50, 1, 0x00]), Part::After);
    }
}
