//! Codecs, packets and clocks. No I/O.

mod codec_id;

pub use codec_id::{Codec, Kind, UnknownCodec};
