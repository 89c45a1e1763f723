//! The recorder: which rooms are recorded, since when, and what has to go.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use inver_node::{EventReader, Handle, Refusal, RefusalKind};
use inver_proto::{ParticipantId, Room, RoomId, Timestamp};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::file;
use super::library::{self, Library};
use super::manifest::{self, RecordedFile, Recording, RecordingState};
use super::session;
use super::writer::{Opening, Split};

/// How often rooms are looked at beside when something happened there.
const LOOK: Duration = Duration::from_secs(1);

/// What the writers' clock shows at the start: encoders begin with a burst of frames that are ahead
/// of their time, and a frame's moment must not lie before zero.
const HEADROOM: Duration = Duration::from_secs(3600);

/// How often it is looked for what is too old or too much.
const CLEAR: Duration = Duration::from_secs(60);

/// Settings of recordings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where they lie.
    pub folder: PathBuf,
    /// Rooms that are recorded whenever somebody publishes; a name that ends with `*` stands for
    /// all that begin so.
    pub rooms: Vec<String>,
    /// How long a file may be; zero for no limit.
    pub split_duration: Duration,
    /// How large a file may be in bytes; zero for no limit.
    pub split_size: u64,
    /// How long a finished recording is kept; zero for ever.
    pub max_age: Duration,
    /// Bytes of all recordings, beyond which the oldest finished ones go; zero for no limit.
    pub max_total_size: u64,
    /// Bytes that stay free on the disk.
    pub min_free_space: u64,
}

/// Records rooms. Clones are the same recorder.
#[derive(Clone)]
pub struct Recorder(pub(super) Arc<Inner>);

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recorder")
    }
}

pub(super) struct Inner {
    pub(super) handle: Handle,
    config: Config,
    state: Mutex<State>,
    began: Instant,
    began_wall: Duration,
}

#[derive(Default)]
struct State {
    library: Library,
    running: HashMap<RoomId, Running>,
    /// Rooms whose recording was stopped by hand: policy leaves them alone until they are empty.
    left_alone: HashSet<RoomId>,
    /// Recordings that are being completed.
    finishing: Vec<JoinHandle<()>>,
    stopped: bool,
}

/// A recording that goes on.
struct Running {
    id: String,
    stop: watch::Sender<bool>,
    readers: HashMap<ParticipantId, JoinHandle<()>>,
}

impl Recorder {
    /// Takes over the folder, completes what was left behind, and looks after rooms from then on.
    ///
    /// # Errors
    ///
    /// The folder cannot be made.
    pub async fn start(handle: Handle, config: Config) -> io::Result<Self> {
        let wall = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
        let folder = config.folder.clone();
        let found = tokio::task::spawn_blocking(move || {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(&folder)?;
            Ok::<_, io::Error>(manifest::read_all(&folder))
        });
        let found = found.await.map_err(io::Error::other)??;
        let left: Vec<String> = found
            .iter()
            .filter(|recording| {
                let whole = recording.files.iter().all(|file| file.finished);
                recording.state != RecordingState::Finished || !whole
            })
            .map(|recording| recording.id.clone())
            .collect();
        let inner = Arc::new(Inner {
            handle,
            config,
            state: Mutex::new(State {
                library: Library::new(found),
                ..State::default()
            }),
            began: Instant::now(),
            began_wall: wall.unwrap_or_default(),
        });
        if !left.is_empty() {
            let repairing = Arc::clone(&inner);
            let repair = tokio::task::spawn_blocking(move || {
                for id in left {
                    repairing.repair(&id);
                }
            });
            inner.lock().finishing.push(repair);
        }
        let events = inner.handle.events(None, None);
        tokio::spawn(look_after(Arc::clone(&inner), events));
        Ok(Self(inner))
    }

