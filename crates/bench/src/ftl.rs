//! The connection of a publication over FTL.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::hmac;
use inver_media::payload::{MAX_PAYLOAD, Packetizer, Payload};
use inver_media::{Codec, Kind};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tokio::time::{Instant as TokioInstant, MissedTickBehavior};

use crate::feed::{Media, START, State};

/// The port where servers listen.
const PORT: u16 = 8084;

/// Servers take a client that says nothing for gone.
const PING: Duration = Duration::from_secs(5);

/// Payload types, as FTL's own library has them.
const VIDEO: u8 = 96;
const AUDIO: u8 = 97;

/// Packets of the picture that can be sent again: more than two seconds.
const KEPT: usize = 2048;

/// Longest line of a server that is read.
const MAX_LINE: usize = 1024;

/// Where to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    host: String,
    port: u16,
    channel: u32,
    key: String,
}

impl Target {
    /// Reads `HOST[:PORT]/CHANNEL-KEY`, with or without `ftl://` before it.
    ///
    /// # Errors
    ///
    /// It is anything else; the message does not repeat the key.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        const SHAPE: &str = "HOST[:PORT]/CHANNEL-KEY is expected, where CHANNEL is a number";
        let text = text.strip_prefix("ftl://").unwrap_or(text);
        let (address, stream) = text.split_once('/').context(SHAPE)?;
        let (channel, key) = stream.split_once('-').context(SHAPE)?;
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().context("the port is not a number")?),
            None => (address, PORT),
        };
        ensure!(!host.is_empty() && !key.is_empty(), SHAPE);
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            channel: channel.parse().context(SHAPE)?,
            key: key.to_owned(),
        })
    }
}

/// Publishes until `state` says that it is over.
///
/// # Errors
///
/// The server cannot be reached, refuses or ends it.
pub(crate) async fn publish(
    target: &Target,
    mut media: Media,
    state: &State,
    started: oneshot::Sender<()>,
) -> anyhow::Result<()> {
    let address = (target.host.as_str(), target.port);
    let stream = tokio::time::timeout(START, TcpStream::connect(address))
        .await
        .context("no connection in time")?
        .context("no connection")?;
    stream.set_nodelay(true)?;
    let (local, mut peer) = (stream.local_addr()?, stream.peer_addr()?);
    let mut control = Control::new(stream);
    peer.set_port(control.open(target, &media).await?);
    let socket = UdpSocket::bind((local.ip(), 0)).await?;
    socket.connect(peer).await?;
    // Whoever waited may have given up.
    let _ = started.send(());

    // As FTL's own library numbers them.
    let mut audio = Lane::new(Codec::Opus, AUDIO, target.channel);
    let mut video = Lane::new(Codec::H264, VIDEO, target.channel.wrapping_add(1));
    let began = Instant::now();
    let mut ping = tokio::time::interval_at(TokioInstant::now() + PING, PING);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut datagram = [0; 1500];
    while !state.stopped() {
        let due = began + media.next();
        tokio::select! {
            line = control.line() => {
                let line = line?;
                ensure!(line.starts_with('2'), "the server ended it: {line}");
            }
            size = socket.recv(&mut datagram) => {
                for sequence in nacks(&datagram[..size?]) {
                    if let Some(packet) = video.kept(sequence) {
                        socket.send(packet).await?;
                    }
                }
            }
            _ = ping.tick() => control.say(&format!("PING {}", target.channel)).await?,
            () = tokio::time::sleep_until(due.into()) => {
                let at = media.next();
                let (kind, frame) = media.make(state)?;
                let (lane, rate) = match kind {
                    Kind::Audio => (&mut audio, 48_000),
                    Kind::Video => (&mut video, 90_000),
                };
                let timestamp = (at.as_nanos() * rate / 1_000_000_000) as u32;
                lane.packets(&frame, timestamp)?;
                for packet in &lane.fresh {
                    socket.send(packet).await?;
                }
            }
        }
    }
    control.say("DISCONNECT").await
}

/// The control connection: lines there, lines back.
struct Control {
    lines: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
    /// A line that has begun: a wait that is given up loses nothing.
    partial: Vec<u8>,
}

impl Control {
    fn new(stream: TcpStream) -> Self {
        let (read, write) = stream.into_split();
        Self {
            lines: BufReader::with_capacity(MAX_LINE, read),
            write,
            partial: Vec::new(),
        }
    }

    /// Answers the challenge and tells what comes; the port for media.
    async fn open(&mut self, target: &Target, media: &Media) -> anyhow::Result<u16> {
        let reply = self.ask("HMAC").await?;
        let challenge = reply.strip_prefix("200 ").and_then(unhex);
        let challenge = challenge.context("the server's challenge is not hexadecimal")?;
        let key = hmac::Key::new(hmac::HMAC_SHA512, target.key.as_bytes());
        let answer: String = hmac::sign(&key, &challenge)
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let channel = target.channel;
        self.ask(&format!("CONNECT {channel} ${answer}")).await?;
        let (width, height) = media.size();
        for line in [
            "ProtocolVersion: 0.9".to_owned(),
            "VendorName: inver bench".to_owned(),
            "VendorVersion: 1".to_owned(),
            "Video: true".to_owned(),
            "VideoCodec: H264".to_owned(),
            format!("VideoWidth: {width}"),
            format!("VideoHeight: {height}"),
            format!("VideoPayloadType: {VIDEO}"),
            format!("VideoIngestSSRC: {}", channel.wrapping_add(1)),
            format!("Audio: {}", media.has_sound()),
            "AudioCodec: OPUS".to_owned(),
            format!("AudioPayloadType: {AUDIO}"),
            format!("AudioIngestSSRC: {channel}"),
        ] {
            self.say(&line).await?;
        }
        let reply = self.ask(".").await?;
        reply
            .rsplit(' ')
            .next()
            .and_then(|port| port.parse().ok())
            .with_context(|| format!("the server names no port: {reply}"))
    }

