//! Outputs: each turns publications into one outside protocol.

mod frames;
pub mod record;
pub mod rtmp;
pub mod srt;
pub mod thumbnail;
pub mod whep;
