//! What every HTTP door shares.
//!
//! Problems (RFC 9457), bearer credentials (RFC 6750), the client's address behind trusted
//! proxies, absolute URLs, CORS, the Host and Origin checks of an open server, rate limits, body
//! limits, the request deadline, and the session resource that WHIP and WHEP have in common. It
//! opens no socket and decides nothing about rooms.

mod body;
mod caller;
mod context;
mod cors;
mod credentials;
mod extract;
mod forwarded;
mod guard;
mod link;
mod problem;
mod rate;
mod resource;
mod session;
#[cfg(feature = "testing")]
pub mod testing;

pub use body::{MAX_JSON, MAX_SDP, SDP, SDP_FRAGMENT, media_type, read_json, read_sdp, read_text};
pub use caller::{Caller, Connection};
pub use context::{Config, ConfigError, Context};
pub use credentials::bearer;
pub use extract::{Flag, Path, Query};
pub use guard::protect;
pub use link::{ice_servers, relation};
pub use problem::Problem;
pub use rate::Rate;
pub use resource::{DoorState, created, options_of_endpoint, options_of_extension};
pub use session::session;
