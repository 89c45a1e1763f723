//! One reader, from its wish to its end.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use inver_media::Frame;
use inver_node::{Client, FrameReader, ReadFrames, Refusal, RefusalKind};
use inver_proto::Door;
use inver_protocols::rtsp::{Event, Status, Transport, Wish};
use inver_sockets::rtsp::{Connection, End, Read, Registered, Shown, Udp, shown, status};
use inver_sockets::{Stop, room_in, stopped};

use super::from_frames::{FromFrames, Packet};
use super::server::Reader;
use crate::frames::{Frames, Opening};

/// Datagrams that leave at once, and the pause behind them: some 70 Mbit/s. The group of pictures
/// that a reader begins with would overrun its buffers otherwise.
const BURST: usize = 16;
const PAUSE: Duration = Duration::from_millis(2);

/// Seconds from the epoch of NTP to that of Unix.
const NTP_TO_UNIX: u64 = 2_208_988_800;

/// Serves a connection until it ends.
pub(super) async fn serve(reader: &Reader, read: Read) {
    let Read {
        mut connection,
        mut wish,
        client,
        from,
        private,
        udp,
        mut stop,
    } = read;
    // Media is accounted for here; what commands make of answers gets as much again.
    connection.allow_unsent(reader.config.queue * 2);
    let frames = loop {
        match open(reader, &wish, &client, private).await {
            Ok(frames) => break frames,
            Err(refusal) => {
                let room = room_in(&reader.handle, wish.address.path());
                let room = room.map_or_else(|| "unknown".to_owned(), |room| room.to_string());
                tracing::info!(room, detail = refusal.detail, "a reader was refused");
                let status = match refusal.kind {
                    // Nobody is live: players ask again later.
                    RefusalKind::Conflict => Status::NotFound,
                    kind => status(kind),
                };
                if let Err(end) = connection.refuse(status, &refusal.detail) {
                    tracing::debug!(%end, "the connection ended");
                    return connection.close().await;
                }
            }
        }
        // The client may try again, with credentials.
        wish = match next_wish(&mut connection, &mut stop).await {
            Some(wish) => wish,
            None => return connection.close().await,
        };
    };
    let session = Session {
        connection,
        queue: reader.config.queue,
        from,
        udp,
        transports: Vec::new(),
        datagrams: None,
        burst: 0,
        packets: Vec::new(),
    };
    Box::pin(session.run(frames, &mut stop)).await;
}

async fn next_wish(connection: &mut Connection, stop: &mut Stop) -> Option<Wish> {
    loop {
        let event = tokio::select! {
            event = connection.next() => event,
            () = stopped(stop) => return None,
        };
        match event {
            Ok(Event::DescribeRequested(wish)) => return Some(*wish),
            Ok(Event::AnnounceRequested(..)) => {
                let detail = "this connection reads; publish on another one";
                connection.refuse(Status::NotInThisState, detail).ok()?;
            }
            Ok(Event::Ended) => return None,
            Ok(
                Event::RecordRequested(_)
                | Event::PlayRequested(_)
                | Event::Paused
                | Event::Packet { .. },
            ) => {}
            Err(end) => {
                tracing::debug!(%end, "the connection ended");
                return None;
            }
        }
    }
}

/// Asks for the room's frames.
async fn open(
    reader: &Reader,
    wish: &Wish,
    client: &Client,
    private: bool,
) -> Result<FrameReader, Refusal> {
    let path = wish.address.path();
    let handle = &reader.handle;
    let (room, credentials) = if let Some(room) = handle.split_stream_key(path) {
        (room, inver_node::Credentials::bearer(path))
    } else {
        let room = path.parse().map_err(|error| {
            let detail = format!("the address names no room: {error}; it is rtsp://HOST:8554/ROOM");
            Refusal::new(RefusalKind::BadRequest, detail)
        })?;
        match shown(handle, wish, &room, private) {
            Shown::Credentials(credentials) => (room, credentials),
            Shown::Wrong(why) => return Err(Refusal::new(RefusalKind::Unauthorized, why)),
        }
    };
    let request = ReadFrames {
        room,
        participant: None,
        credentials,
        client: client.clone(),
        door: Door::Rtsp,
    };
    handle.read_frames(request).await
}

struct Session {
    connection: Connection,
    queue: usize,
    from: IpAddr,
    udp: Option<Arc<Udp>>,
    transports: Vec<Option<Transport>>,
    datagrams: Option<Registered>,
    /// Datagrams that left without a pause.
    burst: usize,
    packets: Vec<Packet>,
}

/// What woke a session.
enum Woken {
    Event(Result<Event, End>),
    Frame(Option<Arc<Frame>>),
    /// A report of the reader.
    Heard,
    Stopped,
}

