//! A path that loses packets: a UDP relay between clients and the server, inside the test.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

/// Media packets that pass before losses begin: about two seconds of picture and sound. A client
/// cannot ask for what came before the first packet that it has ever seen, so a loss there proves
/// nothing about recovery.
const BEGINNING: u32 = 300;

/// Which packets a relay drops. Only RTP and RTCP are dropped: a lost handshake packet costs a
/// second of waiting and proves nothing about recovery.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loss {
    /// One run is one seed.
    pub(crate) seed: u64,
    /// Share of packets at which a loss begins, in percent.
    pub(crate) percent: u8,
    /// Packets lost in a row each time.
    pub(crate) burst: u8,
    /// Whether packets towards the server are dropped.
    pub(crate) to_server: bool,
    /// Whether packets towards the client are dropped.
    pub(crate) to_client: bool,
    /// RTP payload type whose packets towards the client take longer, and by how much.
    pub(crate) late: Option<(u8, Duration)>,
}

impl Loss {
    /// Single losses towards the viewer.
    pub(crate) const fn scattered(seed: u64, percent: u8) -> Self {
        Self {
            seed,
            percent,
            burst: 1,
            to_server: false,
            to_client: true,
            late: None,
        }
    }

    /// Nothing is lost, and packets of this payload type reach the client later.
    pub(crate) const fn late(payload_type: u8, by: Duration) -> Self {
        Self {
            late: Some((payload_type, by)),
            ..Self::scattered(0, 0)
        }
    }
}

/// A relay on its own loopback port; each client address gets its own way to the server.
#[derive(Debug)]
pub(crate) struct Relay {
    address: SocketAddr,
    dropped: Arc<AtomicU64>,
    task: AbortHandle,
}

/// Decides over packets of one direction.
struct Dice {
    random: fastrand::Rng,
    loss: Loss,
    remaining: u8,
    active: bool,
    passed: u32,
}

impl Dice {
    fn new(loss: Loss, to_server: bool) -> Self {
        let seed = loss.seed.wrapping_mul(2).wrapping_add(u64::from(to_server));
        let active = if to_server {
            loss.to_server
        } else {
            loss.to_client
        };
        Self {
            random: fastrand::Rng::with_seed(seed),
            loss,
            remaining: 0,
            active,
            passed: 0,
        }
    }

    fn drops(&mut self, datagram: &[u8]) -> bool {
        let media = datagram
            .first()
            .is_some_and(|first| (128..=191).contains(first));
        if !media || !self.active {
            return false;
        }
        if self.passed < BEGINNING {
            self.passed += 1;
            return false;
        }
        if self.remaining == 0 && self.random.u8(0..100) < self.loss.percent {
            self.remaining = self.loss.burst;
        }
        let drop = self.remaining > 0;
        self.remaining = self.remaining.saturating_sub(1);
        drop
    }
}

impl Relay {
    /// A relay to `server`.
    pub(crate) async fn start(server: SocketAddr, loss: Loss) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0")
            .await
            .expect("a free port on loopback");
        let address = front.local_addr().expect("bound");
        let dropped = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(run(Arc::new(front), server, loss, Arc::clone(&dropped)));
        Self {
            address,
            dropped,
            task: task.abort_handle(),
        }
    }

    /// Where clients send to, as `host:port`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Packets dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(front: Arc<UdpSocket>, server: SocketAddr, loss: Loss, dropped: Arc<AtomicU64>) {
    let mut backs: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    // Ends the ways back with this task.
    let mut ways = JoinSet::new();
    let mut dice = Dice::new(loss, true);
    let mut buffer = vec![0; 65536];
    loop {
        let Ok((size, client)) = front.recv_from(&mut buffer).await else {
            continue;
        };
        if dice.drops(&buffer[..size]) {
            dropped.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let back = match backs.get(&client) {
            Some(back) => Arc::clone(back),
            None => {
                let back = UdpSocket::bind("127.0.0.1:0")
                    .await
                    .expect("a free port on loopback");
                back.connect(server).await.expect("loopback to loopback");
                let back = Arc::new(back);
                let dice = Dice::new(loss, false);
                let (front, way) = (Arc::clone(&front), Arc::clone(&back));
                ways.spawn(return_way(front, way, client, dice, Arc::clone(&dropped)));
                backs.insert(client, Arc::clone(&back));
                back
            }
        };
        // A full queue is a loss like any other.
        let _ = back.send(&buffer[..size]).await;
    }
}

async fn return_way(
    front: Arc<UdpSocket>,
    back: Arc<UdpSocket>,
    client: SocketAddr,
    mut dice: Dice,
    dropped: Arc<AtomicU64>,
) {
    let mut waiting = JoinSet::new();
    let mut buffer = vec![0; 65536];
    loop {
        let Ok(size) = back.recv(&mut buffer).await else {
            continue;
        };
        if dice.drops(&buffer[..size]) {
            dropped.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let late = dice.loss.late.filter(|(payload_type, _)| {
            size > 1 && (128..=191).contains(&buffer[0]) && buffer[1] & 0x7f == *payload_type
        });
        if let Some((_, by)) = late {
            let (front, datagram) = (Arc::clone(&front), buffer[..size].to_vec());
            // Bounded by the packets of that time, and by the life of this task.
            waiting.spawn(async move {
                sleep(by).await;
                let _ = front.send_to(&datagram, client).await;
            });
            while waiting.try_join_next().is_some() {}
        } else {
            let _ = front.send_to(&buffer[..size], client).await;
        }
    }
}
