//! A data plane that does as it is told, and a node around it.
#![allow(dead_code, reason = "each behaviour uses its own part of this")]
#![allow(unreachable_pub, reason = "a module of several test programs")]

use std::collections::HashMap;
use std::future::{Future, ready};
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use inver_node::{
    Answering, Client, Config, Credentials, Handle, Media, Policy, Publish, Subscribe, Target,
};
use inver_proto::{Door, RoomId, SessionId, SourceId};
use inver_rtc::Layer;
use inver_shard::{
    Answer, Batch, CloseReason, Error, Event, FeedLink, IceFragment, LayerSelection, Snapshot,
};
use tokio::sync::{Notify, mpsc, oneshot};

/// What was asked of the data plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Publish(SessionId, SourceId),
    BeginFeed(SessionId, SourceId),
    Subscribe(SessionId, SourceId, bool),
    Pull(SessionId, SourceId),
    AcceptAnswer(SessionId),
    Trickle(SessionId, String),
    RestartIce(SessionId),
    SelectLayer(SessionId, LayerSelection),
    SwitchSource(SessionId, SourceId),
    Close(SessionId, CloseReason),
    ForgetSession(SessionId),
    ForgetSource(SourceId),
    Tap(SourceId),
    WantKeyframe(SourceId, Layer),
    Stop,
}

#[derive(Default)]
struct Script {
    calls: Mutex<Vec<Call>>,
    refusal: Mutex<Option<Error>>,
    hanging: Mutex<bool>,
    snapshots: Mutex<Vec<Arc<Snapshot>>>,
    /// What encoders handed over.
    batches: Arc<Mutex<Vec<Arc<Batch>>>>,
    /// Viewers over WebRTC, as encoders are told.
    watchers: Arc<AtomicUsize>,
    closings: Mutex<HashMap<SessionId, oneshot::Sender<CloseReason>>>,
    /// Who reads the packets of publishers over WebRTC.
    taps: Mutex<Vec<(SourceId, mpsc::Sender<Arc<Batch>>)>>,
    called: Notify,
}

/// Clones are the same data plane.
#[derive(Clone, Default)]
pub struct Fake(Arc<Script>);

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fake {
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.0.calls).clone()
    }

    /// Refuses what comes from now on.
    pub fn refuse(&self, error: Option<Error>) {
        *lock(&self.0.refusal) = error;
    }

    /// Does not answer from now on.
    pub fn hang(&self, hanging: bool) {
        *lock(&self.0.hanging) = hanging;
    }

    /// What encoders handed over so far.
    pub fn batches(&self) -> Vec<Arc<Batch>> {
        lock(&self.0.batches).clone()
    }

    /// Viewers over WebRTC from now on.
    pub fn watch(&self, viewers: usize) {
        self.0.watchers.store(viewers, Ordering::Relaxed);
    }

    /// Packets come from a publisher over WebRTC. Gives how many read them.
    pub fn give(&self, source: SourceId, batch: &Arc<Batch>) -> usize {
        let mut taps = lock(&self.0.taps);
        taps.retain(|(of, tap)| *of != source || tap.try_send(Arc::clone(batch)).is_ok());
        taps.iter().filter(|(of, _)| *of == source).count()
    }

    pub fn measure(&self, snapshot: Snapshot) {
        *lock(&self.0.snapshots) = vec![Arc::new(snapshot)];
    }

    /// Waits for a call.
    pub async fn called(&self, call: &Call) {
        loop {
            let notified = self.0.called.notified();
            if self.calls().contains(call) {
                return;
            }
            notified.await;
        }
    }

    fn note(&self, call: Call) {
        lock(&self.0.calls).push(call);
        self.0.called.notify_waiters();
    }

    fn answer<T: Send + 'static>(&self, call: Call, value: T) -> Answering<'_, T> {
        self.note(call);
        if *lock(&self.0.hanging) {
            return Box::pin(std::future::pending());
        }
        let refusal = lock(&self.0.refusal).clone();
        Box::pin(ready(refusal.map_or(Ok(value), Err)))
    }
}

fn described(session: SessionId) -> Answer {
    Answer {
        sdp: format!("v=0\r\ns={session}\r\n"),
        ufrag: format!("ours{session}"),
    }
}