impl Session {
    async fn run(mut self, reader: FrameReader, stop: &mut Stop) {
        let room = reader.room().clone();
        let session = reader.session().map(tracing::field::display);
        let mut frames = Frames::new(reader);
        let mut opening = frames.opening().await;
        let mut stream = match self.describe(&opening) {
            Ok(stream) => stream,
            Err(end) => {
                tracing::info!(%room, %end, "a reader is gone");
                return self.connection.close().await;
            }
        };
        tracing::info!(%room, session, "reading");
        let mut plays = false;
        loop {
            match self.wait(&mut frames, plays, stop).await {
                Woken::Event(Ok(Event::PlayRequested(transports))) => {
                    if let Err(end) = self.start(transports, &stream, &opening) {
                        tracing::info!(%room, %end, "reading ended");
                        break;
                    }
                    plays = true;
                    let first = std::mem::take(&mut opening);
                    let mut taken = true;
                    for frame in &first.frames {
                        taken &= self.put(&mut stream, frame).await.unwrap_or(true);
                    }
                    if !taken || first.frames.is_empty() {
                        frames.skip();
                    }
                }
                Woken::Event(Ok(Event::Paused)) => plays = false,
                Woken::Event(Ok(Event::Ended)) => break,
                Woken::Event(Ok(
                    Event::AnnounceRequested(..)
                    | Event::DescribeRequested(_)
                    | Event::RecordRequested(_)
                    | Event::Packet { .. },
                )) => {}
                Woken::Event(Err(end)) => {
                    tracing::info!(%room, %end, "reading ended");
                    break;
                }
                Woken::Frame(Some(frame)) => match self.put(&mut stream, &frame).await {
                    Ok(true) => {}
                    Ok(false) => frames.skip(),
                    Err(changed) => {
                        tracing::info!(%room, %changed, "reading ended");
                        break;
                    }
                },
                Woken::Frame(None) => {
                    tracing::info!(%room, "reading ended: the publisher is gone");
                    break;
                }
                Woken::Heard => self.connection.heard(),
                Woken::Stopped => break,
            }
        }
        drop(frames);
        self.connection.close().await;
    }

    /// Tells what there is.
    fn describe(&mut self, opening: &Opening) -> Result<FromFrames, End> {
        let configs: Vec<_> = [&opening.video, &opening.audio]
            .into_iter()
            .filter_map(Option::as_ref)
            .collect();
        if configs.is_empty() {
            let detail = "nothing comes from the publisher";
            self.connection.refuse(Status::NotFound, detail)?;
            return Err(End::Closed);
        }
        let mut seed = [0; 16];
        if aws_lc_rs::rand::fill(&mut seed).is_err() {
            self.connection
                .refuse(Status::Internal, "no random numbers")?;
            return Err(End::Closed);
        }
        let stream = FromFrames::new(&configs, seed);
        let (description, tracks) = stream.description(ntp() >> 32);
        self.connection.accept_describe(&description, tracks)?;
        Ok(stream)
    }

    fn start(
        &mut self,
        transports: Vec<Option<Transport>>,
        stream: &FromFrames,
        opening: &Opening,
    ) -> Result<(), End> {
        self.transports = transports;
        let over_udp = |transport: &Option<Transport>| matches!(transport, Some(Transport::Udp(_)));
        if let Some(udp) = &self.udp
            && self.datagrams.is_none()
            && self.transports.iter().any(over_udp)
        {
            match udp.register(self.from, &self.transports) {
                Ok(registered) => self.datagrams = Some(registered),
                Err(taken) => {
                    let detail = taken.to_string();
                    self.connection
                        .refuse(Status::UnsupportedTransport, &detail)?;
                    return Err(End::Closed);
                }
            }
        }
        let first = opening.frames.first().map(|frame| frame.pts);
        let mut started = first.map_or_else(Vec::new, |first| stream.started(first));
        started.retain(|one| self.transports.get(one.track).is_some_and(Option::is_some));
        self.connection.accept_start(&started)
    }

    async fn wait(&mut self, frames: &mut Frames, plays: bool, stop: &mut Stop) -> Woken {
        let arrived = async {
            match &mut self.datagrams {
                Some(registered) => registered.datagrams.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = self.connection.next() => Woken::Event(event),
            // While nothing is wanted, what waits is lost by itself.
            frame = frames.next(), if plays => Woken::Frame(frame),
            _ = arrived => Woken::Heard,
            () = stopped(stop) => Woken::Stopped,
        }
    }

    /// Sends a frame; false where too much waits for the reader already.
    async fn put(
        &mut self,
        stream: &mut FromFrames,
        frame: &Frame,
    ) -> Result<bool, super::from_frames::Changed> {
        if self.connection.unsent() > self.queue {
            self.burst = 0;
            return Ok(false);
        }
        let mut packets = std::mem::take(&mut self.packets);
        let written = stream.write(frame, ntp(), &mut packets);
        for packet in packets.drain(..) {
            match self.transports.get(packet.track).copied().flatten() {
                Some(Transport::Interleaved { .. }) => {
                    let core = self.connection.core();
                    core.send(packet.track, packet.report, &packet.data);
                }
                Some(Transport::Udp(ports)) => {
                    if let Some(udp) = &self.udp {
                        udp.send(self.from, ports, packet.report, &packet.data);
                    }
                    self.burst += 1;
                    if self.burst == BURST {
                        self.burst = 0;
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                None => {}
            }
        }
        self.packets = packets;
        written.map(|()| true)
    }
}

/// The present as NTP time, Q32.32.
fn ntp() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    (since.as_secs().wrapping_add(NTP_TO_UNIX)) << 32 | fraction
}
