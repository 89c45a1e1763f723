//! Makes pictures, and keeps them while they are good.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use inver_media::Frame;
use inver_media::still::{self, Settings, still};
use inver_node::{FrameReader, Handle, Pictures, Picturing, Read, Refusal};
use inver_proto::{ParticipantId, RoomId};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

/// Rooms whose pictures are kept at most, each with some tens of kilobytes. More rooms at once, and
/// pictures are made again sooner than they had to be.
const MOST_ROOMS: usize = 512;

/// How pictures are made.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Size and quality.
    pub settings: Settings,
    /// How long a picture is good. Longer shows an older one, shorter decodes more often.
    pub interval: Duration,
    /// Longest wait for a keyframe. Encoders' latest one is at hand; a browser is asked for one and
    /// needs a round trip and a frame.
    pub keyframe_wait: Duration,
    /// Longest time from the question to the answer.
    pub deadline: Duration,
    /// Keyframes that are decoded at once. One of 1080p takes a core for some tens of
    /// milliseconds; more at once would take them from packets.
    pub decoders: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            interval: Duration::from_secs(5),
            keyframe_wait: Duration::from_secs(3),
            deadline: Duration::from_secs(6),
            decoders: 1,
        }
    }
}

/// A picture of a room.
#[derive(Debug, Clone)]
pub struct Picture {
    /// The JPEG.
    pub jpeg: Bytes,
    /// Its strong entity tag, with quotes.
    pub etag: Arc<str>,
}

/// Why there is no picture.
#[derive(Debug, Clone)]
pub enum Failure {
    /// Nobody is live whose frames can be read.
    Refused(Refusal),
    /// Nobody has sent a keyframe in time.
    NoKeyframe,
    /// It cannot be decoded.
    Still(still::Error),
    /// The server did not get to it in time.
    Busy,
}

/// Makes pictures of rooms. One for the whole server, so that its bounds hold.
#[derive(Debug)]
pub struct Maker {
    config: Config,
    decoders: Arc<Semaphore>,
    kept: Mutex<HashMap<Shown, Arc<Slot>>>,
}

/// What a picture is of: a room, or one participant of it.
type Shown = (RoomId, Option<ParticipantId>);

/// The latest picture. Whoever holds the lock makes the next one, and all others wait for it.
type Slot = tokio::sync::Mutex<Option<Kept>>;

#[derive(Debug)]
struct Kept {
    until: Instant,
    made: Result<Picture, Failure>,
}

impl Maker {
    /// No picture is made yet.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            decoders: Arc::new(Semaphore::new(config.decoders.max(1))),
            kept: Mutex::default(),
        }
    }

    /// How long a picture is good.
    pub fn interval(&self) -> Duration {
        self.config.interval
    }

    /// A picture of what a room shows, or one of its participants. Rights are the caller's matter.
    ///
    /// # Errors
    ///
    /// There is nothing to make a picture of.
    pub async fn picture(
        &self,
        handle: &Handle,
        room: &RoomId,
        participant: Option<&ParticipantId>,
    ) -> Result<Picture, Failure> {
        let slot = self.slot((room.clone(), participant.cloned()));
        let making = async {
            let mut kept = slot.lock().await;
            if let Some(kept) = &*kept
                && Instant::now() < kept.until
            {
                return kept.made.clone();
            }
            let made = self.make(handle, room, participant).await;
            // Who is live is known at any time, and may be somebody else the next moment.
            *kept = (!matches!(made, Err(Failure::Refused(_)))).then(|| Kept {
                until: Instant::now() + self.config.interval,
                made: made.clone(),
            });
            made
        };
        timeout(self.config.deadline, making)
            .await
            .unwrap_or(Err(Failure::Busy))
    }

    fn slot(&self, shown: Shown) -> Arc<Slot> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = kept.get(&shown) {
            return Arc::clone(slot);
        }
        // A room's picture is forgotten when others come, not at a time of its own.
        let now = Instant::now();
        let is_good = |slot: &Arc<Slot>| match slot.try_lock() {
            Ok(kept) => kept.as_ref().is_some_and(|kept| now < kept.until),
            Err(_) => true,
        };
        kept.retain(|_, slot| Arc::strong_count(slot) > 1 || is_good(slot));
        let slot = Arc::<Slot>::default();
        if kept.len() < MOST_ROOMS {
            kept.insert(shown, Arc::clone(&slot));
        }
        slot
    }

    async fn make(
        &self,
        handle: &Handle,
        room: &RoomId,
        participant: Option<&ParticipantId>,
    ) -> Result<Picture, Failure> {
        let reader = handle.glance(room, participant).map_err(Failure::Refused)?;
        let frame = timeout(self.config.keyframe_wait, keyframe(reader)).await;
        let frame = frame.ok().flatten().ok_or(Failure::NoKeyframe)?;
        let permit = Arc::clone(&self.decoders).acquire_owned().await;
        let permit = permit.map_err(|_| Failure::Busy)?;
        let settings = self.config.settings;
        let decoding = tokio::task::spawn_blocking(move || {
            // Given back when the work is done, also where nobody waits for it any more.
            let _permit = permit;
            still(&frame, &settings)
        });
        let decoded = decoding.await.unwrap_or_else(|error| {
            tracing::error!(%room, %error, "a keyframe was not decoded");
            Err(still::Error::Damaged)
        });
        let jpeg = decoded.map_err(Failure::Still)?.jpeg;
        let mut hasher = DefaultHasher::new();
        jpeg.hash(&mut hasher);
        let etag = format!("\"{:016x}\"", hasher.finish()).into();
        let jpeg = Bytes::from(jpeg);
        Ok(Picture { jpeg, etag })
    }
}

impl Pictures for Maker {
    fn picture<'a>(
        &'a self,
        handle: &'a Handle,
        room: &'a RoomId,
        participant: &'a ParticipantId,
    ) -> Picturing<'a> {
        Box::pin(async move {
            let picture = self.picture(handle, room, Some(participant)).await;
            picture.ok().map(|picture| picture.jpeg)
        })
    }
}

/// The first keyframe that a reader gets: the one with which the present group of pictures begins.
async fn keyframe(mut reader: FrameReader) -> Option<Arc<Frame>> {
    loop {
        match reader.next().await? {
            Read::Video { layer: 0, frame } if frame.keyframe => return Some(frame),
            Read::Video { .. } | Read::Audio(_) | Read::Lost | Read::Idle => {}
        }
    }
}
