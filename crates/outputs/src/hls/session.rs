//! Streams: one task per room reads its frames while somebody asks for its playlists.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use inver_media::Codec;
use inver_node::{FrameReader, Handle, Read, Refusal, RefusalKind};
use inver_proto::{RoomId, Timestamp};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::Config;
use super::from_frames::{FromFrames, Name};
use super::mover::{self, Mover};
use super::past::{Piece, Written};
use super::players::{Player, Players};
use super::playlist::{self, Anchor, Wish};
use super::rendition::{Place, Rendition};

/// How long a stream goes on after the last request: a player asks every few seconds.
const LINGER: Duration = Duration::from_secs(30);

/// Longest wait for what a playlist or part is asked for with. Requests end after seven and a half
/// seconds in any case.
const PATIENCE: Duration = Duration::from_secs(6);

/// The same where there is a past on the disk, which ends with the stream: who is away for a short
/// while finds it again.
const LINGER_WITH_PAST: Duration = Duration::from_secs(5 * 60);

/// Texts that are longer are compressed off the runtime's threads, one after the other.
const LONG: usize = 64 << 10;

/// How long the multivariant playlist waits for the second kind of media.
const SETTLED: Duration = Duration::from_millis(800);

/// How long it waits for a layer that has begun to send and whose keyframe is still to come: layers
/// are asked for one at least every two seconds.
const LAYERS: Duration = Duration::from_secs(4);

/// How long the multivariant playlist waits for layers that are made: players never ask for it
/// again, and would not know of them. They take a second on a machine that has time.
const MADE: Duration = Duration::from_millis(4500);

/// Pause before a room without publisher is looked at again.
const AGAIN: Duration = Duration::from_millis(500);

/// Segment numbers begin with the seconds since this moment (2026), so that they never go back
/// when a stream begins again: a segment lasts longer than a second.
const EPOCH: u64 = 1_767_225_600;

/// Streams at once; each holds its window in memory.
const MAX_STREAMS: usize = 1000;

/// The streams of all rooms.
#[derive(Clone)]
pub(super) struct Streams(Arc<Inner>);

struct Inner {
    handle: Handle,
    config: Config,
    streams: Mutex<HashMap<RoomId, Arc<Stream>>>,
}

/// One room's stream.
pub(super) struct Stream {
    state: Mutex<State>,
    /// When the room was made, where it has keys.
    made: Option<Timestamp>,
    changed: watch::Sender<u64>,
    /// Whoever holds it compresses a long text.
    compressing: tokio::sync::Mutex<()>,
}

struct State {
    core: FromFrames,
    /// What the clock on the wall said of a frame that had just come, and when that was. It is
    /// set anew until the first playlist tells it: the stream begins with frames that are older.
    anchor: Option<(Anchor, Instant)>,
    told: bool,
    /// When the first frame came.
    began: Option<Instant>,
    asked: Instant,
    players: Players,
    aac_asked: Option<Instant>,
    /// Why there is nothing.
    refused: Option<Refusal>,
    /// Texts as they were sent since the last change.
    texts: HashMap<(Name, Wish, bool), Bytes>,
}

impl Streams {
    pub(super) fn new(handle: Handle, config: Config) -> Self {
        Self(Arc::new(Inner {
            handle,
            config,
            streams: Mutex::default(),
        }))
    }

