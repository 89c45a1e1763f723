//! FLV tags with the Enhanced RTMP extensions, and AMF0.
//!
//! What RTMP messages of type 8, 9 and 18 hold is what FLV files hold as tags. [`TagReader`] turns
//! them into frames, [`TagWriter`] frames into them. Neither knows chunks, connections or files.
//! Follows Adobe's Video File Format specification, version 10.1, annex E, and Veovera's Enhanced
//! RTMP, versions 1 and 2.

pub mod amf0;
mod fourcc;
mod header;
mod metadata;
mod obu;
mod reader;
mod tag;
mod writer;

#[cfg(test)]
mod tests;

pub use fourcc::{FourCc, UnsupportedCodec};
pub use header::Error;
pub use metadata::Metadata;
pub use reader::{DropReason, Drops, Item, MAX_TRACKS, TagReader};
pub use tag::{Tag, TagType, Track};
pub use writer::{TagWriter, WriteError};
