//! Encoders behind broadcast protocols: their frames become a publication.
//!
//! A door takes its protocol apart and hands access units over; what every such protocol needs is
//! done here once: times become RTP times on one clock, frames become packets for viewers over
//! WebRTC, sound that no browser plays becomes Opus while somebody listens, and readers of frames
//! get what came, untouched. It never waits and never opens a socket.

mod clock;
mod figures;
mod lane;

use std::sync::Arc;
use std::time::{Duration, Instant};

use inver_control::{Control, MediaEvent, PublishRequest, PublishTarget, Refusal, Secret};
use inver_media::audio::{OPUS_BITRATE, ToOpus};
use inver_media::codec::records;
use inver_media::{Codec, Frame, Kind};
use inver_proto::{CloseCause, ParticipantId, RoomId, SessionId, SourceId, Warning, WarningKind};
use inver_shard::{CloseReason, FeedLink, Routed};

use crate::api::{Encoder, PublishFeed, Target};
use crate::figures as shown;
use crate::frames::Hub;
use crate::handle::{Handle, Inner};
use crate::sessions::{Reserved, client_info, refusal};

use clock::Clock;
pub(crate) use figures::{Feeds, Figures};
use lane::Lane;

/// Tracks of video that one encoder can send: simulcast has three, ladders a few more.
const MOST_LAYERS: u8 = 8;

/// A publication with pictures and without sound is told of after this time.
const NO_AUDIO_AFTER: Duration = Duration::from_secs(5);

/// Keyframes further apart than this make joiners wait for whom no group of pictures is kept.
const LONG_KEYFRAME_INTERVAL: Duration = Duration::from_secs(4);

/// How often figures are made and warnings looked for.
const REVIEW_INTERVAL: Duration = Duration::from_secs(1);

impl Handle {
    /// The room with this number and its stream keys, for protocols that know numbers. `None`:
    /// there is no such room.
    pub fn room_by_number(&self, number: u32) -> Option<(RoomId, Vec<Secret>)> {
        self.0.look(|control| {
            let room = control.room_by_number(number)?.clone();
            let keys = keys_of(control, &room);
            Some((room, keys))
        })
    }

    /// The stream keys of a room in clear, for protocols whose encryption needs them. Empty: it
    /// has none, or there is no such room.
    pub fn stream_keys(&self, room: &RoomId) -> Vec<Secret> {
        self.0.look(|control| keys_of(control, room))
    }

    /// The room of a `{room}-{key}` in one string, where a room has that key.
    pub fn split_stream_key(&self, text: &str) -> Option<RoomId> {
        self.0.look(|control| control.room_of_stream_key(text))
    }

    /// Lets an encoder in that hands over frames.
    ///
    /// # Errors
    ///
    /// Control refuses (credentials, another publisher), or the data plane is full.
    pub async fn publish_feed(&self, request: PublishFeed) -> Result<Feed, Refusal> {
        let wish = PublishRequest {
            target: match request.target {
                Target::Room(room) => PublishTarget::Room(room),
                Target::RoomWithKey(text) => PublishTarget::RoomWithKey(text),
            },
            participant: request.participant,
            credentials: request.credentials,
            client: client_info(&request.client, None),
            door: request.door,
        };
        let inner = &self.0;
        let ticket = inner.mutate(|control, now| control.begin_publish(wish, now))?;
        let (session, source) = (ticket.session, ticket.source);
        let reserved = Reserved::new(inner, session);
        let link = inner
            .media
            .begin_feed(session, source)
            .await
            .map_err(refusal)?;
        let started = reserved.accept_feed(ticket)?;
        let hub = inner.hubs.of(source);
        let figures = Arc::new(Figures::default());
        inner.feeds.insert(source, session, Arc::clone(&figures));
        let now = Instant::now();
        Ok(Feed {
            inner: Arc::clone(inner),
            session,
            source,
            room: started.0,
            participant: started.1,
            link,
            hub,
            figures,
            clock: Clock::new(now),
            video: Vec::new(),
            audio: None,
            to_opus: None,
            warned: Vec::new(),
            begun: now,
            reviewed: now,
            packets: Vec::new(),
        })
    }
}