    pub(super) fn config(&self) -> &Config {
        &self.0.config
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RoomId, Arc<Stream>>> {
        self.0
            .streams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream of a room, which begins with the first who asks. Check the room's rights before.
    ///
    /// # Errors
    ///
    /// Nobody is live, or too many streams are.
    pub(super) fn open(&self, room: &RoomId) -> Result<Arc<Stream>, Refusal> {
        let mut streams = self.lock();
        if let Some(stream) = streams.get(room) {
            stream.lock().asked = Instant::now();
            return Ok(Arc::clone(stream));
        }
        self.0.handle.want(room);
        let reader = self.0.handle.glance(room, None)?;
        if streams.len() >= MAX_STREAMS {
            let detail = format!("{MAX_STREAMS} rooms are served over HLS; no more at once");
            return Err(Refusal::new(RefusalKind::Unavailable, detail));
        }
        let made = made(&self.0.handle, room);
        let stream = Arc::new(Stream::new(&self.0.config, made));
        streams.insert(room.clone(), Arc::clone(&stream));
        tokio::spawn(run(self.clone(), room.clone(), Arc::clone(&stream), reader));
        Ok(stream)
    }

    /// The stream of a room where there is one.
    pub(super) fn get(&self, room: &RoomId) -> Option<Arc<Stream>> {
        let streams = self.lock();
        let stream = streams.get(room).cloned()?;
        // Before the map is let go of: nobody removes what was just asked for.
        stream.lock().asked = Instant::now();
        drop(streams);
        self.0.handle.want(room);
        Some(stream)
    }

    /// Keeps streams of all live rooms, for as long as the server runs.
    pub(super) async fn keep_all(self) {
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            for room in self.0.handle.rooms() {
                // Rooms that cannot be served say so to those who ask.
                if room.live && self.lock().len() < MAX_STREAMS {
                    let _ = self.open(&room.id);
                }
            }
        }
    }
}

impl Stream {
    fn new(config: &Config, made: Option<Timestamp>) -> Self {
        let seconds = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        Self {
            state: Mutex::new(State {
                core: FromFrames::new(config.shape(), seconds.saturating_sub(EPOCH)),
                anchor: None,
                told: false,
                began: None,
                asked: Instant::now(),
                players: Players::new(Duration::from_secs(config.shape().target()) + PATIENCE),
                aac_asked: None,
                refused: None,
                texts: HashMap::new(),
            }),
            made,
            changed: watch::channel(0).0,
            compressing: tokio::sync::Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `look` finds something; `None` at the deadline.
    async fn wait<T>(
        &self,
        deadline: Instant,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        let mut changes = self.changed.subscribe();
        loop {
            changes.borrow_and_update();
            if let Some(found) = look(&mut self.lock()) {
                return Some(found);
            }
            match timeout_at(deadline, changes.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return None,
            }
        }
    }

    /// The multivariant playlist, once it is known what there is: `made` layers are made of the
    /// encoder's own while somebody asks, and are waited for a while.
    ///
    /// # Errors
    ///
    /// Nothing came in time, or what comes cannot be carried.
    pub(super) async fn multivariant(
        &self,
        room: &RoomId,
        made: usize,
        deadline: Instant,
    ) -> Result<String, Refusal> {
        let without = Instant::now() + MADE;
        let found = self.wait(deadline, |state| {
            if let Some(refused) = &state.refused {
                return Some(Err(refused.clone()));
            }
            if let Some(codec) = state.core.unsupported {
                return Some(Err(not_carried(room, codec)));
            }
            // Players choose by what is told now, so each picture is to be there, with a bandwidth.
            let mut pictures = state.core.renditions.iter();
            let all = pictures.all(|(name, rendition)| {
                !matches!(name, Name::Video(_)) || playlist::last_part(rendition).is_some()
            });
            let both = state.core.renditions.len() > 1 && all;
            let long = if all { SETTLED } else { LAYERS };
            let settled = state.began.is_some_and(|began| began.elapsed() >= long);
            let playable = state
                .core
                .renditions
                .values()
                .any(|rendition| playlist::last_part(rendition).is_some());
            let text = playlist::multivariant(&state.core)?;
            let complete = state.core.shown_layers() > made || Instant::now() >= without;
            (playable && complete && (settled || both)).then_some(Ok(text))
        });
        found.await.unwrap_or_else(|| {
            let detail = format!(
                "nothing that can be shown came from {room} in time; its encoder may send \
                 keyframes too seldom: one every two seconds is usual"
            );
            Err(Refusal::new(RefusalKind::Unavailable, detail).retry_after(Duration::from_secs(2)))
        })
    }

    /// Lets a player in that asks for a playlist, which counts it as a viewer of the room.
    ///
    /// # Errors
    ///
    /// It is new, and the room has no place for it.
    pub(super) fn admit(
        &self,
        handle: &Handle,
        room: &RoomId,
        player: Player,
    ) -> Result<(), Refusal> {
        let place = |players| handle.set_players(room, players);
        self.lock().players.saw(player, Instant::now(), place)
    }

    /// Tells how many players there are. The room may be another one of that name by now.
    fn count_players(&self, handle: &Handle, room: &RoomId) {
        let mut state = self.lock();
        let players = state.players.left(Instant::now());
        if let Err(refusal) = handle.set_players(room, players) {
            tracing::debug!(%room, players, %refusal, "players are more than the room takes");
        }
    }

    /// A rendition's playlist, once it has what is waited for: the segment of that number, or the
    /// part of it, or else any whole segment.
    pub(super) async fn media(
        &self,
        name: Name,
        wish: Wish,
        until: Option<(u64, Option<usize>)>,
        gzip: bool,
        deadline: Instant,
    ) -> Found {
        if name == Name::Aac {
            let mut state = self.lock();
            if !state.core.is_opus() {
                return Found::Nothing;
            }
            state.aac_asked = Some(Instant::now());
            if !state.core.makes_aac() {
                state.core.want_aac(true);
            }
        }
        let found = self.wait(deadline, |state| {
            let rendition = state.core.renditions.get(&name);
            if rendition.is_none() && name != Name::Aac {
                return Some(Found::Nothing);
            }
            // Players that do not know parts give up on a playlist without a whole segment.
            let whole = |rendition: &Rendition| rendition.segments.iter().any(|one| one.whole);
            if until.is_none() && !rendition.is_some_and(whole) {
                return None;
            }
            let last = rendition.and_then(|rendition| rendition.next());
            if let Some((msn, part)) = until {
                let (next_msn, next_part) = last?;
                if msn > next_msn + 1 {
                    return Some(Found::TooFar(next_msn));
                }
                // A whole segment is there once the next one grows.
                let there = match part {
                    Some(part) => next_msn > msn || (next_msn == msn && next_part > part),
                    None => next_msn > msn,
                };
                if !there {
                    return None;
                }
            }
            state.text(name, wish).map(Found::Text)
        });
        let found = found.await.or_else(|| {
            // Where segments are long there are parts before the first of them is whole.
            let text = || self.lock().text(name, wish);
            until.is_none().then(text).flatten().map(Found::Text)
        });
        match found {
            Some(Found::Text(text)) if gzip => Found::Text(self.gzipped(name, wish, text).await),
            found => found.unwrap_or(Found::Late),
        }
    }

    /// A text as it is sent to most. What others made of it meanwhile serves as well.
    async fn gzipped(&self, name: Name, wish: Wish, text: Bytes) -> Bytes {
        let made = |state: &State| state.texts.get(&(name, wish, true)).cloned();
        if text.len() <= LONG {
            let mut state = self.lock();
            if let Some(made) = made(&state) {
                return made;
            }
            let bytes: Bytes = compressed(&text).into();
            state.keep(name, wish, &text, &bytes);
            return bytes;
        }
        let _one = self.compressing.lock().await;
        if let Some(made) = made(&self.lock()) {
            return made;
        }
        let long = text.clone();
        let compressing = tokio::task::spawn_blocking(move || Bytes::from(compressed(&long)));
        let Ok(bytes) = compressing.await else {
            return compressed(&text).into();
        };
        self.lock().keep(name, wish, &text, &bytes);
        bytes
    }

    /// An initialisation segment.
    pub(super) fn map(&self, name: Name, number: u64) -> Option<Bytes> {
        self.lock().core.renditions.get(&name)?.map(number)
    }

    /// A whole segment.
    pub(super) async fn segment(&self, name: Name, msn: u64) -> Option<Bytes> {
        let stored = {
            let state = self.lock();
            let rendition = state.core.renditions.get(&name)?;
            let segment = rendition.segment(msn).filter(|segment| segment.whole)?;
            match &segment.place {
                Place::Memory | Place::Moving => {
                    let mut bytes = Vec::with_capacity(segment.bytes());
                    for part in &segment.parts {
                        bytes.extend_from_slice(&part.data);
                    }
                    return Some(bytes.into());
                }
                Place::Disk(stored) => stored.clone(),
            }
        };
        let read = stored.read().await;
        read.inspect_err(|error| tracing::warn!(%error, "an old segment cannot be read"))
            .ok()
    }

    /// Segments that belong on the disk from now on.
    pub(super) fn move_out(&self) -> Vec<Piece> {
        self.lock().core.move_out()
    }

    /// What was on its way to the disk is there or not; gives how far back the stream reaches now
    /// and why, where that is less than it should.
    pub(super) fn settle(&self, written: Written) -> Option<(Duration, io::Error)> {
        let mut state = self.lock();
        let fault = state.core.settle(written)?;
        state.texts.clear();
        Some((state.core.reach(), fault))
    }

    /// The same where the disk does not answer and too much waits for it.
    pub(super) fn bound(&self) -> Option<(Duration, io::Error)> {
        let mut state = self.lock();
        let fault = state.core.bound()?;
        state.texts.clear();
        Some((state.core.reach(), fault))
    }

    /// A part; one that playlists announce is waited for.
    pub(super) async fn part(
        &self,
        name: Name,
        msn: u64,
        part: usize,
        deadline: Instant,
    ) -> Option<Bytes> {
        let found = self.wait(deadline, |state| {
            let Some(rendition) = state.core.renditions.get(&name) else {
                return Some(None);
            };
            if let Some(segment) = rendition.segment(msn)
                && let Some(part) = segment.parts.get(part)
            {
                return Some(Some(part.data.clone()));
            }
            let announced = rendition.next() == Some((msn, part))
                || rendition
                    .next()
                    .is_some_and(|(next, _)| msn == next + 1 && part == 0);
            (!announced).then_some(None)
        });
        found.await.flatten()
    }

    /// Takes what was read. `true`: playlists have changed.
    fn take(&self, read: Read) -> bool {
        let now = Instant::now();
        let mut state = self.lock();
        let state = &mut *state;
        let changed = match read {
            Read::Video { layer, frame } => {
                let since = state.since(now);
                state.core.video(layer, frame, since)
            }
            Read::Audio(frame) => {
                let since = state.since(now);
                // What is to be wound back to has to be there before it is asked for.
                if state.core.shape().has_past() && state.core.is_opus() && !state.core.makes_aac()
                {
                    state.core.want_aac(true);
                }
                state.core.audio(frame, since)
            }
            Read::Lost => false,
            Read::Idle => {
                state.core.break_off();
                false
            }
        };
        if !state.told
            && let Some(at) = state.core.latest()
        {
            let wall = OffsetDateTime::now_utc();
            state.anchor = Some((Anchor { wall, at }, now));
        }
        if changed || state.core.unsupported.is_some() {
            state.texts.clear();
            self.changed.send_modify(|count| *count += 1);
        }
        changed
    }

    fn want_keyframes(&self, reader: Option<&FrameReader>) {
        let Some(reader) = reader else { return };
        let layers = self.lock().core.layers();
        for layer in layers {
            reader.want_keyframe(layer);
        }
    }

    fn refuse(&self, refusal: Refusal) {
        self.lock().refused = Some(refusal);
        self.changed.send_modify(|count| *count += 1);
    }
}

impl State {
    /// Where the present is on the stream's line of time, since its beginning.
    fn since(&mut self, now: Instant) -> Duration {
        self.began.get_or_insert(now);
        self.anchor.map_or(Duration::ZERO, |(anchor, then)| {
            anchor.at.since(FromFrames::origin()) + now.saturating_duration_since(then)
        })
    }

    fn text(&mut self, name: Name, wish: Wish) -> Option<Bytes> {
        if let Some(text) = self.texts.get(&(name, wish, false)) {
            return Some(text.clone());
        }
        let (anchor, _) = self.anchor?;
        let text: Bytes = playlist::media(&self.core, name, anchor, wish)?.into();
        self.told = true;
        self.texts.insert((name, wish, false), text.clone());
        Some(text)
    }

    /// Keeps what a text became, unless it has changed meanwhile.
    fn keep(&mut self, name: Name, wish: Wish, text: &Bytes, compressed: &Bytes) {
        let now = self.texts.get(&(name, wish, false));
        if now.is_some_and(|now| now.as_ptr() == text.as_ptr()) {
            self.texts.insert((name, wish, true), compressed.clone());
        }
    }
}

/// What became of a request for a playlist.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found {
    /// The text.
    Text(Bytes),
    /// There is no such rendition.
    Nothing,
    /// A segment was asked for that is not next; this is.
    TooFar(u64),
    /// It did not come in time.
    Late,
}

/// Compresses with gzip.
pub(super) fn compressed(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 3), Compression::fast());
    // Writing to a vector does not fail.
    let _ = encoder.write_all(text);
    encoder.finish().unwrap_or_default()
}

