//! Two ends of ours and the network between them, in virtual time: one seed is one run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::srt::caller::{CallError, Caller, CallerConfig, CallerEvent};
use crate::srt::connection::{Connection, Event};
use crate::srt::crypto::KeyRefresh;
use crate::srt::listener::{AcceptError, Listener, Request};
use crate::srt::rejection::Rejection;
use crate::srt::{destination, wire};

/// Every run begins at some moment; which one makes no difference.
#[expect(
    clippy::disallowed_methods,
    reason = "a run needs some moment to begin with"
)]
pub(super) fn start() -> Instant {
    Instant::now()
}

pub(super) const MILLI: Duration = Duration::from_millis(1);

/// How the network treats datagrams, the same in both directions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// One way.
    pub(super) delay: Duration,
    /// Up to so much more for each datagram, which changes their order.
    pub(super) jitter: Duration,
    pub(super) loss: f64,
    /// With this probability so many datagrams in a row are lost.
    pub(super) bursts: (f64, u32),
    pub(super) duplicates: f64,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: 25 * MILLI,
            jitter: Duration::ZERO,
            loss: 0.0,
            bursts: (0.0, 0),
            duplicates: 0.0,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) seed: u64,
    pub(super) link: Link,
    pub(super) caller: CallerConfig,
    pub(super) passphrase: Option<&'static str>,
    pub(super) latency: Duration,
    pub(super) initial_sequence: u32,
    pub(super) refresh: KeyRefresh,
    /// Added to the caller's clock, so that timestamps wrap soon.
    pub(super) age: Duration,
    pub(super) reject: Option<Rejection>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            seed: 1,
            link: Link::default(),
            caller: CallerConfig::default(),
            passphrase: None,
            latency: 120 * MILLI,
            initial_sequence: 1000,
            refresh: KeyRefresh::default(),
            age: Duration::ZERO,
            reject: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    Client,
    Server,
}

/// When it arrives, a number that keeps the order of sending, where to, and the datagram.
type Flying = (Instant, u64, End, Vec<u8>);

pub(super) struct Network {
    pub(super) now: Instant,
    pub(super) begin: Instant,
    pub(super) setup: Setup,
    rng: fastrand::Rng,
    burst: u32,
    order: u64,
    flying: BinaryHeap<Reverse<Flying>>,
    pub(super) listener: Listener,
    pub(super) caller: Caller,
    pub(super) client: Option<Connection>,
    pub(super) server: Option<Connection>,
    pub(super) requests: Vec<Request>,
    pub(super) refused: Option<AcceptError>,
    pub(super) failed: Option<CallError>,
    /// What each end was told and when.
    pub(super) client_events: Vec<(Instant, Event)>,
    pub(super) server_events: Vec<(Instant, Event)>,
    pub(super) datagrams: u64,
}

pub(super) fn client_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4000))
}

impl Network {
    pub(super) fn new(setup: Setup) -> Self {
        let now = start() + setup.age;
        let mut listener = Listener::new(&[7; 32], now);
        listener.set_key_refresh(setup.refresh);
        let to = SocketAddr::from(([192, 0, 2, 9], 8890));
        let config = setup.caller.clone();
        let began = now - setup.age;
        let first = setup.initial_sequence;
        let mut caller = Caller::with_numbers(config, to, 77, first, began).expect("a call");
        // The clock of the caller has run for a while; its handshake has not.
        caller.age_for_tests(now);
        let mut network = Self {
            now,
            begin: now,
            rng: fastrand::Rng::with_seed(setup.seed),
            setup,
            burst: 0,
            order: 0,
            flying: BinaryHeap::new(),
            listener,
            caller,
            client: None,
            server: None,
            requests: Vec::new(),
            refused: None,
            failed: None,
            client_events: Vec::new(),
            server_events: Vec::new(),
            datagrams: 0,
        };
        network.drain();
        network
    }

    /// A network whose ends are connected.
    pub(super) fn connected(setup: Setup) -> Self {
        let mut network = Self::new(setup);
        network.run_for(Duration::from_secs(3));
        assert!(
            network.client.is_some(),
            "not connected: {:?}",
            network.failed
        );
        assert!(network.server.is_some(), "not connected");
        network
    }

    pub(super) fn client(&mut self) -> &mut Connection {
        self.client.as_mut().expect("it is connected")
    }

    pub(super) fn server(&mut self) -> &mut Connection {
        self.server.as_mut().expect("it is connected")
    }

    fn is_lost(&mut self) -> bool {
        if self.burst > 0 {
            self.burst -= 1;
            return true;
        }
        let (probability, length) = self.setup.link.bursts;
        if self.rng.f64() < probability {
            self.burst = length;
        }
        self.rng.f64() < self.setup.link.loss
    }

    fn fly(&mut self, to: End, datagram: Vec<u8>) {
        self.datagrams += 1;
        if self.is_lost() {
            return;
        }
        let copies = if self.rng.f64() < self.setup.link.duplicates {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let jitter = self.setup.link.jitter.mul_f64(self.rng.f64());
            let at = self.now + self.setup.link.delay + jitter;
            self.order += 1;
            self.flying
                .push(Reverse((at, self.order, to, datagram.clone())));
        }
    }

