//! A load generator for any WHIP and WHEP server.
//!
//! Publishes synthetic media over WHIP (RFC 9725), watches it with many WHEP viewers and measures
//! what they get and what it costs the server. Each packet carries its capture time in the
//! payload; publisher and viewers share one clock because they share one process.
//!
//! [`run_hls`] does the same for LL-HLS: many players of one stream that is published over RTMP.
//!
//! One thread signals over HTTP, one publishes and one or more watch. The code knows nothing of
//! the server: what it measures here can be measured of any other.

mod args;
mod clock;
mod engine;
mod feed;
mod frames;
mod ftl;
mod h264;
mod hls;
mod packetizer;
mod peer;
mod process;
mod publisher;
mod report;
mod rtmp;
mod run;
mod sequence;
mod signalling;
mod socket;
mod stamp;
mod synthetic;
mod table;
mod viewer;
mod wire;

pub use args::Args;
pub use hls::{HlsArgs, run_hls};
pub use run::run;
