//! One session on its shard.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use inver_media::{Format, Kind};
use inver_proto::{SessionId, SourceId};
use inver_rtc::{ChannelId, PeerConnection, PendingAnswer, TrackId, Transport, Write};
use inver_sfu::{DownTrack, Pacer};
use smallvec::SmallVec;

use crate::api::{DataForwarding, LayerSelection};
use crate::snapshot::SessionStats;

/// Packets that wait for their turn towards one viewer at most: a whole cached group of pictures.
/// Beyond that the viewer's way is blocked, and a fresh keyframe serves it better.
pub(crate) const BACKLOG: usize = 16_384;

/// Addresses remembered of one session; a client has a few interfaces and moves now and then.
pub(crate) const MAX_REMOTES: usize = 8;

/// What a session does.
#[derive(Debug)]
pub(crate) enum Role {
    Publisher {
        data: DataForwarding,
        /// Simulcast ids of its tracks, `None` where it has no such track.
        audio: Option<Vec<String>>,
        video: Option<Vec<String>>,
    },
    Viewer(Box<Viewer>),
}

/// One track towards a viewer.
#[derive(Debug)]
pub(crate) struct Down {
    pub(crate) id: TrackId,
    pub(crate) track: DownTrack,
    /// Payload type for each format met so far.
    payload_types: SmallVec<[(Format, Option<u8>); 2]>,
}

impl Down {
    pub(crate) fn new(id: TrackId, kind: Kind, seed: u64) -> Self {
        Self {
            id,
            track: DownTrack::new(kind, seed),
            payload_types: SmallVec::new(),
        }
    }

    pub(crate) fn payload_type(
        &mut self,
        connection: &PeerConnection,
        format: &Format,
    ) -> Option<u8> {
        if let Some((_, pt)) = self.payload_types.iter().find(|(known, _)| known == format) {
            return *pt;
        }
        let pt = connection.payload_type(self.id, format);
        if self.payload_types.len() < 16 {
            self.payload_types.push((*format, pt));
        }
        pt
    }
}

/// The sending side of a session.
#[derive(Debug)]
pub(crate) struct Viewer {
    pub(crate) audio: Option<Down>,
    pub(crate) video: Option<Down>,
    pub(crate) selection: LayerSelection,
    /// Bits per second that the way carries; `None` where that is not estimated.
    pub(crate) estimate: Option<u64>,
    /// Present and wanted bitrate as last given to the estimation.
    pub(crate) wanted: (u64, u64),
    pub(crate) pacer: Pacer,
    pub(crate) backlog: VecDeque<(TrackId, Write)>,
    /// When the cached group of pictures was last given.
    pub(crate) replayed: Option<Instant>,
}

impl Viewer {
    pub(crate) fn down(&mut self, kind: Kind) -> Option<&mut Down> {
        match kind {
            Kind::Audio => self.audio.as_mut(),
            Kind::Video => self.video.as_mut(),
        }
    }
}

/// A peer connection with what the shard knows about it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) stamp: u64,
    pub(crate) source: SourceId,
    pub(crate) connection: PeerConnection,
    pub(crate) role: Role,
    pub(crate) ufrag: String,
    /// Proven addresses of the client, with the address of ours that each reached.
    pub(crate) remotes: SmallVec<[(Transport, SocketAddr, Option<IpAddr>); 2]>,
    pub(crate) pending: Option<PendingAnswer>,
    /// Sockets of its own, where we are the client.
    pub(crate) pull: Option<usize>,
    pub(crate) channels: Vec<(ChannelId, String)>,
    pub(crate) created: Instant,
    pub(crate) connected: bool,
    /// It has just connected, and its media has not begun.
    pub(crate) begins: bool,
    /// Since when ICE has had no contact.
    pub(crate) lost: Option<Instant>,
    /// Last authenticated media or report: it shows as well as ICE that the client is there.
    pub(crate) heard: Instant,
    /// The control plane was told that contact is lost.
    pub(crate) told_lost: bool,
    /// When the engine wants to be called.
    pub(crate) timeout: Instant,
    /// Earliest entry of this session in the shard's timers.
    pub(crate) scheduled: Option<Instant>,
    pub(crate) stats: SessionStats,
    pub(crate) bytes_in: Meter,
    pub(crate) bytes_out: Meter,
}

impl Session {
    pub(crate) fn viewer(&mut self) -> Option<&mut Viewer> {
        match &mut self.role {
            Role::Viewer(viewer) => Some(viewer),
            Role::Publisher { .. } => None,
        }
    }

    /// When the session next needs the shard.
    pub(crate) fn wake_at(&self) -> Instant {
        match &self.role {
            Role::Viewer(viewer) if !viewer.backlog.is_empty() => {
                viewer.pacer.next().min(self.timeout)
            }
            Role::Viewer(_) | Role::Publisher { .. } => self.timeout,
        }
    }
}

/// Bytes, and their rate since it was last asked for.
#[derive(Debug)]
pub(crate) struct Meter {
    bytes: u64,
    since: Instant,
}

impl Meter {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            bytes: 0,
            since: now,
        }
    }

    pub(crate) fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Bits per second since the last call.
    pub(crate) fn take(&mut self, now: Instant) -> u64 {
        let elapsed = now
            .saturating_duration_since(self.since)
            .max(Duration::from_millis(1));
        let rate = self.bytes as f64 * 8.0 / elapsed.as_secs_f64();
        self.bytes = 0;
        self.since = now;
        rate as u64
    }
}
