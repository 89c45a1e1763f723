//! One peer connection of the generator, with its socket.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use inver_media::{Codec, Kind};
use inver_rtc::{
    Candidate, Direction, OfferedMedia, PeerConnection, PendingAnswer, Settings, Transport,
};

use crate::publisher::Publisher;
use crate::socket::Socket;
use crate::viewer::Viewer;

/// Time from an answer to a connection.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);

/// What a peer connection is for.
#[derive(Debug)]
pub(crate) enum Role {
    Publisher(Box<Publisher>),
    Viewer(Box<Viewer>),
}

/// A peer connection and what is known about it.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) socket: Socket,
    pub(crate) connection: PeerConnection,
    pub(crate) role: Role,
    pub(crate) timeout: Instant,
    /// Earliest entry in the timers.
    pub(crate) scheduled: Option<Instant>,
    pub(crate) created: Instant,
    pub(crate) connected: bool,
    /// Why it is over, where the generator did not end it.
    pub(crate) failure: Option<&'static str>,
    pub(crate) readable: bool,
}

/// A connection whose offer waits for an answer.
#[derive(Debug)]
pub(crate) struct Offered {
    socket: Socket,
    connection: PeerConnection,
    pending: PendingAnswer,
}

impl Offered {
    /// Opens a socket and makes an offer for sound and picture; gives the offer's text too.
    pub(crate) fn new(
        direction: Direction,
        audio: bool,
        codecs: &[Codec],
        bind: IpAddr,
        gro: bool,
    ) -> anyhow::Result<(Self, String)> {
        let socket = Socket::bind(bind, gro).map_err(|error| {
            let many = error.raw_os_error() == Some(nix::libc::EMFILE);
            let hint = if many { "; raise `ulimit -n`" } else { "" };
            anyhow::Error::new(error).context(format!("cannot open a UDP socket{hint}"))
        })?;
        let addr: io::Result<SocketAddr> = socket.local_addr();
        let settings = Settings {
            lite: false,
            sends_only: false,
            wallclock: (Instant::now(), SystemTime::now()),
            transport_feedback: true,
            codecs: codecs.to_vec(),
            estimate: None,
            candidates: vec![Candidate {
                transport: Transport::Udp,
                addr: addr?,
            }],
        };
        let mut media = Vec::with_capacity(2);
        if audio {
            media.push(Kind::Audio);
        }
        media.push(Kind::Video);
        let media: Vec<OfferedMedia> = media
            .into_iter()
            .map(|kind| OfferedMedia { kind, direction })
            .collect();
        let (connection, offer, pending) =
            PeerConnection::offer(&settings, &media, None, Instant::now())
                .context("cannot make an offer")?;
        let offered = Self {
            socket,
            connection,
            pending,
        };
        Ok((offered, offer))
    }

    /// Takes the server's answer.
    pub(crate) fn answered(mut self, answer: &str, role: Role) -> Result<Peer, inver_rtc::Error> {
        self.connection.accept_answer(self.pending, answer)?;
        let now = Instant::now();
        Ok(Peer {
            socket: self.socket,
            connection: self.connection,
            role,
            timeout: now,
            scheduled: None,
            created: now,
            connected: false,
            failure: None,
            readable: true,
        })
    }
}

impl Peer {
    /// When this peer next needs the engine.
    pub(crate) fn wake_at(&self) -> Instant {
        let mut at = self.timeout;
        if let Role::Publisher(publisher) = &self.role
            && let Some(next) = publisher.next()
        {
            at = at.min(next);
        }
        if !self.connected {
            at = at.min(self.created + CONNECT);
        }
        at
    }
}