fn keys_of(control: &Control, room: &RoomId) -> Vec<Secret> {
    let keys = control.reveal_keys(room).unwrap_or_default();
    keys.into_iter().map(|(_, key)| key).collect()
}

/// One encoder's session. Dropping it ends the session.
pub struct Feed {
    inner: Arc<Inner>,
    session: SessionId,
    source: SourceId,
    room: RoomId,
    participant: ParticipantId,
    link: FeedLink,
    hub: Arc<Hub>,
    figures: Arc<Figures>,
    clock: Clock,
    /// By layer.
    video: Vec<Option<Lane>>,
    audio: Option<Lane>,
    to_opus: Option<Box<ToOpus>>,
    warned: Vec<WarningKind>,
    begun: Instant,
    reviewed: Instant,
    packets: Vec<Routed>,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed")
            .field("session", &self.session)
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}

impl Feed {
    /// Its session's number.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The room that it feeds.
    pub fn room(&self) -> &RoomId {
        &self.room
    }

    /// As whom.
    pub fn participant(&self) -> &ParticipantId {
        &self.participant
    }

    /// Takes a picture of a video track; 0 is the only one or the first. Never waits.
    pub fn video(&mut self, layer: u8, frame: &Frame) {
        let now = Instant::now();
        if layer >= MOST_LAYERS {
            self.warn(
                WarningKind::Unsupported,
                format!("more than {MOST_LAYERS} video tracks came; the others are dropped"),
            );
            return;
        }
        self.clock.observe(frame.dts, now);
        self.figures.video(layer, frame, now);
        self.hub.video(layer, frame);
        let index = usize::from(layer);
        if self.video.len() <= index {
            self.video.resize_with(index + 1, || None);
        }
        let lane = self.video[index].take();
        let mut lane = lane
            .filter(|lane| lane.codec() == frame.codec())
            .unwrap_or_else(|| Lane::new(frame.codec(), layer));
        if lane.finds_reordering(frame) {
            self.warn(
                WarningKind::BFrames,
                "the encoder sends B-frames, which WebRTC cannot show: set B-frames to 0 (OBS: \
                 bf=0 or the zerolatency tune; ffmpeg: -bf 0)"
                    .to_owned(),
            );
        }
        self.cut(&mut lane, frame, now);
        self.video[index] = Some(lane);
        self.review(now);
    }

    /// Takes a piece of sound, AAC or Opus. Never waits.
    pub fn audio(&mut self, frame: &Frame) {
        let now = Instant::now();
        self.clock.observe(frame.dts, now);
        self.figures.audio(frame, now);
        self.hub.audio(frame);
        if frame.codec() == Codec::Aac {
            self.bridge(frame, now);
        } else {
            self.to_opus = None;
            self.sound(frame, now);
        }
        self.review(now);
    }

    /// What only browsers need is made while there is one; without pictures the sound shows that
    /// the publication lives.
    fn bridge(&mut self, frame: &Frame, now: Instant) {
        if self.link.watchers() == 0 && !self.video.is_empty() {
            self.to_opus = None;
            // Nothing to send, and yet alive.
            self.link.send(Vec::new());
            return;
        }
        if self.to_opus.is_none() {
            match ToOpus::new(OPUS_BITRATE) {
                Ok(bridge) => self.to_opus = Some(Box::new(bridge)),
                Err(error) => return self.warn_of_sound(&error),
            }
        }
        let Some(bridge) = &mut self.to_opus else {
            return;
        };
        match bridge.push(frame) {
            Ok(frames) => {
                for frame in &frames {
                    self.sound(frame, now);
                }
            }
            Err(error) => {
                let ended = matches!(
                    error,
                    inver_media::audio::Error::Panicked | inver_media::audio::Error::Ended
                );
                if ended {
                    self.to_opus = None;
                }
                self.warn_of_sound(&error);
            }
        }
    }

