//! One connection: what the client wants, and a publisher's whole session.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use inver_media::{Frame, Kind};
use inver_node::{Credentials, Encoder, Feed, PublishFeed, Refusal, RefusalKind, Secret, Target};
use inver_proto::{Door, WarningKind};
use inver_protocols::rtsp::sdp::Announced;
use inver_protocols::rtsp::{Event, Status, Transport, Wish};
use inver_sockets::rtsp::{Arrived, Connection, End, Read, Registered, Shown, Udp, shown, status};
use inver_sockets::{Stop, client, room_in, stopped};
use tokio::time::{Instant, sleep_until};

use super::server::Shared;
use super::to_frames::ToFrames;

/// How often loss is told.
const TELL: Duration = Duration::from_secs(5);

/// A connection with what serves it.
pub(super) struct Session<'a> {
    pub(super) connection: Connection,
    pub(super) shared: &'a Shared,
    pub(super) from: SocketAddr,
    /// Whether passwords may come readable.
    pub(super) private: bool,
    pub(super) udp: Option<Arc<Udp>>,
    pub(super) stop: Stop,
}

/// A publisher that was let in.
struct Publisher {
    feed: Feed,
    frames: ToFrames,
    transports: Vec<Option<Transport>>,
    datagrams: Option<Registered>,
    told: Instant,
}

/// What woke a publisher's session.
enum Woken {
    Event(Result<Event, End>),
    Arrived(Option<Arrived>),
    Ended,
    Time,
}

