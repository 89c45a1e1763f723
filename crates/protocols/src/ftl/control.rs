//! The server's end of the control connection.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;

use super::attributes::{Attributes, Draft, Refusal};
use super::code::Code;

/// Bytes of a line at most. The longest that clients send has some 150.
pub const MAX_LINE: usize = 1024;
/// How long a client may take from its connection to the start of its media, and later from one
/// command to the next. Clients ping every five seconds. Bytes that complete no command do not
/// count.
pub const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Lines of attributes at most: there are fourteen names.
const MAX_ATTRIBUTES: usize = 64;
/// Bytes that wait at most while an answer of the caller is due. Clients wait for it too.
const MAX_PENDING: usize = 4096;

/// What a client wants or has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It answered the challenge: check with [`verify`], then call [`Control::accept`] or
    /// [`Control::refuse`].
    ConnectRequested {
        /// The channel's number.
        channel: u32,
        /// The answer.
        answer: [u8; 64],
    },
    /// It told everything: call [`Control::start`] with the port for media, or
    /// [`Control::refuse`].
    StreamRequested(Attributes),
    /// It is alive; the answer is sent.
    Pinged,
    /// The connection is over: send what [`Control::poll_transmit`] still gives, then close it.
    Closed(Closed),
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// The client said so.
    Disconnected,
    /// No command came in [`READ_TIMEOUT`].
    TimedOut,
    /// We told the client a code.
    Refused {
        /// The code.
        code: Code,
        /// What was wrong, for the log.
        reason: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before `HMAC`.
    Begin,
    /// Before `CONNECT`.
    Challenged,
    /// The caller checks the answer.
    Checking {
        channel: u32,
    },
    /// Attributes come.
    Describing,
    /// The caller prepares for media.
    Preparing,
    /// Media flows.
    Streaming,
    Closed,
}

/// The server's end of one control connection.
///
/// After each call, drain [`Self::poll_transmit`] and [`Self::poll_event`], then wait until
/// [`Self::poll_timeout`]. Nothing but `HMAC` and `CONNECT` is understood before the caller
/// accepted the answer to the challenge.
pub struct Control {
    state: State,
    challenge: [u8; 128],
    input: VecDeque<u8>,
    /// The front of `input` that is known to hold no end of line.
    scanned: usize,
    draft: Draft,
    attributes: usize,
    deadline: Instant,
    transmits: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the challenge nor what the client sent belongs in a log.
        f.debug_struct("Control")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Whether `answer` is the HMAC-SHA512 of the challenge under the channel's key. Takes the same
/// time wherever it differs.
pub fn verify(key: &[u8], challenge: &[u8; 128], answer: &[u8; 64]) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA512, key);
    hmac::verify(&key, challenge, answer).is_ok()
}

