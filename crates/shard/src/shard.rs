//! The loop of one shard.
//!
//! Priorities of a round: commands, datagrams, batches from other shards, media that is due,
//! timers, and once a second a review. Every step takes a bounded share, so none starves another.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use inver_proto::{SessionId, SourceId};
use inver_rtc::{Burst, Candidate, Event as RtcEvent, Layer, Output, Statistics, Transport};
use inver_sfu::{Batch, Routed};
use mio::{Events, Poll, Token};
use quinn_udp::RecvMeta;
use slab::Slab;
use tracing::{debug, trace, warn};

use crate::api::{CloseReason, DataForwarding, Event};
use crate::command::{Command, Message, Peer};
use crate::config::Config;
use crate::demux::{Class, classify, proves_address};
use crate::feed::Feed;
use crate::pull::Pulled;
use crate::session::{MAX_REMOTES, Role, Session};
use crate::snapshot::{Snapshot, Totals};
use crate::source::{Descriptions, Source, Watchers};
use crate::tcp::Tcp;
use crate::timers::Timers;
use crate::udp::Udp;

pub(crate) const WAKER: Token = Token(0);
pub(crate) const FIRST_UDP: usize = 1;
pub(crate) const FIRST_TCP: usize = 16;
/// Tokens of connections over TCP grow towards it.
pub(crate) const FIRST_PULL: usize = usize::MAX / 2;

/// Commands taken in one round.
const COMMAND_BUDGET: usize = 64;

/// Reads from each socket in one round, each of up to [`READS`] buffers.
const READ_BUDGET: usize = 8;

/// Buffers of one read. Each holds what receive offload puts together.
const READS: usize = 8;

/// Timers served in one round.
const TIMER_BUDGET: usize = 512;

/// Events that wait for the control plane at most. It takes them at once unless it hangs; then
/// new ones are lost, but for the ends of sessions, which the number of sessions bounds.
const EVENTS: usize = 65_536;

const REVIEW_INTERVAL: Duration = Duration::from_secs(1);

/// Everything that one thread owns.
pub(crate) struct Shard {
    pub(crate) index: usize,
    pub(crate) config: Config,
    pub(crate) poll: Poll,
    pub(crate) commands: Receiver<Command>,
    pub(crate) batches: Receiver<(SourceId, Arc<Batch>)>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) udp: Udp,
    pub(crate) tcp: Option<Tcp>,
    /// Sockets of sessions in which we are the client.
    pub(crate) pulls: Slab<Pulled>,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) sessions: Slab<Session>,
    pub(crate) by_id: HashMap<SessionId, usize>,
    pub(crate) by_ufrag: HashMap<String, usize>,
    pub(crate) by_remote: HashMap<(Transport, SocketAddr), usize>,
    pub(crate) sources: HashMap<SourceId, Source>,
    pub(crate) descriptions: Descriptions,
    pub(crate) watchers: Watchers,
    /// Encoders whose packets come from outside, by session.
    pub(crate) feeds: HashMap<SessionId, Feed>,
    /// Sources with packets that wait.
    pub(crate) waiting: Vec<SourceId>,
    /// Keyframe requests that wait for their interval.
    pub(crate) keyframes: Vec<(Instant, SourceId, Layer)>,
    pub(crate) timers: Timers,
    pub(crate) stamp: u64,
    pub(crate) random: fastrand::Rng,
    pub(crate) events: tokio::sync::mpsc::Sender<(usize, Event)>,
    pub(crate) unsent: VecDeque<Event>,
    pub(crate) snapshot: Arc<Mutex<Arc<Snapshot>>>,
    pub(crate) totals: Totals,
    pub(crate) review_at: Instant,
    /// Datagrams of one session on their way out, kept for their allocation.
    pub(crate) outgoing: Vec<(Transport, SocketAddr, Vec<u8>)>,
    /// Datagrams of one session that leave together.
    pub(crate) burst: Burst,
    pub(crate) moments: Vec<Instant>,
    pub(crate) paddings: Vec<u8>,
    /// One moment on both clocks.
    pub(crate) wallclock: (Instant, SystemTime),
    pub(crate) stopping: bool,
}