impl Media for Fake {
    fn publish(&self, request: inver_shard::Publish) -> Answering<'_, Answer> {
        let call = Call::Publish(request.session, request.source);
        self.answer(call, described(request.session))
    }

    fn pull(&self, request: inver_shard::Pull) -> Answering<'_, Answer> {
        let call = Call::Pull(request.session, request.source);
        self.answer(call, described(request.session))
    }

    fn subscribe(&self, request: inver_shard::Subscribe) -> Answering<'_, Answer> {
        let call = Call::Subscribe(request.session, request.source, request.offer.is_some());
        self.answer(call, described(request.session))
    }

    fn begin_feed(&self, session: SessionId, source: SourceId) -> Answering<'_, FeedLink> {
        let (closed, receiver) = oneshot::channel();
        lock(&self.0.closings).insert(session, closed);
        let batches = Arc::clone(&self.0.batches);
        let sink = move |batch| {
            lock(&batches).push(batch);
            true
        };
        let link = FeedLink::new(1, sink, Arc::clone(&self.0.watchers), receiver);
        self.answer(Call::BeginFeed(session, source), link)
    }

    fn accept_answer(&self, session: SessionId, _: String) -> Answering<'_, ()> {
        self.answer(Call::AcceptAnswer(session), ())
    }

    fn trickle(&self, session: SessionId, fragment: IceFragment) -> Answering<'_, ()> {
        self.answer(Call::Trickle(session, fragment.text), ())
    }

    fn restart_ice(&self, session: SessionId, _: IceFragment) -> Answering<'_, Answer> {
        let sdp = "a=ice-ufrag:anew\r\n".to_owned();
        self.answer(
            Call::RestartIce(session),
            Answer {
                sdp,
                ufrag: "anew".to_owned(),
            },
        )
    }

    fn select_layer(&self, session: SessionId, selection: LayerSelection) -> Answering<'_, ()> {
        self.answer(Call::SelectLayer(session, selection), ())
    }

    fn switch_source(&self, session: SessionId, source: SourceId) -> Answering<'_, ()> {
        self.answer(Call::SwitchSource(session, source), ())
    }

    fn close(&self, session: SessionId, reason: CloseReason) {
        if let Some(closed) = lock(&self.0.closings).remove(&session) {
            let _ = closed.send(reason);
        }
        self.note(Call::Close(session, reason));
    }

    fn forget_session(&self, session: SessionId) {
        self.note(Call::ForgetSession(session));
    }

    fn forget_source(&self, source: SourceId) {
        lock(&self.0.taps).retain(|(of, _)| *of != source);
        self.note(Call::ForgetSource(source));
    }

    fn tap(&self, source: SourceId) -> Option<mpsc::Receiver<Arc<Batch>>> {
        let (sender, receiver) = mpsc::channel(1024);
        lock(&self.0.taps).push((source, sender));
        self.note(Call::Tap(source));
        Some(receiver)
    }

    fn want_keyframe(&self, source: SourceId, layer: Layer) {
        self.note(Call::WantKeyframe(source, layer));
    }

    fn snapshots(&self) -> Vec<Arc<Snapshot>> {
        lock(&self.0.snapshots).clone()
    }

    fn stop(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.note(Call::Stop);
        Box::pin(ready(()))
    }
}

/// A node with a fake data plane.
pub struct Node {
    pub handle: Handle,
    pub fake: Fake,
    pub facts: mpsc::Sender<(usize, Event)>,
}

impl Node {
    pub async fn open(folder: &Path, open: bool) -> Self {
        Self::try_open(folder, open).await.expect("opens")
    }

    pub async fn try_open(folder: &Path, open: bool) -> Result<Self, inver_node::OpenError> {
        Self::with_service(folder, open, Config::default()).await
    }

    /// A node with the service of these settings.
    pub async fn with_service(
        folder: &Path,
        open: bool,
        settings: Config,
    ) -> Result<Self, inver_node::OpenError> {
        let config = Config {
            data_dir: folder.to_owned(),
            policy: Policy {
                open,
                ..Policy::default()
            },
            version: "1.2.3".to_owned(),
            ..settings
        };
        let fake = Fake::default();
        let (facts, events) = mpsc::channel(64);
        let handle = Handle::open(config, fake.clone(), events).await?;
        Ok(Self {
            handle,
            fake,
            facts,
        })
    }

    pub async fn tell(&self, event: Event) {
        self.facts.send((0, event)).await.expect("the node listens");
    }

    /// The source that a session feeds or gets.
    pub fn source(&self, session: SessionId) -> SourceId {
        let calls = self.fake.calls().into_iter();
        let mut sources = calls.filter_map(|call| match call {
            Call::Publish(id, source) | Call::Subscribe(id, source, _) if id == session => {
                Some(source)
            }
            _ => None,
        });
        sources.next().expect("the session was asked for")
    }
}

pub const OFFER: &str = "v=0\r\na=ice-ufrag:theirs\r\na=ice-pwd:0123456789012345678901\r\n";

pub fn room(id: &str) -> RoomId {
    id.parse().expect("is a room id")
}

pub fn publish(id: &str, credentials: &str) -> Publish {
    Publish {
        target: Target::Room(room(id)),
        participant: None,
        credentials: Credentials::bearer(credentials),
        client: Client::default(),
        offer: OFFER.to_owned(),
        door: Door::Whip,
    }
}

pub fn subscribe(id: &str) -> Subscribe {
    Subscribe {
        room: room(id),
        participant: None,
        credentials: Credentials::NONE,
        client: Client::default(),
        offer: Some(OFFER.to_owned()),
        wait: false,
        relay_path: inver_proto::RelayPath::default(),
        door: Door::Whep,
    }
}
