//! RTSP publishers over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;

use inver_http::testing::Fixture;
use inver_inputs::rtsp::{Config, Server};
use inver_sockets::Limits;
use inver_sockets::rtsp::Udp;
use inver_sockets::testing::soon;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;

use crate::support::{Handed, frames, keyed_room, media, read, stop, vacant};

const ANNOUNCED: &str = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\na=control:one\r\n";

/// RTP with a VP8 keyframe, whole in one packet.
fn picture(number: u8) -> Vec<u8> {
    let mut packet = vec![0x80, 0xe0, 0, number, 0, 1, number, 0, 0, 0, 0, 1];
    packet.extend_from_slice(&[0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 16, 0, 16, 0, 0]);
    packet
}

struct Door {
    fixture: Fixture,
    address: SocketAddr,
    key: String,
    handed: Arc<Handed>,
    _stop: watch::Sender<bool>,
}

async fn door(limits: Limits) -> Door {
    let fixture = Fixture::keyed().await;
    let (key, _) = keyed_room(&fixture, "studio").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("is bound");
    let socket = async || UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let udp = Udp::new(socket().await, socket().await);
    let handed = Arc::new(Handed::default());
    let server = Server::new(fixture.handle.clone(), Config { limits }, handed.clone());
    let (stop, stopped) = stop();
    tokio::spawn(async move {
        server
            .serve(listener, None, Some(Arc::new(udp)), stopped)
            .await;
    });
    Door {
        fixture,
        address,
        key,
        handed,
        _stop: stop,
    }
}

/// A client that says what it likes.
struct Client {
    stream: TcpStream,
    cseq: u32,
}

impl Client {
    async fn new(door: &Door) -> Self {
        let stream = TcpStream::connect(door.address).await;
        Self {
            stream: stream.expect("the door listens"),
            cseq: 0,
        }
    }

    /// Sends a request; gives the answer's head.
    async fn ask(&mut self, method: &str, path: &str, field: &str, body: &str) -> String {
        self.cseq += 1;
        let request = format!(
            "{method} rtsp://localhost/{path} RTSP/1.0\r\nCSeq: {}\r\n{field}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.cseq,
            body.len()
        );
        let sent = self.stream.write_all(request.as_bytes()).await;
        sent.expect("the connection takes it");
        soon("an answer", self.answer()).await
    }

    async fn answer(&mut self) -> String {
        let mut answer = String::new();
        while !answer.contains("\r\n\r\n") {
            let byte = self.stream.read_u8().await.expect("an answer comes");
            answer.push(char::from(byte));
        }
        let length = answer
            .split_once("Content-Length: ")
            .and_then(|(_, rest)| rest.split_once('\r')?.0.parse::<usize>().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.stream.read_exact(&mut body).await.expect("its body");
        answer.push_str(&String::from_utf8_lossy(&body));
        answer
    }

    /// Publishes until media may flow.
    async fn publish(&mut self, path: &str, transport: &str) -> String {
        let announced = self.ask("ANNOUNCE", path, "X: y", ANNOUNCED).await;
        assert!(announced.contains(" 200 "), "{announced}");
        let transport = format!("Transport: {transport}");
        let setup = self
            .ask("SETUP", &format!("{path}/one"), &transport, "")
            .await;
        assert!(setup.contains(" 200 "), "{setup}");
        let record = self.ask("RECORD", path, "X: y", "").await;
        assert!(record.contains(" 200 "), "{record}");
        setup
    }
}

#[tokio::test]
async fn pictures_come_between_the_requests_and_over_udp() {
    let door = door(Limits::default()).await;
    let path = format!("studio-{}", door.key);
    let mut client = Client::new(&door).await;
    client.publish(&path, "RTP/AVP/TCP;interleaved=4-5").await;
    let send = async |client: &mut Client, number| {
        let packet = [&[b'$', 4, 0, 24], picture(number).as_slice()].concat();
        client.stream.write_all(&packet).await.expect("it is taken");
    };
    send(&mut client, 1).await;
    media(&door.fixture).await;
    let mut reader = read(&door.fixture, "studio").await;
    send(&mut client, 2).await;
    assert!(
        frames(&mut reader, 2).await.iter().all(|(layer, frame)| {
            *layer == Some(0) && frame.keyframe && frame.data.len() == 11
        })
    );
    drop(reader);
    drop(client);
    vacant(&door.fixture, "studio").await;

    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let port = socket.local_addr().expect("is bound").port();
    let mut client = Client::new(&door).await;
    let transport = format!("RTP/AVP;unicast;client_port={port}-{}", port ^ 1);
    let setup = client.publish(&path, &transport).await;
    let (_, ports) = setup.split_once("server_port=").expect("ports");
    let to: u16 = ports
        .split('-')
        .next()
        .and_then(|port| port.parse().ok())
        .expect("a port");
    let packet = picture(1);
    let sent = socket.send_to(&packet, ("127.0.0.1", to)).await;
    sent.expect("loopback takes datagrams");
    let mut reader = read(&door.fixture, "studio").await;
    assert_eq!(frames(&mut reader, 1).await.len(), 1);
}

#[tokio::test]
async fn refusals_say_why_and_leave_the_connection_open() {
    let door = door(Limits::default()).await;
    let mut client = Client::new(&door).await;
    for path in ["studio", "studio-wrong", "studio?key=wrong", "nowhere"] {
        let answer = client.ask("ANNOUNCE", path, "X: y", ANNOUNCED).await;
        assert!(answer.starts_with("RTSP/1.0 401 "), "{path}: {answer}");
        assert!(answer.contains("WWW-Authenticate: Digest"), "{answer}");
        assert!(!answer.contains("wrong\r\n"), "{answer}");
    }
    let path = format!("studio?key={}", door.key);
    let sound = "m=audio 0 RTP/AVP 0\r\n";
    let answer = client.ask("ANNOUNCE", &path, "X: y", sound).await;
    assert!(answer.starts_with("RTSP/1.0 415 "), "{answer}");
    client.publish(&path, "RTP/AVP/TCP;interleaved=0-1").await;
    let mut second = Client::new(&door).await;
    let other = door
        .fixture
        .handle
        .create_key(
            &"studio".parse().expect("a room"),
            inver_proto::CreateKey::default(),
        )
        .await
        .expect("a key")
        .key;
    let path = format!("studio?key={other}&participant=other");
    let answer = second.ask("ANNOUNCE", &path, "X: y", ANNOUNCED).await;
    assert!(answer.starts_with("RTSP/1.0 409 "), "{answer}");
}

#[tokio::test]
async fn who_reads_is_handed_on() {
    let door = door(Limits::default()).await;
    let mut client = Client::new(&door).await;
    let answer = client.ask("DESCRIBE", "studio", "X: y", "").await;
    assert!(answer.starts_with("RTSP/1.0 404 "), "{answer}");
    assert_eq!(*door.handed.wanted.lock().expect("no panic"), ["studio"]);
}

#[tokio::test]
async fn one_address_does_not_take_every_place() {
    let limits = Limits {
        connections: 10,
        per_address: 1,
    };
    let door = door(limits).await;
    let mut first = Client::new(&door).await;
    assert!(first.ask("OPTIONS", "", "X: y", "").await.contains(" 200 "));
    let mut second = Client::new(&door).await;
    let closed = soon("the end", second.stream.read_u8()).await;
    assert!(closed.is_err());
    assert!(first.ask("OPTIONS", "", "X: y", "").await.contains(" 200 "));
}