    /// Starts a recording of a room.
    ///
    /// # Errors
    ///
    /// There is no such room, nobody publishes there, it is recorded already, or the disk is
    /// nearly full.
    pub async fn record(&self, room: &RoomId) -> Result<Recording, Refusal> {
        let inner = &self.0;
        let view = inner.handle.room(room)?;
        if publishers(&view).next().is_none() {
            let detail = format!("nobody publishes in {room} now; start when somebody does");
            return Err(Refusal::new(RefusalKind::Conflict, detail));
        }
        let begun = inner.begin(room)?;
        let folder = inner.folder(&begun.id);
        let (made, written) = (begun.clone(), Arc::clone(inner));
        let wrote = tokio::task::spawn_blocking(move || written.make_folder(&made)).await;
        if let Ok(Err(error)) = wrote {
            let detail = format!("{} cannot be made: {error}", folder.display());
            inner.forget(room, &begun.id);
            tracing::error!(%error, folder = %folder.display(), "a recording does not begin");
            return Err(Refusal::new(RefusalKind::Unavailable, detail));
        }
        inner.attend(&view);
        tracing::info!(%room, recording = begun.id, "recording began");
        Ok(begun)
    }

    /// Stops a recording and waits until it is complete, or for a while.
    ///
    /// # Errors
    ///
    /// It is not going on.
    pub async fn finish(&self, room: &RoomId, id: &str) -> Result<(), Refusal> {
        let running = {
            let mut state = self.0.lock();
            let going_on = state
                .running
                .get(room)
                .is_some_and(|running| running.id == id);
            if !going_on {
                let detail = format!("{id} is no recording of {room} that goes on");
                return Err(Refusal::new(RefusalKind::NotFound, detail));
            }
            state.left_alone.insert(room.clone());
            state.running.remove(room)
        };
        if let Some(running) = running {
            // The task goes on where the client does not wait for it.
            let task = tokio::spawn(Arc::clone(&self.0).conclude(running));
            let _ = tokio::time::timeout(Duration::from_secs(5), task).await;
        }
        Ok(())
    }

    /// Deletes a finished recording with its files.
    ///
    /// # Errors
    ///
    /// There is none of this name, it goes on, or the disk does not let go of it.
    pub async fn delete(&self, id: &str) -> Result<(), Refusal> {
        let inner = Arc::clone(&self.0);
        let state = inner
            .lock()
            .library
            .get(id)
            .map(|recording| recording.state);
        match state {
            None => return Err(unknown(id)),
            Some(RecordingState::Finished) => {}
            Some(RecordingState::Recording | RecordingState::Finishing) => {
                let detail = format!("{id} goes on; stop it before you delete it");
                return Err(Refusal::new(RefusalKind::Conflict, detail));
            }
        }
        let id = id.to_owned();
        let removed = tokio::task::spawn_blocking(move || inner.remove(&id)).await;
        removed
            .map_err(io::Error::other)
            .flatten()
            .map_err(|error| {
                let detail = format!("the recording cannot be deleted: {error}");
                Refusal::new(RefusalKind::Internal, detail)
            })
    }

    /// All recordings, the latest first.
    pub fn all(&self) -> Vec<Recording> {
        self.0.lock().library.all()
    }

    /// One recording.
    ///
    /// # Errors
    ///
    /// There is none of this name.
    pub fn one(&self, id: &str) -> Result<Recording, Refusal> {
        self.0
            .lock()
            .library
            .get(id)
            .cloned()
            .ok_or_else(|| unknown(id))
    }

    /// Ends all recordings and waits until they are complete.
    pub async fn stop(&self) {
        let (running, finishing) = {
            let mut state = self.0.lock();
            state.stopped = true;
            let running: Vec<Running> = state.running.drain().map(|(_, running)| running).collect();
            (running, std::mem::take(&mut state.finishing))
        };
        let concluding = running
            .into_iter()
            .map(|running| Arc::clone(&self.0).conclude(running));
        futures::future::join_all(concluding).await;
        futures::future::join_all(finishing).await;
    }
}

pub(super) fn unknown(id: &str) -> Refusal {
    Refusal::new(
        RefusalKind::NotFound,
        format!("there is no recording {id:?}"),
    )
}

fn publishers(room: &Room) -> impl Iterator<Item = &ParticipantId> {
    let publishing = room.participants.iter().filter(|each| each.publishing);
    publishing.map(|participant| &participant.id)
}

