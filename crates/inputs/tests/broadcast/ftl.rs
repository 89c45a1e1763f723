//! FTL: a client as the wire description has it, over real sockets.

use std::net::SocketAddr;

use aws_lc_rs::hmac;
use inver_http::testing::Fixture;
use inver_inputs::ftl::{Config, Server};
use inver_media::{Codec, Frame, Kind};
use inver_node::Read;
use inver_sockets::testing::soon;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;

use crate::support::{frames, keyed_room, media, read, room, stop, vacant};

const SSRC: u32 = 77;

struct Door {
    fixture: Fixture,
    address: SocketAddr,
    key: String,
    number: u32,
    stop: watch::Sender<bool>,
}

async fn door() -> Door {
    let fixture = Fixture::keyed().await;
    let (key, number) = keyed_room(&fixture, "studio").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let media = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("is bound");
    let server = Server::new(fixture.handle.clone(), Config::default());
    let (stop, stopped) = stop();
    tokio::spawn(async move { server.serve(listener, media, stopped).await });
    Door {
        fixture,
        address,
        key,
        number,
        stop,
    }
}

struct Client {
    stream: BufReader<TcpStream>,
    media: UdpSocket,
}

impl Client {
    async fn connect(door: &Door) -> Self {
        let stream = TcpStream::connect(door.address).await.expect("listens");
        Self {
            stream: BufReader::new(stream),
            media: UdpSocket::bind("127.0.0.1:0").await.expect("a free port"),
        }
    }

    async fn say(&mut self, line: &str) {
        let line = format!("{line}\r\n\r\n");
        let sent = self.stream.get_mut().write_all(line.as_bytes()).await;
        sent.expect("is taken");
    }

    async fn reply(&mut self) -> String {
        let mut line = String::new();
        let read = soon("a reply", self.stream.read_line(&mut line)).await;
        read.expect("the connection goes on");
        line.trim_end().to_owned()
    }

    /// Answers the challenge.
    async fn prove(&mut self, channel: u32, key: &str) -> String {
        self.say("HMAC").await;
        let reply = self.reply().await;
        let digits = reply.strip_prefix("200 ").expect("a challenge");
        let challenge: Vec<u8> = (0..128)
            .map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).expect("digits"))
            .collect();
        let key = hmac::Key::new(hmac::HMAC_SHA512, key.as_bytes());
        let tag = hmac::sign(&key, &challenge);
        let answer: String = tag
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        self.say(&format!("CONNECT {channel} ${answer}")).await;
        self.reply().await
    }

    /// Tells everything and gives the reply to the end of it.
    async fn describe(&mut self) -> String {
        for line in [
            "ProtocolVersion: 0.9",
            "VendorName: test",
            "VendorVersion: 1.0",
            "Video: true",
            "VideoCodec: H264",
            "VideoHeight: 360",
            "VideoWidth: 640",
            "VideoPayloadType: 96",
            "Audio: true",
            "AudioCodec: OPUS",
            "AudioPayloadType: 97",
        ] {
            self.say(line).await;
        }
        self.say(&format!("VideoIngestSSRC: {}", SSRC + 1)).await;
        self.say(&format!("AudioIngestSSRC: {SSRC}")).await;
        self.say(".").await;
        self.reply().await
    }

    async fn start(door: &Door) -> Self {
        let mut client = Self::connect(door).await;
        assert_eq!(client.prove(door.number, &door.key).await, "200");
        let reply = client.describe().await;
        client.begin(door, &reply).await;
        client
    }

    /// Sends its media to the port of the reply.
    async fn begin(&self, door: &Door, reply: &str) {
        let port = reply.strip_prefix("200. Use UDP port ");
        let port = port.unwrap_or_else(|| panic!("{reply}"));
        let port: u16 = port.parse().expect("a number");
        let to = (door.address.ip(), port);
        self.media.connect(to).await.expect("an address");
    }

    async fn packet(&self, packet: &[u8]) {
        self.media.send(packet).await.expect("is sent");
    }

    async fn datagram(&self) -> Vec<u8> {
        let mut buffer = [0; 2048];
        let received = soon("a datagram", self.media.recv(&mut buffer)).await;
        buffer[..received.expect("listens")].to_vec()
    }
}

