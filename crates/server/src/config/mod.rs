//! The configuration: one TOML file, overridden by the environment, overridden by flags.
//!
//! The schema says which keys exist and what they default to, [`load()`] joins the layers
//! and reports everything that is wrong with its place, methods of [`Config`] decide what depends on
//! several keys. Nothing here opens a socket, and nothing here prints a secret.

mod check;
mod fallback;
mod hls;
mod ladder;
mod load;
mod print;
mod problem;
mod recording;
mod relay;
mod restream;
mod schema;
mod service;
mod value;

pub use check::Openness;
pub use fallback::{Fallback, FallbackRoom};
pub use hls::Hls;
pub use ladder::{Ladder, LadderPreset, LadderRendition, LadderRooms};
pub use load::{Flag, Loaded, Origin, Sources, load};
pub use print::effective;
pub use problem::{Place, Problem, Problems};
pub use recording::{Recording, RecordingS3};
pub use relay::{Relay, RelayedRoom};
pub use schema::{
    Acme, AtLimit, Auth, Config, Estimation, Hooks, IceServer, Limits, Log, LogFormat, Metrics,
    Rooms, SECTIONS, Server, Service, ServiceKind, Tls, Webrtc, WhenDown, keys_of,
};
pub use value::{BasePath, ByteSize, Listen, Period, PublicUrl, Secret, UdpInput};
