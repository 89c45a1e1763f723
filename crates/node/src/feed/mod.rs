//! Encoders behind broadcast protocols: their frames become a publication.
//!
//! A door takes its protocol apart and hands access units over; what every such protocol needs is
//! done here once: times become RTP times on one clock, frames become packets for viewers over
//! WebRTC, sound that no browser plays becomes Opus while somebody listens, and readers of frames
//! get what came, untouched. It never waits and never opens a socket.

mod clock;
mod figures;
mod lane;
mod order;
mod recoding;

use std::sync::Arc;
use std::time::{Duration, Instant};

use inver_control::{Control, MediaEvent, PublishRequest, Refusal, Secret};
use inver_media::audio::{OPUS_BITRATE, ToOpus};
use inver_media::codec::records;
use inver_media::{Codec, Frame, Kind, MediaTime};
use inver_proto::{
    CloseCause, Door, ParticipantId, RoomId, SessionId, SourceId, Warning, WarningKind,
};
use inver_shard::{CloseReason, FeedLink};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::api::{Encoder, PublishFeed};
use crate::ask::Publisher;
use crate::figures as shown;
use crate::frames::Hub;
use crate::handle::{Handle, Inner};
use crate::ladder::{ADDED, Added};
use crate::sessions::{Reserved, refusal};

use clock::{Clock, Track};
pub(crate) use figures::{Feeds, Figures};
use lane::Lane;
use order::Order;
use recoding::Recoding;

/// Tracks of video that one encoder can send: simulcast has three, ladders a few more.
const MOST_LAYERS: u8 = 8;

/// A publication with pictures and without sound is told of after this time.
const NO_AUDIO_AFTER: Duration = Duration::from_secs(5);

/// Keyframes further apart than this make joiners wait for whom no group of pictures is kept.
const LONG_KEYFRAME_INTERVAL: Duration = Duration::from_secs(4);

/// Things that one publisher is told of; what one program of a transport stream can have too much.
const MOST_WARNINGS: usize = 24;

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
        let inner = &self.0;
        let wish = inner.ask_to_publish(Publisher {
            target: request.target,
            participant: request.participant,
            credentials: request.credentials,
            client: &request.client,
            offer: None,
            door: request.door,
        });
        self.begin_feed(wish.await?).await
    }

    /// Lets an encoder in whose wish control decides.
    pub(crate) async fn begin_feed(&self, wish: PublishRequest) -> Result<Feed, Refusal> {
        let inner = &self.0;
        let stands_in = wish.door == Door::Fallback;
        let ticket = inner.mutate(|control, now| control.begin_publish(wish, now))?;
        let (session, source) = (ticket.session, ticket.source);
        let reserved = Reserved::new(inner, session);
        let link = inner
            .media
            .begin_feed(session, source)
            .await
            .map_err(refusal)?;
        let hub = inner.hubs.of(source);
        let figures = Arc::new(Figures::default());
        // First, so that whoever finds the publisher finds that its frames can be read.
        let (adding, added) = mpsc::channel(ADDED);
        inner
            .feeds
            .insert(source, session, Arc::clone(&figures), adding);
        let started = match reserved.accept_feed(ticket) {
            Ok(started) => started,
            Err(refusal) => {
                inner.feeds.remove(source, session);
                return Err(refusal);
            }
        };
        hub.take(session, stands_in);
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
            added,
            warned: Vec::new(),
            begun: now,
            reviewed: now,
        })
    }
}

fn keys_of(control: &Control, room: &RoomId) -> Vec<Secret> {
    let keys = control.reveal_keys(room).unwrap_or_default();
    keys.into_iter().map(|(_, key)| key).collect()
}

