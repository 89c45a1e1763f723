//! Readers of frames: outputs that are no WebRTC viewers get what the encoder sent, untouched.
//!
//! Each source has a hub. A reader begins with the present group of pictures and goes on live; one
//! that is too slow loses what it did not take and goes on with the next keyframe. Nothing here
//! makes the encoder wait.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use inver_control::{Refusal, RefusalKind};
use inver_media::{Codec, Frame};
use inver_proto::{CloseCause, ParticipantId, RelayPath, RoomId, SessionId, SourceId};
use inver_rtc::Layer;
use tokio::sync::{broadcast, oneshot};

use crate::api::ReadFrames;
use crate::ask::Viewer;
use crate::handle::{Handle, Inner};
use crate::packets;

/// Frames that wait for the slowest reader: about five seconds of picture and sound. More costs
/// memory while somebody is slow, less drops on short stalls.
const WAITING: usize = 512;

/// Bytes and frames of the group of pictures that is kept at most; a larger one is dropped, and
/// readers wait for the next keyframe.
const MOST_BYTES: usize = 16 << 20;
const MOST_FRAMES: usize = 2_000;

/// A group of pictures that began longer ago than this is not replayed where the publisher can be
/// asked for a keyframe: joiners would have to catch up with all of it. Less asks more often.
const REPLAYED: Duration = Duration::from_secs(4);

/// Layers that are told apart at most.
const MOST_LAYERS: u8 = 8;

/// What a reader gets.
#[derive(Debug, Clone)]
pub enum Read {
    /// A picture.
    Video {
        /// Its place among the publisher's layers: 0 is the best, and the only one where there is
        /// no simulcast; an encoder with several video tracks numbers them itself. Each layer
        /// begins with a keyframe.
        layer: u8,
        /// The picture.
        frame: Arc<Frame>,
    },
    /// A piece of sound.
    Audio(Arc<Frame>),
    /// Something is missing here; video goes on with a keyframe.
    Lost,
    /// The publisher is gone and may come back.
    Idle,
}

/// What one source's frames pass through.
#[derive(Debug)]
pub(crate) struct Hub {
    live: broadcast::Sender<Sent>,
    group: Mutex<Group>,
    /// Readers that are a reason to have the source here.
    holding: AtomicUsize,
}

/// What all readers are sent.
#[derive(Debug, Clone)]
struct Sent {
    read: Read,
    /// It is not the publisher's: something stands in for it.
    stands_in: bool,
}

/// An encoder that feeds a hub. What an earlier one still hands over is dropped.
#[derive(Debug, Clone, Copy)]
struct Owner {
    session: SessionId,
    stands_in: bool,
}

#[derive(Debug, Default)]
struct Group {
    /// Pictures of each layer since its last keyframe, and sound, in the order in which they came.
    reads: Vec<Read>,
    bytes: usize,
    /// When the kept keyframe of each layer came.
    begun: [Option<Instant>; MOST_LAYERS as usize],
    /// The encoder that feeds it; `None` where what comes over WebRTC does.
    owner: Option<Owner>,
    /// The codec of the sound that came last.
    sound: Option<Codec>,
    /// Packets are put together for this hub now.
    pumping: bool,
    /// The publisher's numbers of its layers, the best first, where they are not the same.
    layers: Vec<u8>,
}

