//! Which rooms are fetched, and one task for each that is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use inver_node::{Fetching, Handle, Pulled, Refusal, RefusalKind, Secret};
use inver_proto::{Relay, RelayPath, RelayState, RoomId, RoomPattern as Pattern};
use inver_sockets::{Stop, stopped};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::client::{Origin, UrlError, origin_of, url_of};
use super::retry::Retry;

/// How long a viewer waits for a room at most. Less than an HTTP door's own deadline.
const FETCH: Duration = Duration::from_millis(6500);

/// How long a session's media is waited for before viewers are let in: they then know what is
/// sent, or wait for it themselves.
const FIRST_MEDIA: Duration = Duration::from_secs(4);

/// How long a session without viewers is kept: who comes back within it sees the picture at once.
const IDLE: Duration = Duration::from_secs(15);

/// A session without media for this long is given up, longer than an origin keeps viewers of a
/// publisher that left: rooms that servers await from one another would stay for ever.
const SILENT: Duration = Duration::from_secs(45);

/// How often a session is looked at.
const LOOK: Duration = Duration::from_millis(500);
const LOOK_FOR_MEDIA: Duration = Duration::from_millis(40);

/// Rooms that are fetched at once: each costs a task, a session and a socket.
const MOST_ROOMS: usize = 1_000;

/// Rooms that come from another server.
#[derive(Debug, Clone)]
pub struct Room {
    /// Which.
    pub pattern: Pattern,
    /// WHEP URL, with `{room}` where the room's name goes.
    pub url: String,
    /// Bearer token for the origin.
    pub token: Option<Secret>,
    /// Whether the room is fetched without viewers too. Needs a room's name.
    pub always: bool,
}

impl Room {
    /// Checks the URL.
    ///
    /// # Errors
    ///
    /// It cannot be pulled from.
    pub fn check(&self) -> Result<(), UrlError> {
        let any: RoomId = "room".parse().expect("a name");
        url_of(&self.url, &any).map(drop)
    }
}

/// Settings.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The first one that covers a room holds.
    pub rooms: Vec<Room>,
}

/// How far a room is.
#[derive(Debug, Clone)]
enum State {
    Connecting,
    Connected,
    Waiting(Refusal),
}

#[derive(Debug)]
struct Flight {
    origin: String,
    state: watch::Receiver<State>,
}

/// All rooms that are fetched. Clones are the same.
#[derive(Debug, Clone)]
pub struct Relays(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    handle: Handle,
    rooms: Vec<Room>,
    /// By room. One entry for each task.
    flights: Mutex<HashMap<RoomId, Flight>>,
    tasks: Mutex<JoinSet<()>>,
    stop: Stop,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Relays {
    /// Fetches rooms until the stop.
    pub fn new(handle: Handle, config: Config, stop: Stop) -> Self {
        Self(Arc::new(Shared {
            handle,
            rooms: config.rooms,
            flights: Mutex::new(HashMap::new()),
            tasks: Mutex::new(JoinSet::new()),
            stop,
        }))
    }

    /// Begins what is always fetched and waits, after the stop, until all sessions have ended.
    pub async fn serve(self) {
        for room in &self.0.rooms {
            if let (true, Pattern::Room(id)) = (room.always, &room.pattern) {
                // What does not begin now is asked for by its viewers.
                drop(self.begin(id, &RelayPath::default()));
            }
        }
        stopped(&mut self.0.stop.clone()).await;
        let mut tasks = std::mem::take(&mut *lock(&self.0.tasks));
        while tasks.join_next().await.is_some() {}
    }

    fn room(&self, id: &RoomId) -> Option<&Room> {
        self.0.rooms.iter().find(|room| room.pattern.covers(id))
    }

    /// The state of a room's task, which begins where there is none; whether it has begun now.
    /// `None`: somebody publishes here.
    fn begin(
        &self,
        id: &RoomId,
        path: &RelayPath,
    ) -> Result<Option<(watch::Receiver<State>, bool)>, Refusal> {
        let mut flights = lock(&self.0.flights);
        if let Some(flight) = flights.get(id) {
            return Ok(Some((flight.state.clone(), false)));
        }
        let Some(room) = self.room(id).filter(|_| !self.0.handle.has_publisher(id)) else {
            return Ok(None);
        };
        if flights.len() >= MOST_ROOMS || *self.0.stop.borrow() {
            let detail = "the server relays as many rooms as it may";
            return Err(
                Refusal::new(RefusalKind::Unavailable, detail).retry_after(Duration::from_secs(5))
            );
        }
        let url = url_of(&room.url, id)
            .map_err(|error| Refusal::new(RefusalKind::Internal, error.to_string()))?;
        let origin_name = origin_of(&url);
        let origin = Origin::new(url, room.token.clone(), None)?;
        let (state, receiver) = watch::channel(State::Connecting);
        let flight = Flight {
            origin: origin_name.clone(),
            state: receiver.clone(),
        };
        flights.insert(id.clone(), flight);
        let task = Task {
            relays: self.clone(),
            room: id.clone(),
            always: room.always,
            origin_name,
            origin,
            path: path.then(self.0.handle.node_id()),
            state,
        };
        let mut tasks = lock(&self.0.tasks);
        // Those that are over are forgotten whenever one begins.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task.run());
        Ok(Some((receiver, true)))
    }
}

impl inver_node::Relays for Relays {
    fn covers(&self, room: &RoomId) -> bool {
        self.room(room).is_some()
    }

    fn fetch<'a>(&'a self, room: &'a RoomId, path: &'a RelayPath) -> Fetching<'a> {
        Box::pin(async move {
            let Some((mut state, begun)) = self.begin(room, path)? else {
                return Ok(());
            };
            let connecting = matches!(*state.borrow(), State::Connecting);
            if connecting && !begun && !path.is_empty() {
                // Two servers that wait for one another would wait in vain.
                let detail = "the room is being fetched; ask again";
                return Err(Refusal::new(RefusalKind::Unavailable, detail)
                    .retry_after(Duration::from_secs(1)));
            }
            let settled = state.wait_for(|state| !matches!(state, State::Connecting));
            let refusal = match timeout(FETCH, settled).await {
                Ok(Ok(state)) => match &*state {
                    State::Connected | State::Connecting => return Ok(()),
                    State::Waiting(refusal) => refusal.clone(),
                },
                Ok(Err(_)) | Err(_) => Refusal::new(
                    RefusalKind::Unavailable,
                    "the room's origin did not answer in time",
                )
                .retry_after(Duration::from_secs(1)),
            };
            if self.0.handle.has_publisher(room) {
                // Its viewers wait for it, and so may this one.
                return Ok(());
            }
            Err(refusal)
        })
    }

    fn relay(&self, room: &RoomId) -> Option<Relay> {
        let flights = lock(&self.0.flights);
        let flight = flights.get(room)?;
        let (state, problem) = match &*flight.state.borrow() {
            State::Connecting => (RelayState::Connecting, None),
            State::Connected => (RelayState::Connected, None),
            State::Waiting(refusal) => (RelayState::Waiting, Some(refusal.detail.clone())),
        };
        Some(Relay {
            origin: flight.origin.clone(),
            state,
            problem,
        })
    }
}

