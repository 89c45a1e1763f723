//! Clients over real sockets and media that decoders would take, for the doors' tests.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use inver_media::container::flv::{TagWriter, Track};
use inver_media::container::mpegts::{TrackConfig, Writer};
use inver_media::{Codec, Config, Frame, Kind, MediaTime};
use inver_protocols::rtmp::{Client, ClientConfig, ClientEvent, Output, Purpose, Target};
use inver_protocols::srt::{CallError, Caller, CallerConfig, CallerEvent, Connection, Event};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, sleep_until, timeout};

use crate::Stream;

/// Longest wait for anything in a test; reached only where the test fails.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for what has to come.
///
/// # Panics
/// When it does not come.
pub async fn soon<T>(what: &str, waiting: impl Future<Output = T>) -> T {
    timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come"))
}

/// H.264 of 640 by 360 points.
pub fn h264() -> Arc<Config> {
    let sps = [
        0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x70, 0x11, 0x00, 0x00, 0x03, 0x00,
        0x01, 0x00, 0x00, 0x03, 0x00, 0x3c, 0x0f, 0x16, 0x2e, 0x48,
    ];
    Arc::new(Config::H264 {
        sps: vec![sps.to_vec()],
        pps: vec![vec![0x68, 0xcb, 0x83, 0xcb, 0x20]],
    })
}

/// AAC-LC, 48 kHz, stereo.
pub fn aac() -> Arc<Config> {
    Arc::new(Config::Aac {
        asc: vec![0x11, 0x90],
    })
}

/// A frame of `len` bytes at `ms`; a picture's first bytes say whether it is a keyframe.
pub fn frame(config: &Arc<Config>, ms: i64, keyframe: bool, len: usize) -> Frame {
    let at = MediaTime(ms * 1_000_000);
    let mut data = Vec::with_capacity(len + 8);
    if config.codec() == Codec::H264 {
        let unit = u32::try_from(len + 2).expect("a frame of a test");
        data.extend_from_slice(&unit.to_be_bytes());
        data.extend_from_slice(if keyframe {
            &[0x65, 0x88]
        } else {
            &[0x41, 0x9a]
        });
    }
    data.resize(data.len() + len, 0x55);
    Frame {
        config: config.clone(),
        pts: at,
        dts: at,
        keyframe,
        data: data.into(),
    }
}

/// A second of pictures at 25 per second, the first a keyframe, and of sound.
pub fn second(start_ms: i64) -> Vec<Frame> {
    let (video, audio) = (h264(), aac());
    let mut frames: Vec<Frame> = (0..25)
        .map(|index| frame(&video, start_ms + index * 40, index == 0, 500))
        .collect();
    frames.extend((0..46).map(|index| frame(&audio, start_ms + index * 1024 / 48, true, 100)));
    frames.sort_by_key(|frame| (frame.dts, frame.codec().kind() == Kind::Audio));
    frames
}

/// Frames as a transport stream in datagrams.
pub fn transport_stream(frames: &[Frame]) -> Vec<Vec<u8>> {
    let track = |config| TrackConfig {
        config,
        language: None,
    };
    let mut writer = Writer::new(&[track(h264()), track(aac())]).expect("two tracks");
    let mut datagrams = Vec::new();
    for frame in frames {
        let index = usize::from(frame.codec().kind() == Kind::Audio);
        writer.write(index, frame).expect("fits the tracks");
        while let Some(datagram) = writer.datagram() {
            datagrams.push(datagram.to_vec());
        }
        datagrams.extend(writer.rest().map(<[u8]>::to_vec));
    }
    datagrams
}

/// A client of RTMP.
pub struct RtmpClient {
    stream: Box<dyn Stream>,
    core: Client,
    tags: TagWriter,
    ended: bool,
}

impl RtmpClient {
    /// Connects over TCP; nothing is said yet but the handshake's first bytes.
    pub async fn connect(to: SocketAddr, url: &str, purpose: Purpose, enhanced: bool) -> Self {
        let stream = TcpStream::connect(to).await.expect("the door listens");
        Self::over(stream, url, purpose, enhanced)
    }

    /// A client over a stream.
    pub fn over(
        stream: impl Stream + 'static,
        url: &str,
        purpose: Purpose,
        enhanced: bool,
    ) -> Self {
        let config = ClientConfig {
            address: Target::parse(url).expect("an address").address,
            purpose,
            flash_version: "test/1.0".to_owned(),
            enhanced,
        };
        Self {
            stream: Box::new(stream),
            core: Client::new(config, Instant::now().into_std()),
            tags: TagWriter::new(),
            ended: false,
        }
    }

    /// What the server does next; `None` once it closed the connection.
    pub async fn next(&mut self) -> Option<ClientEvent> {
        soon("an event", self.advance()).await
    }

    async fn advance(&mut self) -> Option<ClientEvent> {
        let mut buffer = [0; 4096];
        loop {
            while let Some(output) = self.core.poll_output() {
                match output {
                    Output::Event(event) => return Some(event),
                    Output::Send(bytes) => {
                        // A server that closed shows below.
                        let _ = self.stream.write_all(&bytes).await;
                    }
                }
            }
            if self.ended {
                return None;
            }
            match self.stream.read(&mut buffer).await {
                Ok(len @ 1..) => {
                    let now = Instant::now().into_std();
                    let bytes = buffer.get(..len).unwrap_or_default();
                    self.core
                        .handle_input(bytes, now)
                        .expect("the server speaks RTMP");
                }
                Ok(0) | Err(_) => self.ended = true,
            }
        }
    }

