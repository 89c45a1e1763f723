//! Puts handshake messages together from fragments that come in any order, twice or not at all.
//!
//! Memory is bounded whatever arrives: a few messages ahead, a length limit each. RFC 6347
//! section 4.2.3.

use super::wire::Reader;

/// How far ahead of the next message fragments are kept: the longest flight has five.
const WINDOW: usize = 8;
/// The longest message accepted. A chain of RSA-4096 certificates fits; more lets a peer take
/// more memory.
const MAX_MESSAGE_LEN: usize = 16 * 1024;
/// How long messages ahead of the next may be together. A flight has one long message, its
/// certificate; what does not fit is dropped as if lost. More lets a peer take more memory.
const MAX_AHEAD_LEN: usize = 24 * 1024;

/// A whole handshake message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) sequence: u16,
    /// The epoch that its fragments came in.
    pub(super) epoch: u16,
    pub(super) body: Vec<u8>,
}

/// What a record's fragments were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Added {
    /// A message that was already delivered came again: the peer misses our answer.
    pub(super) is_repeat: bool,
}

#[derive(Debug)]
struct Partial {
    kind: u8,
    epoch: u16,
    body: Vec<u8>,
    /// One bit per byte of `body`.
    received: Vec<u64>,
    missing: usize,
}

/// Fragments on their way to being messages.
#[derive(Debug, Default)]
pub(super) struct Reassembly {
    next: u16,
    slots: [Option<Partial>; WINDOW],
}

impl Reassembly {
    /// Takes the fragments of one record; what makes no sense is skipped.
    pub(super) fn add(&mut self, epoch: u16, record: &[u8]) -> Added {
        let mut added = Added::default();
        let mut reader = Reader::new(record);
        while !reader.is_empty() {
            let Some(fragment) = Fragment::read(&mut reader) else {
                break;
            };
            added.is_repeat |= fragment.sequence < self.next;
            self.add_fragment(epoch, &fragment);
        }
        added
    }

    fn add_fragment(&mut self, epoch: u16, fragment: &Fragment<'_>) {
        let Some(ahead) = fragment.sequence.checked_sub(self.next) else {
            return;
        };
        // The next message always fits, so a peer that repeats itself gets through.
        let is_new = matches!(self.slots.get(usize::from(ahead)), Some(None));
        if is_new && ahead > 0 && self.len_ahead() + fragment.len > MAX_AHEAD_LEN {
            return;
        }
        let Some(slot) = self.slots.get_mut(usize::from(ahead)) else {
            return;
        };
        // What is authenticated displaces what anyone could have sent.
        if slot.as_ref().is_some_and(|partial| partial.epoch < epoch) {
            *slot = None;
        }
        let partial = slot.get_or_insert_with(|| Partial {
            kind: fragment.kind,
            epoch,
            body: vec![0; fragment.len],
            received: vec![0; fragment.len.div_ceil(64)],
            missing: fragment.len,
        });
        if (partial.kind, partial.epoch, partial.body.len()) == (fragment.kind, epoch, fragment.len)
        {
            partial.fill(fragment);
        }
    }

    fn len_ahead(&self) -> usize {
        let ahead = self.slots.iter().skip(1).flatten();
        ahead.map(|partial| partial.body.len()).sum()
    }

    /// The next message, once it is whole.
    pub(super) fn next(&mut self) -> Option<Message> {
        let partial = self.slots[0].take_if(|partial| partial.missing == 0)?;
        self.slots.rotate_left(1);
        let sequence = self.next;
        // A handshake has a dozen messages; at the end of the numbers it simply stops.
        self.next = self.next.checked_add(1)?;
        Some(Message {
            kind: partial.kind,
            sequence,
            epoch: partial.epoch,
            body: partial.body,
        })
    }
}

impl Partial {
    fn fill(&mut self, fragment: &Fragment<'_>) {
        for (at, byte) in (fragment.offset..).zip(fragment.data) {
            let (word, bit) = (at / 64, 1 << (at % 64));
            if self.received[word] & bit == 0 {
                self.received[word] |= bit;
                self.body[at] = *byte;
                self.missing -= 1;
            }
        }
    }
}

struct Fragment<'a> {
    kind: u8,
    len: usize,
    sequence: u16,
    offset: usize,
    data: &'a [u8],
}

