//! The doors' way in: one handle that joins control, data plane and store.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use inver_control::{
    Command, Control, Happening, Now, Output, Policy, Refusal, RefusalKind, Secret, Secrets,
    SessionCounts, Stored, SystemEntropy,
};
use inver_proto::{
    ApiEvent, EncoderPorts, IceServer, NodeId, Publication, RoomId, ServerInfo, SessionId,
    SourceId, Timestamp,
};
use inver_service::{ReportPolicy, Service};
use inver_shard::{Event, Snapshot};
use tokio::sync::{Notify, Semaphore, broadcast, mpsc, watch};
use tokio::time::Instant;

use crate::api::SessionEvent;
use crate::config::Config;
use crate::fallback::{ConfiguredFallback, Fallbacks};
use crate::feed::Feeds;
use crate::figures;
use crate::frames::{Hubs, Readers};
use crate::ladder::Ladder;
use crate::media::Media;
use crate::pictures::Pictures;
use crate::relay::Relays;
use crate::restream::{RestreamPolicy, Restreams};
use crate::run;
use crate::secrets::{self, SecretsError};
use crate::store::{Store, StoreError};
use crate::streams::{self, Streams};
use crate::watch::{EVENTS, EventReader, Watchers, first_events};

/// Notes (a key's last use) that may wait for the disk; more are dropped, the next use makes
/// another.
const NOTES: usize = 256;

/// Why a node's control plane does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store.
    #[error("the store does not open: {0}")]
    Store(#[from] StoreError),
    /// The secrets.
    #[error("the server's secrets cannot be read or made: {0}")]
    Secrets(#[from] SecretsError),
    /// The clock.
    #[error("the system clock is before 1970")]
    Clock,
}

/// What the doors call. Clones are the same node.
#[derive(Clone)]
pub struct Handle(pub(crate) Arc<Inner>);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handle")
    }
}

/// What of the configuration is needed once the data folder is open.
pub(crate) struct Settings {
    pub(crate) policy: Policy,
    pub(crate) ice_servers: Vec<IceServer>,
    pub(crate) version: String,
    pub(crate) server_name: Option<String>,
    pub(crate) recoders: usize,
    pub(crate) service: Arc<dyn Service>,
    pub(crate) reports: ReportPolicy,
    pub(crate) farewell: Duration,
    pub(crate) restream: RestreamPolicy,
    pub(crate) fallbacks: Vec<ConfiguredFallback>,
}

pub(crate) struct Inner {
    control: Mutex<Control>,
    pub(crate) media: Box<dyn Media>,
    pub(crate) store: Arc<Store>,
    /// Durable changes go one after the other: planned, committed, applied.
    pub(crate) writing: tokio::sync::Mutex<()>,
    pub(crate) watchers: Watchers,
    ice_servers: Mutex<Vec<IceServer>>,
    encoders: Mutex<EncoderPorts>,
    serves_hls: AtomicBool,
    pub(crate) admin_token: Secret,
    version: String,
    pub(crate) server_name: Option<String>,
    /// `None` once stopped, so that readers come to an end.
    events: Mutex<Option<broadcast::Sender<Arc<ApiEvent>>>>,
    /// Figures of encoders that hand frames over.
    pub(crate) feeds: Feeds,
    /// What frames pass through on their way to readers.
    pub(crate) hubs: Hubs,
    /// Sessions of readers.
    pub(crate) readers: Readers,
    /// Pushes and pulls.
    pub(crate) restreams: Restreams,
    /// What stands in for publishers. Taken after control's lock, never before.
    pub(crate) fallbacks: Fallbacks,
    /// How many sources may be coded again at once.
    pub(crate) recoders: Arc<Semaphore>,
    /// Whether there may be any such stream.
    pub(crate) recodes: bool,
    /// Who outside decides and is told.
    pub(crate) service: Arc<dyn Service>,
    /// Who makes pictures for the service, once the program has said so.
    pub(crate) pictures: OnceLock<Arc<dyn Pictures>>,
    /// What the service has been told of. Taken after control's lock, never before.
    pub(crate) streams: Mutex<Streams>,
    /// How long the service is told the rest at the end.
    farewell: Duration,
    /// Where tasks run that begin under a lock.
    pub(crate) runtime: tokio::runtime::Handle,
    notes: mpsc::Sender<inver_control::Change>,
    /// Viewers to be moved, with where to: only the last word counts, so the number of sessions
    /// bounds it.
    pub(crate) switches: Mutex<HashMap<SessionId, SourceId>>,
    pub(crate) switch: Notify,
    /// Rung when a timer is due earlier than before.
    pub(crate) timers: Notify,
    pub(crate) stopping: watch::Sender<bool>,
    /// This process among the servers that a room passes.
    pub(crate) node: NodeId,
    /// Who fetches rooms from other servers.
    pub(crate) relays: OnceLock<Arc<dyn Relays>>,
    /// Where further layers are made.
    pub(crate) ladder: Ladder,
    pub(crate) notices: crate::notices::Notices,
    started: Instant,
    /// Time of day at `started`; with it the wall clock of control never goes back.
    started_wall: Duration,
}

