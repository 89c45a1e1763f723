//! Codecs, packets and clocks. No I/O.
//!
//! What a packet is inside Inver, and what its first bytes tell without decoding: where frames
//! and keyframes begin, which layer a packet belongs to, how large the picture is, whether
//! frames are coded out of order. Every parser here reads bytes from the network: it is bounded,
//! never panics and answers "not known" where the bytes end early.

pub mod audio;
pub mod codec;
mod codec_id;
pub mod container;
mod format;
mod frame;
mod line;
mod packet;
pub mod payload;
mod sequence;
pub mod still;
pub mod video;

pub use codec_id::{Codec, Kind, UnknownCodec};
pub use format::Format;
pub use frame::{Config, Frame, MediaTime};
pub use line::Line;
pub use packet::{CaptureTime, Extensions, Packet, SenderClock};
pub use sequence::Unwrapper;