    pub(super) fn drain(&mut self) {
        while let Some(datagram) = self.caller.poll_transmit() {
            self.fly(End::Server, datagram);
        }
        match self.caller.poll_event() {
            Some(CallerEvent::Connected(connection)) => self.client = Some(*connection),
            Some(CallerEvent::Failed(error)) => self.failed = Some(error),
            None => {}
        }
        while let Some(request) = self.listener.poll_request() {
            self.answer(&request);
            self.requests.push(request);
        }
        while let Some((_, datagram)) = self.listener.poll_transmit() {
            self.fly(End::Client, datagram);
        }
        if let Some(mut client) = self.client.take() {
            while let Some(datagram) = client.poll_transmit() {
                self.fly(End::Server, datagram);
            }
            while let Some(event) = client.poll_event() {
                self.client_events.push((self.now, event));
            }
            self.client = Some(client);
        }
        if let Some(mut server) = self.server.take() {
            while let Some(datagram) = server.poll_transmit() {
                self.fly(End::Client, datagram);
            }
            while let Some(event) = server.poll_event() {
                self.server_events.push((self.now, event));
            }
            self.server = Some(server);
        }
    }

    fn answer(&mut self, request: &Request) {
        let (id, now) = (request.id, self.now);
        if let Some(rejection) = self.setup.reject {
            return self.listener.reject(id, rejection, now);
        }
        let (passphrase, latency) = (self.setup.passphrase, self.setup.latency);
        match self.listener.accept(id, passphrase, latency, now) {
            Ok(connection) => self.server = Some(connection),
            Err(error) => self.refused = Some(error),
        }
    }

    fn next(&self) -> Option<Instant> {
        let flying = self.flying.peek().map(|Reverse((at, ..))| *at);
        [
            flying,
            self.caller.poll_timeout(),
            self.listener.poll_timeout(),
            self.client.as_ref().and_then(Connection::poll_timeout),
            self.server.as_ref().and_then(Connection::poll_timeout),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub(super) fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    pub(super) fn run_until(&mut self, end: Instant) {
        let mut idle = 0;
        while let Some(next) = self.next().filter(|next| *next <= end) {
            // A timeout that never moves on would spin for ever in production.
            idle = if next <= self.now { idle + 1 } else { 0 };
            assert!(idle < 5_000, "the timeout does not move on");
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    fn step(&mut self) {
        while let Some(Reverse((at, ..))) = self.flying.peek()
            && *at <= self.now
        {
            if let Some(Reverse((.., to, datagram))) = self.flying.pop() {
                self.arrive(to, &datagram);
                self.drain();
            }
        }
        self.caller.handle_timeout(self.now);
        self.listener.handle_timeout(self.now);
        for connection in [&mut self.client, &mut self.server].into_iter().flatten() {
            connection.handle_timeout(self.now);
        }
        self.drain();
    }

    pub(super) fn arrive(&mut self, to: End, datagram: &[u8]) {
        let now = self.now;
        match to {
            End::Server if destination(datagram) == Some(0) => {
                self.listener
                    .handle_datagram(client_address(), datagram, now);
            }
            End::Server => {
                if let Some(server) = &mut self.server {
                    server.handle_datagram(datagram, now);
                }
            }
            End::Client => match &mut self.client {
                Some(client) => client.handle_datagram(datagram, now),
                None => self.caller.handle_datagram(datagram, now),
            },
        }
    }

    /// The conclusion that the caller sends.
    pub(super) fn first_conclusion(&mut self) -> Vec<u8> {
        while self.requests.is_empty() {
            let Some(Reverse((at, _, to, datagram))) = self.flying.pop() else {
                panic!("the handshake is stuck");
            };
            self.now = self.now.max(at);
            let is_conclusion = to == End::Server && datagram.get(36) == Some(&0xff);
            if is_conclusion {
                return datagram;
            }
            self.arrive(to, &datagram);
            self.drain();
        }
        Vec::new()
    }

    /// Sends `count` numbered payloads from one end, one each `gap`.
    pub(super) fn publish(&mut self, from: End, count: u32, gap: Duration) {
        for number in 0..count {
            let payload = payload(number);
            let now = self.now;
            let connection = match from {
                End::Client => self.client(),
                End::Server => self.server(),
            };
            connection.send(&payload, now).expect("there is room");
            self.drain();
            self.run_for(gap);
        }
    }
}

/// A payload as long as seven packets of MPEG-TS that says its number.
pub(super) fn payload(number: u32) -> Vec<u8> {
    let mut bytes = vec![0x47; 1316];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// The numbers of delivered payloads, with their times.
pub(super) fn delivered(events: &[(Instant, Event)]) -> Vec<(Instant, u32)> {
    events
        .iter()
        .filter_map(|(at, event)| match event {
            Event::Data(payload) => Some((*at, wire::word(payload, 0)?)),
            _ => None,
        })
        .collect()
}

/// How many packets were given up.
pub(super) fn dropped(events: &[(Instant, Event)]) -> u64 {
    events
        .iter()
        .map(|(_, event)| match event {
            Event::Dropped { packets } => *packets,
            _ => 0,
        })
        .sum()
}
