//! Frames of what is published over WebRTC: packets of a source put together again for readers.
//!
//! It happens while somebody reads, beside the shards: a pump takes what the source's shard taps
//! off and gives frames to the source's hub.

mod assembly;
mod clock;
mod order;
mod pump;

pub(crate) use pump::begin;
