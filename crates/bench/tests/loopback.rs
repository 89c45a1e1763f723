//! The data plane end to end: a publisher and five viewers on loopback, through real sockets.
//!
//! Signalling is left out: offers and answers go straight to the shards.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use inver_media::{Codec, Extensions, Format, Kind};
use inver_proto::{SessionId, SourceId};
use inver_rtc::{
    Candidate, Direction, Event, OfferedMedia, Output, PeerConnection, Settings, TrackId,
    Transport, Write,
};
use inver_shard::{ClientHint, Config, DataForwarding, Publish, Subscribe};

const SOURCE: SourceId = SourceId(1);
const FRAMES: u64 = 60;
const PACKETS_PER_FRAME: u64 = 9;
const DEADLINE: Duration = Duration::from_secs(20);

/// A client of the shards: a socket and a peer connection, driven by hand.
struct Client {
    socket: UdpSocket,
    connection: PeerConnection,
    timeout: Instant,
    connected: bool,
    /// Video sequence numbers in the order of arrival.
    video: Vec<u64>,
    audio: Vec<u64>,
    keyframe_requests: usize,
}

impl Client {
    fn offer(direction: Direction) -> (Self, String, inver_rtc::PendingAnswer) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        socket.set_nonblocking(true).expect("a mode");
        let now = Instant::now();
        let settings = Settings {
            lite: false,
            sends_only: false,
            wallclock: (Instant::now(), SystemTime::now()),
            transport_feedback: true,
            codecs: vec![Codec::Opus, Codec::Vp8],
            estimate: None,
            candidates: vec![Candidate {
                transport: Transport::Udp,
                addr: socket.local_addr().expect("bound"),
            }],
        };
        let media = [Kind::Audio, Kind::Video].map(|kind| OfferedMedia { kind, direction });
        let (connection, offer, pending) =
            PeerConnection::offer(&settings, &media, None, now).expect("an offer");
        let client = Self {
            socket,
            connection,
            timeout: now,
            connected: false,
            video: Vec::new(),
            audio: Vec::new(),
            keyframe_requests: 0,
        };
        (client, offer, pending)
    }

    fn turn(&mut self) {
        let mut buffer = [0; 2048];
        loop {
            match self.socket.recv_from(&mut buffer) {
                Ok((len, from)) => {
                    self.connection
                        .handle_datagram(Transport::Udp, from, &buffer[..len], Instant::now())
                        .expect("a sound datagram");
                    self.drain();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("receiving: {error}"),
            }
        }
        let now = Instant::now();
        if self.timeout <= now {
            self.connection.handle_timeout(now).expect("alive");
            self.drain();
        }
    }

    fn drain(&mut self) {
        loop {
            match self.connection.poll_output(Instant::now()).expect("alive") {
                Output::Timeout(at) => {
                    self.timeout = at;
                    return;
                }
                // Candidates of the server that loopback cannot reach fail here.
                Output::Transmit(t) => drop(self.socket.send_to(&t.contents, t.destination)),
                Output::Event(Event::Connected) => self.connected = true,
                Output::Event(Event::KeyframeRequested(_)) => self.keyframe_requests += 1,
                Output::Event(Event::Received(received)) => match received.format.codec.kind() {
                    Kind::Audio => self.audio.push(received.sequence),
                    Kind::Video => self.video.push(received.sequence),
                },
                Output::Event(_) => {}
            }
        }
    }

    fn write(&mut self, kind: Kind, sequence: u64, timestamp: u32, marker: bool, payload: &[u8]) {
        let (track, codec) = match kind {
            Kind::Audio => (TrackId(0), Codec::Opus),
            Kind::Video => (TrackId(1), Codec::Vp8),
        };
        let payload_type = self
            .connection
            .payload_type(track, &Format::new(codec))
            .expect("negotiated");
        let write = Write {
            payload_type,
            sequence,
            timestamp,
            wallclock: Instant::now(),
            marker,
            nackable: kind == Kind::Video,
            payload: Arc::from(payload),
            padding: 0,
            extensions: Extensions::default(),
        };
        self.connection.write(track, write);
        self.connection
            .handle_timeout(Instant::now())
            .expect("alive");
        self.drain();
    }
}