impl Hub {
    fn new() -> Self {
        Self {
            live: broadcast::channel(WAITING).0,
            group: Mutex::new(Group::default()),
            holding: AtomicUsize::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Group> {
        self.group.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An encoder's session feeds it from now on.
    pub(crate) fn take(&self, session: SessionId, stands_in: bool) {
        let mut group = self.lock();
        if group.owner.is_some() || !group.reads.is_empty() {
            self.break_off(&mut group);
        }
        group.owner = Some(Owner { session, stands_in });
    }

    /// An encoder's session feeds it no more.
    pub(crate) fn release(&self, session: SessionId) {
        let mut group = self.lock();
        if group.is_fed_by(Some(session)) {
            group.owner = None;
            self.break_off(&mut group);
        }
    }

    /// The codec of the sound that came last.
    pub(crate) fn sound(&self) -> Option<Codec> {
        self.lock().sound
    }

    /// Takes a picture of an encoder's session, or of what comes over WebRTC.
    pub(crate) fn video(&self, from: Option<SessionId>, layer: u8, frame: &Frame) {
        let read = Read::Video {
            layer,
            frame: Arc::new(frame.clone()),
        };
        let mut group = self.lock();
        if !group.is_fed_by(from) {
            return;
        }
        if frame.keyframe {
            group.begin(layer);
        }
        group.keep(&read, frame);
        // Under the lock, or a reader that joins now would get the frame twice or never.
        self.send(&group, read);
    }

    /// Takes a piece of sound of an encoder's session, or of what comes over WebRTC.
    pub(crate) fn audio(&self, from: Option<SessionId>, frame: &Frame) {
        let read = Read::Audio(Arc::new(frame.clone()));
        let mut group = self.lock();
        if !group.is_fed_by(from) {
            return;
        }
        group.sound = Some(frame.codec());
        group.keep(&read, frame);
        self.send(&group, read);
    }

    /// The publisher over WebRTC is gone and may come back.
    pub(crate) fn idle(&self) {
        let mut group = self.lock();
        if group.is_fed_by(None) {
            self.break_off(&mut group);
        }
    }

    fn break_off(&self, group: &mut Group) {
        group.clear();
        // Everybody has to know it.
        let _ = self.live.send(Sent {
            read: Read::Idle,
            stands_in: false,
        });
    }

    fn send(&self, group: &Group, read: Read) {
        let stands_in = group.stands_in();
        let _ = self.live.send(Sent { read, stands_in });
    }

    /// Pictures of the best layer are missing.
    pub(crate) fn lost(&self) {
        let mut group = self.lock();
        if group.is_fed_by(None) {
            group.drop_layer(0);
            self.send(&group, Read::Lost);
        }
    }

    /// The publisher's layers have these numbers, the best first.
    pub(crate) fn set_layers(&self, layers: Vec<u8>) {
        let mut group = self.lock();
        if group
            .layers
            .iter()
            .zip(&layers)
            .any(|(old, new)| old != new)
        {
            group.clear();
        }
        group.layers = layers;
    }

    /// The publisher's number of a layer.
    fn number_of(&self, layer: u8) -> u8 {
        let group = self.lock();
        group
            .layers
            .get(usize::from(layer))
            .copied()
            .unwrap_or(layer)
    }

    /// Notes that packets are put together for this hub. `false`: they are already.
    pub(crate) fn begin_pumping(&self) -> bool {
        let mut group = self.lock();
        !std::mem::replace(&mut group.pumping, true)
    }

    /// Whether anybody reads. Where nobody does, packets are not put together from now on.
    pub(crate) fn is_read(&self) -> bool {
        // Under the lock, so that whoever joins now begins anew or is seen here.
        let mut group = self.lock();
        let read = self.live.receiver_count() > 0;
        if !read {
            group.stop_pumping();
        }
        read
    }

    /// Notes that packets are not put together any more.
    pub(crate) fn stop_pumping(&self) {
        self.lock().stop_pumping();
    }

    /// The pictures of a layer since its last keyframe, but for the latest one.
    pub(crate) fn group_before_latest(&self, layer: u8) -> Vec<Arc<Frame>> {
        let group = self.lock();
        let pictures = group.reads.iter().filter_map(|read| match read {
            Read::Video { layer: of, frame } if *of == layer => Some(Arc::clone(frame)),
            Read::Video { .. } | Read::Audio(_) | Read::Lost | Read::Idle => None,
        });
        let mut pictures: Vec<Arc<Frame>> = pictures.collect();
        pictures.pop();
        pictures
    }

    /// The present groups and what follows them; `recent` leaves out what began long ago, and
    /// without `all` what only stands in for the publisher is left out.
    fn join(&self, recent: bool, all: bool) -> (VecDeque<Read>, broadcast::Receiver<Sent>) {
        let group = self.lock();
        let replayed = group.begun[0].is_some_and(|at| !recent || at.elapsed() < REPLAYED)
            && (all || !group.stands_in());
        let first = if replayed {
            group.reads.iter().cloned().collect()
        } else {
            VecDeque::new()
        };
        (first, self.live.subscribe())
    }
}

impl Group {
    fn is_fed_by(&self, session: Option<SessionId>) -> bool {
        self.owner.map(|owner| owner.session) == session
    }

    fn stands_in(&self) -> bool {
        self.owner.is_some_and(|owner| owner.stands_in)
    }

    /// A keyframe of a layer comes.
    fn begin(&mut self, layer: u8) {
        self.drop_layer(layer);
        if let Some(begun) = self.begun.get_mut(usize::from(layer)) {
            *begun = Some(Instant::now());
        }
    }

    fn keep(&mut self, read: &Read, frame: &Frame) {
        let kept = match read {
            Read::Video { layer, .. } => self
                .begun
                .get(usize::from(*layer))
                .is_some_and(Option::is_some),
            Read::Audio(_) => self.begun.iter().any(Option::is_some),
            Read::Lost | Read::Idle => false,
        };
        if !kept {
            return;
        }
        self.bytes += frame.data.len();
        if self.bytes > MOST_BYTES || self.reads.len() == MOST_FRAMES {
            self.clear();
            return;
        }
        self.reads.push(read.clone());
    }

    /// Drops a layer's pictures, and sound that came before those of others.
    fn drop_layer(&mut self, layer: u8) {
        if let Some(begun) = self.begun.get_mut(usize::from(layer)) {
            *begun = None;
        }
        let mut pictures = false;
        self.reads.retain(|read| match read {
            Read::Video { layer: of, .. } => {
                pictures |= *of != layer;
                *of != layer
            }
            Read::Audio(_) => pictures,
            Read::Lost | Read::Idle => false,
        });
        self.bytes = self.reads.iter().map(Read::len).sum();
    }

    fn clear(&mut self) {
        self.reads.clear();
        self.bytes = 0;
        self.begun = Default::default();
    }

    /// Who joins later must not get what is old by then.
    fn stop_pumping(&mut self) {
        if std::mem::take(&mut self.pumping) && !self.layers.is_empty() {
            self.clear();
        }
        self.layers.clear();
    }
}

impl Read {
    fn len(&self) -> usize {
        match self {
            Self::Video { frame, .. } | Self::Audio(frame) => frame.data.len(),
            Self::Lost | Self::Idle => 0,
        }
    }
}

/// The hubs of all sources.
#[derive(Debug, Default)]
pub(crate) struct Hubs(Mutex<HashMap<SourceId, Arc<Hub>>>);

impl Hubs {
    fn lock(&self) -> MutexGuard<'_, HashMap<SourceId, Arc<Hub>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn of(&self, source: SourceId) -> Arc<Hub> {
        let mut hubs = self.lock();
        Arc::clone(hubs.entry(source).or_insert_with(|| Arc::new(Hub::new())))
    }

    /// Whether a source has readers that are a reason to have it here.
    pub(crate) fn is_held(&self, source: SourceId) -> bool {
        let hubs = self.lock();
        hubs.get(&source)
            .is_some_and(|hub| hub.holding.load(Ordering::Relaxed) > 0)
    }

    pub(crate) fn forget(&self, source: SourceId) {
        self.lock().remove(&source);
    }
}

/// Sessions of readers, which no shard knows, with the way to end each.
#[derive(Debug, Default)]
pub(crate) struct Readers(Mutex<HashMap<SessionId, oneshot::Sender<CloseCause>>>);

impl Readers {
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, oneshot::Sender<CloseCause>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a reader's session. `false`: there is no such one.
    pub(crate) fn close(&self, session: SessionId, cause: CloseCause) -> bool {
        let Some(closed) = self.lock().remove(&session) else {
            return false;
        };
        // A reader that is gone needs no word.
        let _ = closed.send(cause);
        true
    }
}

/// How somebody reads.
#[derive(Debug, Clone, Copy)]
struct Reading {
    /// It is a reason to have the source here.
    holds: bool,
    /// It gets what only stands in for the publisher, too.
    all: bool,
}

/// As a viewer does.
const HOLDS_ALL: Reading = Reading {
    holds: true,
    all: true,
};

impl Handle {
    /// Lets a reader of frames in.
    ///
    /// # Errors
    ///
    /// Control refuses, nobody is live, or what comes over WebRTC has B-frames.
    pub async fn read_frames(&self, request: ReadFrames) -> Result<FrameReader, Refusal> {
        let inner = &self.0;
        let wish = inner.ask_to_watch(Viewer {
            room: request.room,
            participant: request.participant,
            credentials: request.credentials,
            client: &request.client,
            offer: None,
            wait: false,
            door: request.door,
        });
        let wish = wish.await?;
        self.bring(&wish, &RelayPath::default()).await;
        inner.fetch(&wish, &RelayPath::default()).await?;
        let ticket = inner.mutate(|control, now| control.begin_subscribe(wish, now))?;
        let (session, source) = (ticket.session, ticket.source);
        if let Err(refusal) = inner.check_order(source, &ticket.room) {
            inner.mutate(|control, now| control.failed(session, now));
            return Err(refusal);
        }
        let (closed, ended) = oneshot::channel();
        inner.readers.lock().insert(session, closed);
        inner.mutate(|control, now| {
            let accepted = control.accepted(session, "", now);
            if accepted.is_ok() {
                control.handle_media(inver_control::MediaEvent::Connected(session), now);
            }
            accepted
        })?;
        let mut reader =
            FrameReader::join(inner, source, ticket.room, ticket.participant, HOLDS_ALL);
        reader.session = Some(session);
        reader.ended = Some(ended);
        Ok(reader)
    }

    /// Reads frames for the server itself: for recordings and what is passed on. It needs no
    /// rights, counts as no viewer and ends with the source; whoever hands on what it gives asks
    /// for rights there. A room that comes from another server stays here for it.
    ///
    /// # Errors
    ///
    /// Nobody publishes there now, or what comes over WebRTC has B-frames.
    pub fn tap(
        &self,
        room: &RoomId,
        participant: Option<&ParticipantId>,
    ) -> Result<FrameReader, Refusal> {
        self.read(room, participant, HOLDS_ALL)
    }

    /// As [`Self::tap`], for segments and pictures, which are no reason to have a room here: who
    /// watches them is.
    ///
    /// # Errors
    ///
    /// As [`Self::tap`].
    pub fn glance(
        &self,
        room: &RoomId,
        participant: Option<&ParticipantId>,
    ) -> Result<FrameReader, Refusal> {
        let reading = Reading {
            holds: false,
            ..HOLDS_ALL
        };
        self.read(room, participant, reading)
    }

    /// As [`Self::tap`], without what only stands in for the publisher while that is gone.
    ///
    /// # Errors
    ///
    /// As [`Self::tap`].
    pub fn tap_publisher(
        &self,
        room: &RoomId,
        participant: Option<&ParticipantId>,
    ) -> Result<FrameReader, Refusal> {
        let reading = Reading {
            all: false,
            ..HOLDS_ALL
        };
        self.read(room, participant, reading)
    }

    fn read(
        &self,
        room: &RoomId,
        participant: Option<&ParticipantId>,
        reading: Reading,
    ) -> Result<FrameReader, Refusal> {
        let inner = &self.0;
        let Some((participant, source)) =
            inner.look(|control| control.published(room, participant))
        else {
            let detail = format!("nobody publishes in {room} now");
            return Err(Refusal::new(RefusalKind::Conflict, detail));
        };
        inner.check_order(source, room)?;
        let room = room.clone();
        Ok(FrameReader::join(inner, source, room, participant, reading))
    }
}

impl Inner {
    /// Refuses to read pictures whose order nobody can tell: RTP does not say when each is decoded.
    fn check_order(&self, source: SourceId, room: &RoomId) -> Result<(), Refusal> {
        let over_webrtc = self.feeds.get(source).is_none();
        if over_webrtc && self.look(|control| control.sends_b_frames(source)) {
            let detail = format!(
                "{room} is published over WebRTC with B-frames, which cannot be shown in order; the \
                 publisher has to set B-frames to 0 (OBS: bf=0 or the zerolatency tune)"
            );
            return Err(Refusal::new(RefusalKind::Unplayable, detail));
        }
        Ok(())
    }
}

/// One reader, with a session unless the server reads for itself. Dropping it ends the session.
pub struct FrameReader {
    inner: Arc<Inner>,
    session: Option<SessionId>,
    source: SourceId,
    /// Only the publication keeps it: its end ends the reader.
    hub: Weak<Hub>,
    room: RoomId,
    participant: ParticipantId,
    first: VecDeque<Read>,
    live: broadcast::Receiver<Sent>,
    /// Whether it gets what only stands in for the publisher, too.
    all: bool,
    ended: Option<oneshot::Receiver<CloseCause>>,
    cause: Option<CloseCause>,
    /// Layers, a bit each, whose pictures are held back until a keyframe.
    awaits_keyframe: u8,
    /// Whether it is a reason to have the source here.
    holds: bool,
}

impl std::fmt::Debug for FrameReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameReader")
            .field("session", &self.session)
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}

impl FrameReader {
    /// Joins a source's readers, without a session.
    fn join(
        inner: &Arc<Inner>,
        source: SourceId,
        room: RoomId,
        participant: ParticipantId,
        reading: Reading,
    ) -> Self {
        let hub = inner.hubs.of(source);
        let (first, live) = hub.join(inner.feeds.get(source).is_none(), reading.all);
        packets::begin(inner, source, &hub);
        hub.holding
            .fetch_add(usize::from(reading.holds), Ordering::Relaxed);
        let reader = Self {
            inner: Arc::clone(inner),
            session: None,
            source,
            hub: Arc::downgrade(&hub),
            room,
            participant,
            first,
            live,
            all: reading.all,
            ended: None,
            cause: None,
            awaits_keyframe: u8::MAX,
            holds: reading.holds,
        };
        if reader.first.is_empty() {
            reader.want_keyframe(0);
        }
        reader
    }

