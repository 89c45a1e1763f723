//! One client: its control connection, then its media.

use std::net::SocketAddr;
use std::time::Duration;

use aws_lc_rs::rand;
use inver_media::{Frame, Kind};
use inver_node::{Credentials, Encoder, Feed, PublishFeed, Refusal, RefusalKind, Secret, Target};
use inver_proto::{Door, RoomId};
use inver_protocols::ftl::{
    Attributes, Closed, Code, Control, Counters, Event, Media, Reaction, verify,
};
use inver_sockets::{Stop, client, shown, stopped};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::demux::{Arrived, Registered};
use super::server::Shared;
use super::to_frames::ToFrames;

/// Bytes of commands read at once: more than all that a client sends before its media.
const READ_LEN: usize = 2048;

/// How long a reply may take to leave: some hundred bytes that the system's buffers hold.
const WRITE: Duration = Duration::from_secs(5);

/// How often loss is told.
const TELL: Duration = Duration::from_secs(5);

/// Silence after which media may come from another port of the client's address.
const ROAM: Duration = Duration::from_secs(3);

/// A room that a client has proved a key of.
struct Proved {
    room: RoomId,
    key: Credentials,
}

/// A client whose media flows.
struct Streaming {
    feed: Feed,
    media: Media,
    frames: ToFrames,
    arrivals: Registered,
    /// Where the media comes from.
    source: Option<SocketAddr>,
    told: Instant,
    heard: Instant,
    name: Encoder,
}

struct Session<'a> {
    shared: &'a Shared,
    stream: TcpStream,
    from: SocketAddr,
    control: Control,
    proved: Option<Proved>,
    streaming: Option<Box<Streaming>>,
}

/// What woke a session.
enum Woken {
    Read(std::io::Result<usize>),
    Arrived(Option<Arrived>),
    Ended,
    Stopped,
    Time,
}

/// Serves a control connection until it ends.
pub(super) async fn serve(stream: TcpStream, from: SocketAddr, shared: &Shared, stop: Stop) {
    let mut challenge = [0; 128];
    if rand::fill(&mut challenge).is_err() {
        return tracing::error!("no random numbers: a client is turned away");
    }
    let session = Session {
        shared,
        stream,
        from,
        control: Control::new(challenge, now()),
        proved: None,
        streaming: None,
    };
    session.run(stop).await;
}

