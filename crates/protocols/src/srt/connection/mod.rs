//! One connection after its handshake, in both directions (draft-sharabayko-srt, section 4).
//!
//! Owns what is sent and received and when; never opens a socket or reads a clock. Both roles end
//! here: a listener accepts into one, a caller connects into one.

mod event;
mod upkeep;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::crypto::{Crypto, CryptoError};
use super::receiver::{Arrival, Receiver};
use super::sender::Sender;
use super::statistics::{Meter, Statistics};
use super::time::{PeerClock, RoundTrip};
use super::wire::{Ack, Body, Data, HEADER, KeyFlag, Packet, loss_list, loss_words};

pub use event::{CloseReason, Event, SendError};

/// A full acknowledgement at most this often (section 4.8.1).
const ACK_INTERVAL: Duration = Duration::from_millis(10);

/// A light acknowledgement after so many packets without a full one.
const LIGHT_ACK_PACKETS: u32 = 64;

/// How often missing packets are looked at.
const NAK_TICK: Duration = Duration::from_millis(10);

/// Loss reports at once: with 360 words each, four hold every loss pattern that can be repaired.
const MAX_NAKS: usize = 4;

/// After so much silence of ours the peer is told that we live.
const KEEPALIVE: Duration = Duration::from_secs(1);

/// After so much silence of the peer it is gone.
const PEER_IDLE: Duration = Duration::from_secs(5);

/// The peer counts its latency from a packet of the handshake that may have been late by this
/// much. Higher values only delay the end.
const CLOSE_MARGIN: Duration = Duration::from_millis(100);

/// Datagrams that wait for `poll_transmit`. Whoever drains after each call never meets it.
const MAX_TRANSMITS: usize = 1024;

/// Hashing a passphrase for new key material costs about a millisecond: no more often than this.
const COSTLY_INTERVAL: Duration = Duration::from_secs(1);

/// Key material is never longer than 104 bytes: a header, a salt, two keys of 32 and 8 more.
const MAX_KEY_MESSAGE: usize = 104;

/// What answers key material without the same keys: no passphrase here, or another one.
const NO_SECRET: [u8; 4] = [0, 0, 0, 3];
const BAD_SECRET: [u8; 4] = [0, 0, 0, 4];

/// What the IP, UDP and SRT headers take of a datagram.
const OVERHEAD: usize = 28 + HEADER;

/// What a handshake agrees on.
#[derive(Debug)]
pub(super) struct Agreement {
    pub(super) local_socket: u32,
    pub(super) peer_socket: u32,
    pub(super) send_sequence: u32,
    pub(super) receive_sequence: u32,
    /// The largest datagram, IP and UDP headers included.
    pub(super) mtu: u32,
    pub(super) peer_window: u32,
    pub(super) receive_latency: Duration,
    pub(super) send_latency: Duration,
    pub(super) crypto: Option<Crypto>,
    /// The moment that our timestamps count from.
    pub(super) started: Instant,
    pub(super) peer_clock: PeerClock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The peer is gone; what it sent is still handed on in its time.
    Draining,
    /// We go when the peer has everything, or at the deadline.
    Closing {
        deadline: Instant,
    },
    Closed,
}

/// A connection. After each call that changes it, drain [`Connection::poll_transmit`] and
/// [`Connection::poll_event`], then ask [`Connection::poll_timeout`] when to call
/// [`Connection::handle_timeout`].
///
/// Whoever owns the socket hands in only datagrams from the peer's address whose
/// [`destination`](super::destination) is [`Connection::socket`].
#[derive(Debug)]
pub struct Connection {
    local_socket: u32,
    peer_socket: u32,
    started: Instant,
    max_payload: usize,
    receive_latency: Duration,
    send_latency: Duration,
    state: State,
    sender: Sender,
    receiver: Receiver,
    crypto: Option<Crypto>,
    rtt: RoundTrip,
    /// Whether the round trip is measured here: then what the peer measured is not needed.
    rtt_is_own: bool,
    transmits: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
    last_heard: Instant,
    last_sent: Instant,
    /// When the last payload came in for sending.
    last_queued: Option<Instant>,
    next_ack: Option<Instant>,
    last_full_ack: Instant,
    since_ack: u32,
    next_nak: Option<Instant>,
    next_announcement: Instant,
    next_costly: Instant,
    received: Meter,
    queued: Meter,
    statistics: Statistics,
}

