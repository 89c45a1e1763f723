//! The caller's side of a handshake (draft-sharabayko-srt, section 4.3.1), for pulling from and
//! sending to other servers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use thiserror::Error;

use super::connection::{Agreement, Connection};
use super::crypto::{Crypto, KeyRefresh, PassphraseError, check_passphrase};
use super::handshake::{
    CONCLUSION, Extension, Extensions, FLAGS, Handshake, Hello, INDUCTION, MAGIC, VERSION,
    milliseconds, peer_words,
};
use super::key_material::KeyLength;
use super::listener::{MIN_MTU, MTU};
use super::receiver::RECEIVE_WINDOW;
use super::rejection::Rejection;
use super::stream_id;
use super::time::PeerClock;
use super::wire::{Body, Packet};

/// An unanswered handshake packet is sent again after this.
const RETRY: Duration = Duration::from_millis(250);

/// A handshake takes no longer than this.
const DEADLINE: Duration = Duration::from_secs(3);

/// What a caller wants.
#[derive(Clone)]
pub struct CallerConfig {
    /// What it asks for, at most 512 bytes; may be empty.
    pub stream_id: String,
    /// Encrypts with this.
    pub passphrase: Option<String>,
    /// The length of the key, used with a passphrase.
    pub key_length: KeyLength,
    /// The least latency for both directions; the listener may want more.
    pub latency: Duration,
    /// When the key is replaced.
    pub key_refresh: KeyRefresh,
}

impl Default for CallerConfig {
    fn default() -> Self {
        Self {
            stream_id: String::new(),
            passphrase: None,
            key_length: KeyLength::Aes128,
            latency: Duration::from_millis(120),
            key_refresh: KeyRefresh::default(),
        }
    }
}

impl std::fmt::Debug for CallerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallerConfig")
            .field("encrypted", &self.passphrase.is_some())
            .field("latency", &self.latency)
            .finish_non_exhaustive()
    }
}

/// Why a call fails.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallError {
    /// The passphrase has a wrong length.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// The stream id is too long.
    #[error("the stream id has {0} bytes; at most {max} are allowed", max = stream_id::MAX_LENGTH)]
    StreamId(usize),
    /// Random numbers or keys cannot be had.
    #[error("the cryptographic library failed")]
    Library,
    /// The listener refuses.
    #[error("the listener refuses: {0}")]
    Rejected(Rejection),
    /// The answer is not one that a listener of SRT 1.3 or later gives, or does not suit us.
    #[error("the listener's answer cannot be used: {0}")]
    Answer(Rejection),
    /// Nothing came in 3 s.
    #[error("the listener has not answered within 3 s")]
    Timeout,
}

/// How a call ends.
#[derive(Debug)]
pub enum CallerEvent {
    /// There is a connection; the caller has nothing more to do.
    Connected(Box<Connection>),
    /// There is none.
    Failed(CallError),
}

#[derive(Debug)]
enum Phase {
    Inducting,
    Concluding { cookie: u32 },
    Done,
}

/// One call. After each call that changes it, drain [`Caller::poll_transmit`] and
/// [`Caller::poll_event`].
#[derive(Debug)]
pub struct Caller {
    config: CallerConfig,
    to: SocketAddr,
    socket: u32,
    initial_sequence: u32,
    crypto: Option<(Crypto, Vec<u8>)>,
    phase: Phase,
    /// The moment that our timestamps count from.
    started: Instant,
    /// The moment that the deadline counts from.
    called: Instant,
    next_try: Instant,
    transmit: Option<Vec<u8>>,
    event: Option<CallerEvent>,
}

impl Caller {
    /// Begins a call to a listener.
    ///
    /// # Errors
    /// When stream id or passphrase cannot be used.
    pub fn new(config: CallerConfig, to: SocketAddr, now: Instant) -> Result<Self, CallError> {
        let mut random = [0; 8];
        rand::fill(&mut random).map_err(|_| CallError::Library)?;
        let [a, b, c, d, e, f, g, h] = random;
        let initial_sequence = u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff;
        let socket = (u32::from_be_bytes([e, f, g, h]) & 0x3fff_ffff).max(1);
        Self::with_numbers(config, to, socket, initial_sequence, now)
    }

    /// A call with a socket and a first sequence number of one's choice.
    pub(super) fn with_numbers(
        config: CallerConfig,
        to: SocketAddr,
        socket: u32,
        initial_sequence: u32,
        now: Instant,
    ) -> Result<Self, CallError> {
        if config.stream_id.len() > stream_id::MAX_LENGTH {
            return Err(CallError::StreamId(config.stream_id.len()));
        }
        let crypto = match &config.passphrase {
            None => None,
            Some(passphrase) => {
                check_passphrase(passphrase)?;
                let keys = Crypto::generate(passphrase, config.key_length, config.key_refresh);
                Some(keys.map_err(|_| CallError::Library)?)
            }
        };
        let mut caller = Self {
            config,
            to,
            socket,
            initial_sequence,
            crypto,
            phase: Phase::Inducting,
            started: now,
            called: now,
            next_try: now,
            transmit: None,
            event: None,
        };
        caller.handle_timeout(now);
        Ok(caller)
    }

    /// Lets the call begin now although its clock has run since it was made.
    #[cfg(test)]
    pub(super) fn age_for_tests(&mut self, now: Instant) {
        self.called = now;
        self.transmit = None;
        self.transmit_handshake(now);
    }

    /// The socket that the listener names in its answers.
    #[must_use]
    pub fn socket(&self) -> u32 {
        self.socket
    }

