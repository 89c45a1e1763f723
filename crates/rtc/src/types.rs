//! What goes into a peer connection and what comes out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use inver_media::{Codec, Extensions, Format, Kind, SenderClock};

use crate::{SdpError, Transport};

/// Position of a track's m-line in the session description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackId(pub u8);

/// Position of a simulcast id in the order of the offer; 0 without simulcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Layer(pub u8);

/// One data channel of a peer connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChannelId(pub(crate) str0m::channel::ChannelId);

/// Which way media flows on an m-line, seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// We send.
    Send,
    /// We receive.
    Receive,
    /// Both.
    Both,
    /// Neither.
    None,
}

/// A datagram to send.
#[derive(Debug)]
pub struct Transmit {
    /// UDP, or TCP with RFC 4571 framing (the frame header is not part of `contents`).
    pub transport: Transport,
    /// Where it goes.
    pub destination: SocketAddr,
    /// UDP payload.
    pub contents: Vec<u8>,
}

/// A received RTP packet, decrypted and freed of retransmission framing.
#[derive(Debug)]
pub struct Received {
    /// The m-line that it belongs to.
    pub track: TrackId,
    /// The simulcast layer that it belongs to.
    pub layer: Layer,
    /// Codec by payload type.
    pub format: Format,
    /// Extended sequence number.
    pub sequence: u64,
    /// Extended RTP timestamp.
    pub timestamp: u64,
    /// Marker bit.
    pub marker: bool,
    /// RTP payload.
    pub payload: Arc<[u8]>,
    /// Header extensions worth forwarding.
    pub extensions: Extensions,
    /// The sender's latest report.
    pub clock: Option<SenderClock>,
    /// When it arrived.
    pub arrival: Instant,
}

/// Statistics of one direction of one track layer since the start.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrackStatistics {
    /// RTP packets, retransmissions included.
    pub packets: u64,
    /// Payload bytes, retransmissions included.
    pub bytes: u64,
    /// NACKed packets: received where we send, sent where we receive.
    pub nacks: u64,
    /// PLI and FIR: received where we send, sent where we receive.
    pub keyframe_requests: u64,
    /// Share of packets lost, 0 to 1, as the last report had it.
    pub loss: Option<f32>,
    /// Round-trip time from the last report.
    pub round_trip: Option<Duration>,
}

/// Statistics that come about once a second.
#[derive(Debug, Clone, PartialEq)]
pub enum Statistics {
    /// The connection's transport.
    Transport {
        /// Round-trip time by ICE or RTCP.
        round_trip: Option<Duration>,
        /// Remote address in use.
        remote: Option<SocketAddr>,
        /// Whether ICE-TCP carries it.
        tcp: bool,
    },
    /// A track that we send.
    Sent(TrackId, TrackStatistics),
    /// A layer of a track that we receive.
    Received(TrackId, Layer, TrackStatistics),
}

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// ICE and DTLS are up; media can flow.
    Connected,
    /// ICE lost contact. It may come back.
    Disconnected,
    /// ICE found contact again.
    Reconnected,
    /// The other side closed DTLS or SCTP.
    Closed,
    /// A packet came in.
    Received(Received),
    /// The receiver of a track that we send needs a keyframe.
    KeyframeRequested(TrackId),
    /// A data channel opened, with its label.
    ChannelOpened(ChannelId, String),
    /// A message came in over a data channel.
    ChannelMessage {
        /// The channel.
        channel: ChannelId,
        /// Binary, or else UTF-8 text.
        binary: bool,
        /// The message.
        data: Vec<u8>,
    },
    /// A data channel closed.
    ChannelClosed(ChannelId),
    /// A new estimate of what the way to the other side carries, in bits per second.
    Estimated(u64),
    /// Statistics.
    Statistics(Statistics),
}

/// What [`crate::PeerConnection::poll_output`] gives.
#[derive(Debug)]
pub enum Output {
    /// Send this datagram.
    Transmit(Transmit),
    /// Take note of this.
    Event(Event),
    /// Nothing more until then, or until the next change.
    Timeout(Instant),
}

/// An RTP packet to send.
#[derive(Debug)]
pub struct Write {
    /// Payload type that the other side maps to the packet's codec.
    pub payload_type: u8,
    /// Extended sequence number of the outgoing stream; the first one stays below 65536.
    pub sequence: u64,
    /// RTP timestamp of the outgoing stream.
    pub timestamp: u32,
    /// The moment that the timestamp stands for; goes into sender reports, so that a receiver
    /// can play audio and video in step.
    pub wallclock: Instant,
    /// Marker bit.
    pub marker: bool,
    /// Keep the packet for retransmission.
    pub nackable: bool,
    /// RTP payload.
    pub payload: Arc<[u8]>,
    /// Bytes of padding to append (RFC 3550, 5.1), so that packets of one frame are of one size
    /// and leave in one send. Only connections that send only do it.
    pub padding: u8,
    /// Header extensions; what the other side did not negotiate is left out.
    pub extensions: Extensions,
}

/// A section of an offer with no codec in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplayable {
    /// Audio or video.
    pub kind: Kind,
    /// Codec names that the offer lists.
    pub offered: Vec<String>,
    /// Codecs that could be used.
    pub usable: Vec<Codec>,
}

impl std::fmt::Display for Unplayable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            kind,
            offered,
            usable,
        } = self;
        write!(
            f,
            "{kind} offers {}, usable are {}",
            list(offered),
            list(usable)
        )
    }
}

/// Why a peer connection refused an input.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The session description cannot be used.
    #[error(transparent)]
    Sdp(#[from] SdpError),
    /// Nothing that some sections of the offer list can be used.
    #[error("no codec in common: {}", list(.0))]
    NoCommonCodec(Vec<Unplayable>),
    /// The protocol state of the connection failed; it has to be closed.
    #[error("the connection failed: {0}")]
    Engine(#[from] str0m::RtcError),
    /// The engine broke an assumption of its own; the connection is unusable and has to be closed.
    #[error("the connection failed: the engine gave up")]
    Broken,
    /// The request does not fit the connection's state.
    #[error("{0}")]
    Unexpected(&'static str),
}

fn list<T: std::fmt::Display>(names: &[T]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
