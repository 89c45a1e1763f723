//! Outputs: each turns publications into one outside protocol.

mod bridge;
mod frames;
pub mod hls;
pub mod push;
pub mod record;
pub mod rtmp;
pub mod rtsp;
pub mod srt;
pub mod thumbnail;
pub mod whep;