impl Handle {
    /// Opens the store in the data folder and starts the node's control plane on the current
    /// tokio runtime. `media` is the data plane and `events` what it tells.
    pub async fn open(
        config: Config,
        media: impl Media,
        events: mpsc::Receiver<(usize, Event)>,
    ) -> Result<Self, OpenError> {
        let Config {
            data_dir,
            policy,
            ice_servers,
            admin_token,
            version,
            server_name,
            recoders,
            service,
            reports,
            farewell,
            restream,
            fallbacks,
        } = config;
        let opened = tokio::task::spawn_blocking(move || {
            secrets::make_folder(&data_dir)?;
            let secrets = secrets::load(&data_dir, admin_token)?;
            let store = Store::open(&data_dir.join("inver.redb"))?;
            let stored = store.load()?;
            let restreams = store.restreams()?;
            let stand_ins = store.fallbacks()?;
            Ok::<_, OpenError>((secrets, store, stored, restreams, stand_ins))
        });
        let (secrets, store, stored, restreams, stand_ins) =
            opened.await.expect("opening the store does not panic")?;
        let settings = Settings {
            policy,
            ice_servers,
            version,
            server_name,
            recoders,
            service,
            reports,
            farewell,
            restream,
            fallbacks,
        };
        let handle = Self::start(settings, secrets, store, stored, media, events)?;
        handle.load_restreams(restreams);
        handle.load_fallbacks(stand_ins);
        Ok(handle)
    }

    /// Starts the tasks around a control plane with what the store held.
    pub(crate) fn start(
        settings: Settings,
        secrets: Secrets,
        store: Store,
        stored: Stored,
        media: impl Media,
        events: mpsc::Receiver<(usize, Event)>,
    ) -> Result<Self, OpenError> {
        let Settings {
            policy,
            ice_servers,
            version,
            server_name,
            recoders,
            service,
            reports,
            farewell,
            restream,
            fallbacks,
        } = settings;
        let started_wall = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_err(|_| OpenError::Clock)?;
        let now = Now {
            elapsed: Duration::ZERO,
            wall: Timestamp::from_unix(started_wall),
        };
        let admin_token = secrets.admin_token.clone();
        let entropy = Box::new(SystemEntropy::default());
        let control = Control::new(policy, secrets, stored, entropy, now);
        let (notes, noted) = mpsc::channel(NOTES);
        let inner = Arc::new(Inner {
            control: Mutex::new(control),
            media: Box::new(media),
            store: Arc::new(store),
            writing: tokio::sync::Mutex::new(()),
            watchers: Watchers::default(),
            ice_servers: Mutex::new(ice_servers),
            encoders: Mutex::default(),
            serves_hls: AtomicBool::new(false),
            admin_token,
            version,
            server_name,
            events: Mutex::new(Some(broadcast::channel(EVENTS).0)),
            feeds: Feeds::default(),
            hubs: Hubs::default(),
            readers: Readers::default(),
            restreams: Restreams::new(restream),
            fallbacks: Fallbacks::new(fallbacks),
            recoders: Arc::new(Semaphore::new(recoders)),
            recodes: recoders > 0,
            pictures: OnceLock::new(),
            streams: Mutex::new(Streams::new(reports)),
            service,
            farewell,
            runtime: tokio::runtime::Handle::current(),
            notes,
            switches: Mutex::new(HashMap::new()),
            switch: Notify::new(),
            timers: Notify::new(),
            stopping: watch::channel(false).0,
            // The standard library's random seed: unlike others is enough, secret it need not be.
            node: NodeId(RandomState::new().hash_one(0_u8)),
            relays: OnceLock::new(),
            ladder: Ladder::default(),
            notices: crate::notices::Notices::default(),
            started: Instant::now(),
            started_wall,
        });
        tokio::spawn(run::events(inner.clone(), events));
        tokio::spawn(run::switches(inner.clone()));
        tokio::spawn(run::notes(inner.clone(), noted));
        Ok(Self(inner))
    }

