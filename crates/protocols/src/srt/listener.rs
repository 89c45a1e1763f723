//! The listener's side of handshakes (draft-sharabayko-srt, section 4.3.1), for any number of
//! callers on one UDP socket.
//!
//! Keeps nothing for a caller until it has shown, by a cookie, that it receives at its address.
//! Decides nothing about rooms and keys: each request is handed out and waits for
//! [`Listener::accept`] or [`Listener::reject`].

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use thiserror::Error;

use super::connection::{Agreement, Connection};
use super::crypto::{Crypto, CryptoError, KeyRefresh};
use super::handshake::{
    CONCLUSION, Extension, Extensions, FLAG_STREAM, FLAGS, Handshake, Hello, INDUCTION, MAGIC,
    OLDEST_VERSION, VERSION, milliseconds, peer_words,
};
use super::key_material::{KeyLength, KeyMaterial, KeyMaterialError};
use super::receiver::RECEIVE_WINDOW;
use super::rejection::Rejection;
use super::time::PeerClock;
use super::wire::{Body, Packet};

/// Handshakes that wait for an answer of the application. Each holds under 2 kB; more at once are
/// a flood, or an application that answers too slowly.
const MAX_REQUESTS: usize = 256;

/// Of these from one address: some share one, none may take every place.
const MAX_REQUESTS_PER_ADDRESS: usize = 64;

/// Answers kept for callers that ask again because ours was lost.
const MAX_ANSWERS: usize = 1024;

/// How long a caller waits, and so how long a handshake and its answer matter.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(3);

/// Datagrams that wait for `poll_transmit`. Whoever drains after each call never meets it.
const MAX_TRANSMITS: usize = 1024;

/// The largest datagram that is sent or asked for, IP and UDP headers included: Ethernet's.
pub(super) const MTU: u32 = 1500;

/// Smaller ones leave no room for a packet of MPEG-TS.
pub(super) const MIN_MTU: u32 = 256;

/// A cookie is good in its minute and the next.
const COOKIE_PERIOD_SECONDS: u64 = 60;

/// Sockets have 30 bits: the bit above marks groups.
const SOCKET_MASK: u32 = 0x3fff_ffff;

/// Names a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(u64);

/// A caller that wants a connection.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// What to answer with.
    pub id: RequestId,
    /// Where the caller is.
    pub address: SocketAddr,
    /// What it wants, empty when it does not say; see [`StreamId`](super::StreamId).
    pub stream_id: String,
    /// Whether it sends and expects encrypted payloads.
    pub encrypted: bool,
    /// The length of its key when it is encrypted.
    pub key_length: Option<KeyLength>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A stream id holds a key.
        f.debug_struct("Request")
            .field("id", &self.id)
            .field("address", &self.address)
            .field("key_length", &self.key_length)
            .finish_non_exhaustive()
    }
}

/// Why an accepted request becomes no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AcceptError {
    /// The caller was told so.
    #[error("the caller is refused: {0}")]
    Refused(Rejection),
    /// The request is answered already or too old.
    #[error("the request is answered already, or older than 3 s")]
    Expired,
}

/// What makes one handshake of a caller differ from its next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct CallKey {
    address: SocketAddr,
    socket: u32,
    initial_sequence: u32,
}

#[derive(Debug)]
struct Pending {
    id: RequestId,
    handshake: Handshake,
    hello: Hello,
    key: Option<Vec<u8>>,
    clock: PeerClock,
    deadline: Instant,
}

#[derive(Debug)]
struct Answer {
    datagram: Vec<u8>,
    deadline: Instant,
}

/// The listener of one UDP socket. After each call that changes it, drain
/// [`Listener::poll_transmit`] and [`Listener::poll_request`].
///
/// It gets every datagram whose [`destination`](super::destination) is 0.
#[derive(Debug)]
pub struct Listener {
    secret: hmac::Key,
    epoch: Instant,
    refresh: KeyRefresh,
    pending: HashMap<CallKey, Pending>,
    answers: HashMap<CallKey, Answer>,
    requests: VecDeque<Request>,
    transmits: VecDeque<(SocketAddr, Vec<u8>)>,
    next_request: u64,
    next_socket: u32,
    socket_step: u32,
}

