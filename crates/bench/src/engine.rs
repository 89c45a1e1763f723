//! A thread that drives peer connections: sockets, timers, media.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use inver_rtc::{Event, Output, Transport};
use mio::{Events, Interest, Poll, Token, Waker};
use quinn_udp::RecvMeta;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::peer::{CONNECT, Peer, Role};
use crate::publisher::Published;
use crate::viewer::{Shared, Totals, Watched};

const WAKER: Token = Token(usize::MAX);

/// Commands that wait at most: whoever joins faster than the thread works has to wait for it.
const COMMANDS: usize = 1024;

/// Buffers of one read, each of the size of what receive offload puts together.
const READS: usize = 4;

/// Reads from one socket before the next one's turn.
const READ_BUDGET: usize = 4;

/// Timers served in one round.
const TIMER_BUDGET: usize = 256;

/// How often the clock is compared with the system's.
const CLOCK_INTERVAL: Duration = Duration::from_secs(1);

/// What the thread is told.
#[derive(Debug)]
enum Command {
    Add(Box<Peer>),
    /// Begins or ends measuring; gives the counters of that moment.
    Measure(bool, oneshot::Sender<Totals>),
    Look(oneshot::Sender<Totals>),
    /// Publishers send nothing more.
    Quiet,
    /// Gives the results; media should have gone on until the moment named.
    Report(Instant, oneshot::Sender<Results>),
    /// Closes all connections and ends the thread.
    Stop,
}

/// What a thread found out.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) watched: Vec<Watched>,
    pub(crate) published: Vec<Published>,
    pub(crate) failures: BTreeMap<&'static str, u64>,
    pub(crate) delay: Histogram<u64>,
    pub(crate) first_delay: Histogram<u64>,
    pub(crate) lag: Histogram<u64>,
    pub(crate) send_errors: u64,
    /// Viewers that have seen a whole keyframe.
    pub(crate) pictures: u64,
}

/// The thread is gone: it cannot get what the system owes it.
#[derive(Debug, thiserror::Error)]
#[error("a media thread has ended early")]
pub(crate) struct Gone;

