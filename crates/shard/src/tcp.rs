//! ICE over TCP as the passive side (RFC 6544) with framing of RFC 4571.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

/// Connections at most; each costs a read and a write buffer.
const MAX_CONNECTIONS: usize = 2048;

/// Connections from one address at most, before a session is known.
const MAX_UNKNOWN_PER_ADDRESS: usize = 64;

/// A connection that no session claims by then is closed.
const CLAIM_WITHIN: Duration = Duration::from_secs(10);

/// Bytes that wait for a slow reader at most: two seconds of 2.5 Mbit/s video. A reader further
/// behind loses whole datagrams, as over UDP.
const WRITE_BUFFER: usize = 640 * 1024;

/// Largest frame that is taken; media and handshakes stay below an Ethernet frame.
const MAX_FRAME: usize = 4096;

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    remote: SocketAddr,
    input: Vec<u8>,
    output: VecDeque<u8>,
    opened: Instant,
    claimed: bool,
    writable: bool,
}

/// The listeners and connections of a shard.
#[derive(Debug)]
pub(crate) struct Tcp {
    listeners: Vec<TcpListener>,
    connections: HashMap<usize, Connection>,
    by_remote: HashMap<SocketAddr, usize>,
    next: usize,
    first: usize,
}

impl Tcp {
    pub(crate) fn new(
        listeners: Vec<std::net::TcpListener>,
        registry: &Registry,
        first: usize,
    ) -> io::Result<Self> {
        let mut ours = Vec::with_capacity(listeners.len());
        for (index, listener) in listeners.into_iter().enumerate() {
            listener.set_nonblocking(true)?;
            let mut listener = TcpListener::from_std(listener);
            registry.register(&mut listener, Token(first + index), Interest::READABLE)?;
            ours.push(listener);
        }
        let next = first + ours.len();
        Ok(Self {
            listeners: ours,
            connections: HashMap::new(),
            by_remote: HashMap::new(),
            next,
            first,
        })
    }