    /// Takes a datagram of the listener. What is no answer to this call is passed over.
    pub fn handle_datagram(&mut self, datagram: &[u8], now: Instant) {
        let Ok(packet) = Packet::parse(datagram) else {
            return;
        };
        let Body::Handshake(content) = packet.body else {
            return;
        };
        let Ok(handshake) = Handshake::parse(content) else {
            return;
        };
        if packet.destination != self.socket {
            return;
        }
        if let Some(rejection) = Rejection::from_wire(handshake.kind) {
            return self.fail(CallError::Rejected(rejection));
        }
        match (&self.phase, handshake.kind) {
            (Phase::Inducting, INDUCTION) => {
                if handshake.version != 5 {
                    return self.fail(CallError::Answer(Rejection::Version));
                }
                if handshake.extension != MAGIC {
                    return self.fail(CallError::Answer(Rejection::Rogue));
                }
                let cookie = handshake.cookie;
                self.phase = Phase::Concluding { cookie };
                self.transmit_handshake(now);
            }
            (Phase::Concluding { .. }, CONCLUSION) => {
                match self.conclude(&handshake, content, packet.timestamp, now) {
                    Ok(agreement) => {
                        let connection = Connection::new(agreement, now);
                        self.phase = Phase::Done;
                        self.event = Some(CallerEvent::Connected(Box::new(connection)));
                    }
                    Err(rejection) => self.fail(CallError::Answer(rejection)),
                }
            }
            _ => {}
        }
    }

    fn conclude(
        &mut self,
        handshake: &Handshake,
        content: &[u8],
        timestamp: u32,
        now: Instant,
    ) -> Result<Agreement, Rejection> {
        let extensions = Extensions::parse(content).map_err(|_| Rejection::Rogue)?;
        let hello = extensions.hello.ok_or(Rejection::Rogue)?;
        if handshake.version != 5 {
            return Err(Rejection::Version);
        }
        if handshake.mtu < MIN_MTU || handshake.socket == 0 {
            return Err(Rejection::Rogue);
        }
        match (&self.crypto, extensions.key) {
            (None, None) => {}
            (Some((_, sent)), Some(answer)) if sent.as_slice() == answer => {}
            // One word in place of the message says that the other side has another passphrase.
            (Some(_), Some([0, 0, 0, 4])) => return Err(Rejection::BadSecret),
            (Some(_), Some(_) | None) | (None, Some(_)) => return Err(Rejection::Unsecure),
        }
        let delay = |millis: u16| Duration::from_millis(millis.into());
        Ok(Agreement {
            local_socket: self.socket,
            peer_socket: handshake.socket,
            send_sequence: self.initial_sequence,
            receive_sequence: handshake.initial_sequence,
            mtu: handshake.mtu.min(MTU),
            peer_window: handshake.window,
            receive_latency: self.config.latency.max(delay(hello.send_delay)),
            send_latency: self.config.latency.max(delay(hello.receive_delay)),
            crypto: self.crypto.take().map(|(crypto, _)| crypto),
            started: self.started,
            peer_clock: PeerClock::new(timestamp, now),
        })
    }

    fn fail(&mut self, error: CallError) {
        if !matches!(self.phase, Phase::Done) {
            self.phase = Phase::Done;
            self.event = Some(CallerEvent::Failed(error));
        }
    }

    /// Asks again, or gives up.
    pub fn handle_timeout(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Done) {
            return;
        }
        if now >= self.called + DEADLINE {
            self.fail(CallError::Timeout);
        } else if now >= self.next_try {
            self.transmit_handshake(now);
        }
    }

    /// When to call [`Caller::handle_timeout`], `None` when the call is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Done => None,
            Phase::Inducting | Phase::Concluding { .. } => {
                Some(self.next_try.min(self.called + DEADLINE))
            }
        }
    }

    /// The next datagram for the listener.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmit.take()
    }

    /// How the call ends, once.
    pub fn poll_event(&mut self) -> Option<CallerEvent> {
        self.event.take()
    }

    fn transmit_handshake(&mut self, now: Instant) {
        self.next_try = now + RETRY;
        let cookie = match self.phase {
            Phase::Done => return,
            Phase::Inducting => None,
            Phase::Concluding { cookie } => Some(cookie),
        };
        let delay = milliseconds(self.config.latency);
        let hello = Hello {
            version: VERSION,
            flags: FLAGS,
            receive_delay: delay,
            send_delay: delay,
        };
        let key = self.crypto.as_ref().map(|(_, message)| message.as_slice());
        let mut extensions = Vec::new();
        let mut handshake = Handshake {
            version: 4,
            encryption: 0,
            // What an induction says in this place: datagrams.
            extension: 2,
            initial_sequence: self.initial_sequence,
            mtu: MTU,
            window: RECEIVE_WINDOW as u32,
            kind: INDUCTION,
            socket: self.socket,
            cookie: 0,
            peer: peer_words(self.to),
        };
        if let Some(cookie) = cookie {
            let units = |_: &[u8]| self.config.key_length.bytes() / 8;
            handshake.version = 5;
            handshake.encryption = u16::try_from(key.map_or(0, units)).unwrap_or(0);
            handshake.extension = 0;
            handshake.kind = CONCLUSION;
            handshake.cookie = cookie;
            extensions.push(Extension::HelloRequest(hello));
            extensions.extend(key.map(Extension::KeyRequest));
            if !self.config.stream_id.is_empty() {
                extensions.push(Extension::StreamId(&self.config.stream_id));
            }
        }
        let content = handshake.write(&extensions);
        let micros = now.saturating_duration_since(self.started).as_micros();
        let packet = Packet {
            timestamp: u32::try_from(micros & u128::from(u32::MAX)).expect("32 bits fit"),
            destination: 0,
            body: Body::Handshake(&content),
        };
        self.transmit = Some(packet.write());
    }
}
