//! Broadcast protocols as state machines: RTMP, RTSP, SRT, FTL.
//!
//! Each turns bytes and time into events and bytes; the doors own sockets, rooms and rights. They
//! never open a socket, read a clock or decide who may publish.

pub mod ftl;
mod output;
mod percent;
pub mod rtmp;
pub mod rtsp;
pub mod srt;

pub use output::Output;
