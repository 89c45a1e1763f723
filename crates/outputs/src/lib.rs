//! Outputs: each turns publications into one outside protocol.

mod frames;
pub mod rtmp;
pub mod rtsp;
pub mod srt;
pub mod thumbnail;
pub mod whep;