    /// Asks the publisher for a keyframe of a layer, as far as it can be asked: encoders that do
    /// not speak WebRTC cannot. Many requests at once become one.
    pub fn want_keyframe(&self, layer: u8) {
        if self.inner.feeds.get(self.source).is_some() {
            return;
        }
        if let Some(hub) = self.hub.upgrade() {
            let layer = Layer(hub.number_of(layer));
            self.inner.media.want_keyframe(self.source, layer);
        }
    }

    /// Its session's number; `None` where the server reads for itself.
    pub fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// Whether what it reads comes over WebRTC, where a keyframe is asked for and waited for.
    pub fn is_over_webrtc(&self) -> bool {
        self.inner.feeds.get(self.source).is_none()
    }

    /// The room that it reads.
    pub fn room(&self) -> &RoomId {
        &self.room
    }

    /// Whose session it is; of a [tap](Handle::tap) whose media it reads.
    pub fn participant(&self) -> &ParticipantId {
        &self.participant
    }

    /// Why reading ended, once [`Self::next`] has given `None`.
    pub fn closed_by(&self) -> Option<CloseCause> {
        self.cause
    }

    /// The next frame; `None` once control has ended the session. Cancel-safe.
    pub async fn next(&mut self) -> Option<Read> {
        if self.cause.is_some() {
            return None;
        }
        loop {
            if let Some(read) = self.first.pop_front() {
                if let Some(read) = self.sift(read) {
                    return Some(read);
                }
                continue;
            }
            let read = tokio::select! {
                biased;
                cause = closed(&mut self.ended) => {
                    self.cause = Some(cause.unwrap_or(CloseCause::Drained));
                    return None;
                }
                sent = self.live.recv() => match sent {
                    Ok(sent) if sent.stands_in && !self.all => continue,
                    Ok(sent) => sent.read,
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        self.awaits_keyframe = u8::MAX;
                        self.want_keyframe(0);
                        Read::Lost
                    }
                    Err(broadcast::error::RecvError::Closed) => {
                        self.cause = Some(CloseCause::PublisherGone);
                        return None;
                    }
                },
            };
            if let Some(read) = self.sift(read) {
                return Some(read);
            }
        }
    }

