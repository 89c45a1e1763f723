//! The settings that decisions depend on.

use std::time::Duration;

/// What the operator decided for all rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Whether everything is allowed without credentials (all listeners are loopback).
    pub open: bool,
    /// Whether watching needs no credentials on a server that is not open.
    pub public_viewing: bool,
    /// How long a publisher may stay away before its viewers are let go. Longer keeps viewers
    /// through slow reconnects; shorter tells them sooner that the broadcast is over.
    pub grace: Duration,
    /// Whether viewers of every room may come before the publisher.
    pub wait_for_publisher: bool,
    /// Most rooms at one time, configured ones included.
    pub max_rooms: usize,
    /// Most viewers of one room that sets no limit of its own.
    pub max_viewers: u32,
    /// Most participants that publish in one call.
    pub max_publishers: usize,
    /// Most sessions of one address prefix (IPv4 /24, IPv6 /64) that are not connected yet.
    /// Lower stops floods sooner; higher lets more people join at once from behind one address.
    /// Loopback is exempt: whoever is on this machine has other means.
    pub max_half_open_per_prefix: usize,
    /// Most sessions in all that are not connected yet.
    pub max_half_open: usize,
    /// How long a session may take to connect. Above the data plane's own limit, which reports
    /// earlier; this one only catches what would otherwise stay for ever.
    pub connect_timeout: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            open: true,
            public_viewing: true,
            grace: Duration::from_secs(30),
            wait_for_publisher: false,
            max_rooms: 10_000,
            max_viewers: 10_000,
            max_publishers: 100,
            max_half_open_per_prefix: 100,
            max_half_open: 2_000,
            connect_timeout: Duration::from_secs(45),
        }
    }
}

/// How long a publisher must be silent before somebody without credentials may take its place.
pub const ANONYMOUS_TAKEOVER: Duration = Duration::from_secs(2);

/// How long a new voice must go on alone before viewers of a call are switched to it.
pub const SPEAKER_HYSTERESIS: Duration = Duration::from_secs(2);

/// Least time between two reports of a room's viewer count.
pub const VIEWERS_INTERVAL: Duration = Duration::from_secs(1);

/// Most stream keys of one room.
pub(crate) const MAX_KEYS_PER_ROOM: usize = 100;

/// Longest label of a stream key, in characters.
pub(crate) const MAX_LABEL: usize = 100;

/// Longest credentials that are looked at, in bytes; tokens with all claims stay under 1 KB.
pub(crate) const MAX_CREDENTIALS: usize = 4096;

/// Longest user agent that is kept, in characters.
pub(crate) const MAX_USER_AGENT: usize = 200;
