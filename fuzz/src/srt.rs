//! Handshakes and connections of SRT without random numbers, over a network in memory.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use inver_protocols::srt::{Connection, Event, Listener};

/// Where the cookie stands in the datagram of a handshake.
pub const COOKIE: Range<usize> = 44..48;

/// Where each packet names the socket that it is for.
const DESTINATION: Range<usize> = 12..16;

/// Asks for a cookie.
const INDUCTION: u32 = 1;
/// Asks for a connection.
const CONCLUSION: u32 = 0xffff_ffff;

/// What the key below is made of.
pub const PASSPHRASE: &str = "correct horse";

/// The key message of a caller that encrypts with [`PASSPHRASE`].
const KEY: [u8; KEY_MESSAGE] = hexadecimal(KEY_DIGITS);
const KEY_MESSAGE: usize = 56;
const KEY_DIGITS: &[u8; 2 * KEY_MESSAGE] = b"1220290100000000020002000000040436d932c2c9b27fa5aa7ac2e0121ce374569e0d11f2178f74394d93b051fb288b8f6bb2c0b3c9c590";

/// Datagrams of one end that are taken at once; more is a loop without end.
const MOST_DATAGRAMS: usize = 10_000;

/// Steps without virtual time passing; more is a timeout that never moves on.
const MOST_IDLE: usize = 1_000;

/// Longest latency of both directions.
const LATENCY: Duration = Duration::from_millis(120);

const fn hexadecimal(digits: &[u8; 2 * KEY_MESSAGE]) -> [u8; KEY_MESSAGE] {
    const fn digit(digit: u8) -> u8 {
        match digit {
            b'0'..=b'9' => digit - b'0',
            _ => digit - b'a' + 10,
        }
    }
    let mut bytes = [0; KEY_MESSAGE];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = digit(digits[2 * at]) << 4 | digit(digits[2 * at + 1]);
        at += 1;
    }
    bytes
}

/// A handshake of version 5 with its extensions; the cookie is zero.
fn handshake(kind: u32, socket: u32, key: Option<&[u8]>) -> Vec<u8> {
    let fields = if kind == INDUCTION {
        [4, 2]
    } else {
        [5, if key.is_some() { 3 } else { 1 }]
    };
    let mut words = vec![0x8000_0000, 0, 0, 0];
    words.extend(fields);
    words.extend([1000, 1500, 8192, kind, socket, 0, 0, 0, 0, 0]);
    if kind == CONCLUSION {
        words.extend([0x0001_0003, 0x0001_0501, 0x3f, 0x0078_0078]);
    }
    let mut datagram: Vec<u8> = words
        .iter()
        .flat_map(|word: &u32| word.to_be_bytes())
        .collect();
    if let Some(key) = key {
        datagram.extend_from_slice(&[0, 3, 0, (key.len() / 4) as u8]);
        datagram.extend_from_slice(key);
    }
    datagram
}

/// The cookie that a listener gives to an address, in an answer no longer than the question.
pub fn cookie(listener: &mut Listener, from: SocketAddr, now: Instant) -> [u8; 4] {
    let question = handshake(INDUCTION, 7, None);
    listener.handle_datagram(from, &question, now);
    let (to, answer) = listener.poll_transmit().expect("inductions are answered");
    assert_eq!(to, from);
    assert!(answer.len() <= question.len(), "an answer that amplifies");
    answer[COOKIE].try_into().expect("four bytes")
}

/// The end that a listener has of a connection with the socket `peer`.
fn end(secret: u8, peer: u32, encrypted: bool, now: Instant) -> Connection {
    let from = SocketAddr::from(([192, 0, 2, 1], 4000));
    let mut listener = Listener::new(&[secret; 32], now);
    let cookie = cookie(&mut listener, from, now);
    let mut conclusion = handshake(CONCLUSION, peer, encrypted.then_some(KEY.as_slice()));
    conclusion[COOKIE].copy_from_slice(&cookie);
    listener.handle_datagram(from, &conclusion, now);
    let request = listener.poll_request().expect("a conclusion is a request");
    let passphrase = encrypted.then_some(PASSPHRASE);
    listener
        .accept(request.id, passphrase, LATENCY, now)
        .expect("the passphrase is right")
}

