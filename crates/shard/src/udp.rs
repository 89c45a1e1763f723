//! The shard's UDP sockets: segmentation offload out, coalescing in, a bounded queue between.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

use inver_rtc::Burst;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

/// Bytes that wait for a full kernel buffer at most. Half a second of a hundred viewers at
/// 2.5 Mbit/s; what comes on top is dropped, and viewers ask for it again.
const QUEUE_BYTES: usize = 16 << 20;

/// Kernel buffers asked for. The kernel may grant less (`net.core.wmem_max`).
const SOCKET_BUFFER: usize = 8 << 20;

/// Largest payload of one send with segmentation offload: what an IPv4 datagram holds.
const MAX_SEND: usize = 65_000;

#[derive(Debug)]
struct Queued {
    destination: SocketAddr,
    source: Option<IpAddr>,
    segment: Option<usize>,
    contents: Vec<u8>,
}

#[derive(Debug)]
struct Port {
    socket: UdpSocket,
    state: UdpSocketState,
    addr: SocketAddr,
    queue: VecDeque<Queued>,
    queued: usize,
    token: Token,
    waiting: bool,
}

/// All UDP sockets of a shard: one per bound address, all on one port number.
#[derive(Debug)]
pub(crate) struct Udp {
    ports: Vec<Port>,
    gso: bool,
    /// Sends that the kernel did not take and that found no place in the queue.
    pub(crate) errors: u64,
    /// Calls to the kernel that sent something.
    pub(crate) sends: u64,
}

/// Binds one address; port 0 takes any.
pub(crate) fn bind(addr: SocketAddr) -> io::Result<Socket> {
    bind_with(addr, SOCKET_BUFFER)
}

/// Binds one address with kernel buffers of a size.
pub(crate) fn bind_with(addr: SocketAddr, buffer: usize) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.set_nonblocking(true)?;
    // Less than asked for still works, with less room for bursts.
    let _ = socket.set_recv_buffer_size(buffer);
    let _ = socket.set_send_buffer_size(buffer);
    Ok(socket)
}