impl Session<'_> {
    async fn run(mut self, mut stop: Stop) {
        let mut buffer = vec![0; READ_LEN];
        loop {
            if !self.drain().await {
                return;
            }
            let woken = self.wait(&mut buffer, &mut stop).await;
            match woken {
                Woken::Read(Ok(0)) => {
                    tracing::debug!("the client closed the connection");
                    return;
                }
                Woken::Read(Ok(len)) => {
                    let bytes = buffer.get(..len).unwrap_or_default();
                    self.control.handle_input(bytes, now());
                }
                Woken::Read(Err(error)) => return tracing::debug!(%error, "the connection failed"),
                Woken::Arrived(Some((from, datagram))) => self.media(from, &datagram),
                Woken::Arrived(None) => {
                    self.refuse(Code::ServerTerminate, "another session has its place");
                }
                Woken::Ended => self.refuse(Code::ServerTerminate, "control ended the session"),
                Woken::Stopped => self.refuse(Code::ServerTerminate, "the server stops"),
                Woken::Time => self.time(),
            }
        }
    }

    async fn wait(&mut self, buffer: &mut [u8], stop: &mut Stop) -> Woken {
        let due = self.due();
        let (mut feed, mut arrivals) = (None, None);
        if let Some(streaming) = &mut self.streaming {
            feed = Some(&mut streaming.feed);
            arrivals = Some(&mut streaming.arrivals.datagrams);
        }
        let closed = async {
            match feed {
                Some(feed) => {
                    let cause = feed.closed().await;
                    tracing::info!(?cause, "the publisher was told to end");
                }
                None => std::future::pending().await,
            }
        };
        let arrived = async {
            match arrivals {
                Some(arrivals) => arrivals.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            read = self.stream.read(buffer) => Woken::Read(read),
            arrived = arrived => Woken::Arrived(arrived),
            () = closed => Woken::Ended,
            () = stopped(stop) => Woken::Stopped,
            () = sleep_until(due) => Woken::Time,
        }
    }

    /// When something is due; never long after the control connection's own deadline.
    fn due(&self) -> Instant {
        let control = self.control.poll_timeout();
        let media = self.streaming.as_ref().map(|streaming| {
            let silent = streaming.media.silent_at();
            streaming
                .media
                .poll_timeout()
                .map_or(silent, |due| due.min(silent))
        });
        let due = control.into_iter().chain(media).min();
        due.map_or_else(Instant::now, Instant::from_std)
    }

    fn time(&mut self) {
        self.control.handle_timeout(now());
        let Some(streaming) = &mut self.streaming else {
            return;
        };
        if now() >= streaming.media.silent_at() {
            return self.refuse(Code::NoMediaTimeout, "no media came");
        }
        streaming.media.handle_timeout(now());
        self.deliver();
    }

    fn refuse(&mut self, code: Code, reason: &str) {
        self.control.refuse(code, reason);
    }

    /// Does what the control connection wants; false when it is over.
    async fn drain(&mut self) -> bool {
        loop {
            while let Some(bytes) = self.control.poll_transmit() {
                match timeout(WRITE, self.stream.write_all(&bytes)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "the connection failed");
                        return false;
                    }
                    Err(_) => {
                        tracing::debug!("the client takes no replies");
                        return false;
                    }
                }
            }
            match self.control.poll_event() {
                None => return true,
                Some(Event::Pinged) => {}
                Some(Event::ConnectRequested { channel, answer }) => {
                    self.connect(channel, &answer).await;
                }
                Some(Event::StreamRequested(attributes)) => self.start(attributes).await,
                Some(Event::Closed(closed)) => {
                    self.streaming = None;
                    match closed {
                        Closed::Disconnected => tracing::info!("the client disconnected"),
                        Closed::TimedOut => tracing::debug!("the client says nothing"),
                        Closed::Refused { code, reason } => {
                            tracing::info!(%code, reason, "the client was refused");
                        }
                    }
                    self.farewell().await;
                    return false;
                }
            }
        }
    }

    /// Checks the answer to the challenge against every key of the channel's room.
    async fn connect(&mut self, channel: u32, answer: &[u8; 64]) {
        let handle = &self.shared.handle;
        let room = match handle.keys_by_number(channel).await {
            Ok(room) => room,
            Err(refusal) => {
                tracing::info!(channel, detail = refusal.detail, "a publisher was refused");
                return self.refuse(code(&refusal), &refusal.detail);
            }
        };
        let challenge = self.control.challenge();
        let Some((room, keys)) = room else {
            // As much work as for a room with a key, so that time does not tell which numbers exist.
            verify(b"nobody", challenge, answer);
            tracing::info!(channel, "a publisher was refused: no room has this number");
            return self.refuse(Code::InvalidStreamKey, "no room has this number");
        };
        let mut proved: Option<&Secret> = None;
        for key in &keys {
            if verify(key.reveal().as_bytes(), challenge, answer) {
                proved = Some(key);
            }
        }
        let key = match proved {
            Some(key) => Credentials::bearer(key.reveal()),
            None if handle.is_open() => Credentials::NONE,
            None => {
                tracing::info!(%room, "a publisher was refused: wrong stream key");
                return self.refuse(Code::InvalidStreamKey, "wrong stream key");
            }
        };
        self.proved = Some(Proved { room, key });
        self.control.accept(now());
    }

    async fn start(&mut self, attributes: Attributes) {
        let Some(Proved { room, key }) = self.proved.take() else {
            return self.refuse(Code::Unauthorized, "attributes before a key");
        };
        let shared = self.shared;
        let name = Encoder {
            name: attributes.vendor_name.as_deref().map(shown),
            version: attributes.vendor_version.as_deref().map(shown),
            ..Encoder::default()
        };
        let mut client = client(self.from);
        client.user_agent.clone_from(&name.name);
        let request = PublishFeed {
            target: Target::Room(room.clone()),
            participant: None,
            credentials: key,
            client,
            door: Door::Ftl,
        };
        let mut feed = match shared.handle.publish_feed(request).await {
            Ok(feed) => feed,
            Err(refusal) => {
                tracing::info!(%room, detail = refusal.detail, "a publisher was refused");
                return self.refuse(code(&refusal), &refusal.detail);
            }
        };
        let id = shared.next_id();
        let whose = (room.clone(), feed.participant().clone());
        let arrivals = shared
            .routes
            .register(self.from.ip(), &whose, &attributes, id);
        let Ok(arrivals) = arrivals else {
            let reason = "another client of the same address has the SSRC";
            return self.refuse(Code::VideoSsrcCollision, reason);
        };
        feed.tell(name.clone());
        tracing::info!(%room, session = %feed.session(), "publishing");
        self.streaming = Some(Box::new(Streaming {
            feed,
            media: Media::new(&attributes, now()),
            frames: ToFrames::new(&attributes, now()),
            arrivals,
            source: None,
            told: Instant::now(),
            heard: Instant::now(),
            name,
        }));
        self.control.start(shared.port, now());
    }

    fn media(&mut self, from: SocketAddr, datagram: &[u8]) {
        let Some(streaming) = &mut self.streaming else {
            return;
        };
        match streaming.media.receive(datagram, now()) {
            Reaction::Media => {
                streaming.source = Some(from);
                streaming.heard = Instant::now();
            }
            Reaction::Clock(kind, report) => streaming.frames.report(kind, &report),
            // Pings are echoed where datagrams are told apart.
            Reaction::Echo | Reaction::Ignore => {}
        }
        self.deliver();
    }

    /// Hands on what is in order and asks for what is lost.
    fn deliver(&mut self) {
        let Some(streaming) = &mut self.streaming else {
            return;
        };
        let mut frames = Vec::new();
        while let Some((kind, packet)) = streaming.media.poll_packet() {
            streaming.frames.read(kind, &packet, &mut frames);
        }
        for frame in &frames {
            put(&mut streaming.feed, frame);
        }
        while let Some(nack) = streaming.media.poll_nack() {
            if let Some(source) = streaming.source {
                // One that is lost is sent again.
                let _ = self.shared.socket.try_send_to(&nack, source);
            }
        }
        if streaming.heard.elapsed() >= ROAM {
            streaming.heard = Instant::now();
            streaming.arrivals.forget_port();
        }
        if streaming.told.elapsed() >= TELL {
            streaming.told = Instant::now();
            let told = streaming.told();
            streaming.feed.tell(told);
        }
    }

    /// Lets the last line arrive: closed with bytes unread, the system would throw it away.
    async fn farewell(&mut self) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let mut rest = [0; 256];
        let linger = async { while matches!(self.stream.read(&mut rest).await, Ok(1..)) {} };
        // Either way it is over.
        let _ = timeout(Duration::from_secs(2), linger).await;
    }
}

