//! One thread that owns sockets, peer connections and routers.
//!
//! A shard is the whole data plane of one core: a UDP socket and a TCP listener on one port
//! number, the peer connections that were placed on it and the routers of the publishers among
//! them. Doors and the control plane reach it through [`Link`]; values cross, handles do not.
//! It knows sessions and sources by number only, never rooms, names or rights.

mod api;
mod command;
mod config;
mod demux;
mod feed;
mod link;
mod pull;
mod requests;
mod review;
mod routing;
mod session;
mod shard;
mod snapshot;
mod source;
mod tap;
mod tcp;
mod timers;
mod udp;

pub use api::{
    Answer, ClientHint, CloseReason, DataForwarding, Error, Event, IceFragment, LayerSelection,
    Publish, Pull, Subscribe, TrackInfo, Warning,
};
pub use config::{Config, Estimation, StartError};
pub use demux::fuzz_classify;
pub use feed::{FeedLink, FeedSender};
pub use inver_rtc::Layer;
pub use inver_sfu::{Batch, Routed};
pub use link::{Link, start};
pub use snapshot::{
    DELAY_BUCKETS, DelayHistogram, LayerStats, SessionStats, Snapshot, SourceStats, Totals,
    TrackStats,
};
pub use tcp::fuzz_frames;
