//! What inputs of MPEG transport streams share: which of a stream's tracks a room takes.

mod to_frames;

pub(crate) use to_frames::{Step, ToFrames};