fn not_carried(room: &RoomId, codec: Codec) -> Refusal {
    let detail = format!(
        "{room} is published in {codec}, which HLS cannot carry; choose H264 at the publisher \
         (the publish page prefers it), or watch over WebRTC"
    );
    Refusal::new(RefusalKind::Unplayable, detail)
}

/// Reads a room until nobody asks for its playlists any more.
async fn run(streams: Streams, room: RoomId, stream: Arc<Stream>, reader: FrameReader) {
    let mut reader = Some(reader);
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let past = streams.0.config.past.as_ref();
    let mut mover = past.map(|(_, disk)| Mover::new(&room, disk));
    let mut keyframes = interval(streams.0.config.segment_duration);
    keyframes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tracing::debug!(%room, "segments begin");
    loop {
        let gone = reader.is_none();
        let read = async {
            match &mut reader {
                Some(reader) => reader.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            read = read => match read {
                Some(read) => {
                    let changed = stream.take(read);
                    if let Some(mover) = mover.as_mut().filter(|_| changed) {
                        mover.begin(&stream);
                    }
                }
                None => {
                    let _ = stream.take(Read::Idle);
                    reader = None;
                }
            },
            // Browsers send none unasked; all layers at once, so that their segments fit together.
            _ = keyframes.tick(), if !gone => stream.want_keyframes(reader.as_ref()),
            written = mover::written(&mut mover) => {
                if let Some(mover) = &mut mover {
                    mover.settle(&stream, written);
                }
            }
            _ = tick.tick() => {
                stream.count_players(&streams.0.handle, &room);
                if ended(&streams, &room, &stream) {
                    break;
                }
            }
            () = tokio::time::sleep(AGAIN), if gone => {
                match streams.0.handle.glance(&room, None) {
                    // Its past is not for those who may watch another room of that name.
                    Ok(_) if made(&streams.0.handle, &room) != stream.made => {
                        streams.lock().remove(&room);
                        break;
                    }
                    Ok(again) => {
                        stream.lock().refused = None;
                        reader = Some(again);
                    }
                    // The publisher may come back while somebody waits for it.
                    Err(refusal) if refusal.kind == RefusalKind::Conflict => {}
                    Err(refusal) => stream.refuse(refusal),
                }
            }
        }
    }
    tracing::debug!(%room, "segments end: nobody asks for them");
}

/// When a room was made that has keys; of two rooms with one name it differs.
fn made(handle: &Handle, room: &RoomId) -> Option<Timestamp> {
    let room = handle.room(room).ok();
    room.filter(|room| room.keyed).map(|room| room.created_at)
}

/// Ends what nobody asks for: the stream, or the AAC that was made.
fn ended(streams: &Streams, room: &RoomId, stream: &Arc<Stream>) -> bool {
    let mut all = streams.lock();
    let mut state = stream.lock();
    let past = streams.0.config.past.is_some();
    let linger = if past { LINGER_WITH_PAST } else { LINGER };
    if state.asked.elapsed() >= linger {
        all.remove(room);
        return true;
    }
    let unasked = |asked: Instant| asked.elapsed() >= LINGER;
    if !past && state.aac_asked.is_some_and(unasked) {
        state.aac_asked = None;
        state.core.want_aac(false);
        state.texts.clear();
    }
    false
}

/// Until when parts and playlists are waited for, where three target durations are not less.
pub(super) fn patience(target: u64) -> Instant {
    Instant::now() + Duration::from_secs(target * 3).min(PATIENCE)
}