impl Session<'_> {
    /// Serves the connection until it ends.
    pub(super) async fn serve(mut self) {
        loop {
            let event = tokio::select! {
                event = self.connection.next() => event,
                () = stopped(&mut self.stop) => return self.connection.close().await,
            };
            match event {
                Err(end) => return self.gone(&end).await,
                Ok(Event::AnnounceRequested(wish, announced)) => {
                    match self.announce(&wish, &announced).await {
                        Ok(Some(publisher)) => return self.publish(publisher).await,
                        Ok(None) => {}
                        Err(end) => return self.gone(&end).await,
                    }
                }
                Ok(Event::DescribeRequested(wish)) => {
                    let read = Read {
                        connection: self.connection,
                        wish: *wish,
                        client: client(self.from),
                        from: self.from.ip(),
                        private: self.private,
                        udp: self.udp,
                        stop: self.stop,
                    };
                    return self.shared.reader.read(read).await;
                }
                Ok(Event::Ended) => return self.connection.close().await,
                Ok(
                    Event::RecordRequested(_)
                    | Event::PlayRequested(_)
                    | Event::Paused
                    | Event::Packet { .. },
                ) => {}
            }
        }
    }

    async fn gone(self, end: &End) {
        tracing::debug!(%end, "the connection ended");
        self.connection.close().await;
    }

    /// Lets a publisher in, or refuses it; then its client may try again.
    async fn announce(
        &mut self,
        wish: &Wish,
        announced: &[Announced],
    ) -> Result<Option<Publisher>, End> {
        let frames = ToFrames::new(announced, now());
        let request = match self.request(wish) {
            Ok(_) if frames.is_empty() => {
                let why = frames.dropped.join("; ");
                Err(Refusal::new(RefusalKind::Unplayable, why))
            }
            request => request,
        };
        let feed = match request {
            Ok(request) => self.shared.handle.publish_feed(request).await,
            Err(refusal) => Err(refusal),
        };
        let mut feed = match feed {
            Ok(feed) => feed,
            Err(refusal) => {
                let room = room_in(&self.shared.handle, wish.address.path());
                let room = room.map_or_else(|| "unknown".to_owned(), |room| room.to_string());
                tracing::info!(room, detail = refusal.detail, "a publisher was refused");
                self.connection
                    .refuse(status(refusal.kind), &refusal.detail)?;
                return Ok(None);
            }
        };
        tracing::info!(room = %feed.room(), session = %feed.session(), "publishing");
        for why in &frames.dropped {
            tracing::warn!("{why}");
            feed.warn(WarningKind::Unsupported, why.clone());
        }
        self.connection.accept_announce()?;
        Ok(Some(Publisher {
            feed,
            frames,
            transports: Vec::new(),
            datagrams: None,
            told: Instant::now(),
        }))
    }

    /// Where to, and with which key.
    fn request(&self, wish: &Wish) -> Result<PublishFeed, Refusal> {
        let path = wish.address.path();
        let bad = |detail: String| Refusal::new(RefusalKind::BadRequest, detail);
        if path.is_empty() {
            let detail = "the address names no room; it is rtsp://HOST:8554/ROOM-KEY";
            return Err(bad(detail.to_owned()));
        }
        let participant = wish.address.query("participant");
        let participant = participant
            .map(|name| name.parse())
            .transpose()
            .map_err(|error| bad(format!("participant= names none: {error}")))?;
        let whole = (Target::RoomWithKey(Secret::new(path)), Credentials::NONE);
        let handle = &self.shared.handle;
        let (target, credentials) = match path.parse() {
            _ if handle.split_stream_key(path).is_some() => whole,
            Err(_) => whole,
            Ok(room) => match shown(handle, wish, &room, self.private) {
                Shown::Wrong(why) => {
                    return Err(Refusal::new(RefusalKind::Unauthorized, why));
                }
                Shown::Credentials(credentials) if credentials.secret().is_none() => whole,
                Shown::Credentials(credentials) => (Target::Room(room), credentials),
            },
        };
        Ok(PublishFeed {
            target,
            participant,
            credentials,
            client: client(self.from),
            door: Door::Rtsp,
        })
    }

    async fn publish(mut self, mut publisher: Publisher) {
        let mut frames = Vec::new();
        loop {
            let woken = self.wait(&mut publisher).await;
            match woken {
                Woken::Event(Err(end)) => {
                    tracing::info!(%end, "publishing ended");
                    break;
                }
                Woken::Event(Ok(Event::RecordRequested(transports))) => {
                    if let Err(end) = self.record(&mut publisher, &transports) {
                        tracing::info!(%end, "publishing ended");
                        break;
                    }
                }
                Woken::Event(Ok(Event::Packet {
                    track,
                    report,
                    data,
                })) => publisher.take(track, report, &data, &mut frames),
                Woken::Event(Ok(Event::Ended)) => {
                    tracing::info!("publishing ended");
                    break;
                }
                Woken::Event(Ok(
                    Event::AnnounceRequested(..)
                    | Event::DescribeRequested(_)
                    | Event::PlayRequested(_)
                    | Event::Paused,
                )) => {}
                Woken::Arrived(Some(arrived)) => {
                    self.connection.heard();
                    publisher.take(arrived.track, arrived.report, &arrived.data, &mut frames);
                }
                // The route lives as long as the session.
                Woken::Arrived(None) => {}
                Woken::Ended => break,
                Woken::Time => publisher.frames.handle_timeout(now(), &mut frames),
            }
            publisher.deliver(&mut frames);
            self.report(&mut publisher);
        }
        // The place is free for others before the last words are said.
        drop(publisher);
        self.connection.close().await;
    }

    async fn wait(&mut self, publisher: &mut Publisher) -> Woken {
        let due = publisher.frames.poll_timeout().map(Instant::from_std);
        let arrived = async {
            match &mut publisher.datagrams {
                Some(registered) => registered.datagrams.recv().await,
                None => std::future::pending().await,
            }
        };
        let time = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = self.connection.next() => Woken::Event(event),
            arrived = arrived => Woken::Arrived(arrived),
            cause = publisher.feed.closed() => {
                tracing::info!(?cause, "the publisher was told to end");
                Woken::Ended
            }
            () = stopped(&mut self.stop) => Woken::Ended,
            () = time => Woken::Time,
        }
    }

    fn record(
        &mut self,
        publisher: &mut Publisher,
        transports: &[Option<Transport>],
    ) -> Result<(), End> {
        let over_udp = |transport: &Option<Transport>| matches!(transport, Some(Transport::Udp(_)));
        if let Some(udp) = &self.udp
            && transports.iter().any(over_udp)
        {
            match udp.register(self.from.ip(), transports) {
                Ok(registered) => publisher.datagrams = Some(registered),
                Err(taken) => {
                    let detail = taken.to_string();
                    return self
                        .connection
                        .refuse(Status::UnsupportedTransport, &detail);
                }
            }
        }
        publisher.transports = transports.to_vec();
        self.connection.accept_start(&[])
    }

    /// Tells the encoder what came of its packets, where that is due.
    fn report(&mut self, publisher: &mut Publisher) {
        for (track, report) in publisher.frames.reports(now()) {
            match publisher.transports.get(track).copied().flatten() {
                Some(Transport::Interleaved { .. }) => {
                    self.connection.core().send(track, true, &report);
                }
                Some(Transport::Udp(ports)) => {
                    if let Some(udp) = &self.udp {
                        udp.send(self.from.ip(), ports, true, &report);
                    }
                }
                None => {}
            }
        }
    }
}

impl Publisher {
    fn take(&mut self, track: usize, report: bool, data: &[u8], frames: &mut Vec<Frame>) {
        if report {
            self.frames.report(track, data, now());
        } else {
            self.frames.packet(track, data, now(), frames);
        }
    }

    fn deliver(&mut self, frames: &mut Vec<Frame>) {
        for frame in frames.drain(..) {
            match frame.codec().kind() {
                Kind::Video => self.feed.video(0, &frame),
                Kind::Audio => self.feed.audio(&frame),
            }
        }
        if self.told.elapsed() >= TELL {
            self.told = Instant::now();
            self.feed.tell(Encoder {
                loss: self.frames.loss(),
                ..Encoder::default()
            });
        }
    }
}

/// The present, on the clock that tests can hold.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}
