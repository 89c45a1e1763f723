//! The shell: joins control, shards and the durable store into one handle for the doors.
//!
//! It owns the clock, the tasks and the files of the control plane. It decides nothing itself
//! and never touches a packet.

mod admin;
mod api;
mod ask;
mod config;
#[cfg(test)]
mod disk_full;
mod fallback;
mod feed;
mod figures;
mod frames;
mod handle;
mod ladder;
mod link;
mod media;
mod notices;
mod packets;
mod pictures;
mod relay;
mod restream;
mod run;
mod secrets;
mod sessions;
#[cfg(test)]
mod silent;
mod store;
mod streams;
mod watch;

pub use api::{
    Client, Encoder, Patched, Publish, PublishFeed, ReadFrames, SessionEvent, Started, Subscribe,
    Target,
};
pub use config::Config;
pub use fallback::{ConfiguredFallback, FallbackSource, WantedFallback};
pub use feed::Feed;
pub use frames::{FrameReader, Read};
pub use handle::{Handle, OpenError};
pub use inver_control::{
    Action, Credentials, FallbackRule, Grant, Origin, Policy, Refusal, RefusalKind, Scope, Secret,
    SessionCounts, SessionToken,
};
pub use inver_service::{ReportPolicy, Service};
pub use ladder::{AddedLayers, LadderPlan};
pub use media::{Answering, Media};
pub use pictures::{Pictures, Picturing};
pub use relay::{Fetching, Pull, Pulled, Relays};
pub use restream::{
    Address, ConfiguredRestream, Restream, RestreamNews, RestreamPolicy, Way, WhepTarget, tend,
};
pub use secrets::SecretsError;
pub use store::StoreError;
pub use watch::{EventItem, EventReader, SessionWatch};