impl Udp {
    pub(crate) fn new(
        sockets: Vec<Socket>,
        gso: bool,
        registry: &Registry,
        first: usize,
    ) -> io::Result<Self> {
        let mut ports = Vec::with_capacity(sockets.len());
        for (index, socket) in sockets.into_iter().enumerate() {
            let addr = socket
                .local_addr()?
                .as_socket()
                .ok_or(io::ErrorKind::AddrNotAvailable)?;
            let mut socket = UdpSocket::from_std(socket.into());
            let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
            let token = Token(first + index);
            registry.register(&mut socket, token, Interest::READABLE)?;
            ports.push(Port {
                socket,
                state,
                addr,
                queue: VecDeque::new(),
                queued: 0,
                token,
                waiting: false,
            });
        }
        Ok(Self {
            ports,
            gso,
            errors: 0,
            sends: 0,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.ports.len()
    }

    /// Reads once from a socket. `Ok(0)`: nothing is there.
    pub(crate) fn receive(
        &self,
        port: usize,
        buffers: &mut [Vec<u8>],
        metas: &mut [RecvMeta],
    ) -> io::Result<usize> {
        let port = &self.ports[port];
        let mut slices: Vec<IoSliceMut<'_>> =
            buffers.iter_mut().map(|b| IoSliceMut::new(b)).collect();
        match port
            .state
            .recv(UdpSockRef::from(&port.socket), &mut slices, metas)
        {
            Ok(count) => Ok(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Sends datagrams to one destination, together as far as their sizes allow.
    pub(crate) fn send(
        &mut self,
        registry: &Registry,
        destination: SocketAddr,
        source: Option<IpAddr>,
        burst: &Burst,
    ) {
        let Some(index) = self
            .ports
            .iter()
            .position(|port| port.addr.is_ipv4() == destination.is_ipv4())
        else {
            self.errors += burst.len() as u64;
            return;
        };
        let most = if self.gso {
            self.ports[index].state.max_gso_segments().max(1)
        } else {
            1
        };
        let mut start = 0;
        let mut ends = burst.ends();
        while let Some(first) = ends.first() {
            let run = run_length(start, ends, most);
            let (together, rest) = ends.split_at(run);
            let end = *together.last().expect("a run has at least one datagram");
            let segment = (run > 1).then_some(*first - start);
            let contents = &burst.bytes()[start..end];
            self.submit(index, registry, destination, source, segment, contents);
            start = end;
            ends = rest;
        }
    }

    fn submit(
        &mut self,
        index: usize,
        registry: &Registry,
        destination: SocketAddr,
        source: Option<IpAddr>,
        segment: Option<usize>,
        contents: &[u8],
    ) {
        let port = &mut self.ports[index];
        if port.queue.is_empty() {
            let transmit = Transmit {
                destination,
                ecn: None,
                contents,
                segment_size: segment,
                src_ip: source,
            };
            match port
                .state
                .try_send(UdpSockRef::from(&port.socket), &transmit)
            {
                Ok(()) => {
                    self.sends += 1;
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    self.errors += 1;
                    return;
                }
            }
        }
        if port.queued + contents.len() > QUEUE_BYTES {
            self.errors += 1;
            return;
        }
        port.queued += contents.len();
        port.queue.push_back(Queued {
            destination,
            source,
            segment,
            contents: contents.to_vec(),
        });
        if !port.waiting {
            port.waiting = registry
                .reregister(
                    &mut port.socket,
                    port.token,
                    Interest::READABLE | Interest::WRITABLE,
                )
                .is_ok();
        }
    }

    /// The addresses that the sockets are bound to.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.ports.iter().map(|port| port.addr)
    }

    /// Takes the sockets out of the poll, before they are dropped.
    pub(crate) fn close(&mut self, registry: &Registry) {
        for port in &mut self.ports {
            // A socket that is not there any more needs no taking out.
            let _ = registry.deregister(&mut port.socket);
        }
    }

    /// Sends what waits on a socket that became writable.
    pub(crate) fn flush(&mut self, index: usize, registry: &Registry) {
        let port = &mut self.ports[index];
        while let Some(next) = port.queue.front() {
            let transmit = Transmit {
                destination: next.destination,
                ecn: None,
                contents: &next.contents,
                segment_size: next.segment,
                src_ip: next.source,
            };
            match port
                .state
                .try_send(UdpSockRef::from(&port.socket), &transmit)
            {
                Ok(()) => self.sends += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.errors += 1,
            }
            port.queued -= next.contents.len();
            port.queue.pop_front();
        }
        if port.waiting
            && registry
                .reregister(&mut port.socket, port.token, Interest::READABLE)
                .is_ok()
        {
            port.waiting = false;
        }
    }
}

/// How many datagrams from the front can go in one send: all of one size, the last one smaller
/// at most. The first begins at `start`.
fn run_length(start: usize, ends: &[usize], most: usize) -> usize {
    let Some(size) = ends.first().map(|end| end - start) else {
        return 0;
    };
    let mut count = 1;
    while count < most {
        let Some(end) = ends.get(count) else {
            break;
        };
        let next = end - ends[count - 1];
        if next > size || end - start > MAX_SEND {
            break;
        }
        count += 1;
        if next < size {
            break;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(sizes: &[usize], most: usize) -> usize {
        let ends: Vec<usize> = sizes
            .iter()
            .scan(100, |end, size| {
                *end += size;
                Some(*end)
            })
            .collect();
        run_length(100, &ends, most)
    }

    #[test]
    fn a_run_holds_equal_sizes_and_one_smaller_at_the_end() {
        assert_eq!(run(&[1200, 1200, 300, 1200], 64), 3);
        assert_eq!(run(&[1200, 1201], 64), 1);
        assert_eq!(run(&[1200; 10], 4), 4);
        assert_eq!(run(&[1400; 60], 64), 46, "what one datagram of 64 KB holds");
        assert_eq!(run(&[], 64), 0);
    }
}
