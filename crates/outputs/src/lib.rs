//! Outputs: each turns publications into one outside protocol.

mod frames;
pub mod hls;
pub mod rtmp;
pub mod srt;
pub mod thumbnail;
pub mod whep;
