//! What the shell needs to know before it starts.

use std::path::PathBuf;

use inver_control::{Policy, Secret};
use inver_proto::IceServer;

/// Settings of one node's control plane.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Folder for the store and the secrets; made where it does not exist, readable by its owner
    /// only.
    pub data_dir: PathBuf,
    /// What is allowed and how much of it.
    pub policy: Policy,
    /// STUN and TURN servers that clients are told of.
    pub ice_servers: Vec<IceServer>,
    /// Admin token from the configuration; by default one is made at the first run.
    pub admin_token: Option<Secret>,
    /// The program's version, shown by the control API.
    pub version: String,
    /// Sources with B-frames that may be coded again for viewers over WebRTC at once; each takes
    /// up to a core. 0: viewers of such sources are refused.
    pub recoders: usize,
}