impl<'a> Fragment<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let kind = reader.u8()?;
        let len = reader.u24()?;
        let sequence = reader.u16()?;
        let offset = reader.u24()?;
        let data = reader.vector(3)?;
        let fits = len <= MAX_MESSAGE_LEN && offset + data.len() <= len;
        // A fragment without bytes says nothing, unless the message has none either.
        let is_useful = len == 0 || !data.is_empty();
        (fits && is_useful).then_some(Self {
            kind,
            len,
            sequence,
            offset,
            data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtls::wire::put_handshake_header;

    fn fragment(sequence: u16, body: &[u8], range: std::ops::Range<usize>) -> Vec<u8> {
        let mut out = Vec::new();
        put_handshake_header(&mut out, 11, sequence, body.len(), range.clone());
        out.extend_from_slice(&body[range]);
        out
    }

    #[test]
    fn any_order_any_overlap() {
        let body: Vec<u8> = (0..200).collect();
        let mut reassembly = Reassembly::default();
        reassembly.add(0, &fragment(1, &body, 0..200));
        reassembly.add(0, &fragment(0, &body, 150..200));
        reassembly.add(0, &fragment(0, &body, 50..160));
        assert_eq!(reassembly.next(), None);
        assert!(!reassembly.add(0, &fragment(0, &body, 0..80)).is_repeat);
        let sequences = [0, 1].map(|_| {
            let message = reassembly.next().expect("whole");
            assert_eq!((message.kind, &message.body), (11, &body));
            message.sequence
        });
        assert_eq!(sequences, [0, 1]);
        assert!(reassembly.add(0, &fragment(0, &body, 0..1)).is_repeat);
        assert_eq!(reassembly.next(), None);
    }

    #[test]
    fn an_empty_message_is_whole_at_once() {
        let mut reassembly = Reassembly::default();
        reassembly.add(0, &fragment(0, &[], 0..0));
        assert_eq!(
            reassembly.next().map(|message| message.body),
            Some(Vec::new())
        );
    }

    #[test]
    fn memory_is_bounded() {
        let mut reassembly = Reassembly::default();
        let body = vec![1; MAX_MESSAGE_LEN + 1];
        reassembly.add(0, &fragment(0, &body, 0..10));
        reassembly.add(0, &fragment(WINDOW as u16, &[1], 0..1));
        assert!(reassembly.slots.iter().all(Option::is_none));
        // Declared lengths that disagree do not disturb what is there.
        reassembly.add(0, &fragment(0, &[9; 20], 0..10));
        reassembly.add(0, &fragment(0, &[8; 19], 0..19));
        reassembly.add(0, &fragment(0, &[9; 20], 10..20));
        assert_eq!(
            reassembly.next().map(|message| message.body),
            Some(vec![9; 20])
        );
    }

    #[test]
    fn memory_is_bounded_and_the_next_message_always_fits() {
        let mut reassembly = Reassembly::default();
        let body = vec![9; MAX_MESSAGE_LEN];
        for sequence in 1..WINDOW as u16 {
            reassembly.add(0, &fragment(sequence, &body, 0..1));
        }
        reassembly.add(0, &fragment(2, &body[..1000], 0..1000));
        let lens = reassembly.slots.iter().flatten().map(|p| p.body.len());
        assert_eq!(lens.collect::<Vec<_>>(), [MAX_MESSAGE_LEN, 1000]);
        reassembly.add(0, &fragment(0, &body, 0..body.len()));
        assert!(reassembly.next().is_some());
        reassembly.add(0, &fragment(1, &body, 0..body.len()));
        assert!(reassembly.next().is_some() && reassembly.next().is_some());
        // Room again for what was dropped.
        reassembly.add(0, &fragment(4, &body, 0..body.len()));
        reassembly.add(0, &fragment(3, &body, 0..body.len()));
        assert!(reassembly.next().is_some() && reassembly.next().is_some());
    }

    #[test]
    fn protected_fragments_displace_plain_ones() {
        let mut reassembly = Reassembly::default();
        reassembly.add(0, &fragment(0, &[1; 12], 0..12));
        reassembly.add(1, &fragment(0, &[2; 12], 0..12));
        let message = reassembly.next().expect("whole");
        assert_eq!((message.epoch, message.body), (1, vec![2; 12]));
    }
}
