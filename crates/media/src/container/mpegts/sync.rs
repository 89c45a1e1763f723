//! Where packets begin: cuts bytes that come in any pieces into packets and finds the next one
//! after something went missing.

use super::packet::{PACKET, SYNC};

/// Packets that have to begin right one after another until we believe that they do: with one,
/// every 256th byte of a picture would do.
const CONFIRM: usize = 3;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Packet([u8; PACKET]),
    /// The next packet does not begin where the last one ends. The last one may be damaged.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing came yet: the first byte is taken for the first of a packet where it may be.
    Fresh,
    Locked,
    Searching,
}

/// Cuts packets. Call [`Self::push`], then [`Self::next`] until nothing comes.
///
/// Holds what was pushed last and at most `CONFIRM` packets before it.
#[derive(Debug)]
pub(super) struct Sync {
    held: Vec<u8>,
    at: usize,
    state: State,
}

impl Sync {
    pub(super) fn new() -> Self {
        Self {
            held: Vec::new(),
            at: 0,
            state: State::Fresh,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.held.drain(..self.at.min(self.held.len()));
        self.at = 0;
        self.held.extend_from_slice(bytes);
    }

    pub(super) fn next(&mut self) -> Option<Step> {
        let rest = self.held.get(self.at..)?;
        let first = *rest.first()?;
        if self.state != State::Searching {
            let packet = rest.first_chunk::<PACKET>();
            // Where the byte behind it is here already, it tells whether this one is whole.
            if first == SYNC && rest.get(PACKET).is_none_or(|byte| *byte == SYNC) {
                let packet = *packet?;
                self.at += PACKET;
                self.state = State::Locked;
                return Some(Step::Packet(packet));
            }
            let was = self.state;
            self.state = State::Searching;
            if was == State::Locked {
                return Some(Step::Lost);
            }
        }
        let span = (CONFIRM - 1) * PACKET;
        let candidates = rest.len().saturating_sub(span);
        let found = (0..candidates).find(|start| {
            (0..CONFIRM).all(|packet| rest.get(start + packet * PACKET) == Some(&SYNC))
        });
        match found {
            Some(start) => {
                self.at += start;
                self.state = State::Locked;
                self.next()
            }
            None => {
                self.at += candidates;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(count: u8) -> Vec<u8> {
        (0..count)
            .flat_map(|number| {
                let mut packet = [number; PACKET];
                packet[0] = SYNC;
                packet
            })
            .collect()
    }

    fn cut(bytes: &[u8], step: usize) -> Vec<Option<u8>> {
        let mut sync = Sync::new();
        let mut out = Vec::new();
        for piece in bytes.chunks(step) {
            sync.push(piece);
            while let Some(next) = sync.next() {
                out.push(match next {
                    Step::Packet(packet) => Some(packet[100]),
                    Step::Lost => None,
                });
            }
            assert!(sync.held.len() - sync.at <= CONFIRM * PACKET);
        }
        out
    }

    #[test]
    fn any_pieces_give_the_same_packets() {
        let all: Vec<_> = (0..10).map(Some).collect();
        for step in [1, 3, 187, 188, 189, 1316, 5000] {
            assert_eq!(cut(&packets(10), step), all, "{step}");
        }
    }

    #[test]
    fn a_start_in_the_middle_waits_for_the_next_packet() {
        for step in [1, 188, 5000] {
            let all: Vec<_> = (1..10).map(Some).collect();
            assert_eq!(cut(&packets(10)[50..], step), all);
        }
    }

    #[test]
    fn missing_bytes_cost_the_packet_that_they_are_missing_in() {
        let mut bytes = packets(10);
        bytes.drain(188 * 3 + 40..188 * 3 + 50);
        let expected = [Some(0), Some(1), Some(2), None, Some(4), Some(5), Some(6)];
        assert_eq!(cut(&bytes, 5000)[..7], expected);
    }
}
