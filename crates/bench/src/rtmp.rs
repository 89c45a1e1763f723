//! Publishing over RTMP: frames and sound at their times, on a thread of its own.
//!
//! The server cuts the frames into packets itself, so the figures show what lies between an
//! encoder's frame and the viewer's packet.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use inver_media::container::flv::{Tag, TagWriter, Track};
use inver_media::{Config, Frame, MediaTime};
use inver_protocols::rtmp::{Client, ClientConfig, ClientEvent, Output, Purpose, Target};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::args::Args;
use crate::clock::Clock;
use crate::packetizer::Packetizer;
use crate::publisher::{Published, frame_time, sound_time};
use crate::synthetic::Encoder;

/// How long the server may take until it takes media.
const START: Duration = Duration::from_secs(10);

/// Samples that an Opus decoder drops at the start, as encoders commonly say.
const PRE_SKIP: u16 = 312;

/// A publication that runs.
#[derive(Debug)]
pub(crate) struct RtmpPublisher {
    state: Arc<State>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    stopped: AtomicBool,
    published: Mutex<Published>,
    failure: Mutex<Option<String>>,
}

impl RtmpPublisher {
    /// Publishes from now on; returns once the server takes media.
    ///
    /// # Errors
    ///
    /// The server cannot be reached or refuses.
    pub(crate) async fn start(
        target: Target,
        encoder: Encoder,
        packetizer: Packetizer,
        args: &Args,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let state = Arc::new(State::default());
        let (started, start) = oneshot::channel();
        let media = Media::new(encoder, packetizer, args, clock);
        let own = Arc::clone(&state);
        let thread = std::thread::Builder::new()
            .name("publish-rtmp".to_owned())
            .spawn(move || {
                if let Err(error) = publish(&target, media, &own, started) {
                    let mut failure = own.failure.lock().unwrap_or_else(PoisonError::into_inner);
                    *failure = Some(format!("{error:#}"));
                }
            })
            .context("cannot start a thread")?;
        let publisher = Self { state, thread };
        // A dropped sender means a failure, which is told next.
        let in_time = tokio::time::timeout(START, start).await;
        publisher.check()?;
        if !matches!(in_time, Ok(Ok(()))) {
            bail!("cannot publish over RTMP: the server did not take the stream in time");
        }
        Ok(publisher)
    }

    /// Whether it still goes on.
    ///
    /// # Errors
    ///
    /// The connection is over.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let failure = self.state.failure.lock();
        match &*failure.unwrap_or_else(PoisonError::into_inner) {
            Some(failure) => bail!("cannot publish over RTMP: {failure}"),
            None => Ok(()),
        }
    }

    /// Ends it and tells what was published.
    pub(crate) fn stop(self) -> Published {
        self.state.stopped.store(true, Ordering::Relaxed);
        // It looks at the flag with every frame.
        let _ = self.thread.join();
        *self
            .state
            .published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is due when, as tags.
struct Media {
    encoder: Encoder,
    packetizer: Packetizer,
    clock: Clock,
    fps: u32,
    sound: bool,
    video_config: Arc<Config>,
    audio_config: Arc<Config>,
    writer: TagWriter,
    frames: u64,
    sounds: u64,
}

impl Media {
    fn new(encoder: Encoder, packetizer: Packetizer, args: &Args, clock: Clock) -> Self {
        let (sps, pps) = packetizer.sets();
        Self {
            encoder,
            packetizer,
            clock,
            fps: args.fps,
            sound: !args.no_audio,
            video_config: Arc::new(Config::H264 {
                sps: vec![sps],
                pps: vec![pps],
            }),
            audio_config: Arc::new(Config::Opus {
                channels: 2,
                pre_skip: PRE_SKIP,
            }),
            writer: TagWriter::with_origin(MediaTime::ZERO),
            frames: 0,
            sounds: 0,
        }
    }

    /// When the next frame or sound is due, since the start.
    fn next(&self) -> Duration {
        let frame = frame_time(self.frames, self.fps);
        if self.sound {
            frame.min(sound_time(self.sounds))
        } else {
            frame
        }
    }

    /// Makes what is due next.
    fn make(&mut self, published: &mut Published) -> anyhow::Result<Vec<Tag>> {
        let micros = self.clock.micros(Instant::now());
        let sound = self.sound && sound_time(self.sounds) <= frame_time(self.frames, self.fps);
        let (track, at, keyframe, data, config) = if sound {
            let at = sound_time(self.sounds);
            self.sounds += 1;
            let data = self.packetizer.audio(micros);
            (Track::AUDIO, at, true, data, &self.audio_config)
        } else {
            let at = frame_time(self.frames, self.fps);
            self.frames += 1;
            let frame = self.encoder.next_frame();
            published.frames += 1;
            published.keyframes += u64::from(frame.keyframe);
            let slice = self.packetizer.slice(frame, micros);
            let mut data = u32::try_from(slice.len())?.to_be_bytes().to_vec();
            data.extend_from_slice(&slice);
            (
                Track::VIDEO,
                at,
                frame.keyframe,
                data.into(),
                &self.video_config,
            )
        };
        published.packets += 1;
        published.bytes += data.len() as u64;
        let at = MediaTime(i64::try_from(at.as_nanos())?);
        let frame = Frame {
            config: Arc::clone(config),
            pts: at,
            dts: at,
            keyframe,
            data,
        };
        Ok(self.writer.write(track, &frame)?)
    }
}

fn publish(
    target: &Target,
    media: Media,
    state: &State,
    started: oneshot::Sender<()>,
) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?
        .block_on(connection(target, media, state, started))
}