/// What happens to datagrams on their way.
#[derive(Debug, Clone, Copy, Default)]
pub struct Way {
    /// Bits to turn in the next datagram, and where.
    pub damage: Option<(usize, u8)>,
    /// Datagrams to lose.
    pub lose: u8,
    /// Datagrams to deliver twice.
    pub twice: u8,
}

/// Two connected ends with the virtual time of both.
#[derive(Debug)]
pub struct Pair {
    /// The ends.
    pub ends: [Connection; 2],
    /// The way to each end.
    pub ways: [Way; 2],
    /// Everything that each end told.
    pub events: [Vec<Event>; 2],
    /// Now.
    pub now: Instant,
}

impl Pair {
    /// Both are what a listener makes of a call: either can be, as both directions begin with
    /// the caller's number and key.
    pub fn connected(encrypted: bool) -> Self {
        let now = Instant::now();
        let sockets = [2, 1].map(|secret| end(secret, 1, false, now).socket());
        let ends = [
            end(1, sockets[0], encrypted, now),
            end(2, sockets[1], encrypted, now),
        ];
        assert_eq!(
            ends[0].socket(),
            sockets[1],
            "sockets follow from the secret"
        );
        let mut pair = Self {
            ends,
            ways: [Way::default(); 2],
            events: [Vec::new(), Vec::new()],
            now,
        };
        pair.exchange();
        pair
    }

    /// Gives an end a datagram that names its socket.
    pub fn inject(&mut self, to: usize, datagram: &[u8]) {
        let mut datagram = datagram.to_vec();
        let socket = self.ends[to].socket().to_be_bytes();
        if let Some(destination) = datagram.get_mut(DESTINATION) {
            destination.copy_from_slice(&socket);
        }
        self.ends[to].handle_datagram(&datagram, self.now);
        self.exchange();
    }

    /// Lets time pass with everything that is due on its way.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut idle = 0;
        loop {
            let due = self.ends.iter().filter_map(Connection::poll_timeout).min();
            let Some(due) = due.filter(|due| *due <= end) else {
                break;
            };
            idle = if due <= self.now { idle + 1 } else { 0 };
            assert!(idle < MOST_IDLE, "a timeout does not move on");
            self.now = self.now.max(due);
            for end in &mut self.ends {
                end.handle_timeout(self.now);
            }
            self.exchange();
        }
        self.now = end;
    }

    /// Lets everything travel that waits.
    pub fn exchange(&mut self) {
        let mut flying = VecDeque::new();
        let mut count = 0;
        loop {
            for from in 0..2 {
                while let Some(datagram) = self.ends[from].poll_transmit() {
                    count += 1;
                    assert!(count < MOST_DATAGRAMS, "datagrams without end");
                    flying.push_back((1 - from, datagram));
                }
                while let Some(event) = self.ends[from].poll_event() {
                    assert!(
                        !matches!(self.events[from].last(), Some(Event::Closed(_))),
                        "an event after the end"
                    );
                    self.events[from].push(event);
                }
            }
            let Some((to, mut datagram)) = flying.pop_front() else {
                return;
            };
            let way = &mut self.ways[to];
            if way.lose > 0 {
                way.lose -= 1;
                continue;
            }
            if let Some((at, bits)) = way.damage.take() {
                let at = at % datagram.len();
                datagram[at] ^= bits;
            }
            if way.twice > 0 {
                way.twice -= 1;
                self.ends[to].handle_datagram(&datagram, self.now);
            }
            self.ends[to].handle_datagram(&datagram, self.now);
        }
    }
}
