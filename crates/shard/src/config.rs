//! How the shards are set up.

use std::net::IpAddr;
use std::time::Duration;

/// When bandwidth towards viewers is estimated (transport-wide congestion control).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Estimation {
    /// Only for viewers who can choose among layers, since nobody else can use the estimate.
    #[default]
    Auto,
    /// For every viewer; costs some CPU per packet.
    On,
    /// Never; layers are then chosen by request or the best one is sent.
    Off,
}

/// Set-up of all shards of a node.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses to bind; unspecified ones take every interface.
    pub bind: Vec<IpAddr>,
    /// UDP and TCP port of the first shard; shard `n` has `port + n`. 0 takes any free ones.
    pub port: u16,
    /// Number of shards, each a thread.
    pub shards: usize,
    /// Whether to listen for ICE-TCP as well.
    pub tcp: bool,
    /// Addresses to advertise before the discovered ones (NAT one to one, containers).
    pub advertise: Vec<IpAddr>,
    /// Whether to advertise the addresses of this host's interfaces.
    pub discover: bool,
    /// Send with UDP segmentation offload where the kernel has it.
    pub gso: bool,
    /// Bandwidth estimation towards viewers.
    pub estimation: Estimation,
    /// Sessions per shard at most.
    pub max_sessions: usize,
    /// Time from an offer to a connection; the session ends when it passes.
    pub connect_timeout: Duration,
    /// Time without contact until a session ends (consent expiry, RFC 7675).
    pub lost_timeout: Duration,
    /// Longest time that packets of an unfinished frame wait to be sent on together.
    pub batch_delay: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: vec![IpAddr::from([0_u16; 8]), IpAddr::from([0_u8; 4])],
            port: 7000,
            shards: std::thread::available_parallelism().map_or(1, usize::from),
            tcp: true,
            advertise: Vec::new(),
            discover: true,
            gso: true,
            estimation: Estimation::Auto,
            max_sessions: 10_000,
            connect_timeout: Duration::from_secs(30),
            lost_timeout: Duration::from_secs(30),
            batch_delay: Duration::from_millis(2),
        }
    }
}

/// Why the shards did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A media port cannot be bound.
    #[error("cannot bind the media port UDP {addr}: {source}")]
    Bind {
        /// The address.
        addr: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// No address is left to advertise.
    #[error("no address to advertise: bind to an interface that is up, or set one to advertise")]
    NoAddress,
    /// The system refused something that every system has.
    #[error("cannot set up a media thread: {0}")]
    System(#[from] std::io::Error),
}
