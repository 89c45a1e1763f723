//! The way to the shards from any thread, and their start.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use inver_proto::{SessionId, SourceId};
use inver_rtc::{Candidate, Layer, Transport};
use inver_sfu::Batch;
use mio::{Poll, Waker};
use socket2::Socket;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use crate::api::{
    Answer, CloseReason, Error, Event, IceFragment, LayerSelection, Publish, Pull, Subscribe,
};
use crate::command::{BATCHES, BeginFeed, COMMANDS, Command, Peer, Reply, TAPPED};
use crate::config::{Config, StartError};
use crate::feed::FeedLink;
use crate::shard::{FIRST_TCP, FIRST_UDP, Shard, WAKER};
use crate::snapshot::{Snapshot, Totals};
use crate::source::{Descriptions, Watchers};
use crate::tcp::Tcp;
use crate::timers::Timers;
use crate::udp::{self, Udp};

/// A request to a shard fails after this time.
const DEADLINE: Duration = Duration::from_secs(5);

/// Events between the shards and the control plane.
const EVENT_CHANNEL: usize = 16_384;

/// Viewers stay on their source's shard until it has this many sessions more than another.
const IMBALANCE: usize = 64;

#[derive(Debug, Default)]
struct Places {
    sessions: HashMap<SessionId, usize>,
    sources: HashMap<SourceId, usize>,
    load: Vec<usize>,
}

#[derive(Debug)]
struct Inner {
    peers: Vec<Peer>,
    snapshots: Vec<Arc<Mutex<Arc<Snapshot>>>>,
    candidates: Vec<SocketAddr>,
    places: Mutex<Places>,
    watchers: Watchers,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// A handle on all shards of this node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Link {
    inner: Arc<Inner>,
}

/// Binds the media ports and starts a thread for each shard.
///
/// Gives the handle and the events of all shards, each with its shard's number.
///
/// # Errors
///
/// A UDP port is taken or may not be bound, or there is no address to advertise. An ICE-TCP port
/// that cannot be bound is a warning in the log.
pub fn start(config: Config) -> Result<(Link, mpsc::Receiver<(usize, Event)>), StartError> {
    let shards = config.shards.max(1);
    let (event_sender, event_receiver) = mpsc::channel(EVENT_CHANNEL);
    let mut parts = Vec::with_capacity(shards);
    let mut peers = Vec::with_capacity(shards);
    for index in 0..shards {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (commands, command_receiver) = sync_channel(COMMANDS);
        let (batches, batch_receiver) = sync_channel(BATCHES);
        let (sockets, port) = bind_shard(&config, index)?;
        peers.push(Peer {
            commands,
            batches,
            waker,
            closings: Arc::default(),
        });
        parts.push((poll, command_receiver, batch_receiver, sockets, port));
    }
    let descriptions = Descriptions::default();
    let watchers = Watchers::default();
    let wallclock = (Instant::now(), SystemTime::now());
    let mut snapshots = Vec::with_capacity(shards);
    let mut threads = Vec::with_capacity(shards);
    let mut advertised = Vec::new();
    for (index, (poll, commands, batches, sockets, port)) in parts.into_iter().enumerate() {
        let bound: Vec<IpAddr> = sockets
            .iter()
            .filter_map(|socket| socket.local_addr().ok()?.as_socket())
            .map(|addr| addr.ip())
            .collect();
        let listeners = if config.tcp {
            listen(&bound, port)
        } else {
            Vec::new()
        };
        let candidates = candidates(&config, &bound, port, !listeners.is_empty())?;
        advertised.extend(
            candidates
                .iter()
                .filter(|c| c.transport == Transport::Udp)
                .map(|c| c.addr),
        );
        let udp = Udp::new(sockets, config.gso, poll.registry(), FIRST_UDP)?;
        let tcp = if listeners.is_empty() {
            None
        } else {
            Some(Tcp::new(listeners, poll.registry(), FIRST_TCP)?)
        };
        let snapshot = Arc::new(Mutex::new(Arc::new(Snapshot {
            shard: index,
            ..Snapshot::default()
        })));
        snapshots.push(Arc::clone(&snapshot));
        let shard = Shard {
            index,
            config: config.clone(),
            poll,
            commands,
            batches,
            peers: peers.clone(),
            udp,
            tcp,
            pulls: slab::Slab::new(),
            candidates,
            sessions: slab::Slab::new(),
            by_id: HashMap::new(),
            by_ufrag: HashMap::new(),
            by_remote: HashMap::new(),
            sources: HashMap::new(),
            descriptions: Descriptions::clone(&descriptions),
            watchers: Watchers::clone(&watchers),
            feeds: HashMap::new(),
            waiting: Vec::new(),
            keyframes: Vec::new(),
            timers: Timers::default(),
            stamp: 0,
            random: fastrand::Rng::new(),
            events: event_sender.clone(),
            unsent: std::collections::VecDeque::new(),
            snapshot,
            totals: Totals::default(),
            review_at: Instant::now(),
            outgoing: Vec::new(),
            burst: inver_rtc::Burst::default(),
            moments: Vec::new(),
            paddings: Vec::new(),
            wallclock,
            stopping: false,
        };
        threads.push(
            std::thread::Builder::new()
                .name(format!("shard-{index}"))
                .spawn(move || shard.run())?,
        );
    }
    let places = Places {
        load: vec![0; shards],
        ..Places::default()
    };
    let inner = Inner {
        peers,
        snapshots,
        candidates: advertised,
        places: Mutex::new(places),
        watchers,
        threads: Mutex::new(threads),
    };
    Ok((
        Link {
            inner: Arc::new(inner),
        },
        event_receiver,
    ))
}

