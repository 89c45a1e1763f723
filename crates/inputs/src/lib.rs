//! Inputs: each turns one outside protocol into publications.

mod clock;
pub mod fallback;
pub mod ftl;
pub mod ladder;
mod mpegts;
mod order;
pub mod pull;
pub mod relay;
pub mod rtmp;
pub mod rtsp;
pub mod srt;
pub mod udp_ts;
pub mod whip;
