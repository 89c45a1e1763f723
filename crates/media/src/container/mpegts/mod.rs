//! MPEG transport streams (ISO/IEC 13818-1): [`Reader`] takes them apart into frames, [`Writer`]
//! puts frames together.
//!
//! Carried are H.264, H.265, AAC (ADTS, LATM) and Opus; timed ID3 and SCTE-35 come out as they
//! are; everything else is named. No I/O and no clock: bytes come in whatever pieces, and times
//! are those of the stream.

mod clock;
mod crc;
mod item;
mod opus;
mod packet;
mod pes;
mod program;
mod psi;
mod reader;
mod sound;
mod stream;
mod sync;
#[cfg(test)]
mod tests;
mod video;
mod writer;

pub use item::{DataKind, Item, Loss, Pid, Track, Warning};
pub use reader::Reader;
pub use writer::{DATAGRAM, Error, TrackConfig, Writer};