/// Binds the UDP sockets of one shard to one port number on every address.
fn bind_shard(config: &Config, index: usize) -> Result<(Vec<Socket>, u16), StartError> {
    let offset = u16::try_from(index).unwrap_or(u16::MAX);
    let mut port = if config.port == 0 {
        0
    } else {
        config.port.saturating_add(offset)
    };
    let mut sockets = Vec::new();
    let mut failure = None;
    for ip in &config.bind {
        let addr = SocketAddr::new(*ip, port);
        match udp::bind(addr) {
            Ok(socket) => {
                if port == 0
                    && let Some(bound) = socket.local_addr()?.as_socket()
                {
                    port = bound.port();
                }
                sockets.push(socket);
            }
            // A host without IPv6 still has IPv4.
            Err(source) if ip.is_ipv6() && config.bind.len() > 1 && is_unsupported(&source) => {}
            Err(source) => failure = Some(StartError::Bind { addr, source }),
        }
    }
    match failure {
        Some(failure) => Err(failure),
        None if sockets.is_empty() => Err(StartError::NoAddress),
        None => Ok((sockets, port)),
    }
}

fn is_unsupported(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::Unsupported | ErrorKind::AddrNotAvailable
    ) || error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT)
}

fn listen(bound: &[IpAddr], port: u16) -> Vec<TcpListener> {
    let mut listeners = Vec::new();
    for ip in bound {
        let addr = SocketAddr::new(*ip, port);
        let attempt = || -> std::io::Result<TcpListener> {
            let socket = Socket::new(
                socket2::Domain::for_address(addr),
                socket2::Type::STREAM,
                Some(socket2::Protocol::TCP),
            )?;
            if addr.is_ipv6() {
                socket.set_only_v6(true)?;
            }
            socket.set_reuse_address(true)?;
            socket.bind(&addr.into())?;
            socket.listen(1024)?;
            Ok(socket.into())
        };
        match attempt() {
            Ok(listener) => listeners.push(listener),
            Err(error) => warn!(%addr, %error, "no ICE over TCP on this address"),
        }
    }
    listeners
}

/// The addresses that clients are told: configured ones, then those of the interfaces.
fn candidates(
    config: &Config,
    bound: &[IpAddr],
    port: u16,
    tcp: bool,
) -> Result<Vec<Candidate>, StartError> {
    let mut ips: Vec<IpAddr> = config.advertise.clone();
    for ip in bound {
        if !ip.is_unspecified() {
            ips.push(*ip);
        } else if config.discover {
            let interfaces = if_addrs::get_if_addrs()?;
            let mut found: Vec<IpAddr> = interfaces
                .iter()
                .map(|interface| interface.ip())
                .filter(|found| found.is_ipv4() == ip.is_ipv4())
                .filter(|found| match found {
                    IpAddr::V4(v4) => !v4.is_link_local(),
                    IpAddr::V6(v6) => !v6.is_unicast_link_local(),
                })
                .collect();
            // Addresses that others can reach come before loopback ones.
            found.sort_by_key(IpAddr::is_loopback);
            ips.extend(found);
        }
    }
    let mut unique = Vec::new();
    for ip in ips {
        if !unique.contains(&ip) {
            unique.push(ip);
        }
    }
    if unique.is_empty() {
        return Err(StartError::NoAddress);
    }
    let transports = if tcp {
        vec![Transport::Udp, Transport::Tcp]
    } else {
        vec![Transport::Udp]
    };
    Ok(transports
        .into_iter()
        .flat_map(|transport| {
            unique.iter().map(move |ip| Candidate {
                transport,
                addr: SocketAddr::new(*ip, port),
            })
        })
        .collect())
}

