//! Frames into RTP payloads and back, codec by codec.
//!
//! [`Packetizer`] cuts frames into payloads, [`Depacketizer`] puts payloads in sequence together
//! again. Neither knows RTP headers, sequence numbers or clocks: those are the caller's.
//!
//! H.264 is RFC 6184 with packetization mode 1, H.265 RFC 7798 without DONL fields, VP8 RFC 7741,
//! VP9 RFC 9628 in its non-flexible mode, AV1 the AOM "RTP Payload Format for AV1", Opus RFC 7587,
//! AAC RFC 3640 in the mode AAC-hbr.

mod aac;
mod av1;
mod depacketizer;
mod nal;
mod packetizer;
mod vp8;
mod vp9;

#[cfg(test)]
mod tests;

pub use depacketizer::{Depacketized, Depacketizer, PayloadPacket, Unit};
pub use packetizer::{MAX_PAYLOAD, PacketizeError, Packetizer, Payload};