    async fn say(&mut self, line: &str) -> anyhow::Result<()> {
        let line = format!("{line}\r\n\r\n");
        self.write
            .write_all(line.as_bytes())
            .await
            .context("the connection")
    }

    async fn ask(&mut self, line: &str) -> anyhow::Result<String> {
        self.say(line).await?;
        let reply = tokio::time::timeout(START, self.line())
            .await
            .context("no answer in time")??;
        ensure!(reply.starts_with("200"), "the server refuses: {reply}");
        Ok(reply)
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        loop {
            let read = self.lines.fill_buf().await.context("the connection")?;
            if read.is_empty() {
                bail!("the server closed the connection");
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let size = end.map_or(read.len(), |end| end + 1);
            self.partial.extend_from_slice(&read[..size]);
            self.lines.consume(size);
            ensure!(
                self.partial.len() <= MAX_LINE,
                "the server's line is too long"
            );
            if end.is_some() {
                let line = std::mem::take(&mut self.partial);
                return Ok(String::from_utf8_lossy(&line).trim().to_owned());
            }
        }
    }
}

/// One stream of RTP.
struct Lane {
    packetizer: Packetizer,
    payload_type: u8,
    ssrc: u32,
    sequence: u16,
    payloads: Vec<Payload>,
    /// Packets of the latest frame.
    fresh: Vec<Vec<u8>>,
    /// Packets by sequence number.
    ring: Vec<Vec<u8>>,
}

impl Lane {
    fn new(codec: Codec, payload_type: u8, ssrc: u32) -> Self {
        Self {
            packetizer: Packetizer::new(codec, MAX_PAYLOAD, 0),
            payload_type,
            ssrc,
            sequence: 0,
            payloads: Vec::new(),
            fresh: Vec::new(),
            ring: vec![Vec::new(); KEPT],
        }
    }

    /// Makes the packets of a frame.
    fn packets(&mut self, frame: &inver_media::Frame, timestamp: u32) -> anyhow::Result<()> {
        self.payloads.clear();
        self.fresh.clear();
        self.packetizer.packetize(frame, &mut self.payloads)?;
        for payload in &self.payloads {
            let mut packet = vec![0x80, self.payload_type | u8::from(payload.marker) << 7];
            packet.extend_from_slice(&self.sequence.to_be_bytes());
            packet.extend_from_slice(&timestamp.to_be_bytes());
            packet.extend_from_slice(&self.ssrc.to_be_bytes());
            packet.extend_from_slice(&payload.bytes);
            self.ring[usize::from(self.sequence) % KEPT].clone_from(&packet);
            self.sequence = self.sequence.wrapping_add(1);
            self.fresh.push(packet);
        }
        Ok(())
    }

    /// A packet that was sent, where it is still there.
    fn kept(&self, sequence: u16) -> Option<&[u8]> {
        let packet = &self.ring[usize::from(sequence) % KEPT];
        (packet.get(2..4)? == sequence.to_be_bytes()).then_some(packet)
    }
}

/// Sequence numbers that a generic NACK asks for (RFC 4585, 6.2.1).
fn nacks(datagram: &[u8]) -> impl Iterator<Item = u16> {
    let is_nack = datagram.len() >= 16 && datagram[0] == 0x81 && datagram[1] == 205;
    let entries = if is_nack { &datagram[12..] } else { &[][..] };
    entries.chunks_exact(4).flat_map(|entry| {
        let first = u16::from_be_bytes([entry[0], entry[1]]);
        let mask = u16::from_be_bytes([entry[2], entry[3]]);
        let more = (0..16).filter(move |bit| mask & (1 << bit) != 0);
        std::iter::once(first).chain(more.map(move |bit| first.wrapping_add(bit + 1)))
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_their_keys_are_not_repeated() {
        let target = Target::parse("ftl://127.0.0.1/12-se-cret").expect("a target");
        assert_eq!((target.port, target.channel), (PORT, 12));
        assert_eq!(target.key, "se-cret");
        assert_eq!(Target::parse("[::1]:9/1-k").expect("a target").host, "::1");
        for wrong in [
            "host",
            "host/12",
            "host/x-secret",
            "host:x/1-secret",
            "/1-secret",
        ] {
            let error = format!("{:#}", Target::parse(wrong).expect_err("refused"));
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn requests_for_lost_packets_are_read() {
        let mut datagram = vec![0x81, 205, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1];
        datagram.extend_from_slice(&[0xff, 0xff, 0x80, 0x01]);
        assert_eq!(nacks(&datagram).collect::<Vec<_>>(), [0xffff, 0, 15]);
        assert_eq!(nacks(&datagram[..15]).count(), 0);
        assert_eq!(nacks(&[0x81, 201]).count(), 0);
    }
}