impl Connection {
    pub(super) fn new(agreement: Agreement, now: Instant) -> Self {
        let Agreement {
            receive_latency,
            send_latency,
            ..
        } = agreement;
        let mtu = usize::try_from(agreement.mtu).unwrap_or(usize::MAX);
        Self {
            local_socket: agreement.local_socket,
            peer_socket: agreement.peer_socket,
            started: agreement.started,
            max_payload: mtu.saturating_sub(OVERHEAD),
            receive_latency,
            send_latency,
            state: State::Open,
            sender: Sender::new(
                agreement.send_sequence,
                send_latency,
                agreement.peer_window,
                now,
            ),
            receiver: Receiver::new(
                agreement.receive_sequence,
                receive_latency,
                agreement.peer_clock,
            ),
            crypto: agreement.crypto,
            rtt: RoundTrip::default(),
            rtt_is_own: false,
            transmits: VecDeque::new(),
            events: VecDeque::from([Event::Connected]),
            last_heard: now,
            last_sent: now,
            last_queued: None,
            next_ack: None,
            last_full_ack: now,
            since_ack: 0,
            next_nak: None,
            next_announcement: now,
            next_costly: now,
            received: Meter::new(now),
            queued: Meter::new(now),
            statistics: Statistics::default(),
        }
    }

    /// The socket that the peer names in its packets.
    #[must_use]
    pub fn socket(&self) -> u32 {
        self.local_socket
    }

    /// The longest payload that [`Connection::send`] takes, in bytes.
    #[must_use]
    pub fn max_payload(&self) -> usize {
        self.max_payload
    }

