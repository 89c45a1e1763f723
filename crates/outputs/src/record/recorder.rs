//! The recorder: which rooms are recorded, and since when.

mod ledger;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use inver_node::{EventReader, Handle, Refusal, RefusalKind};
use inver_proto::{ParticipantId, Room, RoomId, Timestamp, WarningKind};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::file;
use super::library::{self, Library};
use super::manifest::{self, Place, Recording, RecordingState, StorageState, Stored};
use super::session;
use super::storage::{Bucket, Kept, Queue};
use super::writer::Split;

/// How often rooms are looked at beside when something happened there.
const LOOK: Duration = Duration::from_secs(1);

/// What the writers' clock shows at the start: encoders begin with a burst of frames that are ahead
/// of their time, and a frame's moment must not lie before zero.
const HEADROOM: Duration = Duration::from_secs(3600);

/// How often it is looked for what is too old or too much.
const CLEAR: Duration = Duration::from_secs(60);

/// Locks of manifests that are written, by name: so many are written at once.
const SAVING: usize = 16;

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
    /// Where finished files are uploaded to.
    pub bucket: Option<Bucket>,
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
    queue: Mutex<Queue>,
    /// A file or a recording is finished.
    finished: Notify,
    /// Pictures that are made at once.
    drawing: Semaphore,
    /// Uploads end.
    ending: watch::Sender<bool>,
    /// Held while a manifest is read from the library and written, so that none overtakes a newer
    /// one.
    saving: [Mutex<()>; SAVING],
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
    /// Of whom its picture is.
    shows: Option<ParticipantId>,
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
            let mut found = manifest::read_all(&folder);
            for recording in &mut found {
                settle(&folder, recording);
            }
            Ok::<_, io::Error>(found)
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
            queue: Mutex::default(),
            finished: Notify::new(),
            drawing: Semaphore::new(1),
            ending: watch::channel(false).0,
            saving: Default::default(),
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
        inner.set_strangers_aside();
        inner.start_uploads(&inner.ending.subscribe());
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
        if publishers(&view).next().is_none() || view.fallback_since.is_some() {
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
        inner.tell(room, None);
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
    /// There is none of this name, it goes on, or the disk or the storage does not let go of it.
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
        // It goes on where the client does not wait for it.
        let removed = tokio::spawn(async move { inner.remove(&id).await }).await;
        let removed = removed.unwrap_or_else(|error| Err(io::Error::other(error).into()));
        removed.map_err(|kept| {
            let kind = match &kept {
                Kept::Disk(_) => RefusalKind::Internal,
                Kept::Storage { .. } => RefusalKind::Unavailable,
                Kept::Busy => RefusalKind::Conflict,
            };
            Refusal::new(kind, format!("the recording cannot be deleted: {kept}"))
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
            self.0.ending.send_replace(true);
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
    let mut clearing: Option<JoinHandle<()>> = None;
    loop {
        tokio::select! {
            event = events.next() => if event.is_none() {
                return;
            },
            _ = looks.tick() => {}
            _ = clears.tick() => {
                // Storages may take their time, and rooms do not wait.
                if clearing.as_ref().is_none_or(JoinHandle::is_finished) {
                    clearing = Some(tokio::spawn(Arc::clone(&inner).clear()));
                }
                continue;
            }
        }
        look(&inner).await;
    }
}

/// Sets right what a recording tells of a server that is no more.
fn settle(root: &std::path::Path, recording: &mut Recording) {
    if let Some(storage) = &mut recording.storage
        && storage.state != StorageState::Complete
    {
        storage.state = StorageState::Waiting;
    }
    for file in &recording.files {
        if file.place == Place::Storage {
            let left = root.join(&recording.id).join(&file.name);
            if let Err(error) = super::storage::remove_file(&left) {
                tracing::warn!(path = %left.display(), %error, "an uploaded file stays on the disk");
            }
        }
    }
}

async fn look(inner: &Arc<Inner>) {
    let rooms = inner.handle.rooms();
    let mut over = Vec::new();
    inner.lock().left_alone.retain(|left| {
        let room = rooms.iter().find(|room| room.id == *left);
        let stays = room.is_some_and(|room| publishers(room).next().is_some());
        if !stays {
            over.push(left.clone());
        }
        stays
    });
    for room in over {
        inner.tell(&room, None);
    }
    for room in &rooms {
        if inner.by_policy(room)
            && let Err(refusal) = Recorder(Arc::clone(inner)).record(&room.id).await
        {
            tracing::warn!(room = %room.id, refusal = refusal.detail, "not recorded");
            inner.tell(
                &room.id,
                Some(format!("the room is not recorded: {}", refusal.detail)),
            );
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
            // What stands in for the publisher is not recorded.
            && room.fallback_since.is_none()
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
            storage: self.config.bucket.as_ref().map(|bucket| Stored {
                location: bucket.location(&id),
                state: StorageState::Waiting,
                trouble: None,
            }),
            preview: None,
        };
        state.library.insert(recording.clone());
        let running = Running {
            id,
            stop: watch::channel(false).0,
            readers: HashMap::new(),
            shows: None,
        };
        state.running.insert(room.clone(), running);
        Ok(recording)
    }

    /// Whether the picture of a recording that goes on is this participant's: of whoever comes first.
    pub(super) fn may_draw(&self, id: &str, participant: &ParticipantId) -> bool {
        let mut state = self.lock();
        let mut running = state.running.values_mut();
        running
            .find(|running| running.id == id)
            .is_some_and(|running| {
                running.shows.get_or_insert_with(|| participant.clone()) == participant
            })
    }

    pub(super) fn drawing(&self) -> &Semaphore {
        &self.drawing
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
            match self.handle.tap_publisher(&room.id, Some(participant)) {
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
        self.tell(&room, Some(format!("the recording has ended: {why}")));
        self.end_where(|each| *each == room);
    }

    /// Tells, or tells no more, those who publish in a room and look after it what is wrong with its
    /// recording.
    fn tell(&self, room: &RoomId, what: Option<String>) {
        self.handle.warn_room(room, WarningKind::Recording, what);
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
}
