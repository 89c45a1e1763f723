//! Decisions about rooms, participants, sessions and grants.
//!
//! Pure code: time, randomness and the data plane's facts are arguments, and what is to be done
//! comes out as [`Output`]s. It never touches a packet, never reads a clock, never performs I/O.
//! Work per event is O(decision); nothing here runs per packet.

mod access;
mod control;
mod entropy;
mod event_ring;
mod fallback;
mod grants;
mod half_open;
mod happened;
mod media;
mod now;
mod output;
mod policy;
mod publish;
mod record;
mod refusal;
mod rooms;
mod secret;
mod sessions;
mod speaker;
mod state;
mod subscribe;
mod token;
mod vault;
mod view;

pub use access::{Action, Grant, Origin, Scope, Vouched};
pub use control::{Control, Secrets};
pub use entropy::{Entropy, SystemEntropy, base62};
pub use event_ring::Replay;
pub use fallback::FallbackRule;
pub use media::MediaEvent;
pub use now::Now;
pub use output::{Command, Happening, Output, Signal, What};
pub use policy::{ANONYMOUS_TAKEOVER, Policy, SPEAKER_HYSTERESIS, VIEWERS_INTERVAL};
pub use publish::{PublishRequest, PublishTarget, Ticket};
pub use record::{Change, KeyRecord, Plan, RoomRecord, Stored};
pub use refusal::{Refusal, RefusalKind};
pub use secret::{Credentials, Secret, SessionToken};
pub use sessions::{ClientInfo, IcePatch};
pub use subscribe::{SubscribeRequest, WatchState};
pub use vault::{KeyHash, ServerSecret};
pub use view::{Figures, Publisher, SessionCounts, SessionFigures};