impl Link {
    /// Answers a publisher's offer on the source's shard.
    ///
    /// # Errors
    ///
    /// See [`Error`]; nothing is left behind.
    pub async fn publish(&self, request: Publish) -> Result<Answer, Error> {
        let (session, source) = (request.session, request.source);
        let shard = self.with_places(|places| {
            let shard = places.home(source);
            places.add(session, shard);
            shard
        });
        let answer = self
            .ask(shard, |reply| Command::Publish(Box::new(request), reply))
            .await;
        self.settle(session, answer)
    }

    /// Makes an offer to receive, on the source's shard; [`Self::accept_answer`] follows.
    ///
    /// # Errors
    ///
    /// See [`Error`]; nothing is left behind.
    pub async fn pull(&self, request: Pull) -> Result<Answer, Error> {
        let shard = self.with_places(|places| {
            let shard = places.home(request.source);
            places.add(request.session, shard);
            shard
        });
        let answer = self.ask(shard, |reply| Command::Pull(request, reply)).await;
        self.settle(request.session, answer)
    }

    /// Answers a viewer's offer, or makes an offer to it.
    ///
    /// # Errors
    ///
    /// See [`Error`]; nothing is left behind.
    pub async fn subscribe(&self, request: Subscribe) -> Result<Answer, Error> {
        let (session, source) = (request.session, request.source);
        let (shard, home) = self.with_places(|places| {
            let home = places.home(source);
            let shard = places.for_viewer(home);
            places.add(session, shard);
            (shard, home)
        });
        let answer = self
            .ask(shard, |reply| {
                Command::Subscribe(Box::new(request), home, reply)
            })
            .await;
        self.settle(session, answer)
    }

    /// Begins an encoder's session whose packets are handed over.
    ///
    /// # Errors
    ///
    /// See [`Error`]; nothing is left behind.
    pub async fn begin_feed(
        &self,
        session: SessionId,
        source: SourceId,
    ) -> Result<FeedLink, Error> {
        let shard = self.with_places(|places| {
            let shard = places.home(source);
            places.add(session, shard);
            shard
        });
        let request = BeginFeed { session, source };
        let start = self
            .ask(shard, |reply| Command::BeginFeed(request, reply))
            .await;
        if start.is_err() {
            self.with_places(|places| places.remove(session));
        }
        let start = start?;
        let peer = self.inner.peers[shard].clone();
        let watchers = {
            let mut watchers = self
                .inner
                .watchers
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            Arc::clone(watchers.entry(source).or_default())
        };
        let sink = move |batch| peer.batch(source, batch);
        Ok(FeedLink::new(start.epoch, sink, watchers, start.closed))
    }

    /// Takes the answer to an offer that [`Self::subscribe`] made.
    ///
    /// # Errors
    ///
    /// The session is unknown, expects no answer, or cannot use this one and has ended.
    pub async fn accept_answer(&self, session: SessionId, sdp: String) -> Result<(), Error> {
        let shard = self.shard_of(session)?;
        self.ask(shard, |reply| Command::AcceptAnswer(session, sdp, reply))
            .await
    }

    /// Takes a client's candidates.
    ///
    /// # Errors
    ///
    /// The session is unknown or the fragment malformed.
    pub async fn trickle(&self, session: SessionId, fragment: IceFragment) -> Result<(), Error> {
        let shard = self.shard_of(session)?;
        self.ask(shard, |reply| Command::Trickle(session, fragment, reply))
            .await
    }

    /// Restarts ICE. The answer's `sdp` is a fragment with our new credentials and candidates.
    ///
    /// # Errors
    ///
    /// The session is unknown, the fragment malformed, or the session was made by our offer.
    pub async fn restart_ice(
        &self,
        session: SessionId,
        fragment: IceFragment,
    ) -> Result<Answer, Error> {
        let shard = self.shard_of(session)?;
        self.ask(shard, |reply| Command::RestartIce(session, fragment, reply))
            .await
    }

    /// Chooses the layer that a viewer gets.
    ///
    /// # Errors
    ///
    /// The session is unknown or not a viewer's, or there is no such layer.
    pub async fn select_layer(
        &self,
        session: SessionId,
        selection: LayerSelection,
    ) -> Result<(), Error> {
        let shard = self.shard_of(session)?;
        self.ask(shard, |reply| {
            Command::SelectLayer(session, selection, reply)
        })
        .await
    }

    /// Lets a viewer's session go on with another source from its next keyframe.
    ///
    /// # Errors
    ///
    /// The session is unknown or not a viewer's.
    pub async fn switch_source(&self, session: SessionId, source: SourceId) -> Result<(), Error> {
        let shard = self.shard_of(session)?;
        let home = self.with_places(|places| places.home(source));
        self.ask(shard, |reply| {
            Command::SwitchSource(session, source, home, reply)
        })
        .await
    }