    /// Holds pictures back that cannot be decoded.
    fn sift(&mut self, read: Read) -> Option<Read> {
        match &read {
            Read::Video { layer, frame } => {
                let layer = 1_u8 << (*layer).min(MOST_LAYERS - 1);
                if self.awaits_keyframe & layer != 0 && !frame.keyframe {
                    return None;
                }
                self.awaits_keyframe &= !layer;
            }
            Read::Lost => self.awaits_keyframe |= 1,
            Read::Idle => self.awaits_keyframe = u8::MAX,
            Read::Audio(_) => {}
        }
        Some(read)
    }
}

/// Waits for the end of a session; for ever where there is none.
async fn closed(ended: &mut Option<oneshot::Receiver<CloseCause>>) -> Result<CloseCause, ()> {
    match ended {
        Some(ended) => ended.await.map_err(|_| ()),
        None => std::future::pending().await,
    }
}

impl Drop for FrameReader {
    fn drop(&mut self) {
        if self.holds
            && let Some(hub) = self.hub.upgrade()
        {
            hub.holding.fetch_sub(1, Ordering::Relaxed);
        }
        let Some(session) = self.session else {
            return;
        };
        self.inner.readers.lock().remove(&session);
        if self.cause.is_none() {
            self.inner.mutate(|control, now| {
                let closed = inver_control::MediaEvent::Closed(session, CloseCause::Remote);
                control.handle_media(closed, now);
            });
        }
    }
}