impl Listener {
    /// A listener; `secret` are 32 random bytes that nobody else knows.
    #[must_use]
    pub fn new(secret: &[u8; 32], now: Instant) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let tag = hmac::sign(&key, b"sockets");
        let word = |at: usize| {
            let bytes = tag.as_ref().get(at..at + 4).and_then(|b| b.try_into().ok());
            u32::from_be_bytes(bytes.unwrap_or_default())
        };
        Self {
            epoch: now,
            refresh: KeyRefresh::default(),
            pending: HashMap::new(),
            answers: HashMap::new(),
            requests: VecDeque::new(),
            transmits: VecDeque::new(),
            next_request: 0,
            next_socket: word(0),
            // An odd step visits every number before one comes again.
            socket_step: word(4) | 1,
            secret: key,
        }
    }

    /// Sets when connections that encrypt replace their keys.
    pub fn set_key_refresh(&mut self, refresh: KeyRefresh) {
        self.refresh = refresh;
    }

    /// Takes a datagram that names no connection. What is no handshake is passed over.
    pub fn handle_datagram(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        let Ok(Packet {
            timestamp,
            destination: 0,
            body: Body::Handshake(content),
        }) = Packet::parse(datagram)
        else {
            return;
        };
        let Ok(handshake) = Handshake::parse(content) else {
            return;
        };
        match handshake.kind {
            INDUCTION => self.induct(from, &handshake, now),
            CONCLUSION => self.conclude(from, &handshake, content, timestamp, now),
            _ => {}
        }
    }

    fn induct(&mut self, from: SocketAddr, handshake: &Handshake, now: Instant) {
        // As long as the request, so that nobody gains by borrowing an address.
        let answer = Handshake {
            version: 5,
            encryption: 0,
            extension: MAGIC,
            mtu: MTU,
            window: RECEIVE_WINDOW as u32,
            cookie: self.cookie(from, self.minute(now)),
            peer: peer_words(from),
            ..*handshake
        };
        let datagram = datagram(handshake.socket, &answer.write(&[]));
        self.transmit(from, datagram);
    }

    fn conclude(
        &mut self,
        from: SocketAddr,
        handshake: &Handshake,
        content: &[u8],
        timestamp: u32,
        now: Instant,
    ) {
        let minute = self.minute(now);
        let current = self.cookie(from, minute);
        let previous = minute
            .checked_sub(1)
            .map(|minute| self.cookie(from, minute));
        if handshake.cookie != current && Some(handshake.cookie) != previous {
            return;
        }
        let call = CallKey {
            address: from,
            socket: handshake.socket,
            initial_sequence: handshake.initial_sequence,
        };
        if self.pending.contains_key(&call) {
            return;
        }
        if let Some(answer) = self.answers.get(&call) {
            let datagram = answer.datagram.clone();
            self.transmit(from, datagram);
            return;
        }
        match self.examine(from, handshake, content) {
            Err(rejection) => self.transmit(from, refusal(handshake, rejection)),
            Ok((hello, extensions, key_length)) => {
                let id = RequestId(self.next_request);
                self.next_request += 1;
                let pending = Pending {
                    id,
                    handshake: *handshake,
                    hello,
                    key: extensions.key.map(<[u8]>::to_vec),
                    clock: PeerClock::new(timestamp, now),
                    deadline: now + HANDSHAKE_DEADLINE,
                };
                self.pending.insert(call, pending);
                self.requests.push_back(Request {
                    id,
                    address: from,
                    stream_id: extensions.stream_id.unwrap_or_default(),
                    encrypted: key_length.is_some(),
                    key_length,
                });
            }
        }
    }

    /// Whether a conclusion can become a connection at all.
    fn examine<'a>(
        &self,
        from: SocketAddr,
        handshake: &Handshake,
        content: &'a [u8],
    ) -> Result<(Hello, Extensions<'a>, Option<KeyLength>), Rejection> {
        if handshake.version != 5 {
            return Err(Rejection::Version);
        }
        if handshake.mtu < MIN_MTU || handshake.socket == 0 {
            return Err(Rejection::Rogue);
        }
        let extensions = Extensions::parse(content).map_err(|_| Rejection::Rogue)?;
        let hello = extensions.hello.ok_or(Rejection::Rogue)?;
        if hello.version < OLDEST_VERSION {
            return Err(Rejection::Version);
        }
        if hello.flags & FLAG_STREAM != 0 {
            return Err(Rejection::MessageApi);
        }
        if extensions
            .congestion
            .as_deref()
            .is_some_and(|name| name != "live")
        {
            return Err(Rejection::Congestion);
        }
        if extensions.filter {
            return Err(Rejection::Filter);
        }
        if extensions.group {
            return Err(Rejection::Group);
        }
        let key_length = match extensions.key.map(KeyMaterial::parse) {
            None => None,
            Some(Ok(material)) => Some(material.length),
            Some(Err(KeyMaterialError::Cipher)) => return Err(Rejection::Crypto),
            Some(Err(KeyMaterialError::Malformed)) => return Err(Rejection::Rogue),
        };
        let same = |call: &&CallKey| call.address.ip() == from.ip();
        if self.pending.len() >= MAX_REQUESTS
            || self.pending.keys().filter(same).count() >= MAX_REQUESTS_PER_ADDRESS
        {
            return Err(Rejection::Backlog);
        }
        Ok((hello, extensions, key_length))
    }

    /// The next caller that wants a connection.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    /// The next datagram and where it goes.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.transmits.pop_front()
    }

    /// When to call [`Listener::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let pending = self.pending.values().map(|pending| pending.deadline);
        let answers = self.answers.values().map(|answer| answer.deadline);
        pending.chain(answers).min()
    }

    /// Forgets what is too old. A caller that was never answered is told that it took too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.answers.retain(|_, answer| now < answer.deadline);
        let expired: Vec<RequestId> = self
            .pending
            .values()
            .filter(|pending| now >= pending.deadline)
            .map(|pending| pending.id)
            .collect();
        for id in expired {
            self.reject(id, Rejection::Timeout, now);
        }
    }

    /// Grants a connection. `latency` is the least for both directions; the caller may want more,
    /// and the longer one counts. With a passphrase only an encrypted caller gets in, without one
    /// only a plain one.
    ///
    /// # Errors
    /// When the passphrase does not fit; the caller is told why.
    pub fn accept(
        &mut self,
        id: RequestId,
        passphrase: Option<&str>,
        latency: Duration,
        now: Instant,
    ) -> Result<Connection, AcceptError> {
        let (call, pending) = self.remove(id).ok_or(AcceptError::Expired)?;
        let crypto = match keys(pending.key.as_deref(), passphrase, self.refresh) {
            Ok(crypto) => crypto,
            Err(rejection) => {
                let datagram = refusal(&pending.handshake, rejection);
                self.answer(call, datagram, now);
                return Err(AcceptError::Refused(rejection));
            }
        };
        let handshake = &pending.handshake;
        let delay = |millis: u16| Duration::from_millis(millis.into());
        let receive_latency = latency.max(delay(pending.hello.send_delay));
        let send_latency = latency.max(delay(pending.hello.receive_delay));
        let hello = Hello {
            version: VERSION,
            flags: FLAGS,
            receive_delay: milliseconds(receive_latency),
            send_delay: milliseconds(send_latency),
        };
        let socket = self.new_socket();
        let mut extensions = vec![Extension::HelloResponse(hello)];
        extensions.extend(pending.key.as_deref().map(Extension::KeyResponse));
        let mtu = handshake.mtu.min(MTU);
        let answer = Handshake {
            version: 5,
            extension: 0,
            mtu,
            window: RECEIVE_WINDOW as u32,
            kind: CONCLUSION,
            socket,
            peer: peer_words(call.address),
            ..*handshake
        };
        let datagram = datagram(handshake.socket, &answer.write(&extensions));
        self.answer(call, datagram, now);
        let agreement = Agreement {
            local_socket: socket,
            peer_socket: handshake.socket,
            // A listener answers with the caller's number, and both directions begin there.
            send_sequence: handshake.initial_sequence,
            receive_sequence: handshake.initial_sequence,
            mtu,
            peer_window: handshake.window,
            receive_latency,
            send_latency,
            crypto,
            started: now,
            peer_clock: pending.clock,
        };
        Ok(Connection::new(agreement, now))
    }

    /// Whether an encrypted caller that waits has this passphrase. Costs about a millisecond.
    #[must_use]
    pub fn passphrase_fits(&self, id: RequestId, passphrase: &str) -> bool {
        let pending = self.pending.values().find(|pending| pending.id == id);
        let message = pending.and_then(|pending| pending.key.as_deref());
        message
            .is_some_and(|message| Crypto::from_message(passphrase, message, self.refresh).is_ok())
    }

    /// Refuses a connection. A request that is answered already stays as it is.
    pub fn reject(&mut self, id: RequestId, rejection: Rejection, now: Instant) {
        if let Some((call, pending)) = self.remove(id) {
            let datagram = refusal(&pending.handshake, rejection);
            self.answer(call, datagram, now);
        }
    }

    fn remove(&mut self, id: RequestId) -> Option<(CallKey, Pending)> {
        let found = self.pending.iter().find(|(_, pending)| pending.id == id);
        let call = *found?.0;
        self.requests.retain(|request| request.id != id);
        Some((call, self.pending.remove(&call)?))
    }

    /// Sends an answer and keeps it for a caller that asks again.
    fn answer(&mut self, call: CallKey, datagram: Vec<u8>, now: Instant) {
        if self.answers.len() >= MAX_ANSWERS {
            let oldest = self
                .answers
                .iter()
                .min_by_key(|(_, answer)| answer.deadline);
            if let Some(oldest) = oldest.map(|(call, _)| *call) {
                self.answers.remove(&oldest);
            }
        }
        self.transmit(call.address, datagram.clone());
        let deadline = now + HANDSHAKE_DEADLINE;
        self.answers.insert(call, Answer { datagram, deadline });
    }

    fn transmit(&mut self, to: SocketAddr, datagram: Vec<u8>) {
        if self.transmits.len() < MAX_TRANSMITS {
            self.transmits.push_back((to, datagram));
        }
    }

    fn new_socket(&mut self) -> u32 {
        loop {
            self.next_socket = self.next_socket.wrapping_add(self.socket_step);
            // 0 asks for a connection.
            if self.next_socket & SOCKET_MASK != 0 {
                return self.next_socket & SOCKET_MASK;
            }
        }
    }

    fn minute(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_secs() / COOKIE_PERIOD_SECONDS
    }

    fn cookie(&self, address: SocketAddr, minute: u64) -> u32 {
        let mut context = hmac::Context::with_key(&self.secret);
        context.update(&peer_words(address));
        context.update(&address.port().to_be_bytes());
        context.update(&minute.to_be_bytes());
        let tag = context.sign();
        let bytes = tag.as_ref().first_chunk::<4>().copied();
        u32::from_be_bytes(bytes.unwrap_or_default())
    }
}