    /// Whether payloads are encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.crypto.is_some()
    }

    /// Whether the connection is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Takes a datagram of the peer. What is no packet for this connection is passed over.
    pub fn handle_datagram(&mut self, datagram: &[u8], now: Instant) {
        if self.state == State::Closed {
            return;
        }
        let packet = match Packet::parse(datagram) {
            Ok(packet) if packet.destination == self.local_socket => packet,
            _ => {
                self.statistics.packets_refused += 1;
                return;
            }
        };
        // A shutdown can overtake what was sent before it; nothing else matters after it.
        if self.state == State::Draining && !matches!(packet.body, Body::Data(_)) {
            return;
        }
        self.last_heard = now;
        match packet.body {
            Body::Data(data) => self.handle_data(data, packet.timestamp, now),
            Body::Ack(ack) => self.handle_ack(&ack, now),
            Body::Nak(list) => {
                self.statistics.naks_received += 1;
                if let Some((first, last)) = self.sender.lost(list, &self.rtt, now) {
                    self.drop_request(first, last, now);
                }
            }
            Body::AckAck { number } => {
                if let Some(rtt) = self.receiver.echo(number, now) {
                    self.rtt.sample(rtt);
                    self.rtt_is_own = true;
                    let rtt = self.rtt.smoothed();
                    self.receiver.clock.sample(packet.timestamp, rtt, now);
                }
            }
            Body::DropRequest { first, last, .. } => self.receiver.give_up(first, last),
            Body::KeyRequest(message) => self.handle_key_request(message, now),
            Body::KeyResponse(message) => {
                if let Some(crypto) = &mut self.crypto {
                    crypto.confirm(message);
                }
            }
            Body::Shutdown => self.state = State::Draining,
            // A handshake that comes again is answered by the listener, not here.
            Body::Handshake(_) | Body::KeepAlive | Body::Other => {}
        }
        self.advance(now);
    }

    /// Does what time demands. Early calls do no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    /// Queues a payload; it leaves with a timestamp of now.
    ///
    /// # Errors
    /// When it is too long, too much waits, or the connection is over. Nothing changes then.
    pub fn send(&mut self, payload: &[u8], now: Instant) -> Result<(), SendError> {
        if self.state != State::Open {
            return Err(SendError::Closed);
        }
        if payload.len() > self.max_payload {
            return Err(SendError::TooLong {
                limit: self.max_payload,
            });
        }
        if self.sender.is_full() {
            return Err(SendError::QueueFull);
        }
        let next = self.sender.next_packet();
        let mut content = payload.to_vec();
        let key = match &mut self.crypto {
            None => KeyFlag::Clear,
            Some(crypto) => match crypto.encrypt(next.sequence, &mut content) {
                Ok(key) => key,
                Err(_) => {
                    self.end(CloseReason::KeyExhausted, now);
                    return Err(SendError::Closed);
                }
            },
        };
        let datagram = Packet {
            timestamp: self.timestamp(now),
            destination: self.peer_socket,
            body: Body::Data(Data {
                sequence: next.sequence,
                message: next.message,
                key,
                retransmitted: false,
                payload: &content,
            }),
        }
        .write();
        self.queued.count(payload.len(), now);
        self.last_queued = Some(now);
        self.sender.queue(datagram, now);
        self.advance(now);
        Ok(())
    }

    /// Ends the connection when the peer has and has played what was sent: others throw away what
    /// they hold when they hear of the end. Takes no longer than the
    /// latency, a few round trips and 100 ms.
    pub fn close(&mut self, now: Instant) {
        match self.state {
            State::Open => {
                self.state = State::Closing {
                    deadline: now + self.send_latency + self.rtt.patience() + CLOSE_MARGIN,
                };
                self.advance(now);
            }
            State::Draining => self.end(CloseReason::PeerShutdown, now),
            State::Closing { .. } | State::Closed => {}
        }
    }

    /// When the peer has played the last payload, at most `deadline`; long ago without any.
    fn played(&self, deadline: Instant) -> Instant {
        let hold = self.send_latency + self.rtt.smoothed() + CLOSE_MARGIN;
        let played = self.last_queued.map(|at| at + hold);
        played.unwrap_or(self.started).min(deadline)
    }

    /// The next datagram for the peer.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`Connection::handle_timeout`], `None` once the connection is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = self.receiver.next_due();
        match self.state {
            State::Closed => return None,
            State::Draining => return Some(due.unwrap_or(self.last_heard)),
            State::Open | State::Closing { .. } => {}
        }
        let closing = match self.state {
            State::Closing { deadline } if self.sender.is_empty() => Some(self.played(deadline)),
            State::Closing { deadline } => Some(deadline),
            State::Open | State::Draining | State::Closed => None,
        };
        let announcement = self.crypto.as_ref().and_then(|crypto| {
            let pending = crypto.has_announcement();
            pending.then_some(self.next_announcement)
        });
        [
            Some(self.last_heard + PEER_IDLE),
            Some(self.last_sent + KEEPALIVE),
            due,
            self.next_ack,
            self.next_nak,
            self.sender.next_send(),
            self.sender.silence(),
            self.sender.oldest_expires(),
            announcement,
            closing,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Counts and rates.
    pub fn statistics(&mut self, now: Instant) -> Statistics {
        self.received.turn(now);
        self.queued.turn(now);
        Statistics {
            rtt: self.rtt.smoothed(),
            rtt_variance: self.rtt.variance(),
            receive_latency: self.receive_latency,
            send_latency: self.send_latency,
            receive_bitrate: self.received.bytes_per_second().saturating_mul(8),
            send_bitrate: self.queued.bytes_per_second().saturating_mul(8),
            send_queue: self.sender.len(),
            key_changes: self.crypto.as_ref().map_or(0, Crypto::changes),
            ..self.statistics
        }
    }

    fn timestamp(&self, now: Instant) -> u32 {
        let micros = now.saturating_duration_since(self.started).as_micros();
        u32::try_from(micros & u128::from(u32::MAX)).expect("32 bits fit")
    }

    fn transmit(&mut self, datagram: Vec<u8>, now: Instant) {
        if self.transmits.len() < MAX_TRANSMITS {
            self.transmits.push_back(datagram);
        }
        self.last_sent = now;
    }

    fn control(&mut self, body: Body<'_>, now: Instant) {
        let packet = Packet {
            timestamp: self.timestamp(now),
            destination: self.peer_socket,
            body,
        };
        self.transmit(packet.write(), now);
    }

    fn handle_data(&mut self, data: Data<'_>, timestamp: u32, now: Instant) {
        let crypto = self.crypto.as_ref();
        let mut unreadable = false;
        let open = || {
            let mut payload = data.payload.to_vec();
            let readable = match crypto {
                Some(crypto) => crypto.decrypt(data.key, data.sequence, &mut payload),
                None => data.key == KeyFlag::Clear,
            };
            unreadable = !readable;
            readable.then_some(payload)
        };
        let arrival = self.receiver.take(data.sequence, timestamp, now, open);
        self.statistics.packets_undecryptable += u64::from(unreadable);
        let statistics = &mut self.statistics;
        match arrival {
            Arrival::New { lost } => {
                statistics.packets_lost += lost;
                if lost > 0 {
                    let ranges = self.receiver.newest_losses(lost);
                    self.report(&ranges, now);
                    self.next_nak.get_or_insert(now + NAK_TICK);
                }
            }
            Arrival::Recovered => statistics.packets_recovered += 1,
            Arrival::Duplicate => statistics.duplicates += 1,
            Arrival::Late => statistics.packets_late += 1,
            Arrival::Overflow => statistics.packets_refused += 1,
        }
        if matches!(arrival, Arrival::New { .. } | Arrival::Recovered) {
            self.statistics.packets_received += 1;
            self.statistics.bytes_received += data.payload.len() as u64;
            self.received.count(data.payload.len(), now);
            self.since_ack += 1;
            if self.since_ack >= LIGHT_ACK_PACKETS {
                self.since_ack = 0;
                let ack = self.receiver.light_ack();
                self.control(Body::Ack(ack), now);
            }
        }
        self.next_ack.get_or_insert(now + ACK_INTERVAL);
    }

    fn handle_ack(&mut self, ack: &Ack, now: Instant) {
        if let Some(details) = &ack.details
            && !self.rtt_is_own
        {
            self.rtt.report(details.rtt, details.variance);
        }
        self.sender.acknowledge(ack, &self.rtt, now);
        // Light ones have no number and want no echo.
        if ack.number != 0 {
            self.control(Body::AckAck { number: ack.number }, now);
        }
    }

    fn handle_key_request(&mut self, message: &[u8], now: Instant) {
        if message.len() > MAX_KEY_MESSAGE {
            self.statistics.packets_refused += 1;
            return;
        }
        let Some(crypto) = &mut self.crypto else {
            self.control(Body::KeyResponse(&NO_SECRET), now);
            return;
        };
        if crypto.is_costly(message) {
            if now < self.next_costly {
                // The peer asks again until it is answered.
                return;
            }
            self.next_costly = now + COSTLY_INTERVAL;
        }
        match crypto.take(message) {
            Ok(()) => self.control(Body::KeyResponse(message), now),
            Err(CryptoError::BadSecret) => self.control(Body::KeyResponse(&BAD_SECRET), now),
            Err(CryptoError::Message(_) | CryptoError::Library) => {
                self.statistics.packets_refused += 1;
            }
        }
    }

    fn report(&mut self, ranges: &[(u32, u32)], now: Instant) {
        let mut rest = ranges;
        for _ in 0..MAX_NAKS {
            if rest.is_empty() {
                return;
            }
            let (words, taken) = loss_words(rest);
            rest = rest.get(taken..).unwrap_or(&[]);
            self.control(Body::Nak(loss_list(&words)), now);
            self.statistics.naks_sent += 1;
        }
    }

    fn drop_request(&mut self, first: u32, last: u32, now: Instant) {
        // Message number 0: the range counts, not the message.
        let message = 0;
        let body = Body::DropRequest {
            message,
            first,
            last,
        };
        self.control(body, now);
    }

    fn end(&mut self, reason: CloseReason, now: Instant) {
        if matches!(reason, CloseReason::Local | CloseReason::KeyExhausted) {
            self.control(Body::Shutdown, now);
        }
        self.state = State::Closed;
        self.events.push_back(Event::Closed(reason));
    }
}
