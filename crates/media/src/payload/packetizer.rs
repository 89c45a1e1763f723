//! Frames into RTP payloads: what all codecs share.

use std::sync::Arc;

use super::{aac, av1, nal, vp8, vp9};
use crate::{Codec, Config, Frame};

/// Bytes of payload that fit every path: 1200 bytes of UDP payload, which WebRTC takes for safe,
/// less an RTP header. More would save headers and lose viewers behind tunnels.
pub const MAX_PAYLOAD: usize = 1188;

/// Largest and smallest limits that are taken: below, headers would outgrow what they carry;
/// above, no UDP datagram goes.
const LIMITS: std::ops::RangeInclusive<usize> = 64..=65_000;

/// Largest frame that is cut. A 4K keyframe at the highest rates has about two megabytes.
pub(super) const MAX_FRAME: usize = 8 << 20;

/// One RTP payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The payload without RTP header.
    pub bytes: Arc<[u8]>,
    /// Marker bit: the last payload of a picture, or of an AAC access unit.
    pub marker: bool,
}

/// Why a frame was not cut. None of its payloads came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketizeError {
    /// The frame is of another codec than the packetizer.
    #[error("a {found} frame came to a packetizer of {expected}")]
    Codec {
        /// The packetizer's.
        expected: Codec,
        /// The frame's.
        found: Codec,
    },
    /// Nothing to send.
    #[error("the frame is empty")]
    Empty,
    /// The frame does not have the shape that its codec's frames have.
    #[error("the {0} frame is not made of whole units")]
    Broken(Codec),
    /// The frame is larger than its payload format or the bound on frames allows.
    #[error("the {codec} frame has {size} bytes; {most} are allowed")]
    TooLarge {
        /// Its codec.
        codec: Codec,
        /// Its size.
        size: usize,
        /// What is allowed.
        most: usize,
    },
}

/// Cuts the frames of one track into payloads.
///
/// The payloads of a frame are as even as its units allow: all pieces of one unit have the same
/// size but for the last, which is shorter by less bytes than there are pieces. Equal sizes leave
/// a socket in one segmented send.
#[derive(Debug)]
pub struct Packetizer {
    codec: Codec,
    most: usize,
    /// Parameter sets that were sent last (H.264, H.265).
    sent: Option<Arc<Config>>,
    /// Picture id of the next frame, 15 bits (VP8, VP9).
    picture_id: u16,
    /// Built here before it is shared.
    scratch: Vec<u8>,
}

impl Packetizer {
    /// For frames of `codec`, with payloads of at most `most` bytes (kept between 64 and 65000);
    /// [`MAX_PAYLOAD`] fits everywhere. `picture_id` is where VP8 and VP9 begin to count.
    pub fn new(codec: Codec, most: usize, picture_id: u16) -> Self {
        Self {
            codec,
            most: most.clamp(*LIMITS.start(), *LIMITS.end()),
            sent: None,
            picture_id: picture_id & 0x7fff,
            scratch: Vec::new(),
        }
    }

    /// Appends the payloads of a frame to `out`.
    ///
    /// Before each keyframe of H.264 and H.265 the parameter sets of its configuration are sent,
    /// before each of AV1 the sequence header, where the frame has none itself.
    pub fn packetize(
        &mut self,
        frame: &Frame,
        out: &mut Vec<Payload>,
    ) -> Result<(), PacketizeError> {
        let codec = self.codec;
        if frame.codec() != codec {
            return Err(PacketizeError::Codec {
                expected: codec,
                found: frame.codec(),
            });
        }
        if frame.data.is_empty() {
            return Err(PacketizeError::Empty);
        }
        if frame.data.len() > MAX_FRAME {
            return Err(PacketizeError::TooLarge {
                codec,
                size: frame.data.len(),
                most: MAX_FRAME,
            });
        }
        let begin = out.len();
        let mut sink = Sink {
            most: self.most,
            scratch: &mut self.scratch,
            out,
        };
        match codec {
            Codec::H264 | Codec::H265 => {
                nal::packetize(frame, &mut self.sent, &mut sink)
                    .ok_or(PacketizeError::Broken(codec))?;
            }
            Codec::Av1 => {
                av1::packetize(frame, &mut sink).ok_or(PacketizeError::Broken(codec))?;
            }
            Codec::Vp8 => vp8::packetize(frame, self.picture_id, &mut sink),
            Codec::Vp9 => vp9::packetize(frame, self.picture_id, &mut sink),
            Codec::Opus => {
                // The format has no fragments: a packet of several long frames goes in one
                // datagram as long as that is one.
                let most = self.most.max(1275);
                if frame.data.len() > most {
                    return Err(PacketizeError::TooLarge {
                        codec,
                        size: frame.data.len(),
                        most,
                    });
                }
                sink.scratch.extend_from_slice(&frame.data);
                sink.close();
            }
            Codec::Aac => {
                if frame.data.len() > aac::MAX_UNIT {
                    return Err(PacketizeError::TooLarge {
                        codec,
                        size: frame.data.len(),
                        most: aac::MAX_UNIT,
                    });
                }
                aac::packetize(&frame.data, &mut sink);
            }
        }
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        // Opus marks the start of a talk spurt, which nothing here can tell.
        if codec != Codec::Opus
            && out.len() > begin
            && let Some(last) = out.last_mut()
        {
            last.marker = true;
        }
        Ok(())
    }
}

/// Where a codec writes its payloads.
pub(super) struct Sink<'a> {
    /// Bytes that a payload has at most.
    pub(super) most: usize,
    /// The payload being built.
    pub(super) scratch: &'a mut Vec<u8>,
    out: &'a mut Vec<Payload>,
}

impl Sink<'_> {
    /// Ends the payload being built.
    pub(super) fn close(&mut self) {
        self.out.push(Payload {
            bytes: Arc::from(self.scratch.as_slice()),
            marker: false,
        });
        self.scratch.clear();
    }
}

/// Size of the pieces into which `total` bytes are cut evenly, each of at most `most`.
pub(super) fn even(total: usize, most: usize) -> usize {
    let most = most.max(1);
    total.div_ceil(total.div_ceil(most).max(1)).max(1)
}
