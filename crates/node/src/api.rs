//! What the doors ask of [`Handle`](crate::Handle) and what they get.

use std::net::SocketAddr;
use std::time::Duration;

use inver_control::{Credentials, SessionToken};
use inver_proto::{CloseCause, Door, ParticipantId, Publication, RelayPath, RoomId, SessionId};
use inver_shard::ClientHint;

/// Where a publisher wants to publish.
#[derive(Debug, Clone)]
pub enum Target {
    /// A room named by itself.
    Room(RoomId),
    /// `{room}-{key}` in one string, as encoders with one field send it.
    RoomWithKey(inver_control::Secret),
}

/// What a door knows of a client.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// Where it is in the network.
    pub hint: ClientHint,
    /// Where its request came from, after trusted proxies.
    pub remote: Option<SocketAddr>,
    /// What it calls itself.
    pub user_agent: Option<String>,
}

/// A wish to publish.
#[derive(Debug, Clone)]
pub struct Publish {
    /// Where to.
    pub target: Target,
    /// As whom; the token's subject or `main` where absent.
    pub participant: Option<ParticipantId>,
    /// What the client showed.
    pub credentials: Credentials,
    /// Who asks.
    pub client: Client,
    /// SDP offer (RFC 9725).
    pub offer: String,
    /// Protocol that it came through.
    pub door: Door,
}

/// A wish to publish frames, for encoders behind other protocols than WebRTC.
#[derive(Debug, Clone)]
pub struct PublishFeed {
    /// Where to.
    pub target: Target,
    /// As whom; the token's subject or `main` where absent.
    pub participant: Option<ParticipantId>,
    /// What the client showed.
    pub credentials: Credentials,
    /// Who asks.
    pub client: Client,
    /// Protocol that it came through.
    pub door: Door,
}

/// A wish to read frames.
#[derive(Debug, Clone)]
pub struct ReadFrames {
    /// What to read.
    pub room: RoomId,
    /// Whose publication; the room's choice where absent.
    pub participant: Option<ParticipantId>,
    /// What the client showed.
    pub credentials: Credentials,
    /// Who asks.
    pub client: Client,
    /// Protocol that it came through.
    pub door: Door,
}

/// What is known of an encoder beside its frames. What is absent keeps its last value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Encoder {
    /// What it calls itself.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Share of packets lost on the way here, 0 to 1.
    pub loss: Option<f32>,
    /// Round-trip time to it.
    pub round_trip: Option<Duration>,
    /// Packets that came from it, where its protocol has packets that can be lost.
    pub packets: Option<u64>,
    /// Packets that were asked for again, each request counted.
    pub nacks: Option<u64>,
}

/// A wish to watch.
#[derive(Debug, Clone)]
pub struct Subscribe {
    /// What to watch.
    pub room: RoomId,
    /// Whose publication; the room's choice where absent.
    pub participant: Option<ParticipantId>,
    /// What the client showed.
    pub credentials: Credentials,
    /// Who asks.
    pub client: Client,
    /// SDP offer, or `None` where the server is to offer.
    pub offer: Option<String>,
    /// Whether to wait for a publisher where nobody is live.
    pub wait: bool,
    /// The servers that wait for the room, where it is another server that asks.
    pub relay_path: RelayPath,
    /// Protocol that it came through.
    pub door: Door,
}

/// An accepted session.
#[derive(Debug, Clone)]
pub struct Started {
    /// The last segment of the session's URL.
    pub token: SessionToken,
    /// Its number.
    pub session: SessionId,
    /// Our answer, or our offer.
    pub sdp: String,
    /// Strong entity tag of the ICE session, with its quotes.
    pub etag: String,
    /// Whether `sdp` is an offer that needs [`accept_answer`](crate::Handle::accept_answer).
    pub is_offer: bool,
    /// The room that it is in.
    pub room: RoomId,
    /// Whose it is.
    pub participant: ParticipantId,
}

/// What became of an ICE fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Patched {
    /// Candidates were added.
    Trickled,
    /// ICE starts anew.
    Restarted {
        /// Our side, as `application/trickle-ice-sdpfrag`.
        fragment: String,
        /// Strong entity tag of the new ICE session, with its quotes.
        etag: String,
    },
}

/// What a viewer's event stream tells (WHEP events).
#[derive(Debug, Clone, PartialEq)]
pub enum SessionEvent {
    /// Media flows.
    Active,
    /// No media flows; it may come back.
    Inactive,
    /// The layers that can be chosen.
    Layers(Vec<Publication>),
    /// How many watch the room.
    ViewerCount(u32),
    /// The viewer should make a new session.
    Reconnect {
        /// Where; the same URL as before where absent.
        url: Option<String>,
        /// How long to wait at least, so that not all come at once.
        after: Duration,
    },
    /// The session is over; nothing follows.
    Ended(CloseCause),
}
