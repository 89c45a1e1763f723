//! What peer connections are made from.

use std::time::{Instant, SystemTime};

use inver_media::{Codec, Kind};
use str0m::change::SdpPendingOffer;

use crate::{Candidate, Direction};

/// What a peer connection is made with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// ICE-lite: answer checks, make none. True on a server, false where we are the client.
    pub lite: bool,
    /// Codecs that may be negotiated, most preferred first.
    pub codecs: Vec<Codec>,
    /// The connection sends media and receives none, like a viewer's: its packets take the short
    /// way, [`crate::PeerConnection::write`] into a [`crate::Burst`]. Otherwise the engine carries
    /// them.
    pub sends_only: bool,
    /// One moment on both clocks, for the times in sender reports; the same for all connections
    /// of a process.
    pub wallclock: (Instant, SystemTime),
    /// Start value of sender-side bandwidth estimation in bits per second; `None` turns
    /// estimation and its pacer off.
    pub estimate: Option<u64>,
    /// Whether to negotiate transport-wide feedback: needed where we receive media, so that the
    /// sender can adapt, and where we estimate. A viewer without it costs less at both ends.
    pub transport_feedback: bool,
    /// Addresses of ours, in the order in which the other side is to try them.
    pub candidates: Vec<Candidate>,
}

/// An m-line of an offer of ours.
#[derive(Debug, Clone)]
pub struct OfferedMedia {
    /// Audio or video.
    pub kind: Kind,
    /// Which way.
    pub direction: Direction,
}

/// What is needed to take the answer to an offer of ours.
#[derive(Debug)]
pub struct PendingAnswer(pub(crate) SdpPendingOffer);