    /// STUN and TURN servers for clients.
    pub fn ice_servers(&self) -> Vec<IceServer> {
        let servers = self.0.ice_servers.lock();
        servers.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells clients of these STUN and TURN servers from now on: TURN passwords may expire.
    pub fn set_ice_servers(&self, servers: Vec<IceServer>) {
        let mut current = self
            .0
            .ice_servers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *current = servers;
    }

    /// Tells clients from now on where encoders that do not speak WebRTC connect.
    pub fn set_encoder_ports(&self, ports: EncoderPorts) {
        let mut current = self
            .0
            .encoders
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *current = ports;
    }

    /// Tells clients from now on that rooms can be watched over HLS.
    pub fn set_serves_hls(&self) {
        self.0.serves_hls.store(true, Ordering::Relaxed);
    }

    /// The bearer token that may do everything, for the admin link that the first run prints.
    pub fn admin_token(&self) -> &Secret {
        &self.0.admin_token
    }

    /// Whether everything is allowed without credentials.
    pub fn is_open(&self) -> bool {
        self.0.look(Control::is_open)
    }

    /// What the server tells about itself; `base_url` is where clients reach it, without a slash
    /// at the end.
    pub fn server_info(&self, base_url: &str) -> ServerInfo {
        let inner = &self.0;
        let (totals, open, draining) =
            inner.look(|control| (control.totals(), control.is_open(), control.is_draining()));
        let (rooms_live, viewers) = totals;
        ServerInfo {
            version: inner.version.clone(),
            open,
            uptime_seconds: inner.started.elapsed().as_secs(),
            rooms_live,
            viewers,
            whip_url: format!("{base_url}/whip"),
            whep_url: format!("{base_url}/whep"),
            hls: inner.serves_hls.load(Ordering::Relaxed),
            encoders: inner
                .encoders
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            ice_servers: self.ice_servers(),
            draining,
        }
    }

    /// Rooms with media now, and viewers in all rooms.
    pub fn totals(&self) -> (u32, u32) {
        self.0.look(Control::totals)
    }

    /// How many sessions there are.
    pub fn session_counts(&self) -> SessionCounts {
        self.0.look(Control::session_counts)
    }

    /// What the shards measured, refreshed every second.
    pub fn snapshots(&self) -> Vec<Arc<Snapshot>> {
        self.0.media.snapshots()
    }

    /// The control API's events of one room or of all, after the one that the reader saw last.
    pub fn events(&self, room: Option<&RoomId>, last_seen: Option<u64>) -> EventReader {
        self.0.read_events(room, last_seen)
    }

    /// Takes no new sessions from now on and asks viewers that listen to come back later.
    pub fn drain(&self) {
        self.0.mutate(Control::drain);
    }

    /// Whether the server takes no new sessions.
    pub fn is_draining(&self) -> bool {
        self.0.look(Control::is_draining)
    }

    /// Ends all sessions, the data plane and the node's tasks; what the store was promised is on
    /// disk already. Idempotent.
    pub async fn stop(&self) {
        let inner = &self.0;
        inner.mutate(|control, now| {
            control.drain(now);
            control.close_all(now);
        });
        tokio::join!(inner.media.stop(), streams::end_all(inner, inner.farewell));
        inner.stopping.send_replace(true);
        inner
            .events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

impl Inner {
    /// The present on both clocks.
    pub(crate) fn now(&self) -> Now {
        let elapsed = self.started.elapsed();
        Now {
            elapsed,
            wall: Timestamp::from_unix(self.started_wall + elapsed),
        }
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the state.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Control) -> T) -> T {
        look(&self.control())
    }

    /// Changes the state and does what follows. Outputs leave in their order, because the lock is
    /// held until the last one is handed on; none of that waits.
    pub(crate) fn mutate<T>(self: &Arc<Self>, change: impl FnOnce(&mut Control, Now) -> T) -> T {
        let mut control = self.control();
        let before = control.poll_timeout();
        let value = change(&mut control, self.now());
        let mut happened = Vec::new();
        while let Some(output) = control.poll_output() {
            self.perform(output, &mut happened);
        }
        if control.poll_timeout() != before {
            self.timers.notify_one();
        }
        if !happened.is_empty() {
            // From lock to lock, so that it is told in its order and control waits for nobody.
            let mut streams = self.streams();
            drop(control);
            streams.tell(self, happened);
        }
        value
    }

    pub(crate) fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn perform(&self, output: Output, happened: &mut Vec<Happening>) {
        match output {
            Output::Happened(happening) => happened.push(happening),
            Output::Command(Command::Close { session, cause }) => {
                if !self.readers.close(session, cause) {
                    self.media.close(session, figures::reason(cause));
                }
            }
            Output::Command(Command::SwitchSource { session, source }) => {
                let mut switches = self.switches.lock().unwrap_or_else(PoisonError::into_inner);
                switches.insert(session, source);
                drop(switches);
                self.switch.notify_one();
            }
            Output::Command(Command::ForgetSource { source }) => {
                self.hubs.forget(source);
                self.media.forget_source(source);
            }
            Output::Command(Command::Fallback { room, wanted }) => {
                self.fallbacks.switch(&room, wanted, self.now().wall);
            }
            Output::Command(Command::Note(change)) => {
                if self.notes.try_send(change).is_err() {
                    tracing::debug!("a note was dropped: the disk is behind");
                }
            }
            Output::Event(event) => {
                let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(events) = &*events {
                    // Nobody listening is no error.
                    let _ = events.send(Arc::new(event));
                }
            }
            Output::Signal { sessions, signal } => self.watchers.send(&sessions, signal),
        }
    }

    fn read_events(&self, room: Option<&RoomId>, last_seen: Option<u64>) -> EventReader {
        // Under control's lock no event falls between the replay and what is live.
        let control = self.control();
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let live = match &*events {
            Some(events) => events.subscribe(),
            None => broadcast::channel(1).1,
        };
        EventReader::new(control.replay(last_seen, room), live, room.cloned())
    }

    /// The state of a session in the words of its event stream.
    pub(crate) fn state_of(self: &Arc<Self>, session: SessionId) -> VecDeque<SessionEvent> {
        self.mutate(|control, _| control.watch(session))
            .map(first_events)
            .unwrap_or_default()
    }

    pub(crate) fn source_of(&self, session: SessionId) -> Option<SourceId> {
        self.look(|control| control.source_of(session))
    }

    /// A reader of a session's signals goes. Under control's lock, so that another one who comes
    /// meanwhile is not forgotten.
    pub(crate) fn leave(self: &Arc<Self>, session: SessionId) {
        self.mutate(|control, _| {
            if self.watchers.leave(session) {
                control.unwatch(session);
            }
        });
    }

    pub(crate) fn publications(&self, source: SourceId) -> Vec<Publication> {
        match self.feeds.get(source) {
            Some(feed) => feed.publications(),
            None => figures::publications_of(&self.media.snapshots(), source),
        }
    }
}

/// The refusal for a store that does not take a change.
pub(crate) fn store_refusal(error: &StoreError) -> Refusal {
    tracing::error!(%error, "the store did not take a change");
    let detail = "the server could not write to its disk, so nothing was changed; try again, and \
                  see the server's log";
    Refusal::new(RefusalKind::Unavailable, detail).retry_after(Duration::from_secs(10))
}
