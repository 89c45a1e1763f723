//! The wire format of transport-wide feedback: draft-holmer-rmcat-transport-wide-cc-extensions-01,
//! section 3.1, from the base sequence number on.
//!
//! A packet is checked whole before any of it is used. The work is bounded by the packet's length:
//! a run of missing packets is one report, and every arrival has its own bytes.

use thiserror::Error;

/// Why feedback was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum MalformedFeedback {
    /// Shorter than its fixed fields.
    #[error("feedback of {0} bytes ends within its header, which has 8")]
    Header(usize),
    /// It reports on no packet.
    #[error("feedback reports on no packet; at least one was expected")]
    Empty,
    /// The status chunks end before every packet has a status.
    #[error("feedback has statuses for {described} packets where it announces {announced}")]
    Statuses {
        /// How many packets the chunks describe.
        described: u16,
        /// How many the header announces.
        announced: u16,
    },
    /// A status that means nothing.
    #[error("feedback uses the reserved status 3 for a packet")]
    Reserved,
    /// The receive deltas end too early.
    #[error("feedback has {present} bytes of receive deltas where its statuses need {needed}")]
    Deltas {
        /// Bytes that are there.
        present: usize,
        /// Bytes that the statuses announce.
        needed: usize,
    },
}

const HEADER: usize = 8;

/// Feedback that is well formed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Feedback<'a> {
    /// The sequence number of the first packet reported on.
    pub(super) base: u16,
    /// How many packets it reports on.
    pub(super) count: u16,
    /// The receiver's clock, in 64 ms, 24 bits that wrap.
    pub(super) reference: u32,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

/// What feedback says of packets; positions count from the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    /// `count` packets from `position` on were not received.
    Missing { position: u16, count: u16 },
    /// This packet was, `ticks` of 250 us after the reference time.
    Arrived { position: u16, ticks: i64 },
}

impl<'a> Feedback<'a> {
    /// Reads and checks `body`, which begins after the two SSRCs. Bytes behind the last delta are
    /// padding.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, MalformedFeedback> {
        let Some((&[b0, b1, c0, c1, r0, r1, r2, _], rest)) = body.split_first_chunk::<HEADER>()
        else {
            return Err(MalformedFeedback::Header(body.len()));
        };
        let count = u16::from_be_bytes([c0, c1]);
        if count == 0 {
            return Err(MalformedFeedback::Empty);
        }
        let (mut described, mut needed, mut used) = (0_u16, 0_usize, 0_usize);
        for chunk in rest.chunks_exact(2) {
            if described == count {
                break;
            }
            used += 2;
            let chunk = Chunk::read([chunk[0], chunk[1]]);
            let length = chunk.length().min(count - described);
            described += length;
            match chunk {
                Chunk::Run { status, .. } => {
                    needed += usize::from(length) * delta_bytes(status)?;
                }
                Chunk::Vector { .. } => {
                    for position in 0..length {
                        needed += delta_bytes(chunk.status(position))?;
                    }
                }
            }
        }
        if described < count {
            return Err(MalformedFeedback::Statuses {
                described,
                announced: count,
            });
        }
        let (chunks, deltas) = rest.split_at(used);
        if deltas.len() < needed {
            return Err(MalformedFeedback::Deltas {
                present: deltas.len(),
                needed,
            });
        }
        Ok(Self {
            base: u16::from_be_bytes([b0, b1]),
            count,
            reference: u32::from_be_bytes([0, r0, r1, r2]),
            chunks,
            deltas,
        })
    }

    /// Gives every report in the order of the packets.
    pub(super) fn each(&self, mut take: impl FnMut(Report)) {
        let mut deltas = self.deltas.iter();
        let mut ticks = 0_i64;
        let mut position = 0_u16;
        for chunk in self.chunks.chunks_exact(2) {
            let chunk = Chunk::read([chunk[0], chunk[1]]);
            let length = chunk.length().min(self.count - position);
            if let Chunk::Run { status: 0, .. } = chunk {
                take(Report::Missing {
                    position,
                    count: length,
                });
                position += length;
                continue;
            }
            for inner in 0..length {
                let delta = match chunk.status(inner) {
                    1 => deltas.next().map(|byte| i64::from(*byte)),
                    2 => match (deltas.next(), deltas.next()) {
                        (Some(high), Some(low)) => {
                            Some(i64::from(i16::from_be_bytes([*high, *low])))
                        }
                        _ => None,
                    },
                    _ => None,
                };
                match delta {
                    Some(delta) => {
                        ticks += delta;
                        take(Report::Arrived { position, ticks });
                    }
                    None => take(Report::Missing { position, count: 1 }),
                }
                position += 1;
            }
        }
    }
}