    fn warn_of_sound(&mut self, error: &inver_media::audio::Error) {
        self.warn(
            WarningKind::Unsupported,
            format!("the sound cannot be turned into Opus for browsers: {error}"),
        );
    }

    fn sound(&mut self, frame: &Frame, now: Instant) {
        let lane = self.audio.take();
        let mut lane = lane
            .filter(|lane| lane.codec() == frame.codec())
            .unwrap_or_else(|| Lane::new(frame.codec(), 0));
        self.cut(&mut lane, frame, now);
        self.audio = Some(lane);
    }

    fn cut(&mut self, lane: &mut Lane, frame: &Frame, now: Instant) {
        let mut packets = std::mem::take(&mut self.packets);
        if let Err(error) = lane.cut(frame, &self.clock, now, &mut packets) {
            tracing::debug!(session = %self.session, %error, "a frame was not sent on");
        }
        if !packets.is_empty() && !self.link.send(packets) {
            tracing::debug!(session = %self.session, "the data plane is behind; a frame is lost");
        }
        self.packets = Vec::new();
    }

    /// Tells what is known of the encoder, for the API and the pages.
    pub fn tell(&mut self, encoder: Encoder) {
        let name = match (&encoder.name, &encoder.version) {
            (Some(name), Some(version)) => Some(format!("{name} {version}")),
            (Some(name), None) => Some(name.clone()),
            (None, _) => None,
        };
        if let Some(name) = name {
            self.inner
                .mutate(|control, _| control.name_client(self.session, name));
        }
        self.figures.tell(encoder);
    }

    /// Tells the publisher something, once for each kind.
    pub fn warn(&mut self, kind: WarningKind, message: String) {
        if self.warned.contains(&kind) {
            return;
        }
        self.warned.push(kind);
        let warning = Warning { kind, message };
        self.inner.mutate(|control, now| {
            control.handle_media(MediaEvent::Warned(self.session, warning), now);
        });
    }

    fn review(&mut self, now: Instant) {
        if now.saturating_duration_since(self.reviewed) < REVIEW_INTERVAL {
            return;
        }
        self.reviewed = now;
        let silent = !self.video.is_empty()
            && !self.figures.has(Kind::Audio)
            && now.saturating_duration_since(self.begun) > NO_AUDIO_AFTER;
        if silent {
            self.warn(
                WarningKind::NoAudio,
                "there is video and no sound; add an audio track".to_owned(),
            );
        }
        if let Some(measured) = self.figures.keyframe_interval()
            && measured > LONG_KEYFRAME_INTERVAL
        {
            let warning = inver_shard::Warning::KeyframeInterval { measured };
            let Warning { kind, message } = shown::warning(warning);
            self.warn(kind, message);
        }
        if let Some(apart) = self.clock.drift() {
            self.warn(
                WarningKind::ClockDrift,
                format!(
                    "the encoder's clock runs {apart:+.0} parts per million apart from real time; \
                     sound and picture stay in step, and the delay grows or shrinks with it"
                ),
            );
        }
    }

    /// Waits until control has ended the session: kicked, taken over, drained. Cancel-safe.
    pub async fn closed(&mut self) -> CloseCause {
        shown::cause(self.link.closed().await)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.inner.feeds.remove(self.source, self.session);
        self.hub.idle();
        self.inner.media.close(self.session, CloseReason::Remote);
    }
}

/// Size, profile and the like of a video configuration, for the packets' format.
fn format_of(frame: &Frame) -> inver_media::Format {
    let mut format = inver_media::Format::new(frame.codec());
    format.h264_profile_level = records::profile_level_id(&frame.config);
    if let inver_media::Config::Vp9 { profile } = &*frame.config {
        format.vp9_profile = *profile;
    }
    format
}