fn until(clients: &mut [Client], what: &str, mut done: impl FnMut(&[Client]) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done(clients) {
        assert!(Instant::now() < deadline, "in time: {what}");
        for client in clients.iter_mut() {
            client.turn();
        }
        std::thread::yield_now();
    }
}

/// A piece of a VP8 frame: descriptor, and the header of a 640x480 keyframe where one begins.
fn vp8(first: bool, keyframe: bool, picture: u64) -> Vec<u8> {
    let start = if first { 0x10 } else { 0 };
    let id = (picture & 0x7fff) as u16;
    let mut payload = vec![0x80 | start, 0x80, 0x80 | (id >> 8) as u8, id as u8];
    if first {
        let frame: &[u8] = if keyframe {
            &[0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01]
        } else {
            &[0x11, 0x02, 0x00]
        };
        payload.extend_from_slice(frame);
    }
    payload.resize(1100, 0x5a);
    payload
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_publisher_reaches_five_viewers_without_loss() {
    let config = Config {
        bind: vec![Ipv4Addr::LOCALHOST.into()],
        port: 0,
        shards: 1,
        ..Config::default()
    };
    let (link, _events) = inver_shard::start(config).expect("ports");

    let (mut publisher, offer, pending) = Client::offer(Direction::Send);
    let publish = Publish {
        session: SessionId(1),
        source: SOURCE,
        offer,
        client: ClientHint::default(),
        data: DataForwarding::Off,
    };
    let answer = link.publish(publish).await.expect("published");
    publisher
        .connection
        .accept_answer(pending, &answer.sdp)
        .expect("a usable answer");
    let mut clients = vec![publisher];
    until(&mut clients, "the publisher connects", |clients| {
        clients[0].connected
    });

    for number in 0..5 {
        let (mut viewer, offer, pending) = Client::offer(Direction::Receive);
        let subscribe = Subscribe {
            session: SessionId(10 + number),
            source: SOURCE,
            offer: Some(offer),
            client: ClientHint::default(),
        };
        let answer = link.subscribe(subscribe).await.expect("subscribed");
        viewer
            .connection
            .accept_answer(pending, &answer.sdp)
            .expect("a usable answer");
        clients.push(viewer);
    }
    until(&mut clients, "the viewers connect", |clients| {
        clients.iter().all(|client| client.connected)
    });

    let mut sequence = 100;
    for frame in 0..FRAMES {
        for part in 0..PACKETS_PER_FRAME {
            let payload = vp8(part == 0, frame % 30 == 0, frame);
            let marker = part + 1 == PACKETS_PER_FRAME;
            clients[0].write(Kind::Video, sequence, frame as u32 * 3000, marker, &payload);
            sequence += 1;
        }
        let mut sound = [0x33; 160];
        sound[0] = 0xfc;
        clients[0].write(Kind::Audio, 50 + frame, frame as u32 * 960, false, &sound);
        let next = Instant::now() + Duration::from_millis(5);
        until(&mut clients, "a frame's time passes", |_| {
            Instant::now() >= next
        });
    }
    let whole = usize::try_from(FRAMES * PACKETS_PER_FRAME).expect("small");
    until(
        &mut clients,
        "every packet reaches every viewer",
        |clients| {
            clients[1..]
                .iter()
                .all(|c| c.video.len() >= whole && c.audio.len() as u64 >= FRAMES)
        },
    );
    for (number, viewer) in clients[1..].iter().enumerate() {
        for (numbers, expected) in [(&viewer.video, whole as u64), (&viewer.audio, FRAMES)] {
            let first = numbers[0];
            let expected: Vec<u64> = (first..first + expected).collect();
            assert_eq!(*numbers, expected, "viewer {number}: in order, each once");
        }
    }
    link.stop().await;
}