/// Fetches one room.
struct Task {
    relays: Relays,
    room: RoomId,
    always: bool,
    origin_name: String,
    origin: Origin,
    path: RelayPath,
    state: watch::Sender<State>,
}

/// Why a session is over.
enum End {
    /// Nobody watches, or the server stops.
    Unwanted,
    /// It stood and was lost.
    Lost,
    /// It did not come about.
    Refused(Refusal),
}

impl Task {
    async fn run(self) {
        let mut stop = self.relays.0.stop.clone();
        let mut retry = Retry::default();
        loop {
            let refusal = match self.session(&mut stop).await {
                End::Unwanted => break,
                End::Lost => {
                    retry.succeeded();
                    let detail =
                        format!("the room comes from {}, which was lost", self.origin_name);
                    Refusal::new(RefusalKind::Unavailable, detail)
                        .retry_after(Duration::from_secs(1))
                }
                End::Refused(refusal) => refusal,
            };
            let (room, origin) = (&self.room, &self.origin_name);
            tracing::info!(%room, origin, reason = refusal.detail, "a room is not relayed");
            let wait = retry.failed(refusal.retry_after, fastrand::f64());
            self.state.send_replace(State::Waiting(refusal));
            tokio::select! {
                () = stopped(&mut stop) => break,
                () = sleep(wait) => {}
            }
            if !self.is_wanted() {
                break;
            }
            self.state.send_replace(State::Connecting);
        }
        lock(&self.relays.0.flights).remove(&self.room);
    }

    fn is_wanted(&self) -> bool {
        self.always || self.relays.0.handle.is_watched(&self.room)
    }

    /// One session with the origin, from the offer to its end.
    async fn session(&self, stop: &mut Stop) -> End {
        let handle = &self.relays.0.handle;
        let pull = match handle.begin_relay(&self.room, &self.origin_name).await {
            Ok(pull) => pull,
            Err(refusal) => return End::Refused(refusal),
        };
        let granted = tokio::select! {
            granted = self.origin.ask(pull.offer(), &self.path) => granted,
            () = stopped(stop) => return End::Unwanted,
        };
        let granted = match granted {
            Ok(granted) => granted,
            Err(refusal) => return End::Refused(refusal),
        };
        let end = match pull.accept(granted.answer.clone()).await {
            Ok(mut pulled) => self.hold(&mut pulled, stop).await,
            Err(refusal) => {
                tracing::debug!(origin = self.origin_name, %refusal, "an answer cannot be used");
                let detail = format!(
                    "the room comes from {}, whose answer cannot be used",
                    self.origin_name
                );
                End::Refused(Refusal::new(RefusalKind::Unavailable, detail))
            }
        };
        self.origin.end(&granted).await;
        end
    }

    /// Keeps a session while somebody watches.
    async fn hold(&self, pulled: &mut Pulled, stop: &mut Stop) -> End {
        let handle = &self.relays.0.handle;
        let begun = Instant::now();
        let (mut watched, mut heard) = (begun, begun);
        let mut told = false;
        loop {
            let look = if told { LOOK } else { LOOK_FOR_MEDIA };
            tokio::select! {
                () = stopped(stop) => return End::Unwanted,
                cause = pulled.closed() => {
                    tracing::debug!(room = %self.room, ?cause, "a session with an origin ended");
                    return End::Lost;
                }
                () = sleep(look) => {}
            }
            let now = Instant::now();
            let live = handle.is_live(&self.room);
            if live {
                heard = now;
            }
            if !told && (live || now - begun >= FIRST_MEDIA) {
                told = true;
                tracing::info!(room = %self.room, origin = self.origin_name, "a room is relayed");
                self.state.send_replace(State::Connected);
            }
            if self.is_wanted() {
                watched = now;
            }
            let idle = now - watched;
            if idle >= IDLE || (handle.is_draining() && idle >= LOOK) {
                return End::Unwanted;
            }
            if now - heard >= SILENT {
                return End::Lost;
            }
        }
    }
}
