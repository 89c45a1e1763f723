//! The socket's owner: reads datagrams, answers handshakes, finds connections.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use inver_node::Secret;
use inver_protocols::srt::{AcceptError, Listener, Rejection, Request, destination};
use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::call::Verdict;
use super::{Call, Link};
use crate::{Limits, Places, Slot, Stop, stopped};

/// Longest datagram: Ethernet's. What is longer is cut, and so is no packet.
pub(super) const DATAGRAM: usize = 1500;

/// Datagrams that wait for one connection's task. At 20 Mbps half a second: a task that is behind
/// further gets them again as lost.
pub(super) const WAITING: usize = 1024;

/// Answers that wait. As many callers as the listener keeps.
const VERDICTS: usize = 256;

/// Datagrams read before timers and answers get their turn.
const BATCH: usize = 64;

/// How long sessions may take to end after the stop.
const DRAIN: Duration = Duration::from_secs(5);

/// What the kernel keeps of datagrams that are not read yet; a keyframe of 4K at once. It gives as
/// much as the system allows.
const SOCKET_BUFFER: usize = 4 << 20;

/// Where a connection's datagrams go.
struct Route {
    peer: SocketAddr,
    datagrams: mpsc::Sender<Vec<u8>>,
}

struct Endpoint {
    socket: Arc<UdpSocket>,
    listener: Listener,
    routes_by_socket: HashMap<u32, Route>,
    places: Places,
}

/// Serves one UDP socket until the stop: `callee` answers each [`Call`] and is the whole session
/// of what becomes of it.
///
/// # Errors
/// Only where the socket cannot be read at all, or the system has no random numbers.
pub async fn serve<Session>(
    socket: UdpSocket,
    limits: Limits,
    mut stop: Stop,
    callee: impl Fn(Call) -> Session,
) -> io::Result<()>
where
    Session: Future<Output = ()> + Send + 'static,
{
    let mut secret = [0; 32];
    rand::fill(&mut secret).map_err(|_| io::Error::other("no random numbers"))?;
    enlarge(&socket);
    let socket = Arc::new(socket);
    let mut endpoint = Endpoint {
        socket: socket.clone(),
        listener: Listener::new(&secret, now()),
        routes_by_socket: HashMap::new(),
        places: Places::new(limits),
    };
    let (verdicts, mut decided) = mpsc::channel(VERDICTS);
    let mut sessions = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM];
    let mut deadline = None;
    loop {
        endpoint.flush();
        while let Some(request) = endpoint.listener.poll_request() {
            if deadline.is_some() {
                endpoint.listener.reject(request.id, Rejection::Down, now());
            } else if let Some(call) = endpoint.call(request, &verdicts) {
                sessions.spawn(callee(call));
            }
        }
        if deadline.is_some() && sessions.is_empty() {
            endpoint.flush();
            return Ok(());
        }
        let due = endpoint.listener.poll_timeout().map(Instant::from_std);
        let due = due.into_iter().chain(deadline).min();
        tokio::select! {
            ready = socket.readable() => {
                ready?;
                endpoint.read(&mut buffer);
            }
            Some(verdict) = decided.recv() => endpoint.decide(verdict),
            Some(_) = sessions.join_next(), if !sessions.is_empty() => {}
            () = stopped(&mut stop), if deadline.is_none() => {
                deadline = Some(Instant::now() + DRAIN);
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                endpoint.listener.handle_timeout(now());
                if deadline.is_some_and(|at| Instant::now() >= at) {
                    return Ok(());
                }
            }
        }
    }
}

impl Endpoint {
    fn read(&mut self, buffer: &mut [u8]) {
        for _ in 0..BATCH {
            match self.socket.try_recv_from(buffer) {
                Ok((len, from)) => {
                    let datagram = buffer.get(..len).unwrap_or_default();
                    self.datagram(from, datagram);
                }
                // Nothing more, or an ICMP error of some peer, which its own deadline finds too.
                Err(_) => return,
            }
        }
    }

    fn datagram(&mut self, from: SocketAddr, datagram: &[u8]) {
        let Some(socket) = destination(datagram) else {
            return;
        };
        if socket == 0 {
            self.listener.handle_datagram(from, datagram, now());
            return;
        }
        let Some(route) = self.routes_by_socket.get(&socket) else {
            return;
        };
        if route.peer != from {
            return;
        }
        if let Err(TrySendError::Closed(_)) = route.datagrams.try_send(datagram.to_vec()) {
            self.routes_by_socket.remove(&socket);
        }
    }

    fn call(&mut self, request: Request, verdicts: &mpsc::Sender<Verdict>) -> Option<Call> {
        match self.places.take(request.address.ip()) {
            Ok(slot) => Some(Call {
                request,
                verdicts: verdicts.clone(),
                slot,
            }),
            Err(limit) => {
                tracing::debug!(from = %request.address, %limit, "an SRT caller was turned away");
                self.listener.reject(request.id, Rejection::Overload, now());
                None
            }
        }
    }

    fn decide(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Reject { id, rejection } => self.listener.reject(id, rejection, now()),
            Verdict::Accept {
                request,
                passphrases,
                latency,
                slot,
                reply,
            } => {
                let link = self.accept(&request, &passphrases, latency, slot);
                // Who asked may be gone; the connection then ends by silence.
                let _ = reply.send(link);
            }
        }
    }

    fn accept(
        &mut self,
        request: &Request,
        passphrases: &[Secret],
        latency: Duration,
        slot: Slot,
    ) -> Result<Link, AcceptError> {
        let fits = |passphrase: &&Secret| {
            let passphrase = passphrase.reveal();
            self.listener.passphrase_fits(request.id, passphrase)
        };
        let passphrase = request.encrypted.then(|| {
            let fitting = passphrases.iter().find(fits);
            fitting.or(passphrases.first()).map(Secret::reveal)
        });
        let passphrase = passphrase.flatten();
        let connection = self
            .listener
            .accept(request.id, passphrase, latency, now())?;
        // Those that ended without another datagram.
        self.routes_by_socket
            .retain(|_, route| !route.datagrams.is_closed());
        let (datagrams, waiting) = mpsc::channel(WAITING);
        let route = Route {
            peer: request.address,
            datagrams,
        };
        self.routes_by_socket.insert(connection.socket(), route);
        Ok(Link {
            connection: Box::new(connection),
            socket: self.socket.clone(),
            peer: request.address,
            datagrams: waiting,
            unsent: None,
            _slot: Some(slot),
        })
    }

    /// Sends what the listener answers. What the network does not take the caller asks for again.
    fn flush(&mut self) {
        while let Some((to, datagram)) = self.listener.poll_transmit() {
            if let Err(error) = self.socket.try_send_to(&datagram, to) {
                tracing::trace!(%error, "an answer to a handshake was not sent");
            }
        }
    }
}

/// Asks for more room for what comes at once; the system may give less.
pub(super) fn enlarge(socket: &UdpSocket) {
    let socket = SockRef::from(socket);
    for result in [
        socket.set_recv_buffer_size(SOCKET_BUFFER),
        socket.set_send_buffer_size(SOCKET_BUFFER),
    ] {
        if let Err(error) = result {
            tracing::debug!(%error, "the socket's buffer keeps its size");
        }
    }
}

/// The present, on the clock that tests can hold.
pub(super) fn now() -> std::time::Instant {
    Instant::now().into_std()
}