impl Shard {
    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        let mut mio_events = Events::with_capacity(256);
        let mut buffers = vec![vec![0_u8; 65_536]; READS];
        let mut metas = vec![RecvMeta::default(); READS];
        let mut frames = Vec::new();
        let mut readable = vec![true; self.udp.len()];
        while !self.stopping {
            let busy = readable.iter().any(|more| *more) || self.pulls_wait();
            let wait = if busy {
                Some(Duration::ZERO)
            } else {
                self.wait()
            };
            if let Err(error) = self.poll.poll(&mut mio_events, wait)
                && error.kind() != io::ErrorKind::Interrupted
            {
                warn!(shard = self.index, %error, "waiting for sockets failed");
                break;
            }
            for event in &mio_events {
                let token = event.token().0;
                if token >= FIRST_PULL {
                    self.pull_ready(token, event.is_writable());
                } else if token >= FIRST_TCP {
                    if let Some(tcp) = &mut self.tcp {
                        tcp.ready(token, self.poll.registry(), Instant::now(), &mut frames);
                    }
                } else if token >= FIRST_UDP {
                    let port = token - FIRST_UDP;
                    if event.is_writable() {
                        self.udp.flush(port, self.poll.registry());
                    }
                    readable[port] = true;
                }
            }
            self.take_commands();
            self.take_closings();
            for (port, more) in readable.iter_mut().enumerate() {
                if *more {
                    *more = self.read(port, &mut buffers, &mut metas);
                }
            }
            self.read_pulls(&mut buffers, &mut metas);
            for (remote, frame) in frames.drain(..) {
                self.datagram(Transport::Tcp, remote, None, &frame, Instant::now());
            }
            self.take_batches();
            self.send_due();
            self.serve_timers();
            self.ask_due_keyframes();
            if Instant::now() >= self.review_at {
                self.review_at = Instant::now() + REVIEW_INTERVAL;
                self.review();
            }
            self.send_events();
        }
        self.close_all();
        self.send_events();
    }

    fn wait(&self) -> Option<Duration> {
        let mut next = self.review_at;
        if let Some(timer) = self.timers.next() {
            next = next.min(timer);
        }
        for (at, ..) in &self.keyframes {
            next = next.min(*at);
        }
        for source in &self.waiting {
            if let Some(at) = self.sources.get(source).and_then(|source| source.flush_at) {
                next = next.min(at);
            }
        }
        Some(next.saturating_duration_since(Instant::now()))
    }

    fn take_commands(&mut self) {
        for _ in 0..COMMAND_BUDGET {
            let Ok(command) = self.commands.try_recv() else {
                return;
            };
            self.command(command);
        }
        // More may wait: come back at once.
        let _ = self.peers[self.index].waker.wake();
    }

    fn take_batches(&mut self) {
        for _ in 0..COMMAND_BUDGET {
            let Ok((source, batch)) = self.batches.try_recv() else {
                return;
            };
            self.take_batch(source, &batch);
        }
        let _ = self.peers[self.index].waker.wake();
    }

    /// Reads a socket. `true`: more may be there.
    fn read(&mut self, port: usize, buffers: &mut [Vec<u8>], metas: &mut [RecvMeta]) -> bool {
        for _ in 0..READ_BUDGET {
            let count = match self.udp.receive(port, buffers, metas) {
                Ok(0) => return false,
                Ok(count) => count,
                Err(error) => {
                    // An ICMP error about one client ends up here too; the next read goes on.
                    debug!(shard = self.index, %error, "reading a socket failed");
                    continue;
                }
            };
            let now = Instant::now();
            for (buffer, meta) in buffers.iter().zip(metas.iter()).take(count) {
                let remote = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
                let local = meta.dst_ip.map(|ip| ip.to_canonical());
                let data = &buffer[..meta.len.min(buffer.len())];
                for datagram in data.chunks(meta.stride.max(1)) {
                    self.datagram(Transport::Udp, remote, local, datagram, now);
                }
            }
            self.send_due();
        }
        true
    }

    /// Takes one datagram to its session.
    fn datagram(
        &mut self,
        transport: Transport,
        remote: SocketAddr,
        local: Option<IpAddr>,
        datagram: &[u8],
        now: Instant,
    ) {
        self.totals.bytes_received += datagram.len() as u64;
        let slot = match classify(datagram) {
            Class::Request(ufrag) => self.by_ufrag.get(ufrag).copied(),
            Class::Stun | Class::Secured => self.by_remote.get(&(transport, remote)).copied(),
            Class::Unknown => None,
        };
        let Some(slot) = slot else {
            self.totals.datagrams_unknown += 1;
            trace!(shard = self.index, %remote, "datagram of no session");
            return;
        };
        self.session_datagram(slot, (transport, remote, local), datagram, now);
    }

    /// Takes one datagram of a session.
    pub(crate) fn session_datagram(
        &mut self,
        slot: usize,
        from: (Transport, SocketAddr, Option<IpAddr>),
        datagram: &[u8],
        now: Instant,
    ) {
        let session = &mut self.sessions[slot];
        session.bytes_in.add(datagram.len());
        if let Err(error) = session
            .connection
            .handle_datagram(from.0, from.1, datagram, now)
        {
            self.totals.datagrams_invalid += 1;
            debug!(session = %session.id, %error, "a datagram was not understood");
            if !session.connection.is_alive() {
                self.end(slot, CloseReason::Failed);
                return;
            }
        }
        self.drive(slot, Some(from), now);
    }

    /// Drains a session's outputs: sends datagrams, acts on events, notes the next timeout.
    ///
    /// `from` is where the datagram came from that caused this, if one did.
    pub(crate) fn drive(
        &mut self,
        slot: usize,
        from: Option<(Transport, SocketAddr, Option<IpAddr>)>,
        now: Instant,
    ) {
        let mut outgoing = std::mem::take(&mut self.outgoing);
        let mut closed = None;
        loop {
            let session = &mut self.sessions[slot];
            match session.connection.poll_output(now) {
                Ok(Output::Timeout(at)) => {
                    session.timeout = at;
                    break;
                }
                Ok(Output::Transmit(transmit)) => {
                    if let Some((transport, remote, local)) = from
                        && session.pull.is_none()
                        && transmit.destination == remote
                        && proves_address(&transmit.contents)
                    {
                        self.prove(slot, transport, remote, local);
                    }
                    outgoing.push((transmit.transport, transmit.destination, transmit.contents));
                }
                Ok(Output::Event(event)) => {
                    if let Some(reason) = self.event(slot, event, now) {
                        closed = Some(reason);
                    }
                }
                Err(error) => {
                    debug!(session = %session.id, %error, "the connection failed");
                    closed = Some(CloseReason::Failed);
                    break;
                }
            }
        }
        self.transmit(slot, &mut outgoing);
        outgoing.clear();
        self.outgoing = outgoing;
        match closed {
            Some(reason) => self.end(slot, reason),
            None => {
                // Behind the handshake's last words: what came before them could not be decrypted.
                if std::mem::take(&mut self.sessions[slot].begins) {
                    self.begin_media(slot, now);
                }
                self.schedule(slot);
            }
        }
    }

    /// Sends a session's datagrams, those to one place together.
    fn transmit(&mut self, slot: usize, outgoing: &mut [(Transport, SocketAddr, Vec<u8>)]) {
        let mut burst = std::mem::take(&mut self.burst);
        for group in outgoing.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            burst.clear();
            for (.., datagram) in group {
                burst.push(datagram);
            }
            self.send(slot, group[0].0, group[0].1, &burst);
        }
        self.burst = burst;
    }

    /// Sends a burst of a session to one place.
    pub(crate) fn send(
        &mut self,
        slot: usize,
        transport: Transport,
        destination: SocketAddr,
        burst: &Burst,
    ) {
        self.totals.bytes_sent += burst.bytes().len() as u64;
        let session = &mut self.sessions[slot];
        session.bytes_out.add(burst.bytes().len());
        if let Some(pull) = session.pull {
            self.send_pull(pull, destination, burst);
            return;
        }
        match transport {
            Transport::Udp => {
                let local = session
                    .remotes
                    .iter()
                    .find(|(of, remote, _)| (*of, *remote) == (transport, destination))
                    .and_then(|(.., local)| *local);
                self.udp
                    .send(self.poll.registry(), destination, local, burst);
            }
            Transport::Tcp => {
                for datagram in burst.datagrams() {
                    let sent = self
                        .tcp
                        .as_mut()
                        .is_some_and(|tcp| tcp.send(self.poll.registry(), destination, datagram));
                    if !sent {
                        self.totals.send_errors += 1;
                    }
                }
            }
        }
    }

    /// An address answered with valid integrity: from now on its datagrams are the session's.
    fn prove(
        &mut self,
        slot: usize,
        transport: Transport,
        remote: SocketAddr,
        local: Option<IpAddr>,
    ) {
        let session = &mut self.sessions[slot];
        if let Some(known) = session
            .remotes
            .iter_mut()
            .find(|(of, addr, _)| (*of, *addr) == (transport, remote))
        {
            known.2 = local;
            if self.by_remote.get(&(transport, remote)) == Some(&slot) {
                return;
            }
        } else {
            if session.remotes.len() == MAX_REMOTES {
                let (of, addr, _) = session.remotes.remove(0);
                if self.by_remote.get(&(of, addr)) == Some(&slot) {
                    self.by_remote.remove(&(of, addr));
                }
            }
            session.remotes.push((transport, remote, local));
        }
        self.by_remote.insert((transport, remote), slot);
        if transport == Transport::Tcp
            && let Some(tcp) = &mut self.tcp
        {
            tcp.claim(remote);
        }
    }

    /// Acts on an event of a session. `Some`: the session is over.
    fn event(&mut self, slot: usize, event: RtcEvent, now: Instant) -> Option<CloseReason> {
        let id = self.sessions[slot].id;
        match event {
            RtcEvent::Connected => {
                self.sessions[slot].connected = true;
                self.sessions[slot].lost = None;
                self.sessions[slot].heard = now;
                debug!(session = %id, "connected");
                self.tell(Event::Connected { session: id });
                self.sessions[slot].begins = true;
            }
            RtcEvent::Disconnected => {
                let session = &mut self.sessions[slot];
                // A new session is made sooner than a silent origin comes back.
                if session.pull.is_some() {
                    return Some(CloseReason::ConnectionLost);
                }
                // The review tells, once media and reports are silent as well.
                if session.connected && session.lost.is_none() {
                    session.lost = Some(now);
                }
            }
            RtcEvent::Reconnected => {
                let session = &mut self.sessions[slot];
                session.lost = None;
                if std::mem::take(&mut session.told_lost) {
                    self.tell(Event::Connected { session: id });
                }
            }
            RtcEvent::Closed => return Some(CloseReason::Remote),
            RtcEvent::Received(received) => {
                let kind = received.format.codec.kind();
                self.totals.packets_received += 1;
                let session = &mut self.sessions[slot];
                session.heard = now;
                session.stats.packets_received += 1;
                session
                    .stats
                    .first_packet_after
                    .get_or_insert(now.saturating_duration_since(session.created));
                let source = session.source;
                let info = inver_media::codec::inspect(received.format.codec, &received.payload);
                let packet = inver_media::Packet {
                    payload: received.payload,
                    sequence: received.sequence,
                    timestamp: received.timestamp,
                    marker: received.marker,
                    arrival: received.arrival,
                    format: received.format,
                    info,
                    extensions: received.extensions,
                    clock: received.clock,
                };
                self.take_packet(
                    slot,
                    source,
                    Routed {
                        kind,
                        layer: received.layer,
                        packet,
                    },
                    now,
                );
            }
            RtcEvent::KeyframeRequested(_) => {
                self.totals.keyframe_requests_received += 1;
                self.viewer_wants_keyframe(slot, now);
            }
            RtcEvent::ChannelOpened(channel, label) => {
                let channels = &mut self.sessions[slot].channels;
                // Each channel costs memory here; nobody needs more.
                if channels.len() < 64 {
                    channels.push((channel, label));
                }
            }
            RtcEvent::ChannelClosed(channel) => {
                self.sessions[slot]
                    .channels
                    .retain(|(known, _)| *known != channel);
            }
            RtcEvent::ChannelMessage {
                channel,
                binary,
                data,
            } => {
                let session = &self.sessions[slot];
                if let Role::Publisher {
                    data: DataForwarding::ToViewers,
                    ..
                } = session.role
                {
                    let label = session
                        .channels
                        .iter()
                        .find(|(known, _)| *known == channel)
                        .map(|(_, label)| label.clone());
                    let message = Arc::new(Message {
                        label: label.unwrap_or_default(),
                        binary,
                        data,
                    });
                    self.spread_message(session.source, &message, now);
                }
            }
            RtcEvent::Estimated(bits_per_second) => self.estimated(slot, bits_per_second, now),
            RtcEvent::Statistics(statistics) => self.statistics(slot, statistics, now),
        }
        None
    }

    fn statistics(&mut self, slot: usize, statistics: Statistics, now: Instant) {
        let session = &mut self.sessions[slot];
        match statistics {
            Statistics::Transport {
                round_trip,
                remote,
                tcp,
            } => {
                session.stats.round_trip = round_trip.or(session.stats.round_trip);
                session.stats.remote = remote;
                session.stats.tcp = tcp;
            }
            Statistics::Sent(track, sent) => {
                // A loss figure comes with a fresh report only.
                if sent.loss.is_some() {
                    session.heard = now;
                }
                let is_video = match &session.role {
                    Role::Viewer(viewer) => {
                        viewer.video.as_ref().is_some_and(|down| down.id == track)
                    }
                    Role::Publisher { .. } => false,
                };
                if is_video
                    || session
                        .viewer()
                        .is_some_and(|viewer| viewer.video.is_none())
                {
                    session.stats.loss = sent.loss.unwrap_or(session.stats.loss);
                    self.totals.nacks_received += sent.nacks.saturating_sub(session.stats.nacks);
                    session.stats.nacks = sent.nacks;
                    session.stats.keyframe_requests = sent.keyframe_requests;
                    session.stats.round_trip = sent.round_trip.or(session.stats.round_trip);
                }
            }
            Statistics::Received(_, layer, received) => {
                if let Some(loss) = received.loss {
                    session.stats.loss = loss;
                }
                if layer.0 == 0 && received.nacks > session.stats.nacks {
                    self.totals.nacks_sent += received.nacks - session.stats.nacks;
                    session.stats.nacks = received.nacks;
                }
                session.stats.keyframe_requests = session
                    .stats
                    .keyframe_requests
                    .max(received.keyframe_requests);
            }
        }
    }

    /// Puts a session's next wake-up into the timers.
    pub(crate) fn schedule(&mut self, slot: usize) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        let at = session.wake_at();
        if session.scheduled.is_none_or(|scheduled| at < scheduled) {
            session.scheduled = Some(at);
            self.timers.add(at, slot, session.stamp);
        }
    }

    fn serve_timers(&mut self) {
        let now = Instant::now();
        for _ in 0..TIMER_BUDGET {
            let Some((at, slot, stamp)) = self.timers.pop_due(now) else {
                return;
            };
            let Some(session) = self
                .sessions
                .get_mut(slot)
                .filter(|session| session.stamp == stamp && session.scheduled == Some(at))
            else {
                continue;
            };
            session.scheduled = None;
            if session.wake_at() > now {
                self.schedule(slot);
                continue;
            }
            self.release_backlog(slot, now);
            let session = &mut self.sessions[slot];
            if session.timeout > now {
                self.schedule(slot);
                continue;
            }
            if let Err(error) = session.connection.handle_timeout(now) {
                debug!(session = %session.id, %error, "the connection failed");
                self.end(slot, CloseReason::Failed);
                continue;
            }
            self.drive(slot, None, now);
        }
    }

    /// Ends a session: tells the client, frees its places, tells the control plane.
    pub(crate) fn end(&mut self, slot: usize, reason: CloseReason) {
        if !self.sessions.contains(slot) {
            return;
        }
        let now = Instant::now();
        self.sessions[slot].connection.close();
        let mut outgoing = Vec::new();
        // The engine says good-bye in a few datagrams; a hostile peer must not make it more.
        for _ in 0..64 {
            match self.sessions[slot].connection.poll_output(now) {
                Ok(Output::Transmit(t)) => outgoing.push((t.transport, t.destination, t.contents)),
                Ok(Output::Event(_)) => {}
                Ok(Output::Timeout(_)) | Err(_) => break,
            }
        }
        self.transmit(slot, &mut outgoing);
        let session = self.sessions.remove(slot);
        self.by_id.remove(&session.id);
        if self.by_ufrag.get(&session.ufrag) == Some(&slot) {
            self.by_ufrag.remove(&session.ufrag);
        }
        for (transport, remote, _) in &session.remotes {
            if self.by_remote.get(&(*transport, *remote)) == Some(&slot) {
                self.by_remote.remove(&(*transport, *remote));
            }
            if *transport == Transport::Tcp
                && let Some(tcp) = &mut self.tcp
            {
                tcp.close(*remote, self.poll.registry());
            }
        }
        if let Some(pull) = session.pull {
            self.close_pull(pull);
        }
        self.leave_source(slot, session.source);
        debug!(session = %session.id, ?reason, "ended");
        self.tell(Event::Closed {
            session: session.id,
            reason,
        });
    }

    fn close_all(&mut self) {
        let slots: Vec<usize> = self.sessions.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.end(slot, CloseReason::Drained);
        }
        let feeds: Vec<SessionId> = self.feeds.keys().copied().collect();
        for session in feeds {
            self.end_feed(session, CloseReason::Drained);
        }
    }

    /// Queues an event for the control plane.
    pub(crate) fn tell(&mut self, event: Event) {
        if self.unsent.len() >= EVENTS && !matches!(event, Event::Closed { .. }) {
            return;
        }
        self.unsent.push_back(event);
    }

    fn send_events(&mut self) {
        while let Some(event) = self.unsent.pop_front() {
            use tokio::sync::mpsc::error::TrySendError;
            match self.events.try_send((self.index, event)) {
                Ok(()) => {}
                Err(TrySendError::Full((_, event))) => {
                    self.unsent.push_front(event);
                    return;
                }
                Err(TrySendError::Closed(_)) => {
                    self.stopping = true;
                    return;
                }
            }
        }
    }
}