impl Control {
    /// A new connection. `challenge` is 128 random bytes, used for this connection only.
    pub fn new(challenge: [u8; 128], now: Instant) -> Self {
        Self {
            state: State::Begin,
            challenge,
            input: VecDeque::new(),
            scanned: 0,
            draft: Draft::default(),
            attributes: 0,
            deadline: now + READ_TIMEOUT,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The challenge, for [`verify`].
    pub fn challenge(&self) -> &[u8; 128] {
        &self.challenge
    }

    /// Whether the connection is over.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Takes bytes from the connection.
    pub fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        for chunk in bytes.chunks(MAX_LINE) {
            if self.state == State::Closed {
                return;
            }
            if self.input.len() + chunk.len() > MAX_PENDING {
                self.reject((
                    Code::BadRequest,
                    "more commands than can wait for an answer",
                ));
                return;
            }
            self.input.extend(chunk);
            self.read_lines(now);
        }
    }

    /// Closes a connection on which no command came in time.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.state != State::Closed && now >= self.deadline {
            self.end(Closed::TimedOut);
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.state != State::Closed).then_some(self.deadline)
    }

    /// Bytes for the client.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Lets the client in, in answer to [`Event::ConnectRequested`]; without one nothing happens.
    pub fn accept(&mut self, now: Instant) {
        if matches!(self.state, State::Checking { .. }) {
            self.reply(b"200\n");
            self.state = State::Describing;
            self.read_lines(now);
        }
    }

    /// Tells the client where its media goes, in answer to [`Event::StreamRequested`]; without
    /// one nothing happens.
    pub fn start(&mut self, port: u16, now: Instant) {
        if self.state == State::Preparing {
            // Clients look for the full stop and these very words.
            self.reply(format!("200. Use UDP port {port}\n").as_bytes());
            self.state = State::Streaming;
            self.deadline = now + READ_TIMEOUT;
            self.read_lines(now);
        }
    }

    /// Turns the client away or ends its stream with a code; `reason` goes to the log.
    pub fn refuse(&mut self, code: Code, reason: &str) {
        self.close(code, code.text(), reason);
    }

    fn read_lines(&mut self, now: Instant) {
        while !matches!(
            self.state,
            State::Checking { .. } | State::Preparing | State::Closed
        ) {
            let end = self
                .input
                .iter()
                .skip(self.scanned)
                .position(|byte| *byte == b'\n')
                .map(|at| at + self.scanned);
            if end.unwrap_or(self.input.len()) > MAX_LINE {
                self.reject((Code::BadRequest, "a line of more than 1024 bytes"));
                return;
            }
            let Some(end) = end else {
                self.scanned = self.input.len();
                return;
            };
            self.scanned = 0;
            let bytes: Vec<u8> = self.input.drain(..=end).collect();
            let Ok(line) = std::str::from_utf8(&bytes) else {
                self.reject((Code::BadRequest, "a line that is not text"));
                return;
            };
            let line = line.trim();
            // A command ends with two line ends, so every other line is empty.
            if line.is_empty() {
                continue;
            }
            if let Err(refusal) = self.command(line, now) {
                self.reject(refusal);
            }
        }
    }

    fn command(&mut self, line: &str, now: Instant) -> Result<(), Refusal> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (word, self.state) {
            ("DISCONNECT", _) => self.end(Closed::Disconnected),
            ("HMAC", State::Begin) => {
                let mut reply = b"200 ".to_vec();
                for byte in self.challenge {
                    reply.extend_from_slice(format!("{byte:02x}").as_bytes());
                }
                reply.push(b'\n');
                self.reply(&reply);
                self.state = State::Challenged;
            }
            ("CONNECT", State::Challenged) => {
                let (channel, answer) = connect(rest)?;
                self.state = State::Checking { channel };
                self.events
                    .push_back(Event::ConnectRequested { channel, answer });
            }
            ("CONNECT", State::Begin) => {
                return Err((Code::BadRequest, "CONNECT before HMAC"));
            }
            ("HMAC" | "CONNECT", _) => {
                return Err((Code::BadRequest, "a second HMAC or CONNECT"));
            }
            (_, State::Begin | State::Challenged) => {
                return Err((Code::Unauthorized, "a command before CONNECT"));
            }
            ("PING", _) => {
                self.reply(b"201\n");
                if self.state == State::Streaming {
                    self.deadline = now + READ_TIMEOUT;
                    self.events.push_back(Event::Pinged);
                }
            }
            (".", State::Describing) => {
                let attributes = self.draft.finish()?;
                self.state = State::Preparing;
                self.events.push_back(Event::StreamRequested(attributes));
            }
            (_, State::Describing) => {
                let Some((name, value)) = line.split_once(':') else {
                    return Err((Code::BadRequest, "neither a command nor an attribute"));
                };
                self.attributes += 1;
                if self.attributes > MAX_ATTRIBUTES {
                    return Err((Code::BadRequest, "too many attributes"));
                }
                self.draft.set(name.trim(), value.trim())?;
            }
            // Attributes that change later are taken for signs of life.
            (_, State::Streaming) if line.contains(':') => self.deadline = now + READ_TIMEOUT,
            _ => return Err((Code::BadRequest, "a command that is not known")),
        }
        Ok(())
    }

    fn reply(&mut self, bytes: &[u8]) {
        self.transmits.push_back(bytes.to_vec());
    }

    /// Tells the client what is wrong with what it sent.
    fn reject(&mut self, (code, reason): Refusal) {
        self.close(code, reason, reason);
    }

    fn close(&mut self, code: Code, text: &str, reason: &str) {
        if self.state != State::Closed {
            self.reply(format!("{} {text}\n", code.number()).as_bytes());
            self.end(Closed::Refused {
                code,
                reason: reason.to_owned(),
            });
        }
    }

    fn end(&mut self, closed: Closed) {
        self.state = State::Closed;
        self.input = VecDeque::new();
        self.events.push_back(Event::Closed(closed));
    }
}

/// Channel and answer of `CONNECT <channel> $<answer in hexadecimal>`.
fn connect(rest: &str) -> Result<(u32, [u8; 64]), Refusal> {
    let shape = (
        Code::BadRequest,
        "CONNECT is a channel's number and a dollar sign with 128 hexadecimal digits",
    );
    let (channel, answer) = rest.trim().split_once(' ').ok_or(shape)?;
    let channel = channel.parse().map_err(|_| shape)?;
    let digits = answer.trim().strip_prefix('$').ok_or(shape)?.as_bytes();
    let mut bytes = [0; 64];
    if digits.len() != 2 * bytes.len() {
        return Err(shape);
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        for digit in pair {
            let digit = char::from(*digit).to_digit(16).ok_or(shape)?;
            *byte = *byte << 4 | digit as u8;
        }
    }
    Ok((channel, bytes))
}