impl Streaming {
    /// What the protocol tells of the client.
    fn told(&self) -> Encoder {
        let counters: Vec<Counters> = [Kind::Audio, Kind::Video]
            .into_iter()
            .filter_map(|kind| self.media.counters(kind))
            .collect();
        Encoder {
            loss: self.loss(),
            packets: Some(counters.iter().map(|counters| counters.received).sum()),
            nacks: Some(counters.iter().map(|counters| counters.asked).sum()),
            ..self.name.clone()
        }
    }

    fn loss(&self) -> Option<f32> {
        let counters = self.media.counters(Kind::Video)?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a share needs no more than 24 bits"
        )]
        let loss = counters.lost as f32 / (counters.received + counters.lost).max(1) as f32;
        Some(loss)
    }
}

fn put(feed: &mut Feed, frame: &Frame) {
    match frame.codec().kind() {
        Kind::Video => feed.video(0, frame),
        Kind::Audio => feed.audio(frame),
    }
}

fn code(refusal: &Refusal) -> Code {
    match refusal.kind {
        RefusalKind::Conflict => Code::ChannelInUse,
        RefusalKind::Unauthorized | RefusalKind::Forbidden => Code::Unauthorized,
        RefusalKind::NotFound => Code::InvalidStreamKey,
        RefusalKind::Unplayable | RefusalKind::Unprocessable | RefusalKind::BadRequest => {
            Code::BadRequest
        }
        RefusalKind::Unavailable | RefusalKind::TooMany => Code::ServerTerminate,
        RefusalKind::PreconditionFailed
        | RefusalKind::PreconditionRequired
        | RefusalKind::Internal
        | RefusalKind::Loop => Code::Internal,
    }
}

/// The present, on the clock that tests can hold.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}
