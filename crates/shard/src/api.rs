//! What crosses between the doors and the shards: commands' contents, answers, events.

use std::net::IpAddr;
use std::time::Duration;

use inver_media::{Codec, Kind};
use inver_proto::{SessionId, SourceId};

/// What a door knows about the client's place in the network; orders the candidates of an answer.
#[derive(Debug, Clone, Default)]
pub struct ClientHint {
    /// Address that the signalling request came from, after trusted proxies.
    pub remote: Option<IpAddr>,
    /// Address of ours that the signalling request was made to, where it was an IP literal.
    pub local: Option<IpAddr>,
}

/// Whether data channels of a publisher reach its viewers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DataForwarding {
    /// Messages on the publisher's channels are sent to every viewer that has data channels.
    #[default]
    ToViewers,
    /// Data channels are accepted and their messages dropped.
    Off,
}

/// A publisher's offer.
#[derive(Debug, Clone)]
pub struct Publish {
    /// Number of the new session.
    pub session: SessionId,
    /// Source that the session feeds. A session that fed it before is no longer heard.
    pub source: SourceId,
    /// SDP offer of the client (RFC 9725).
    pub offer: String,
    /// Where the client is.
    pub client: ClientHint,
    /// What happens to the publisher's data channels.
    pub data: DataForwarding,
}

/// A wish to pull from another server: our offer to receive, whose media feeds a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pull {
    /// Number of the new session.
    pub session: SessionId,
    /// Source that the session feeds. A session that fed it before is no longer heard.
    pub source: SourceId,
}

/// A viewer's wish.
#[derive(Debug, Clone)]
pub struct Subscribe {
    /// Number of the new session.
    pub session: SessionId,
    /// Source whose tracks the viewer receives; may have no publisher yet.
    pub source: SourceId,
    /// SDP offer of the client, or `None` where the server is to offer.
    pub offer: Option<String>,
    /// Where the client is.
    pub client: ClientHint,
}

/// Our side of an accepted offer, or our offer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// SDP with all our candidates (no server trickle).
    pub sdp: String,
    /// Our ICE username fragment: names the ICE session, so the strong ETag is made from it.
    pub ufrag: String,
}

/// The contents of a `application/trickle-ice-sdpfrag` body (RFC 8840).
#[derive(Debug, Clone)]
pub struct IceFragment {
    /// The fragment as text, unparsed.
    pub text: String,
}

/// Which simulcast or spatial layer a viewer gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerSelection {
    /// Simulcast id to stay on.
    pub rid: Option<String>,
    /// Highest spatial layer of an SVC stream.
    pub spatial: Option<u8>,
    /// Highest temporal layer.
    pub temporal: Option<u8>,
    /// Highest picture width in pixels; picks among layers when no rid is given.
    pub max_width: Option<u32>,
    /// Highest picture height in pixels; picks among layers when no rid is given.
    pub max_height: Option<u32>,
    /// Highest bitrate in bits per second.
    pub max_bitrate: Option<u64>,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The client or an operator asked for it.
    Asked,
    /// The client closed DTLS.
    Remote,
    /// No connection came about in time.
    NeverConnected,
    /// Consent expired (RFC 7675).
    ConnectionLost,
    /// Another session took the source over.
    TakenOver,
    /// What is published cannot be shown over WebRTC.
    Unplayable,
    /// Something in the session's own protocol state failed.
    Failed,
    /// The server is stopping.
    Drained,
}

/// Something about a publication that its publisher should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Warning {
    /// Frames are coded out of presentation order, which WebRTC cannot play.
    BFrames,
    /// More than four seconds between keyframes.
    KeyframeInterval {
        /// The interval that was measured.
        measured: Duration,
    },
    /// The publication has video but no sound.
    NoAudio,
    /// More than five percent of packets were lost on the way here.
    Loss {
        /// Share of packets lost in the last ten seconds, in percent.
        percent: u8,
    },
}

/// A track as negotiated, before the first packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackInfo {
    /// Audio or video.
    pub kind: Kind,
    /// Codec of the packets that arrive; `None` until the first one.
    pub codec: Option<Codec>,
    /// Simulcast ids in the order offered; empty without simulcast.
    pub rids: Vec<String>,
}

/// Past-tense facts that a shard tells the control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// ICE and DTLS are up.
    Connected {
        /// The session.
        session: SessionId,
    },
    /// ICE lost contact; it may come back until consent expires.
    Disconnected {
        /// The session.
        session: SessionId,
    },
    /// The session is gone from the shard.
    Closed {
        /// The session.
        session: SessionId,
        /// Why.
        reason: CloseReason,
    },
    /// First media of a publisher's session arrived, or its tracks changed.
    Tracks {
        /// The publisher's session.
        session: SessionId,
        /// The source that it feeds.
        source: SourceId,
        /// All tracks of the source.
        tracks: Vec<TrackInfo>,
    },
    /// Media of a source began to flow or stopped for two seconds.
    Flowing {
        /// The source.
        source: SourceId,
        /// Whether media flows.
        flowing: bool,
    },
    /// Speech in a source's audio, from its level extension; sent at most every 500 ms.
    Speaking {
        /// The source.
        source: SourceId,
        /// Loudness in -dBov, 0 is the loudest and 127 silence.
        level: u8,
    },
    /// Something the publisher should know, once per session and kind.
    Warned {
        /// The publisher's session.
        session: SessionId,
        /// What.
        warning: Warning,
    },
    /// The layers that can be chosen changed (WHEP `layers`).
    Layers {
        /// The source.
        source: SourceId,
    },
}

/// Why a shard refused or failed a request.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// The SDP does not parse or breaks a rule; says where and what would be right.
    #[error("{0}")]
    Sdp(String),
    /// Nothing that one side sends can the other receive.
    #[error("no codec in common: the client offers {offered}, here there is {available}")]
    NoCommonCodec {
        /// Codecs that the offer lists.
        offered: String,
        /// Codecs that could be used.
        available: String,
    },
    /// The pictures come in an order that no viewer over WebRTC can show.
    #[error(
        "the publisher's encoder sends B-frames, which cannot be shown over WebRTC; set B-frames to \
         0 there (OBS: bf=0 or the zerolatency tune; ffmpeg: -bf 0)"
    )]
    Reordered,
    /// The session is unknown here; it may have ended.
    #[error("the session is unknown or has ended")]
    UnknownSession,
    /// The session does not expect this request now.
    #[error("{0}")]
    Unexpected(String),
    /// The shard holds as many sessions as it may.
    #[error("the server is full")]
    Full,
    /// The shard did not answer in time or has stopped.
    #[error("the media thread did not answer")]
    Gone,
}
