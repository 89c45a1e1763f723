//! The broadcast outputs over real sockets, before a real node with a scripted data plane.

mod push;
mod rtmp;
mod srt;
mod support;
