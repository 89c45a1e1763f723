//! The broadcast doors over real sockets, before a real node with a scripted data plane.

mod ftl;
mod rtmp;
mod rtmps;
mod rtsp;
mod srt;
mod support;
mod udp_ts;
