//! The data plane: routers, receivers, forwarders. No I/O.
//!
//! A [`Router`] watches the packets of one source and knows its layers, clocks and keyframes; a
//! [`DownTrack`] decides for one viewer which of them to forward and renumbers what it forwards.
//! Costs are O(packets): nothing here allocates per packet in steady state but for the rewriting
//! of picture ids after a switch of layers. Time is an argument.

mod batch;
mod clock;
mod down_track;
mod group;
mod keyframe;
mod layers;
mod munger;
mod pacer;
mod router;

pub use batch::{Batch, Routed};
pub use down_track::{DownTrack, Forwarded, Limits};
pub use group::{GroupCache, Place};
pub use keyframe::KeyframeRequests;
pub use layers::{LayerState, Layers};
pub use munger::Munger;
pub use pacer::Pacer;
pub use router::{Finding, Router, RouterTrack};
