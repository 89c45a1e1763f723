//! H.264 that is coded out of presentation order, coded again in presentation order.
//!
//! WebRTC has no decode times: a viewer shows pictures in the order in which they come, so a
//! stream with B-frames cannot be sent as it is. [`Reencoder`] decodes it and encodes it anew as
//! Constrained Baseline, every picture with the presentation time that it had.
//!
//! It works on the thread that calls it and costs up to a core of it, so it is made when somebody
//! watches and dropped with the last viewer. It never reads a clock, never drops a picture without
//! counting it, and hands nothing to the decoder that its own parser has not bounded.

mod encoding;
mod error;
mod library;
mod meter;
mod one;
mod opening;
mod reencoder;
mod settings;
mod slate;
mod source;

pub use error::{Error, Fault};
pub(crate) use one::{OneError, decode_one};
pub use reencoder::Reencoder;
pub use settings::{Bitrate, Settings, Statistics};
pub use slate::{Slate, SlateError};

#[cfg(test)]
mod tests;