/// Looks at rooms whenever something happens, and every second.
async fn look_after(inner: Arc<Inner>, mut events: EventReader) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut clears = tokio::time::interval(CLEAR);
    clears.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = events.next() => if event.is_none() {
                return;
            },
            _ = looks.tick() => {}
            _ = clears.tick() => {
                let clearing = Arc::clone(&inner);
                let cleared = tokio::task::spawn_blocking(move || clearing.clear()).await;
                if let Err(error) = cleared {
                    tracing::error!(%error, "recordings were not cleared away");
                }
                continue;
            }
        }
        look(&inner).await;
    }
}

async fn look(inner: &Arc<Inner>) {
    let rooms = inner.handle.rooms();
    inner.lock().left_alone.retain(|left| {
        let room = rooms.iter().find(|room| room.id == *left);
        room.is_some_and(|room| publishers(room).next().is_some())
    });
    for room in &rooms {
        if inner.by_policy(room)
            && let Err(refusal) = Recorder(Arc::clone(inner)).record(&room.id).await
        {
            tracing::warn!(room = %room.id, refusal = refusal.detail, "not recorded");
            inner.lock().left_alone.insert(room.id.clone());
        }
        inner.attend(room);
    }
    inner.end_empty(&rooms);
    inner.watch_space();
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time on the clock of all writers.
    pub(super) fn elapsed(&self) -> Duration {
        HEADROOM + self.began.elapsed()
    }

    fn now(&self) -> Timestamp {
        self.wall(self.elapsed())
    }

    /// A reading of the writers' clock as time of day, which never goes back.
    fn wall(&self, at: Duration) -> Timestamp {
        Timestamp::from_unix((self.began_wall + at).saturating_sub(HEADROOM))
    }

    /// Where a recording's files lie. Its name is one of the library's, never a client's.
    pub(super) fn folder(&self, id: &str) -> PathBuf {
        self.config.folder.join(id)
    }

    fn by_policy(&self, room: &Room) -> bool {
        let mut wanted = self.config.rooms.iter();
        let name = room.id.as_str();
        let wanted = wanted.any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        });
        let state = self.lock();
        wanted
            && publishers(room).next().is_some()
            && !state.stopped
            && !state.running.contains_key(&room.id)
            && !state.left_alone.contains(&room.id)
    }

    /// Bytes free beyond what has to stay free; the refusal says what is missing.
    fn space(&self) -> Result<(), String> {
        let least = self.config.min_free_space;
        match file::free_space(&self.config.folder) {
            Some(free) if free < least => Err(format!(
                "the disk is nearly full: {} MB are free, and recording.min_free_space keeps {} MB",
                free >> 20,
                least >> 20
            )),
            Some(_) | None => Ok(()),
        }
    }

    fn begin(&self, room: &RoomId) -> Result<Recording, Refusal> {
        self.space()
            .map_err(|full| Refusal::new(RefusalKind::Unavailable, full))?;
        let now = self.now();
        let mut state = self.lock();
        if let Some(running) = state.running.get(room) {
            let detail = format!("{room} is being recorded already, as {}", running.id);
            return Err(Refusal::new(RefusalKind::Conflict, detail));
        }
        if state.stopped {
            return Err(Refusal::new(RefusalKind::Unavailable, "the server stops"));
        }
        let name = library::name(room, now);
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let mut names = std::iter::once(name.clone()).chain(numbered);
        let id = names.find(|id| state.library.is_free(id)).unwrap_or(name);
        let recording = Recording {
            id: id.clone(),
            room: room.clone(),
            state: RecordingState::Recording,
            started_at: now,
            ended_at: None,
            duration_ms: 0,
            size_bytes: 0,
            participants: Vec::new(),
            warnings: Vec::new(),
            files: Vec::new(),
        };
        state.library.insert(recording.clone());
        let running = Running {
            id,
            stop: watch::channel(false).0,
            readers: HashMap::new(),
        };
        state.running.insert(room.clone(), running);
        Ok(recording)
    }

    fn make_folder(&self, recording: &Recording) -> io::Result<()> {
        let folder = self.folder(&recording.id);
        fs::create_dir(&folder)?;
        manifest::write(&folder, recording)?;
        manifest::sync_folder(&self.config.folder)
    }

    fn forget(&self, room: &RoomId, id: &str) {
        let mut state = self.lock();
        state.running.remove(room);
        state.library.remove(id);
    }

    /// Lets everybody who publishes in a recorded room be read.
    fn attend(self: &Arc<Self>, room: &Room) {
        let mut state = self.lock();
        let State {
            running, library, ..
        } = &mut *state;
        let Some(running) = running.get_mut(&room.id) else {
            return;
        };
        running.readers.retain(|_, reader| !reader.is_finished());
        for participant in publishers(room) {
            if running.readers.contains_key(participant) {
                continue;
            }
            match self.handle.tap(&room.id, Some(participant)) {
                Ok(reader) => {
                    let split = Split {
                        duration: self.config.split_duration,
                        bytes: self.config.split_size,
                    };
                    let stop = running.stop.subscribe();
                    let task =
                        session::record(Arc::clone(self), running.id.clone(), reader, split, stop);
                    running
                        .readers
                        .insert(participant.clone(), tokio::spawn(task));
                }
                // It may be that nobody feeds it at the moment.
                Err(refusal) if refusal.kind == RefusalKind::Unplayable => {
                    let warning = format!("{participant} is not recorded: {}", refusal.detail);
                    library.change(&running.id, |recording| {
                        if recording.warn(&warning) {
                            tracing::warn!(recording = recording.id, warning);
                        }
                    });
                }
                Err(_) => {}
            }
        }
    }

    /// Ends recordings of rooms where nobody publishes any more.
    fn end_empty(self: &Arc<Self>, rooms: &[Room]) {
        let lives = |id: &RoomId| {
            let room = rooms.iter().find(|room| room.id == *id);
            room.is_some_and(|room| publishers(room).next().is_some())
        };
        self.end_where(|room| !lives(room));
    }

    /// Ends all recordings while there is still space to complete them.
    fn watch_space(self: &Arc<Self>) {
        if self.lock().running.is_empty() {
            return;
        }
        if let Err(full) = self.space() {
            let ids: Vec<String> = {
                let state = self.lock();
                state
                    .running
                    .values()
                    .map(|running| running.id.clone())
                    .collect()
            };
            for id in ids {
                self.halt(&id, &full);
            }
        }
    }

    fn end_where(self: &Arc<Self>, ends: impl Fn(&RoomId) -> bool) {
        let mut state = self.lock();
        state.finishing.retain(|task| !task.is_finished());
        let ended: Vec<RoomId> = state
            .running
            .keys()
            .filter(|room| ends(room))
            .cloned()
            .collect();
        for room in ended {
            if let Some(running) = state.running.remove(&room) {
                let task = tokio::spawn(Arc::clone(self).conclude(running));
                state.finishing.push(task);
            }
        }
    }

    /// Ends a recording that cannot go on, and says why.
    pub(super) fn halt(self: &Arc<Self>, id: &str, why: &str) {
        self.warn(id, why);
        let room = {
            let mut state = self.lock();
            let mut running = state.running.iter();
            let found = running.find(|(_, running)| running.id == id);
            let Some(room) = found.map(|(room, _)| room.clone()) else {
                return;
            };
            state.left_alone.insert(room.clone());
            room
        };
        self.end_where(|each| *each == room);
    }

    /// Adds a warning to a recording, in the log too.
    pub(super) fn warn(&self, id: &str, warning: &str) {
        self.lock().library.change(id, |recording| {
            if recording.warn(warning) {
                tracing::warn!(recording = id, room = %recording.room, warning);
            }
        });
    }

    /// Completes a recording.
    async fn conclude(self: Arc<Self>, running: Running) {
        running.stop.send_replace(true);
        self.lock().library.change(&running.id, |recording| {
            recording.state = RecordingState::Finishing;
        });
        for (participant, reader) in running.readers {
            if let Err(error) = reader.await {
                tracing::error!(%participant, %error, "a recording's reader failed");
            }
        }
        let inner = Arc::clone(&self);
        let id = running.id.clone();
        let written =
            tokio::task::spawn_blocking(move || inner.mark_finished(&id, inner.now())).await;
        match written.map_err(io::Error::other).flatten() {
            Ok(()) => tracing::info!(recording = running.id, "recording finished"),
            Err(error) => tracing::warn!(recording = running.id, %error, "no manifest written"),
        }
    }

    fn mark_finished(&self, id: &str, at: Timestamp) -> io::Result<()> {
        let changed = self.lock().library.change(id, |recording| {
            recording.state = RecordingState::Finished;
            recording.ended_at = Some(at);
        });
        changed.map_or(Ok(()), |recording| {
            manifest::write(&self.folder(id), &recording)
        })
    }

    /// Enters a file that begins; gives its name.
    pub(super) fn begin_file(
        &self,
        id: &str,
        participant: &ParticipantId,
        opening: &Opening,
    ) -> io::Result<String> {
        let at = self.wall(opening.at);
        let mut name = String::new();
        let changed = self.lock().library.change(id, |recording| {
            recording.begin_at(at);
            name = format!("{:04}.mp4", recording.files.len() + 1);
            recording.files.push(RecordedFile {
                name: name.clone(),
                participant: participant.clone(),
                codecs: opening.codecs.clone(),
                offset_ms: at.0.saturating_sub(recording.started_at.0),
                duration_ms: 0,
                size_bytes: opening.header.len() as u64,
                gaps: 0,
                finished: false,
                url: None,
            });
        });
        let recording = changed.ok_or(io::ErrorKind::NotFound)?;
        manifest::write(&self.folder(id), &recording)?;
        Ok(name)
    }

    pub(super) fn file_grew(&self, id: &str, name: &str, len: u64, lasts: Duration, gaps: u32) {
        self.change_file(id, name, |file| {
            file.size_bytes = len;
            file.duration_ms = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
            file.gaps = gaps;
        });
    }

    pub(super) fn file_ended(&self, id: &str, name: &str, len: u64) -> io::Result<()> {
        let changed = self.change_file(id, name, |file| {
            file.size_bytes = len;
            file.finished = true;
        });
        changed.map_or(Ok(()), |recording| {
            manifest::write(&self.folder(id), &recording)
        })
    }

    fn change_file(
        &self,
        id: &str,
        name: &str,
        change: impl FnOnce(&mut RecordedFile),
    ) -> Option<Recording> {
        self.lock().library.change(id, |recording| {
            if let Some(file) = recording.files.iter_mut().find(|file| file.name == name) {
                change(file);
            }
        })
    }

    /// Completes a recording that a crash left behind.
    fn repair(&self, id: &str) {
        let folder = self.folder(id);
        let files = self.lock().library.get(id).map(|left| left.files.clone());
        for left in files
            .unwrap_or_default()
            .iter()
            .filter(|file| !file.finished)
        {
            match file::repair(&folder.join(&left.name)) {
                Ok(repaired) => {
                    self.change_file(id, &left.name, |file| {
                        file.size_bytes = repaired.len;
                        file.duration_ms = file.duration_ms.max(repaired.lasts_ms);
                        file.finished = repaired.finished;
                    });
                }
                Err(error) => self.warn(id, &format!("{} cannot be repaired: {error}", left.name)),
            }
        }
        let left = self.lock().library.get(id).cloned();
        let Some(left) = left else { return };
        if left.state != RecordingState::Finished {
            let warning = "the server ended while it recorded; what was on disk was kept";
            self.warn(id, warning);
        }
        let ended = left
            .started_at
            .plus(Duration::from_millis(left.duration_ms));
        if let Err(error) = self.mark_finished(id, left.ended_at.unwrap_or(ended)) {
            tracing::warn!(recording = id, %error, "no manifest written");
        }
    }

    /// Deletes what is too old or too much.
    fn clear(&self) {
        let Config {
            max_age,
            max_total_size,
            ..
        } = self.config;
        let surplus = self
            .lock()
            .library
            .surplus(self.now(), max_age, max_total_size);
        for id in surplus {
            match self.remove(&id) {
                Ok(()) => tracing::info!(recording = id, "deleted, as retention says"),
                Err(error) => tracing::warn!(recording = id, %error, "cannot be deleted"),
            }
        }
    }

    fn remove(&self, id: &str) -> io::Result<()> {
        match fs::remove_dir_all(self.folder(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        self.lock().library.remove(id);
        Ok(())
    }
}