/// One video track.
#[derive(Debug, Default)]
struct Video {
    lane: Option<Lane>,
    order: Order,
    /// The latest time that was sent as it came.
    sent: Option<MediaTime>,
    /// The coder, while somebody watches pictures that came out of order.
    recoding: Option<Recoding>,
    /// How often it was begun.
    begun: u32,
    /// It cannot be coded again: nobody is shown it.
    hopeless: bool,
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
    video: Vec<Video>,
    audio: Option<Lane>,
    to_opus: Option<Box<ToOpus>>,
    /// Pictures of layers that were made here.
    added: mpsc::Receiver<Added>,
    warned: Vec<Warning>,
    begun: Instant,
    reviewed: Instant,
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
        self.picture(layer, frame, false, now);
        self.take_added(now);
        self.review(now);
    }

    /// Takes what was made of earlier pictures.
    fn take_added(&mut self, now: Instant) {
        while let Ok(Added { layer, frame }) = self.added.try_recv() {
            if layer < MOST_LAYERS {
                self.picture(layer, &frame, true, now);
            }
        }
    }

    fn picture(&mut self, layer: u8, frame: &Frame, made_here: bool, now: Instant) {
        self.clock.observe(Track::Video(layer), frame.dts, now);
        self.figures.video(layer, frame, made_here, now);
        self.hub.video(Some(self.session), layer, frame);
        let index = usize::from(layer);
        if self.video.len() <= index {
            self.video.resize_with(index + 1, Video::default);
        }
        let mut video = std::mem::take(&mut self.video[index]);
        if video.order.finds(frame) {
            self.tell_of_order(frame.codec());
        }
        if video.order.is_reordered() {
            self.reordered(&mut video, layer, frame, now);
        } else {
            video.sent = video.sent.max(Some(frame.pts));
            let mut lane = lane_of(video.lane.take(), frame.codec(), layer);
            self.cut(&mut lane, frame, false, now);
            video.lane = Some(lane);
        }
        self.video[index] = video;
    }

    fn tell_of_order(&mut self, codec: Codec) {
        let cure = "set B-frames to 0 (OBS: bf=0 or the zerolatency tune; ffmpeg: -bf 0)";
        let message = if codec == Codec::H264 && self.inner.recoders.available_permits() > 0 {
            format!(
                "the encoder sends B-frames, which WebRTC cannot show, so the pictures are coded \
                 again here while somebody watches, at the cost of quality and up to a core; {cure}"
            )
        } else {
            format!(
                "the encoder sends B-frames, which WebRTC cannot show, so viewers over WebRTC are \
                 refused; {cure}"
            )
        };
        self.warn(WarningKind::BFrames, message);
    }

    /// A picture of a track whose pictures come out of order: coded again while somebody watches,
    /// or marked so that nobody is shown it.
    fn reordered(&mut self, video: &mut Video, layer: u8, frame: &Frame, now: Instant) {
        // Known before anybody watches, so that the first viewer is refused and told why.
        if frame.codec() != Codec::H264 || layer > 0 || !self.inner.recodes {
            video.hopeless = true;
        }
        if let Some(why) = video.recoding.as_ref().and_then(Recoding::failure) {
            video.recoding = None;
            video.hopeless = true;
            self.warn(WarningKind::Unsupported, why);
        }
        if video.hopeless {
            let mut lane = lane_of(video.lane.take(), frame.codec(), layer);
            self.cut(&mut lane, frame, true, now);
            video.lane = Some(lane);
            return;
        }
        // While all coders work for others, whoever wants to watch is refused at once.
        let none_left = self.inner.recoders.available_permits() == 0;
        self.figures.withhold(video.recoding.is_none() && none_left);
        if self.link.watchers() == 0 {
            // The thread ends when its queue does. Its packets' numbers end with it.
            if video.recoding.take().is_some() {
                video.lane = None;
            }
            self.link.send(Vec::new());
            return;
        }
        if video.recoding.is_none() {
            let Ok(permit) = Arc::clone(&self.inner.recoders).try_acquire_owned() else {
                self.warn(
                    WarningKind::Unsupported,
                    "the server codes as many streams with B-frames again as it may, so viewers \
                     over WebRTC wait or are refused until one of those ends"
                        .to_owned(),
                );
                self.link.send(Vec::new());
                return;
            };
            if !self.begin_recoding(video, layer, frame.codec(), permit) {
                video.hopeless = true;
                return self.reordered(video, layer, frame, now);
            }
        }
        if let Some(recoding) = &mut video.recoding {
            recoding.push(frame, &self.clock);
        }
    }

    /// Begins to code again, from the present group of pictures on.
    fn begin_recoding(
        &mut self,
        video: &mut Video,
        layer: u8,
        codec: Codec,
        permit: OwnedSemaphorePermit,
    ) -> bool {
        let lane = lane_of(video.lane.take(), codec, layer).onward(video.begun);
        video.begun += 1;
        let begun = Recoding::begin(lane, video.sent, self.link.sender(), permit);
        let Some(mut recoding) = begun else {
            return false;
        };
        // All but the latest, which comes by itself.
        let group = self.hub.group_before_latest(layer);
        for frame in group {
            recoding.push(&frame, &self.clock);
        }
        video.recoding = Some(recoding);
        true
    }

    /// Takes a piece of sound, AAC or Opus. Never waits.
    pub fn audio(&mut self, frame: &Frame) {
        let now = Instant::now();
        self.clock.observe(Track::Audio, frame.dts, now);
        self.figures.audio(frame, now);
        self.hub.audio(Some(self.session), frame);
        if frame.codec() == Codec::Aac {
            self.bridge(frame, now);
        } else {
            self.to_opus = None;
            self.sound(frame, now);
        }
        self.take_added(now);
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
        let mut lane = lane_of(self.audio.take(), frame.codec(), 0);
        self.cut(&mut lane, frame, false, now);
        self.audio = Some(lane);
    }

    fn cut(&mut self, lane: &mut Lane, frame: &Frame, out_of_order: bool, now: Instant) {
        let mut packets = Vec::new();
        if let Err(error) = lane.cut(frame, out_of_order, &self.clock, now, &mut packets) {
            tracing::debug!(session = %self.session, %error, "a frame was not sent on");
        }
        if !packets.is_empty() && !self.link.send(packets) {
            tracing::debug!(session = %self.session, "the data plane is behind; a frame is lost");
        }
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

    /// Tells the publisher something, once for each kind; of what is not supported, once for each
    /// message, as far as there is room for them.
    pub fn warn(&mut self, kind: WarningKind, message: String) {
        let warning = Warning { kind, message };
        let known = |told: &Warning| {
            told.kind == kind
                && (kind != WarningKind::Unsupported || told.message == warning.message)
        };
        if self.warned.iter().any(known) || self.warned.len() >= MOST_WARNINGS {
            return;
        }
        self.warned.push(warning.clone());
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
        if let Some(measured) = self.figures.keyframe_interval(now)
            && measured > LONG_KEYFRAME_INTERVAL
        {
            let warning = inver_shard::Warning::KeyframeInterval { measured };
            let Warning { kind, message } = shown::warning(warning);
            self.warn(kind, message);
        }
        if let Some(apart) = self.clock.disagreement() {
            self.warn(
                WarningKind::ClockDrift,
                format!(
                    "the times of sound and picture are {apart:.0} s apart, which cannot be true: \
                     they are put together as they arrive"
                ),
            );
        } else if let Some(apart) = self.clock.drift() {
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
        self.hub.release(self.session);
        self.inner.media.close(self.session, CloseReason::Remote);
    }
}

/// The lane that a track has, or another one where the codec is another.
fn lane_of(lane: Option<Lane>, codec: Codec, layer: u8) -> Lane {
    lane.filter(|lane| lane.codec() == codec)
        .unwrap_or_else(|| Lane::new(codec, layer))
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