/// A packet status chunk (sections 3.1.3 and 3.1.4).
#[derive(Debug, Clone, Copy)]
enum Chunk {
    Run {
        status: u8,
        length: u16,
    },
    Vector {
        symbols: u16,
        length: u16,
        bits: u16,
    },
}

impl Chunk {
    fn read(bytes: [u8; 2]) -> Self {
        let word = u16::from_be_bytes(bytes);
        if word & 0x8000 == 0 {
            Self::Run {
                status: (word >> 13) as u8 & 3,
                length: word & 0x1fff,
            }
        } else if word & 0x4000 == 0 {
            Self::Vector {
                symbols: word & 0x3fff,
                length: 14,
                bits: 1,
            }
        } else {
            Self::Vector {
                symbols: word & 0x3fff,
                length: 7,
                bits: 2,
            }
        }
    }

    fn length(self) -> u16 {
        match self {
            Self::Run { length, .. } | Self::Vector { length, .. } => length,
        }
    }

    fn status(self, position: u16) -> u8 {
        match self {
            Self::Run { status, .. } => status,
            Self::Vector {
                symbols,
                length,
                bits,
            } => {
                let shift = (length - 1 - position) * bits;
                (symbols >> shift) as u8 & ((1 << bits) - 1)
            }
        }
    }
}

fn delta_bytes(status: u8) -> Result<usize, MalformedFeedback> {
    match status {
        0 => Ok(0),
        1 => Ok(1),
        2 => Ok(2),
        _ => Err(MalformedFeedback::Reserved),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports(body: &[u8]) -> Vec<Report> {
        let mut all = Vec::new();
        Feedback::parse(body)
            .expect("well formed")
            .each(|report| all.push(report));
        all
    }

    #[test]
    fn reads_each_kind_of_chunk() {
        // Base 5, 20 packets, reference 0x010203: a run of 3 small deltas, a two-bit vector
        // (missing, small, large, missing, missing, missing, small), a one-bit vector whose last
        // four statuses are beyond the count.
        let body = [
            0, 5, 0, 20, 1, 2, 3, 9, 0x20, 3, 0xd8, 0x01, 0xa0, 0x00, // chunks end
            4, 8, 0, 2, 0xff, 0xf0, 1, 40, 0xaa,
        ];
        let feedback = Feedback::parse(&body).expect("well formed");
        assert_eq!(
            (feedback.base, feedback.count, feedback.reference),
            (5, 20, 0x01_0203)
        );
        let mut arrived = Vec::new();
        let mut missing = 0;
        feedback.each(|report| match report {
            Report::Arrived { position, ticks } => arrived.push((position, ticks)),
            Report::Missing { count, .. } => missing += count,
        });
        assert_eq!(
            arrived,
            [
                (0, 4),
                (1, 12),
                (2, 12),
                (3, 14),
                (4, -2),
                (9, -1),
                (10, 39)
            ]
        );
        assert_eq!(missing, 13);
    }

    #[test]
    fn a_long_gap_is_one_report() {
        let body = [0, 0, 0x1f, 0xff, 0, 0, 0, 0, 0x1f, 0xff];
        assert_eq!(
            reports(&body),
            [Report::Missing {
                position: 0,
                count: 8191
            }]
        );
    }

    #[test]
    fn refuses_what_is_malformed() {
        let refused = |body: &[u8]| Feedback::parse(body).expect_err("malformed");
        assert_eq!(refused(&[0; 7]), MalformedFeedback::Header(7));
        assert_eq!(refused(&[0; 12]), MalformedFeedback::Empty);
        assert_eq!(
            refused(&[0, 0, 0, 9, 0, 0, 0, 0, 0, 4]),
            MalformedFeedback::Statuses {
                described: 4,
                announced: 9
            }
        );
        assert_eq!(
            refused(&[0, 0, 0, 2, 0, 0, 0, 0, 0x40, 2, 0, 0, 0]),
            MalformedFeedback::Deltas {
                present: 3,
                needed: 4
            }
        );
        assert_eq!(
            refused(&[0, 0, 0, 1, 0, 0, 0, 0, 0x60, 1, 0, 0]),
            MalformedFeedback::Reserved
        );
        // Runs of length zero never reach the count.
        assert_eq!(
            refused(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
            MalformedFeedback::Statuses {
                described: 0,
                announced: 1
            }
        );
    }
}