    /// Ends a session; [`Event::Closed`] follows.
    pub fn close(&self, session: SessionId, reason: CloseReason) {
        if let Ok(shard) = self.shard_of(session) {
            self.inner.peers[shard].close(session, reason);
        }
    }

    /// Notes that a session has ended, as [`Event::Closed`] told: its place is free.
    pub fn forget_session(&self, session: SessionId) {
        self.with_places(|places| places.remove(session));
    }

    /// Gives what the publisher of a source sends over WebRTC from now on, also after it came
    /// back. Packets come in order of arrival; what is not taken in time is lost. The receiver
    /// ends with the source. `None`: the shard does not take commands.
    pub fn tap(&self, source: SourceId) -> Option<mpsc::Receiver<Arc<Batch>>> {
        let home = self.with_places(|places| places.home(source));
        let (sender, receiver) = mpsc::channel(TAPPED);
        self.inner.peers[home]
            .command(Command::Tap(source, sender))
            .ok()?;
        Some(receiver)
    }

    /// Asks the publisher of a source for a keyframe of a layer, in the order of its offer. One
    /// behind another protocol cannot be asked.
    pub fn want_keyframe(&self, source: SourceId, layer: Layer) {
        let home = self.with_places(|places| places.sources.get(&source).copied());
        if let Some(home) = home {
            // A full queue loses the request; whoever still needs a keyframe asks again.
            let _ = self.inner.peers[home].command(Command::WantKeyframe(source, layer));
        }
    }

    /// Drops what is kept of a source that nobody publishes or watches any more.
    pub fn forget_source(&self, source: SourceId) {
        let home = self.with_places(|places| places.sources.remove(&source));
        if let Some(home) = home {
            // What a full queue leaves behind is an empty entry.
            let _ = self.inner.peers[home].command(Command::ForgetSource(source));
        }
    }

    /// The latest figures of every shard, a second old at most.
    pub fn snapshots(&self) -> Vec<Arc<Snapshot>> {
        self.inner
            .snapshots
            .iter()
            .map(|snapshot| match snapshot.lock() {
                Ok(shown) => Arc::clone(&shown),
                Err(poisoned) => Arc::clone(&poisoned.into_inner()),
            })
            .collect()
    }

    /// The UDP addresses that clients are told.
    pub fn candidates(&self) -> Vec<SocketAddr> {
        self.inner.candidates.clone()
    }

    /// Ends all sessions and the threads; returns when they are gone, after 5 s at the latest.
    pub async fn stop(&self) {
        for peer in &self.inner.peers {
            let _ = peer.command(Command::Stop);
        }
        let threads = match self.inner.threads.lock() {
            Ok(mut threads) => std::mem::take(&mut *threads),
            Err(poisoned) => std::mem::take(&mut *poisoned.into_inner()),
        };
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                let _ = thread.join();
            }
        });
        let _ = tokio::time::timeout(DEADLINE, joined).await;
    }

    fn with_places<T>(&self, f: impl FnOnce(&mut Places) -> T) -> T {
        match self.inner.places.lock() {
            Ok(mut places) => f(&mut places),
            Err(poisoned) => f(&mut poisoned.into_inner()),
        }
    }

    fn shard_of(&self, session: SessionId) -> Result<usize, Error> {
        self.with_places(|places| places.sessions.get(&session).copied())
            .ok_or(Error::UnknownSession)
    }

    fn settle(&self, session: SessionId, answer: Result<Answer, Error>) -> Result<Answer, Error> {
        if answer.is_err() {
            self.with_places(|places| places.remove(session));
        }
        answer
    }

    async fn ask<T>(
        &self,
        shard: usize,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        if self.inner.peers[shard].command(command(reply)).is_err() {
            return Err(Error::Gone);
        }
        match tokio::time::timeout(DEADLINE, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(Error::Gone),
        }
    }
}

impl Places {
    /// The shard of a source: where its publisher is or will be.
    fn home(&mut self, source: SourceId) -> usize {
        let least = self.least();
        *self.sources.entry(source).or_insert(least)
    }

    fn for_viewer(&self, home: usize) -> usize {
        let least = self.least();
        if self.load[home] > self.load[least] + IMBALANCE {
            least
        } else {
            home
        }
    }

    fn least(&self) -> usize {
        self.load
            .iter()
            .enumerate()
            .min_by_key(|(_, load)| **load)
            .map_or(0, |(index, _)| index)
    }

    fn add(&mut self, session: SessionId, shard: usize) {
        if self.sessions.insert(session, shard).is_none() {
            self.load[shard] += 1;
        }
    }

    fn remove(&mut self, session: SessionId) {
        if let Some(shard) = self.sessions.remove(&session) {
            self.load[shard] = self.load[shard].saturating_sub(1);
        }
    }
}