/// A running thread.
#[derive(Debug)]
pub(crate) struct Engine {
    commands: SyncSender<Command>,
    waker: Arc<Waker>,
    thread: std::sync::Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Engine {
    /// Starts a thread.
    ///
    /// # Errors
    ///
    /// The system refuses a thread or the means to wait.
    pub(crate) fn start(name: &str, clock: Clock) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (commands, receiver) = sync_channel(COMMANDS);
        let worker = Worker {
            poll,
            commands: receiver,
            clock,
            peers: Vec::new(),
            ready: Vec::new(),
            timers: BinaryHeap::new(),
            shared: Shared::new(),
            send_errors: 0,
            stopping: false,
        };
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || worker.run())?;
        Ok(Self {
            commands,
            waker,
            thread: std::sync::Mutex::new(Some(thread)),
        })
    }

    async fn tell(&self, command: Command) -> Result<(), Gone> {
        let mut command = command;
        loop {
            match self.commands.try_send(command) {
                Ok(()) => return self.waker.wake().map_err(|_| Gone),
                Err(TrySendError::Disconnected(_)) => return Err(Gone),
                Err(TrySendError::Full(back)) => {
                    command = back;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        self.tell(command(reply)).await?;
        answer.await.map_err(|_| Gone)
    }

    /// Hands a peer over.
    pub(crate) async fn add(&self, peer: Peer) -> Result<(), Gone> {
        self.tell(Command::Add(Box::new(peer))).await
    }

    /// Begins or ends measuring.
    pub(crate) async fn measure(&self, on: bool) -> Result<Totals, Gone> {
        self.ask(|reply| Command::Measure(on, reply)).await
    }

    /// The counters.
    pub(crate) async fn look(&self) -> Result<Totals, Gone> {
        self.ask(Command::Look).await
    }

    /// Lets publishers fall silent.
    pub(crate) async fn quiet(&self) -> Result<(), Gone> {
        self.tell(Command::Quiet).await
    }

    /// The results.
    pub(crate) async fn report(&self, until: Instant) -> Result<Results, Gone> {
        self.ask(|reply| Command::Report(until, reply)).await
    }

    /// Closes all connections and waits for the thread.
    pub(crate) async fn stop(&self) {
        let told = self.tell(Command::Stop).await;
        let thread = match self.thread.lock() {
            Ok(mut thread) => thread.take(),
            Err(poisoned) => poisoned.into_inner().take(),
        };
        if let (Ok(()), Some(thread)) = (told, thread) {
            // A thread that panicked has said so.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

struct Worker {
    poll: Poll,
    commands: Receiver<Command>,
    clock: Clock,
    peers: Vec<Peer>,
    /// Peers whose sockets may hold something.
    ready: Vec<usize>,
    /// Wake-ups with lazy removal: one that comes too early is put back.
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    shared: Shared,
    send_errors: u64,
    stopping: bool,
}

impl Worker {
    fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        let mut buffers = vec![vec![0_u8; 65_536]; READS];
        let mut metas = vec![RecvMeta::default(); READS];
        let mut refresh = Instant::now() + CLOCK_INTERVAL;
        while !self.stopping {
            let wait = if self.ready.is_empty() {
                let next = self.timers.peek().map_or(refresh, |Reverse((at, _))| *at);
                next.min(refresh).saturating_duration_since(Instant::now())
            } else {
                Duration::ZERO
            };
            if let Err(error) = self.poll.poll(&mut events, Some(wait))
                && error.kind() != io::ErrorKind::Interrupted
            {
                return;
            }
            self.take_commands();
            for event in &events {
                let slot = event.token().0;
                if let Some(peer) = self.peers.get_mut(slot)
                    && !peer.readable
                {
                    peer.readable = true;
                    self.ready.push(slot);
                }
            }
            let ready = std::mem::take(&mut self.ready);
            for slot in ready {
                if self.read(slot, &mut buffers, &mut metas) {
                    self.ready.push(slot);
                } else {
                    self.peers[slot].readable = false;
                }
            }
            self.serve_timers();
            if Instant::now() >= refresh {
                refresh = Instant::now() + CLOCK_INTERVAL;
                self.clock.refresh();
            }
        }
        for slot in 0..self.peers.len() {
            self.peers[slot].connection.close();
            self.drain(slot, Instant::now());
        }
    }

    fn take_commands(&mut self) {
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.command(command),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.stopping = true;
                    return;
                }
            }
        }
    }

    fn command(&mut self, command: Command) {
        // Whoever asked may have stopped waiting.
        match command {
            Command::Add(peer) => self.add(*peer),
            Command::Measure(on, reply) => {
                self.shared.measuring = on;
                let _ = reply.send(self.shared.totals);
            }
            Command::Look(reply) => {
                let _ = reply.send(self.shared.totals);
            }
            Command::Quiet => {
                for peer in &mut self.peers {
                    if let Role::Publisher(publisher) = &mut peer.role {
                        publisher.end();
                    }
                }
            }
            Command::Report(until, reply) => {
                let _ = reply.send(self.report(until));
            }
            Command::Stop => self.stopping = true,
        }
    }

    fn add(&mut self, mut peer: Peer) {
        let slot = self.peers.len();
        let registered =
            self.poll
                .registry()
                .register(&mut peer.socket.io, Token(slot), Interest::READABLE);
        self.peers.push(peer);
        if registered.is_err() {
            self.fail(slot, "the system does not watch the socket");
            return;
        }
        self.ready.push(slot);
        self.advance(slot, Instant::now());
    }

    fn report(&mut self, until: Instant) -> Results {
        let mut results = Results {
            watched: Vec::new(),
            published: Vec::new(),
            failures: BTreeMap::new(),
            delay: self.shared.delay.clone(),
            first_delay: self.shared.first_delay.clone(),
            lag: self.shared.lag.clone(),
            send_errors: self.send_errors,
            pictures: 0,
        };
        for peer in &mut self.peers {
            let mut failure = peer.failure;
            match &mut peer.role {
                Role::Publisher(publisher) => results.published.push(publisher.published),
                Role::Viewer(viewer) => {
                    let watched = viewer.finish(until);
                    if failure.is_none() && watched.first_packet.is_none() {
                        failure = Some(if peer.connected {
                            "no media"
                        } else {
                            "not connected before the end"
                        });
                    }
                    results.pictures += u64::from(viewer.has_picture());
                    results.watched.push(watched);
                }
            }
            if let Some(reason) = failure {
                *results.failures.entry(reason).or_default() += 1;
            }
        }
        results
    }

    /// Reads a socket. `true`: more may be there.
    fn read(&mut self, slot: usize, buffers: &mut [Vec<u8>], metas: &mut [RecvMeta]) -> bool {
        for _ in 0..READ_BUDGET {
            let peer = &mut self.peers[slot];
            let count = match peer.socket.receive(buffers, metas) {
                Ok(0) => return false,
                Ok(count) => count,
                // An ICMP error about a candidate ends up here; the next read goes on.
                Err(_) => continue,
            };
            let now = Instant::now();
            if peer.failure.is_some() {
                continue;
            }
            for (buffer, meta) in buffers.iter().zip(metas.iter()).take(count) {
                let arrival = self.clock.arrival(meta.timestamp, now);
                if self.shared.measuring {
                    let lag = now.saturating_duration_since(arrival).as_micros();
                    let lag = u64::try_from(lag).unwrap_or(u64::MAX);
                    self.shared.lag.saturating_record(lag);
                }
                let data = &buffer[..meta.len.min(buffer.len())];
                for datagram in data.chunks(meta.stride.max(1)) {
                    self.datagram(slot, meta, datagram, arrival, now);
                }
            }
        }
        true
    }

    fn datagram(
        &mut self,
        slot: usize,
        meta: &RecvMeta,
        datagram: &[u8],
        arrival: Instant,
        now: Instant,
    ) {
        let peer = &mut self.peers[slot];
        if let Role::Viewer(viewer) = &mut peer.role {
            viewer.datagram(datagram, arrival, &mut self.shared);
        }
        let taken = peer
            .connection
            .handle_datagram(Transport::Udp, meta.addr, datagram, now);
        if taken.is_err() && !peer.connection.is_alive() {
            self.fail(slot, "the connection failed");
            return;
        }
        self.drain(slot, arrival);
    }

    /// Moves a peer's time forward.
    fn advance(&mut self, slot: usize, now: Instant) {
        if self.peers[slot].connection.handle_timeout(now).is_err() {
            self.fail(slot, "the connection failed");
            return;
        }
        self.drain(slot, now);
    }

    /// Takes all outputs of a peer connection.
    fn drain(&mut self, slot: usize, arrival: Instant) {
        loop {
            let peer = &mut self.peers[slot];
            match peer.connection.poll_output(Instant::now()) {
                Ok(Output::Timeout(at)) => {
                    peer.timeout = at;
                    self.schedule(slot);
                    return;
                }
                Ok(Output::Transmit(transmit)) => {
                    let sent = peer.socket.send(transmit.destination, &transmit.contents);
                    // Before the connection stands, candidates are tried that cannot be reached.
                    self.send_errors += u64::from(!sent && peer.connected);
                }
                Ok(Output::Event(event)) => self.event(slot, event, arrival),
                Err(_) => {
                    self.fail(slot, "the connection failed");
                    return;
                }
            }
        }
    }

    fn event(&mut self, slot: usize, event: Event, arrival: Instant) {
        let peer = &mut self.peers[slot];
        match (event, &mut peer.role) {
            (Event::Received(received), Role::Viewer(viewer)) => {
                viewer.received(
                    &received,
                    arrival,
                    &self.clock,
                    &mut peer.connection,
                    &mut self.shared,
                );
            }
            (Event::Statistics(statistics), Role::Viewer(viewer)) => {
                viewer.statistics(&statistics);
            }
            (Event::KeyframeRequested(_), Role::Publisher(publisher)) => {
                publisher.keyframe_requested();
            }
            (Event::Connected, role) => {
                peer.connected = true;
                self.shared.totals.connected += 1;
                if let Role::Publisher(publisher) = role
                    && !publisher.begin(&peer.connection, Instant::now())
                {
                    self.fail(slot, "the server does not take the video codec");
                }
            }
            (Event::Closed, _) => self.fail(slot, "closed by the server"),
            (_, Role::Publisher(_) | Role::Viewer(_)) => {}
        }
    }

    fn schedule(&mut self, slot: usize) {
        let peer = &mut self.peers[slot];
        if peer.failure.is_some() {
            return;
        }
        let at = peer.wake_at();
        if peer.scheduled.is_none_or(|scheduled| at < scheduled) {
            peer.scheduled = Some(at);
            self.timers.push(Reverse((at, slot)));
        }
    }

    fn serve_timers(&mut self) {
        for _ in 0..TIMER_BUDGET {
            let now = Instant::now();
            let Some(Reverse((at, slot))) = self.timers.peek().copied() else {
                return;
            };
            if at > now {
                return;
            }
            self.timers.pop();
            let peer = &mut self.peers[slot];
            // An entry that an earlier one replaced.
            if peer.scheduled != Some(at) {
                continue;
            }
            peer.scheduled = None;
            if peer.failure.is_some() {
                continue;
            }
            if !peer.connected && now >= peer.created + CONNECT {
                self.fail(slot, "no connection in time (ICE or DTLS)");
                continue;
            }
            let mut due = peer.timeout <= now;
            if let Role::Publisher(publisher) = &mut peer.role {
                due |= publisher.write(&mut peer.connection, &self.clock, now);
            }
            if due {
                self.advance(slot, now);
            } else {
                self.schedule(slot);
            }
        }
    }

    fn fail(&mut self, slot: usize, reason: &'static str) {
        let peer = &mut self.peers[slot];
        if peer.failure.is_none() {
            peer.failure = Some(reason);
            self.shared.totals.failed += 1;
        }
    }
}
