//! Publishing as encoders do that speak no WHIP: frames and sound at their times, on a thread of
//! its own.
//!
//! The server cuts the frames into packets itself, so the figures show what lies between an
//! encoder's frame and the viewer's packet.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use inver_media::{Config, Frame, Kind, MediaTime};
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::packetizer::Packetizer;
use crate::publisher::{Published, frame_time, sound_time};
use crate::synthetic::Encoder;
use crate::{ftl, rtmp};

/// How long the server may take until it takes media.
pub(crate) const START: Duration = Duration::from_secs(10);

/// Samples that an Opus decoder drops at the start, as encoders commonly say.
const PRE_SKIP: u16 = 312;

/// Where to publish, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Rtmp(inver_protocols::rtmp::Target),
    Ftl(ftl::Target),
}

impl Target {
    /// Reads the URL of an RTMP stream.
    ///
    /// # Errors
    ///
    /// It is none, or one with TLS.
    pub(crate) fn rtmp(url: &str) -> anyhow::Result<Self> {
        let target = inver_protocols::rtmp::Target::parse(url).context("--rtmp")?;
        ensure!(
            !target.tls,
            "--rtmp: rtmps:// cannot be measured, rtmp:// can"
        );
        Ok(Self::Rtmp(target))
    }

    /// The protocol's name.
    pub(crate) fn protocol(&self) -> &'static str {
        match self {
            Self::Rtmp(_) => "RTMP",
            Self::Ftl(_) => "FTL",
        }
    }
}

/// How what is published looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Frames per second.
    pub(crate) fps: u32,
    /// Size that the picture claims to have.
    pub(crate) size: (u32, u32),
    /// Whether there is sound.
    pub(crate) sound: bool,
}

/// A publication that runs.
#[derive(Debug)]
pub(crate) struct FeedPublisher {
    protocol: &'static str,
    state: Arc<State>,
    thread: JoinHandle<()>,
}

/// What the thread and its owner share.
#[derive(Debug, Default)]
pub(crate) struct State {
    stopped: AtomicBool,
    published: Mutex<Published>,
    failure: Mutex<Option<String>>,
}

impl State {
    /// Whether the publication is to end.
    pub(crate) fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

impl FeedPublisher {
    /// Publishes from now on; returns once the server takes media.
    ///
    /// # Errors
    ///
    /// The server cannot be reached or refuses.
    pub(crate) async fn start(
        target: Target,
        encoder: Encoder,
        packetizer: Packetizer,
        shape: Shape,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let state = Arc::new(State::default());
        let (started, start) = oneshot::channel();
        let media = Media::new(encoder, packetizer, shape, clock);
        let protocol = target.protocol();
        let own = Arc::clone(&state);
        let thread = std::thread::Builder::new()
            .name(format!("publish-{protocol}"))
            .spawn(move || {
                if let Err(error) = publish(&target, media, &own, started) {
                    let mut failure = own.failure.lock().unwrap_or_else(PoisonError::into_inner);
                    *failure = Some(format!("{error:#}"));
                }
            })
            .context("cannot start a thread")?;
        let publisher = Self {
            protocol,
            state,
            thread,
        };
        // A dropped sender means a failure, which is told next.
        let in_time = tokio::time::timeout(START, start).await;
        publisher.check()?;
        if !matches!(in_time, Ok(Ok(()))) {
            bail!("cannot publish over {protocol}: the server did not take the stream in time");
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
            Some(failure) => bail!("cannot publish over {}: {failure}", self.protocol),
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

/// What is due when, as frames.
#[derive(Debug)]
pub(crate) struct Media {
    encoder: Encoder,
    packetizer: Packetizer,
    clock: Clock,
    shape: Shape,
    video_config: Arc<Config>,
    audio_config: Arc<Config>,
    frames: u64,
    sounds: u64,
}

impl Media {
    fn new(encoder: Encoder, packetizer: Packetizer, shape: Shape, clock: Clock) -> Self {
        let (sps, pps) = packetizer.sets();
        Self {
            encoder,
            packetizer,
            clock,
            shape,
            video_config: Arc::new(Config::H264 {
                sps: vec![sps],
                pps: vec![pps],
            }),
            audio_config: Arc::new(Config::Opus {
                channels: 2,
                pre_skip: PRE_SKIP,
            }),
            frames: 0,
            sounds: 0,
        }
    }

    /// When the next frame or sound is due, since the start.
    pub(crate) fn next(&self) -> Duration {
        let frame = frame_time(self.frames, self.shape.fps);
        if self.shape.sound {
            frame.min(sound_time(self.sounds))
        } else {
            frame
        }
    }

    /// Size of the picture.
    pub(crate) fn size(&self) -> (u32, u32) {
        self.shape.size
    }

    /// Whether there is sound.
    pub(crate) fn has_sound(&self) -> bool {
        self.shape.sound
    }

    /// Makes what is due next.
    pub(crate) fn make(&mut self, state: &State) -> anyhow::Result<(Kind, Frame)> {
        let published = &mut *state
            .published
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let micros = self.clock.micros(Instant::now());
        let sound =
            self.shape.sound && sound_time(self.sounds) <= frame_time(self.frames, self.shape.fps);
        let (kind, at, keyframe, data, config) = if sound {
            let at = sound_time(self.sounds);
            self.sounds += 1;
            let data = self.packetizer.audio(micros);
            (Kind::Audio, at, true, data, &self.audio_config)
        } else {
            let at = frame_time(self.frames, self.shape.fps);
            self.frames += 1;
            let frame = self.encoder.next_frame();
            published.frames += 1;
            published.keyframes += u64::from(frame.keyframe);
            let slice = self.packetizer.slice(frame, micros);
            let mut data = u32::try_from(slice.len())?.to_be_bytes().to_vec();
            data.extend_from_slice(&slice);
            (
                Kind::Video,
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
        Ok((kind, frame))
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
        .block_on(async {
            match target {
                Target::Rtmp(target) => rtmp::publish(target, media, state, started).await,
                Target::Ftl(target) => ftl::publish(target, media, state, started).await,
            }
        })
}
