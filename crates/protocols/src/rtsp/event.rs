//! What happens on a connection, and what is to be done.

use super::sdp::Announced;
use super::{Address, Authorization, Method, Transport};

/// What a client asks for, where somebody has to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Of what.
    pub address: Address,
    /// What it shows, current if it is a digest.
    pub authorization: Option<Authorization>,
    pub(super) method: Method,
}

impl Wish {
    /// Whether what it shows is a digest made with this password.
    pub fn proves(&self, password: &str) -> bool {
        match &self.authorization {
            Some(Authorization::Digest(digest)) => digest.proves(self.method.as_str(), password),
            Some(Authorization::Basic { .. }) | None => false,
        }
    }
}

/// What happens on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants to publish these tracks. Answer with [`super::Server::accept_announce`].
    AnnounceRequested(Box<Wish>, Vec<Announced>),
    /// Somebody wants to know what there is to read. Answer with [`super::Server::accept_describe`].
    DescribeRequested(Box<Wish>),
    /// The publisher begins; tracks without transport will not come. Answer with
    /// [`super::Server::accept_start`].
    RecordRequested(Vec<Option<Transport>>),
    /// The reader begins or goes on. Answer with [`super::Server::accept_start`].
    PlayRequested(Vec<Option<Transport>>),
    /// The reader wants nothing for a while.
    Paused,
    /// A packet of a track came between the requests.
    Packet {
        /// Its number, in the order of the description.
        track: usize,
        /// Whether it is RTCP.
        report: bool,
        /// RTP or RTCP.
        data: Vec<u8>,
    },
    /// The client ended the session.
    Ended,
}

/// Where a track's packets begin, which the answer to PLAY tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// Which.
    pub track: usize,
    /// Number of the first packet.
    pub sequence: u16,
    /// Its timestamp.
    pub timestamp: u32,
}