    /// Takes new connections of a listener, or reads a connection. Gives whole frames to `f`.
    pub(crate) fn ready(
        &mut self,
        token: usize,
        registry: &Registry,
        now: Instant,
        frames: &mut Vec<(SocketAddr, Vec<u8>)>,
    ) {
        if let Some(listener) = token
            .checked_sub(self.first)
            .and_then(|index| self.listeners.get(index))
        {
            let mut accepted = Vec::new();
            // Each round takes a bounded number; the rest stays in the listener's backlog.
            for _ in 0..64 {
                match listener.accept() {
                    Ok(connection) => accepted.push(connection),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
            for (stream, remote) in accepted {
                self.admit(stream, remote, registry, now);
            }
            return;
        }
        let Some(connection) = self.connections.get_mut(&token) else {
            return;
        };
        let alive = connection.read(frames) && connection.write();
        if alive {
            self.rearm(token, registry);
        } else {
            self.remove(token, registry);
        }
    }

    fn admit(
        &mut self,
        mut stream: TcpStream,
        remote: SocketAddr,
        registry: &Registry,
        now: Instant,
    ) {
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let unknown = self
            .connections
            .values()
            .filter(|c| !c.claimed && c.remote.ip() == remote.ip())
            .take(MAX_UNKNOWN_PER_ADDRESS)
            .count();
        if self.connections.len() >= MAX_CONNECTIONS || unknown >= MAX_UNKNOWN_PER_ADDRESS {
            return;
        }
        let token = self.next;
        self.next += 1;
        let _ = stream.set_nodelay(true);
        if registry
            .register(&mut stream, Token(token), Interest::READABLE)
            .is_err()
        {
            return;
        }
        let connection = Connection {
            stream,
            remote,
            input: Vec::new(),
            output: VecDeque::new(),
            opened: now,
            claimed: false,
            writable: false,
        };
        self.by_remote.insert(remote, token);
        self.connections.insert(token, connection);
    }

    /// A session proved that a connection is its own.
    pub(crate) fn claim(&mut self, remote: SocketAddr) {
        if let Some(connection) = self
            .by_remote
            .get(&remote)
            .and_then(|token| self.connections.get_mut(token))
        {
            connection.claimed = true;
        }
    }

    /// Sends one datagram as a frame; `false` where there is no connection or no room.
    pub(crate) fn send(
        &mut self,
        registry: &Registry,
        remote: SocketAddr,
        datagram: &[u8],
    ) -> bool {
        let Some(&token) = self.by_remote.get(&remote) else {
            return false;
        };
        let Some(connection) = self.connections.get_mut(&token) else {
            return false;
        };
        let Ok(len) = u16::try_from(datagram.len()) else {
            return false;
        };
        if connection.output.len() + datagram.len() + 2 > WRITE_BUFFER {
            return false;
        }
        connection.output.extend(len.to_be_bytes());
        connection.output.extend(datagram);
        if connection.write() {
            self.rearm(token, registry);
            true
        } else {
            self.remove(token, registry);
            false
        }
    }

    /// Closes the connection of a session that ended.
    pub(crate) fn close(&mut self, remote: SocketAddr, registry: &Registry) {
        if let Some(&token) = self.by_remote.get(&remote) {
            self.remove(token, registry);
        }
    }

    /// Closes connections that no session claimed in time.
    pub(crate) fn review(&mut self, now: Instant, registry: &Registry) {
        let late: Vec<usize> = self
            .connections
            .iter()
            .filter(|(_, c)| !c.claimed && now.saturating_duration_since(c.opened) > CLAIM_WITHIN)
            .map(|(token, _)| *token)
            .collect();
        for token in late {
            self.remove(token, registry);
        }
    }

    fn rearm(&mut self, token: usize, registry: &Registry) {
        let Some(connection) = self.connections.get_mut(&token) else {
            return;
        };
        let wants = !connection.output.is_empty();
        if wants != connection.writable {
            let interest = if wants {
                Interest::READABLE | Interest::WRITABLE
            } else {
                Interest::READABLE
            };
            if registry
                .reregister(&mut connection.stream, Token(token), interest)
                .is_ok()
            {
                connection.writable = wants;
            }
        }
    }

    fn remove(&mut self, token: usize, registry: &Registry) {
        if let Some(mut connection) = self.connections.remove(&token) {
            let _ = registry.deregister(&mut connection.stream);
            if self.by_remote.get(&connection.remote) == Some(&token) {
                self.by_remote.remove(&connection.remote);
            }
        }
    }
}

impl Connection {
    /// Reads what is there. `false`: the connection is over.
    fn read(&mut self, frames: &mut Vec<(SocketAddr, Vec<u8>)>) -> bool {
        let mut chunk = [0_u8; 16 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return false,
                Ok(count) => {
                    self.input.extend_from_slice(&chunk[..count]);
                    let remote = self.remote;
                    if !take_frames(&mut self.input, |frame| {
                        frames.push((remote, frame.to_vec()))
                    }) {
                        return false;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    /// Writes what waits. `false`: the connection is over.
    fn write(&mut self) -> bool {
        while !self.output.is_empty() {
            let (head, _) = self.output.as_slices();
            match self.stream.write(head) {
                Ok(0) => return false,
                Ok(count) => {
                    self.output.drain(..count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }
}

/// Takes whole frames off the front. `false`: the stream breaks the bounds.
fn take_frames(input: &mut Vec<u8>, mut f: impl FnMut(&[u8])) -> bool {
    let mut at = 0;
    while let Some([high, low]) = input.get(at..at + 2) {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        if len > MAX_FRAME {
            return false;
        }
        let Some(frame) = input.get(at + 2..at + 2 + len) else {
            break;
        };
        f(frame);
        at += 2 + len;
    }
    input.drain(..at);
    true
}

/// Feeds the framing; for fuzzing.
#[doc(hidden)]
pub fn fuzz_frames(bytes: &[u8]) -> usize {
    let mut input = bytes.to_vec();
    let mut frames = 0;
    take_frames(&mut input, |_| frames += 1);
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_whole_and_the_rest_waits() {
        let mut input = vec![0, 2, 1, 2, 0, 1, 9, 0, 3, 1];
        let mut frames = Vec::new();
        assert!(take_frames(&mut input, |frame| frames.push(frame.to_vec())));
        assert_eq!(frames, [vec![1, 2], vec![9]]);
        assert_eq!(input, [0, 3, 1]);
    }

    #[test]
    fn an_oversized_frame_ends_the_connection() {
        assert!(!take_frames(&mut vec![0xff, 0xff, 0], |_| {}));
    }
}
