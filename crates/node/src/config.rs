//! What the shell needs to know before it starts.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::fallback::ConfiguredFallback;
use crate::restream::RestreamPolicy;
use inver_control::{Policy, Secret};
use inver_proto::IceServer;
use inver_service::{BuiltIn, ReportPolicy, Service};

/// Settings of one node's control plane.
#[derive(Clone)]
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
    /// What this server is called in reports to the service.
    pub server_name: Option<String>,
    /// Sources with B-frames that may be coded again for viewers over WebRTC at once; each takes
    /// up to a core. 0: viewers of such sources are refused.
    pub recoders: usize,
    /// Who outside decides over publishers and viewers, and is told of them.
    pub service: Arc<dyn Service>,
    /// How streams are reported to the service.
    pub reports: ReportPolicy,
    /// How long the service is told the rest at the end. Longer lets a slow one hear that all
    /// streams are over; the process ends later by as much.
    pub farewell: Duration,
    /// What pushes and pulls may do.
    pub restream: RestreamPolicy,
    /// What stands in for publishers that are gone, by the configuration file.
    pub fallbacks: Vec<ConfiguredFallback>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::new(),
            policy: Policy::default(),
            ice_servers: Vec::new(),
            admin_token: None,
            version: String::new(),
            server_name: None,
            recoders: 0,
            service: Arc::new(BuiltIn),
            reports: ReportPolicy::default(),
            farewell: Duration::from_secs(2),
            restream: RestreamPolicy::default(),
            fallbacks: Vec::new(),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("data_dir", &self.data_dir)
            .field("policy", &self.policy)
            .field("service", &self.service.name())
            .field("reports", &self.reports)
            .finish_non_exhaustive()
    }
}
