//! Figures for Prometheus: what the shards counted, what HTTP answered, what the process uses.
//!
//! Names begin with `inver_` and end with their unit; no label names a room, a participant or an
//! address, so the number of series depends on the number of shards only.

mod http_requests;
mod process;
mod render;
mod text;

pub use http_requests::{Answered, HttpRequests, RouteClass};
pub use render::{CONTENT_TYPE, Rooms, render};