async fn connection(
    target: &Target,
    mut media: Media,
    state: &State,
    started: oneshot::Sender<()>,
) -> anyhow::Result<()> {
    let address = (target.host.as_str(), target.port);
    let mut stream = tokio::time::timeout(START, TcpStream::connect(address))
        .await
        .context("no connection in time")?
        .context("no connection")?;
    stream.set_nodelay(true)?;
    let config = ClientConfig {
        address: target.address.clone(),
        purpose: Purpose::Publish,
        flash_version: "FMLE/3.0 (compatible; inver bench)".to_owned(),
        enhanced: true,
    };
    let mut client = Client::new(config, Instant::now());
    let mut started = Some(started);
    let mut began: Option<Instant> = None;
    let mut buffer = vec![0; 16 << 10];
    loop {
        while let Some(output) = client.poll_output() {
            match output {
                Output::Send(bytes) => stream.write_all(&bytes).await.context("the connection")?,
                Output::Event(ClientEvent::Started) => {
                    began = Some(Instant::now());
                    if let Some(started) = started.take() {
                        // Whoever waited may have given up.
                        let _ = started.send(());
                    }
                }
                Output::Event(ClientEvent::Refused { code, description }) => {
                    bail!("the server refuses: {code} ({description})")
                }
                Output::Event(ClientEvent::Ended { code }) => bail!("the server ended it: {code}"),
                Output::Event(ClientEvent::Closed) => bail!("the server closed the connection"),
                Output::Event(
                    ClientEvent::Connected { .. }
                    | ClientEvent::Media(_)
                    | ClientEvent::ReconnectRequested { .. },
                ) => {}
            }
        }
        if state.stopped.load(Ordering::Relaxed) {
            client.finish();
            while let Some(output) = client.poll_output() {
                if let Output::Send(bytes) = output {
                    stream.write_all(&bytes).await.context("the connection")?;
                }
            }
            return Ok(());
        }
        let due = began.map(|began| began + media.next());
        let timeout = client.poll_timeout();
        let wake = match (due, timeout) {
            (Some(due), Some(timeout)) => due.min(timeout),
            (Some(at), None) | (None, Some(at)) => at,
            (None, None) => Instant::now() + START,
        };
        tokio::select! {
            read = stream.read(&mut buffer) => match read.context("the connection")? {
                0 => bail!("the server closed the connection"),
                size => client.handle_input(&buffer[..size], Instant::now())?,
            },
            () = tokio::time::sleep_until(wake.into()) => {
                let now = Instant::now();
                client.handle_timeout(now)?;
                if due.is_some_and(|due| due <= now) {
                    let tags = {
                        let published = state.published.lock();
                        media.make(&mut published.unwrap_or_else(PoisonError::into_inner))?
                    };
                    for tag in tags {
                        client.send(tag.tag_type, tag.timestamp, &tag.body);
                    }
                }
            }
        }
    }
}