fn rtp(kind: Kind, sequence: u16, timestamp: u32, marker: bool, payload: &[u8]) -> Vec<u8> {
    let (payload_type, ssrc) = match kind {
        Kind::Video => (96, SSRC + 1),
        Kind::Audio => (97, SSRC),
    };
    let mut packet = vec![0x80, payload_type | if marker { 0x80 } else { 0 }];
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

const SPS: [u8; 25] = [
    0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x70, 0x11, 0x00, 0x00, 0x03, 0x00, 0x01,
    0x00, 0x00, 0x03, 0x00, 0x3c, 0x0f, 0x16, 0x2e, 0x48,
];
const PPS: [u8; 5] = [0x68, 0xcb, 0x83, 0xcb, 0x20];

/// The packets of a keyframe and nine pictures behind it, each of one packet.
fn pictures(first: u16, start: u32) -> Vec<Vec<u8>> {
    let mut packets = vec![
        rtp(Kind::Video, first, start, false, &SPS),
        rtp(Kind::Video, first + 1, start, false, &PPS),
        rtp(Kind::Video, first + 2, start, true, &[0x65, 0x88, 1, 2, 3]),
    ];
    packets.extend((1..10_u16).map(|index| {
        let at = start + u32::from(index) * 3600;
        let payload = [0x41, 0x9a, 1, 2, 3, index.to_be_bytes()[1]];
        rtp(Kind::Video, first + 2 + index, at, true, &payload)
    }));
    packets
}

#[tokio::test]
async fn picture_and_sound_reach_the_room() {
    let door = door().await;
    let client = Client::start(&door).await;
    for packet in pictures(0, 90_000) {
        client.packet(&packet).await;
    }
    for index in 0..10_u16 {
        let at = 48_000 + u32::from(index) * 960;
        client
            .packet(&rtp(Kind::Audio, index, at, true, &[0xfc, 1, 2]))
            .await;
    }
    media(&door.fixture).await;
    let mut reader = read(&door.fixture, "studio").await;
    for packet in pictures(12, 126_000) {
        client.packet(&packet).await;
    }
    let got = frames(&mut reader, 12).await;
    assert!(got[0].1.keyframe && got[0].1.codec() == Codec::H264);
    let pictures: Vec<&Frame> = got
        .iter()
        .filter(|(layer, _)| layer.is_some())
        .map(|(_, frame)| &**frame)
        .collect();
    let step = pictures[1].dts.since(pictures[0].dts);
    assert_eq!(step.as_millis(), 40);
}

#[tokio::test]
async fn a_lost_packet_is_asked_for_and_taken() {
    let door = door().await;
    let client = Client::start(&door).await;
    let packets = pictures(0, 90_000);
    for (index, packet) in packets.iter().enumerate() {
        if index != 5 {
            client.packet(packet).await;
        }
    }
    let nack = client.datagram().await;
    assert_eq!(nack[..4], [0x81, 205, 0, 3]);
    assert_eq!(nack[12..14], [0, 5]);
    client.packet(&packets[5]).await;
    media(&door.fixture).await;
    let mut reader = read(&door.fixture, "studio").await;
    for packet in pictures(12, 126_000) {
        client.packet(&packet).await;
    }
    // Nothing is missing: the pictures come one after the other.
    let got = frames(&mut reader, 12).await;
    for pair in got.windows(2) {
        assert_eq!(pair[1].1.dts.since(pair[0].1.dts).as_millis(), 40);
    }
}

#[tokio::test]
async fn pings_are_answered_on_both_sides() {
    let door = door().await;
    let mut client = Client::start(&door).await;
    client.say(&format!("PING {}", door.number)).await;
    assert_eq!(client.reply().await, "201");
    let ping: Vec<u8> = [0x80, 250].into_iter().chain(0..22).collect();
    client.packet(&ping).await;
    assert_eq!(client.datagram().await, ping);
}

#[tokio::test]
async fn refusals_have_the_codes_that_clients_know() {
    let door = door().await;
    let mut wrong = Client::connect(&door).await;
    let reply = wrong.prove(door.number, "wrong").await;
    assert!(reply.starts_with("405"), "{reply}");
    let mut unknown = Client::connect(&door).await;
    let reply = unknown.prove(door.number + 1000, &door.key).await;
    assert!(reply.starts_with("405"), "{reply}");
    let mut early = Client::connect(&door).await;
    early.say("Video: true").await;
    let reply = early.reply().await;
    assert!(reply.starts_with("401"), "{reply}");
}

#[tokio::test]
async fn a_second_publisher_finds_the_channel_in_use() {
    let door = door().await;
    let _first = Client::start(&door).await;
    let other = door
        .fixture
        .handle
        .create_key(&room("studio"), inver_proto::CreateKey::default())
        .await
        .expect("a key")
        .key;
    let mut second = Client::connect(&door).await;
    assert_eq!(second.prove(door.number, &other).await, "200");
    let reply = second.describe().await;
    assert!(reply.starts_with("406"), "{reply}");
}

#[tokio::test]
async fn the_same_key_takes_over_from_a_client_that_fell_silent() {
    let door = door().await;
    let mut first = Client::start(&door).await;
    for packet in pictures(0, 0) {
        first.packet(&packet).await;
    }
    media(&door.fixture).await;
    // It comes from the same address and has the same SSRCs, as every client of the channel.
    let takes_over = async {
        loop {
            let mut client = Client::connect(&door).await;
            assert_eq!(client.prove(door.number, &door.key).await, "200");
            let reply = client.describe().await;
            if reply.starts_with("200") {
                client.begin(&door, &reply).await;
                break client;
            }
            assert!(reply.starts_with("406"), "{reply}");
        }
    };
    let second = soon("the first one counts as silent", takes_over).await;
    let reply = first.reply().await;
    assert!(reply.starts_with("410"), "{reply}");
    let mut reader = read(&door.fixture, "studio").await;
    for packet in pictures(0, 0) {
        second.packet(&packet).await;
    }
    let picture = async { while !matches!(reader.next().await, Some(Read::Video { .. })) {} };
    soon("the second one's picture", picture).await;
}

#[tokio::test]
async fn disconnecting_and_the_stop_end_a_session() {
    let door = door().await;
    let mut client = Client::start(&door).await;
    for packet in pictures(0, 0) {
        client.packet(&packet).await;
    }
    media(&door.fixture).await;
    let mut reader = read(&door.fixture, "studio").await;
    client.say("DISCONNECT").await;
    let idle = async { while !matches!(reader.next().await, Some(Read::Idle) | None) {} };
    soon("the end", idle).await;
    vacant(&door.fixture, "studio").await;
    let mut again = Client::start(&door).await;
    door.stop.send_replace(true);
    let reply = again.reply().await;
    assert!(reply.starts_with("410"), "{reply}");
}

#[tokio::test]
async fn garbage_and_silence_end_their_own_connection_only() {
    let door = door().await;
    let client = Client::start(&door).await;
    let mut garbage = TcpStream::connect(door.address).await.expect("listens");
    let _ = garbage.write_all(&[0xff; 5000]).await;
    let mut rest = Vec::new();
    let _ = soon("the end", garbage.read_to_end(&mut rest)).await;
    for packet in pictures(0, 0) {
        client.packet(&packet).await;
    }
    media(&door.fixture).await;
    let mut silent = TcpStream::connect(door.address).await.expect("listens");
    silent.write_all(b"HMAC").await.expect("is taken");
    drop(client);
    tokio::time::pause();
    // A reset is an end too; without one this waits for ever.
    let _ = silent.read_to_end(&mut rest).await;
    tokio::time::resume();
}
