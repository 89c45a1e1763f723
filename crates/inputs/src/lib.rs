//! Inputs: each turns one outside protocol into publications.

pub mod ftl;
mod mpegts;
pub mod relay;
pub mod rtmp;
pub mod srt;
pub mod udp_ts;
pub mod whip;