/// The keys of a connection, or why there can be none.
fn keys(
    message: Option<&[u8]>,
    passphrase: Option<&str>,
    refresh: KeyRefresh,
) -> Result<Option<Crypto>, Rejection> {
    match (message, passphrase) {
        (None, None) => Ok(None),
        (None, Some(_)) | (Some(_), None) => Err(Rejection::Unsecure),
        (Some(message), Some(passphrase)) => {
            match Crypto::from_message(passphrase, message, refresh) {
                Ok(crypto) => Ok(Some(crypto)),
                Err(CryptoError::BadSecret) => Err(Rejection::BadSecret),
                Err(CryptoError::Message(_)) => Err(Rejection::Rogue),
                Err(CryptoError::Library) => Err(Rejection::Crypto),
            }
        }
    }
}

fn datagram(destination: u32, content: &[u8]) -> Vec<u8> {
    Packet {
        // The peer takes the arrival of this for our zero.
        timestamp: 0,
        destination,
        body: Body::Handshake(content),
    }
    .write()
}

fn refusal(handshake: &Handshake, rejection: Rejection) -> Vec<u8> {
    let answer = Handshake {
        version: 5,
        extension: 0,
        kind: rejection.to_wire(),
        ..*handshake
    };
    datagram(handshake.socket, &answer.write(&[]))
}
