//! Readers of frames: outputs that are no WebRTC viewers get what the encoder sent, untouched.
//!
//! Each source has a hub. A reader begins with the present group of pictures and goes on live; one
//! that is too slow loses what it did not take and goes on with the next keyframe. Nothing here
//! makes the encoder wait.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use inver_control::{Refusal, RefusalKind};
use inver_media::Frame;
use inver_proto::{CloseCause, ParticipantId, RoomId, SessionId, SourceId};
use tokio::sync::{broadcast, oneshot};

use crate::api::ReadFrames;
use crate::ask::Viewer;
use crate::handle::{Handle, Inner};

/// Frames that wait for the slowest reader: about five seconds of picture and sound. More costs
/// memory while somebody is slow, less drops on short stalls.
const WAITING: usize = 512;

/// Bytes and frames of the group of pictures that is kept at most; a larger one is dropped, and
/// readers wait for the next keyframe.
const MOST_BYTES: usize = 16 << 20;
const MOST_FRAMES: usize = 2_000;

/// What a reader gets.
#[derive(Debug, Clone)]
pub enum Read {
    /// A picture.
    Video {
        /// Its track, 0 where there is one.
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
    live: broadcast::Sender<Read>,
    group: Mutex<Group>,
}

#[derive(Debug, Default)]
struct Group {
    reads: Vec<Read>,
    bytes: usize,
    whole: bool,
}

impl Hub {
    fn new() -> Self {
        Self {
            live: broadcast::channel(WAITING).0,
            group: Mutex::new(Group::default()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Group> {
        self.group.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn video(&self, layer: u8, frame: &Frame) {
        let read = Read::Video {
            layer,
            frame: Arc::new(frame.clone()),
        };
        let mut group = self.lock();
        if layer == 0 && frame.keyframe {
            *group = Group {
                whole: true,
                ..Group::default()
            };
        }
        group.keep(&read, frame);
        // Under the lock, or a reader that joins now would get the frame twice or never.
        let _ = self.live.send(read);
    }

    pub(crate) fn audio(&self, frame: &Frame) {
        let read = Read::Audio(Arc::new(frame.clone()));
        let mut group = self.lock();
        group.keep(&read, frame);
        let _ = self.live.send(read);
    }

    pub(crate) fn idle(&self) {
        let mut group = self.lock();
        *group = Group::default();
        let _ = self.live.send(Read::Idle);
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

    /// The present group and what follows it.
    fn join(&self) -> (VecDeque<Read>, broadcast::Receiver<Read>) {
        let group = self.lock();
        let first = if group.whole {
            group.reads.iter().cloned().collect()
        } else {
            VecDeque::new()
        };
        (first, self.live.subscribe())
    }
}

impl Group {
    fn keep(&mut self, read: &Read, frame: &Frame) {
        if !self.whole {
            return;
        }
        self.bytes += frame.data.len();
        if self.bytes > MOST_BYTES || self.reads.len() == MOST_FRAMES {
            *self = Self::default();
            return;
        }
        self.reads.push(read.clone());
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

    /// Whether somebody reads a source.
    pub(crate) fn is_read(&self, source: SourceId) -> bool {
        let hubs = self.lock();
        hubs.get(&source)
            .is_some_and(|hub| hub.live.receiver_count() > 0)
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

impl Handle {
    /// Lets a reader of frames in.
    ///
    /// # Errors
    ///
    /// Control refuses, or nobody is live whose frames can be read.
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
        self.bring(&wish).await;
        let ticket = inner.mutate(|control, now| control.begin_subscribe(wish, now))?;
        let (session, source) = (ticket.session, ticket.source);
        if inner.feeds.get(source).is_none() {
            inner.mutate(|control, now| control.failed(session, now));
            let detail = format!(
                "{} is published over WebRTC, which this protocol cannot carry on; watch it by WHEP",
                ticket.room
            );
            return Err(Refusal::new(RefusalKind::Unplayable, detail));
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
        let (first, live) = inner.hubs.of(source).join();
        Ok(FrameReader {
            inner: Arc::clone(inner),
            session: Some(session),
            room: ticket.room,
            participant: ticket.participant,
            first,
            live,
            ended: Some(ended),
            cause: None,
            awaits_keyframe: true,
        })
    }

    /// Reads frames for the server itself: for segments, recordings, pictures and what is passed
    /// on. It needs no rights, counts as no viewer and ends with the source; whoever hands on what
    /// it gives asks for rights there.
    ///
    /// # Errors
    ///
    /// Nobody publishes there now, or nobody whose frames can be read.
    pub fn tap(
        &self,
        room: &RoomId,
        participant: Option<&ParticipantId>,
    ) -> Result<FrameReader, Refusal> {
        let inner = &self.0;
        let Some((participant, source)) =
            inner.look(|control| control.published(room, participant))
        else {
            let detail = format!("nobody publishes in {room} now");
            return Err(Refusal::new(RefusalKind::Conflict, detail));
        };
        if inner.feeds.get(source).is_none() {
            let detail = format!("{room} is published over WebRTC, whose frames are not read");
            return Err(Refusal::new(RefusalKind::Unplayable, detail));
        }
        let (first, live) = inner.hubs.of(source).join();
        Ok(FrameReader {
            inner: Arc::clone(inner),
            session: None,
            room: room.clone(),
            participant,
            first,
            live,
            ended: None,
            cause: None,
            awaits_keyframe: true,
        })
    }
}

/// One reader, with a session unless the server reads for itself. Dropping it ends the session.
pub struct FrameReader {
    inner: Arc<Inner>,
    session: Option<SessionId>,
    room: RoomId,
    participant: ParticipantId,
    first: VecDeque<Read>,
    live: broadcast::Receiver<Read>,
    ended: Option<oneshot::Receiver<CloseCause>>,
    cause: Option<CloseCause>,
    awaits_keyframe: bool,
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
    /// Its session's number; `None` where the server reads for itself.
    pub fn session(&self) -> Option<SessionId> {
        self.session
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
                read = self.live.recv() => match read {
                    Ok(read) => read,
                    Err(broadcast::error::RecvError::Lagged(_)) => Read::Lost,
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
            Read::Video { layer: 0, frame } => {
                if self.awaits_keyframe && !frame.keyframe {
                    return None;
                }
                self.awaits_keyframe = false;
            }
            Read::Lost | Read::Idle => self.awaits_keyframe = true,
            Read::Video { .. } if self.awaits_keyframe => return None,
            Read::Video { .. } | Read::Audio(_) => {}
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
