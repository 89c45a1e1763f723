//! Pulls from cameras and RTSP servers.

use std::io;
use std::net::IpAddr;

use inver_media::{Frame, Kind};
use inver_protocols::rtsp::{ClientError, ClientEvent, Ports, Target, Transport};
use inver_sockets::rtsp::{ClientConnection, ClientEnd, Connected, Pair, connect};
use tokio::time::{Instant, sleep_until};

use super::Pull;
use super::media::Piece;
use super::remote::Sink;
use crate::rtsp::ToFrames;

/// What opens ways back through firewalls: a packet of RTP without media.
const KNOCK: [u8; 12] = [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

impl Pull {
    /// Plays what a camera has into the room; returns why that ended.
    pub(super) async fn rtsp(&self, target: &Target, since: &mut Option<Instant>) -> String {
        let asked = target.udp.unwrap_or(false);
        match self.rtsp_over(asked, target, since).await {
            // Not every camera has its media go through the connection.
            Over::NoTransport if target.udp.is_none() && !target.tls => {
                match self.rtsp_over(true, target, since).await {
                    Over::NoTransport => "the server sends media neither through the connection \
                                          nor over UDP"
                        .to_owned(),
                    Over::Ended(reason) => reason,
                }
            }
            Over::NoTransport => ClientError::Transport { udp: asked }.to_string(),
            Over::Ended(reason) => reason,
        }
    }

    async fn rtsp_over(&self, udp: bool, target: &Target, since: &mut Option<Instant>) -> Over {
        let connected = match connect(self.restream.guard, target, &self.tls).await {
            Ok(connected) => connected,
            Err(error) => return Over::Ended(format!("no connection: {error}")),
        };
        let mut camera = Camera::new(connected, udp);
        let mut sink = Sink::new(self, since);
        let mut pieces = Vec::new();
        loop {
            let woken = match sink.beside(camera.wait()).await {
                Ok(woken) => woken,
                Err(reason) => return Over::Ended(reason),
            };
            // Reports go on where a camera has stopped to send pictures.
            let media = matches!(
                woken,
                Woken::Event(Ok(ClientEvent::Described(_)
                    | ClientEvent::Started(_)
                    | ClientEvent::Packet { report: false, .. }))
                    | Woken::Datagram(_, false, _)
            );
            if media {
                sink.heard = Instant::now();
            }
            let over = match woken {
                Woken::Event(event) => camera.event(event, &mut pieces).await,
                Woken::Datagram(track, report, data) => {
                    camera.take(track, report, &data, &mut pieces);
                    Ok(())
                }
                Woken::Time => {
                    camera.give_up(&mut pieces);
                    Ok(())
                }
            };
            if let Err(over) = over {
                return over;
            }
            if let Err(reason) = sink.take(&mut pieces).await {
                return Over::Ended(reason);
            }
            if let Some(loss) = camera.report() {
                sink.lost(loss);
            }
        }
    }
}

/// Why a camera's stream is over.
enum Over {
    /// It does not send media that way.
    NoTransport,
    /// Anything else; for people.
    Ended(String),
}

/// What a camera does.
enum Woken {
    Event(Result<ClientEvent, ClientEnd>),
    /// Of a track: whether it is a report, and the datagram.
    Datagram(usize, bool, Vec<u8>),
    Time,
}

/// A session with a camera. Dropping it ends it.
struct Camera {
    /// There until the end.
    connection: Option<ClientConnection>,
    local: IpAddr,
    peer: IpAddr,
    udp: bool,
    /// Once there is a description.
    frames: Option<ToFrames>,
    /// For each track, where media comes over UDP.
    pairs: Vec<Option<Pair>>,
    done: Vec<Frame>,
}

impl Camera {
    fn new(connected: Connected, udp: bool) -> Self {
        Self {
            connection: Some(connected.connection),
            local: connected.local,
            peer: connected.peer,
            udp,
            frames: None,
            pairs: Vec::new(),
            done: Vec::new(),
        }
    }

    /// Cancel-safe.
    async fn wait(&mut self) -> Woken {
        let due = self.frames.as_ref().and_then(ToFrames::poll_timeout);
        let time = async {
            match due {
                Some(due) => sleep_until(Instant::from_std(due)).await,
                None => std::future::pending().await,
            }
        };
        let event = async {
            match &mut self.connection {
                Some(connection) => connection.next().await,
                None => std::future::pending().await,
            }
        };
        // One picture and one sound are taken, so there are two pairs at most.
        let mut pairs = self.pairs.iter_mut().enumerate();
        let mut pairs = pairs
            .by_ref()
            .filter_map(|(index, pair)| Some((index, pair.as_mut()?)));
        let (first, second) = (pairs.next(), pairs.next());
        tokio::select! {
            event = event => Woken::Event(event),
            woken = datagram(first) => woken,
            woken = datagram(second) => woken,
            () = time => Woken::Time,
        }
    }

    async fn event(
        &mut self,
        event: Result<ClientEvent, ClientEnd>,
        pieces: &mut Vec<Piece>,
    ) -> Result<(), Over> {
        match event {
            Ok(ClientEvent::Described(announced)) => {
                let frames = ToFrames::new(&announced, now());
                if frames.is_empty() {
                    return Err(Over::Ended(frames.dropped.join("; ")));
                }
                pieces.extend(frames.dropped.iter().cloned().map(Piece::Warning));
                let transports = self.transports(&frames).await;
                let transports = transports.map_err(|error| {
                    Over::Ended(format!("no ports for media over UDP: {error}"))
                })?;
                self.frames = Some(frames);
                match &mut self.connection {
                    Some(connection) => connection.choose(&transports).map_err(over),
                    None => Ok(()),
                }
            }
            Ok(ClientEvent::Started(tracks)) => {
                self.started(&tracks);
                Ok(())
            }
            Ok(ClientEvent::Packet {
                track,
                report,
                data,
            }) => {
                self.take(track, report, &data, pieces);
                Ok(())
            }
            Err(end) => Err(over(end)),
        }
    }

    /// How the tracks that are taken shall come.
    async fn transports(&mut self, frames: &ToFrames) -> io::Result<Vec<Option<Transport>>> {
        let mut transports = Vec::new();
        for (rtp, taken) in (0_u8..).step_by(2).zip(frames.taken()) {
            let pair = if taken && self.udp {
                Some(Pair::open(self.local, self.peer).await?)
            } else {
                None
            };
            let beside = pair.as_ref().map(|pair| Transport::Udp(pair.ports()));
            let between = Transport::Interleaved { rtp, rtcp: rtp + 1 };
            transports.push(taken.then(|| beside.unwrap_or(between)));
            self.pairs.push(pair);
        }
        Ok(transports)
    }

    /// Learns where the server's media comes from, and opens the ways back.
    fn started(&mut self, tracks: &[Option<(Transport, Option<Ports>)>]) {
        for (pair, track) in self.pairs.iter_mut().zip(tracks) {
            if let (Some(pair), Some((_, ports))) = (pair, track) {
                pair.to(*ports);
                pair.send(false, &KNOCK);
            }
        }
    }

    fn take(&mut self, track: usize, report: bool, data: &[u8], pieces: &mut Vec<Piece>) {
        let Some(frames) = &mut self.frames else {
            return;
        };
        if report {
            frames.report(track, data, now());
        } else {
            frames.packet(track, data, now(), &mut self.done);
        }
        self.deliver(pieces);
    }

    fn give_up(&mut self, pieces: &mut Vec<Piece>) {
        if let Some(frames) = &mut self.frames {
            frames.handle_timeout(now(), &mut self.done);
        }
        self.deliver(pieces);
    }

    fn deliver(&mut self, pieces: &mut Vec<Piece>) {
        pieces.extend(self.done.drain(..).map(|frame| match frame.codec().kind() {
            Kind::Video => Piece::Video(0, frame),
            Kind::Audio => Piece::Audio(frame),
        }));
    }

    /// Tells the camera what came of its packets, where that is due; then the share that was lost.
    fn report(&mut self) -> Option<f32> {
        let frames = self.frames.as_mut()?;
        let reports = frames.reports(now());
        if reports.is_empty() {
            return None;
        }
        for (track, report) in reports {
            match self.pairs.get(track) {
                Some(Some(pair)) => pair.send(true, &report),
                Some(None) | None => {
                    let connection = self.connection.as_mut()?;
                    connection.core().report(track, &report);
                }
            }
        }
        frames.loss()
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        // Cameras serve few sessions at once, and some notice only after minutes that one is over.
        if let Some(connection) = self.connection.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(connection.leave());
        }
    }
}

async fn datagram(pair: Option<(usize, &mut Pair)>) -> Woken {
    match pair {
        Some((track, pair)) => {
            let (report, data) = pair.receive().await;
            Woken::Datagram(track, report, data)
        }
        None => std::future::pending().await,
    }
}

fn over(end: ClientEnd) -> Over {
    match end {
        ClientEnd::Protocol(ClientError::Transport { .. }) => Over::NoTransport,
        end => Over::Ended(end.to_string()),
    }
}

/// The present, on the clock that tests can hold.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}