    /// Waits for an event that `wanted` picks.
    pub async fn until<T>(&mut self, wanted: impl Fn(&ClientEvent) -> Option<T>) -> T {
        loop {
            let event = self.next().await.expect("the connection goes on");
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    }

    /// Waits until publishing or playing begins.
    pub async fn started(&mut self) {
        self.until(|event| match event {
            ClientEvent::Refused { code, description } => panic!("refused: {code} {description}"),
            event => (*event == ClientEvent::Started).then_some(()),
        })
        .await;
    }

    /// Waits until the server refuses; gives code and description.
    pub async fn refused(&mut self) -> (String, String) {
        self.until(|event| match event {
            ClientEvent::Refused { code, description } => Some((code.clone(), description.clone())),
            ClientEvent::Connected { .. }
            | ClientEvent::Started
            | ClientEvent::Media(_)
            | ClientEvent::Ended { .. }
            | ClientEvent::ReconnectRequested { .. }
            | ClientEvent::Closed => None,
        })
        .await
    }

    /// Publishes a frame on a track.
    pub async fn send(&mut self, track: Track, frame: &Frame) {
        for tag in self.tags.write(track, frame).expect("fits") {
            self.core.send(tag.tag_type, tag.timestamp, &tag.body);
        }
        self.flush().await;
    }

    /// Publishes frames of one picture and one sound.
    pub async fn send_all(&mut self, frames: &[Frame]) {
        for frame in frames {
            let track = match frame.codec().kind() {
                Kind::Video => Track::VIDEO,
                Kind::Audio => Track::AUDIO,
            };
            self.send(track, frame).await;
        }
    }

    /// Ends publishing or playing and waits until the server has seen it.
    pub async fn close(mut self) {
        self.core.finish();
        self.flush().await;
        // A server that closed already is as good.
        let _ = self.stream.shutdown().await;
        while self.next().await.is_some() {}
    }

    /// The state machine, for what has no method here; [`Self::flush`] sends what it queued.
    pub fn core(&mut self) -> &mut Client {
        &mut self.core
    }

    /// Sends what is queued.
    pub async fn flush(&mut self) {
        while let Some(output) = self.core.poll_output() {
            if let Output::Send(bytes) = output {
                let sent = self.stream.write_all(&bytes).await;
                sent.expect("the connection takes it");
            }
        }
    }
}

/// A client of SRT.
pub struct SrtClient {
    socket: UdpSocket,
    connection: Box<Connection>,
}

impl SrtClient {
    /// Calls a listener.
    ///
    /// # Errors
    /// Where the call fails, as [`Caller`] says.
    pub async fn call(to: SocketAddr, config: CallerConfig) -> Result<Self, CallError> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        socket.connect(to).await.expect("an address");
        let mut caller = Caller::new(config, to, Instant::now().into_std())?;
        let mut buffer = [0; 2048];
        loop {
            while let Some(datagram) = caller.poll_transmit() {
                socket.send(&datagram).await.expect("a datagram is taken");
            }
            match caller.poll_event() {
                Some(CallerEvent::Connected(connection)) => {
                    return Ok(Self { socket, connection });
                }
                Some(CallerEvent::Failed(error)) => return Err(error),
                None => {}
            }
            let due = caller.poll_timeout().expect("a call has a deadline");
            tokio::select! {
                received = socket.recv(&mut buffer) => {
                    let len = received.expect("the door listens");
                    let datagram = buffer.get(..len).unwrap_or_default();
                    caller.handle_datagram(datagram, Instant::now().into_std());
                }
                () = sleep_until(Instant::from_std(due)) => {
                    caller.handle_timeout(Instant::now().into_std());
                }
            }
        }
    }

    /// Sends payloads.
    pub async fn send_all(&mut self, payloads: &[Vec<u8>]) {
        for payload in payloads {
            let now = Instant::now().into_std();
            self.connection.send(payload, now).expect("there is room");
            self.transmit().await;
        }
    }

    async fn transmit(&mut self) {
        while let Some(datagram) = self.connection.poll_transmit() {
            // A listener that is gone shows in what comes.
            let _: io::Result<usize> = self.socket.send(&datagram).await;
        }
    }

    /// What happens next; `None` when nothing more will. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        let mut buffer = [0; 2048];
        loop {
            self.transmit().await;
            if let Some(event) = self.connection.poll_event() {
                return Some(event);
            }
            let due = self.connection.poll_timeout()?;
            tokio::select! {
                received = self.socket.recv(&mut buffer) => {
                    if let Ok(len) = received {
                        let datagram = buffer.get(..len).unwrap_or_default();
                        self.connection.handle_datagram(datagram, Instant::now().into_std());
                    }
                }
                () = sleep_until(Instant::from_std(due)) => {
                    self.connection.handle_timeout(Instant::now().into_std());
                }
            }
        }
    }

    /// Ends the connection.
    pub async fn close(mut self) {
        self.connection.close(Instant::now().into_std());
        while self.next().await.is_some() {}
    }
}
