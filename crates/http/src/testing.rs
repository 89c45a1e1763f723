//! A real node over a scripted data plane, and requests without a network, for the doors' tests.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use inver_node::{
    Answering, Client, Config, Credentials, Handle, Media, Policy, Publish as NodePublish,
    RestreamPolicy, Target,
};
use inver_proto::{Door, IceServer, RoomId, SessionId, SourceId};
use inver_shard::{
    Answer, Batch, CloseReason, Error, Event, FeedLink, IceFragment, Layer, LayerSelection,
    Publish, Snapshot, Subscribe,
};
use tokio::sync::{mpsc, oneshot};
use tower::ServiceExt;

use crate::Connection;

/// An offer that the scripted data plane accepts.
pub const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=ice-ufrag:them\r\na=ice-pwd:theirpasswordtheirpassword\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 96\r\n";
/// An offer of codecs that nobody has (422).
pub const OFFER_OF_NOTHING: &str = "v=0\r\na=nothing-in-common\r\n";
/// An offer that finds the data plane full (503).
pub const OFFER_TOO_MANY: &str = "v=0\r\na=full\r\n";
/// What the scripted data plane answers and offers: sound first, then the picture.
pub const OURS: &str = "v=0\r\na=ice-ufrag:us\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 96\r\n";
/// A fragment with a candidate of the same ICE session.
pub const TRICKLE: &str = "a=ice-ufrag:them\r\na=ice-pwd:theirpasswordtheirpassword\r\n\
    m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n";
/// A fragment that starts ICE anew.
pub const RESTART: &str = "a=ice-ufrag:anew\r\na=ice-pwd:anotherpasswordanotherpw\r\n";

/// Longest wait for anything in a test; reached only where the test fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// A node without sockets.
pub struct Fixture {
    /// The node.
    pub handle: Handle,
    /// What the data plane was asked for.
    pub asked: Arc<Asked>,
    events: mpsc::Sender<(usize, Event)>,
    _data_dir: tempfile::TempDir,
}

/// What the scripted data plane was asked for.
#[derive(Debug, Default)]
pub struct Asked {
    /// Layer selections, in order.
    pub layers: Mutex<Vec<LayerSelection>>,
    /// Answers to offers of ours, in order.
    pub answers: Mutex<Vec<String>>,
    /// Fragments with candidates, in order.
    pub trickled: Mutex<Vec<String>>,
    /// Sessions and the sources that they feed, in order.
    pub publishing: Mutex<Vec<(SessionId, SourceId)>>,
    /// What encoders handed over, in order.
    pub batches: Arc<Mutex<Vec<Arc<Batch>>>>,
    /// Viewers over WebRTC, as encoders are told.
    pub watchers: Arc<AtomicUsize>,
    feeds: Mutex<Vec<(SessionId, oneshot::Sender<CloseReason>)>>,
    restarts: AtomicU64,
}

/// Scripted by the offers above.
struct Scripted(Arc<Asked>, mpsc::Sender<(usize, Event)>);

fn script(offer: &str) -> Result<Answer, Error> {
    if offer == OFFER_OF_NOTHING {
        return Err(Error::NoCommonCodec {
            offered: "MPV".to_owned(),
            available: "VP8".to_owned(),
        });
    }
    if offer == OFFER_TOO_MANY {
        return Err(Error::Full);
    }
    Ok(ours())
}

fn ours() -> Answer {
    Answer {
        sdp: OURS.to_owned(),
        ufrag: "us".to_owned(),
    }
}

fn ready<T: Send + 'static>(result: Result<T, Error>) -> Answering<'static, T> {
    Box::pin(std::future::ready(result))
}

fn note<T>(list: &Mutex<Vec<T>>, item: T) {
    list.lock().expect("no test panics within").push(item);
}

impl Media for Scripted {
    fn publish(&self, request: Publish) -> Answering<'_, Answer> {
        let answer = script(&request.offer);
        if answer.is_ok() {
            note(&self.0.publishing, (request.session, request.source));
        }
        ready(answer)
    }

    fn pull(&self, request: inver_shard::Pull) -> Answering<'_, Answer> {
        note(&self.0.publishing, (request.session, request.source));
        ready(Ok(ours()))
    }

    fn subscribe(&self, request: Subscribe) -> Answering<'_, Answer> {
        ready(request.offer.as_deref().map_or_else(|| Ok(ours()), script))
    }

    fn begin_feed(&self, session: SessionId, source: SourceId) -> Answering<'_, FeedLink> {
        note(&self.0.publishing, (session, source));
        let (closed, receiver) = oneshot::channel();
        note(&self.0.feeds, (session, closed));
        let batches = Arc::clone(&self.0.batches);
        let sink = move |batch| {
            note(&batches, batch);
            true
        };
        let link = FeedLink::new(1, sink, Arc::clone(&self.0.watchers), receiver);
        ready(Ok(link))
    }

    fn accept_answer(&self, _: SessionId, sdp: String) -> Answering<'_, ()> {
        note(&self.0.answers, sdp);
        ready(Ok(()))
    }

    fn trickle(&self, _: SessionId, fragment: IceFragment) -> Answering<'_, ()> {
        note(&self.0.trickled, fragment.text);
        ready(Ok(()))
    }

    fn restart_ice(&self, _: SessionId, _: IceFragment) -> Answering<'_, Answer> {
        let count = self.0.restarts.fetch_add(1, Ordering::Relaxed);
        let ufrag = format!("us{count}");
        let sdp = format!("a=ice-ufrag:{ufrag}\r\n");
        ready(Ok(Answer { sdp, ufrag }))
    }

    fn select_layer(&self, _: SessionId, selection: LayerSelection) -> Answering<'_, ()> {
        note(&self.0.layers, selection);
        ready(Ok(()))
    }

    fn switch_source(&self, _: SessionId, _: SourceId) -> Answering<'_, ()> {
        ready(Ok(()))
    }

    fn close(&self, session: SessionId, reason: CloseReason) {
        let mut feeds = self.0.feeds.lock().expect("no test panics within");
        if let Some(at) = feeds.iter().position(|(of, _)| *of == session) {
            // A feed that was dropped hears nothing.
            let _ = feeds.swap_remove(at).1.send(reason);
            // A node that stopped listens no more.
            let _ = self.1.try_send((0, Event::Closed { session, reason }));
        }
    }

    fn forget_session(&self, _: SessionId) {}

    fn forget_source(&self, _: SourceId) {}

    fn tap(&self, _: SourceId) -> Option<mpsc::Receiver<Arc<Batch>>> {
        None
    }

    fn want_keyframe(&self, _: SourceId, _: Layer) {}

    fn snapshots(&self) -> Vec<Arc<Snapshot>> {
        Vec::new()
    }

    fn stop(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}

impl Fixture {
    /// A node on which everybody has all rights.
    pub async fn open() -> Self {
        Self::with(Policy::default()).await
    }

    /// A node that asks for keys and tokens.
    pub async fn keyed() -> Self {
        Self::with(Policy {
            open: false,
            ..Policy::default()
        })
        .await
    }

    /// A node with this policy, a STUN server and a TURN server with a password.
    pub async fn with(policy: Policy) -> Self {
        let data_dir = tempfile::tempdir().expect("a folder for the test");
        let (events, told) = mpsc::channel(64);
        let asked = Arc::new(Asked::default());
        let config = Config {
            data_dir: data_dir.path().join("data"),
            policy,
            // Tests speak to what listens on this machine.
            restream: RestreamPolicy {
                allow_private: true,
                ..RestreamPolicy::default()
            },
            ice_servers: vec![
                IceServer {
                    urls: vec!["stun:stun.example.net".to_owned()],
                    username: None,
                    credential: None,
                },
                IceServer {
                    urls: vec!["turn:turn.example.net?transport=udp".to_owned()],
                    username: Some("user".to_owned()),
                    credential: Some("password".to_owned()),
                },
            ],
            admin_token: None,
            version: "1.2.3".to_owned(),
            recoders: 1,
            ..Config::default()
        };
        let handle = Handle::open(config, Scripted(asked.clone(), events.clone()), told)
            .await
            .expect("a fresh folder opens");
        Self {
            handle,
            asked,
            events,
            _data_dir: data_dir,
        }
    }

    /// The server's admin token as an `Authorization` header.
    pub fn admin(&self) -> String {
        format!("Bearer {}", self.handle.admin_token().reveal())
    }

    /// Says that the data plane saw something.
    pub async fn tell(&self, event: Event) {
        self.events
            .send((0, event))
            .await
            .expect("the node listens");
    }

    /// Publishes into a room until it is live, as an administrator.
    pub async fn go_live(&self, room: &str) {
        let room: RoomId = room.parse().expect("a room id");
        let started = self
            .handle
            .publish(NodePublish {
                target: Target::Room(room.clone()),
                participant: None,
                credentials: Credentials::bearer(self.handle.admin_token().reveal()),
                client: Client::default(),
                offer: OFFER.to_owned(),
                door: Door::Whip,
            })
            .await
            .expect("the publisher is let in");
        self.flow(started.session, true).await;
        self.until(&room, |live| live).await;
    }

    /// Says that the media of the newest publisher flows or stops, and waits until it shows.
    pub async fn flows(&self, room: &str, flowing: bool) {
        let room: RoomId = room.parse().expect("a room id");
        let newest = self
            .asked
            .publishing
            .lock()
            .expect("no test panics within")
            .last()
            .copied();
        let (session, _) = newest.expect("somebody publishes");
        self.flow(session, flowing).await;
        self.until(&room, |live| live == flowing).await;
    }

    async fn flow(&self, session: SessionId, flowing: bool) {
        let source = {
            let publishing = self.asked.publishing.lock().expect("no test panics within");
            let found = publishing.iter().find(|(of, _)| *of == session);
            found.expect("the data plane was asked").1
        };
        if flowing {
            self.tell(Event::Connected { session }).await;
        }
        self.tell(Event::Flowing { source, flowing }).await;
    }

    async fn until(&self, room: &RoomId, wanted: impl Fn(bool) -> bool) {
        let mut events = self.handle.events(Some(room), None);
        let waiting = async {
            while !wanted(self.handle.room(room).is_ok_and(|room| room.live)) {
                events.next().await.expect("the node runs");
            }
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .expect("the room goes live or offline");
    }
}

/// A request to be sent to a router.
pub struct Asking {
    request: http::request::Builder,
    host: bool,
    body: Body,
}

/// Starts a request; it goes to `localhost:8080` unless a `Host` header says otherwise.
pub fn ask(method: Method, path: &str) -> Asking {
    Asking {
        request: Request::builder().method(method).uri(path),
        host: false,
        body: Body::empty(),
    }
}

impl Asking {
    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.host |= name.eq_ignore_ascii_case("host");
        self.request = self.request.header(name, value);
        self
    }

    /// Says where the request comes from.
    #[must_use]
    pub fn from(mut self, remote: &str) -> Self {
        self.request = self.request.extension(Connection {
            remote: remote.parse().expect("an address with a port"),
            local: None,
            tls: false,
        });
        self
    }

    /// Sets body and content type.
    #[must_use]
    pub fn body(self, content_type: &str, body: &str) -> Self {
        let mut with = self.header("content-type", content_type);
        with.body = Body::from(body.to_owned());
        with
    }

    /// Sends it and waits for the response's headers.
    pub async fn send(mut self, router: &Router) -> Answered {
        if !self.host {
            self.request = self.request.header("host", "localhost:8080");
        }
        let request = self.request.body(self.body).expect("a request");
        let response = router
            .clone()
            .oneshot(request)
            .await
            .expect("a router always answers");
        let (parts, body) = response.into_parts();
        Answered {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }
}

/// A response.
pub struct Answered {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    body: Body,
}

impl Answered {
    /// The only value of a header, or an empty string.
    pub fn header(&self, name: &str) -> &str {
        let values: Vec<_> = self.headers.get_all(name).iter().collect();
        assert!(values.len() < 2, "{name} is there {} times", values.len());
        values
            .first()
            .map_or("", |value| value.to_str().expect("text"))
    }

    /// All values of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let values = self.headers.get_all(name).iter();
        values.map(|value| value.to_str().expect("text")).collect()
    }

    /// The path of the `Location` header, which must be absolute.
    pub fn location(&self) -> String {
        self.header("location")
            .strip_prefix("http://localhost:8080")
            .expect("an absolute URL of the host that was asked")
            .to_owned()
    }

    /// The whole body as text.
    pub async fn text(self) -> String {
        let collected = tokio::time::timeout(PATIENCE, self.body.collect())
            .await
            .expect("the body ends")
            .expect("the body is whole");
        String::from_utf8(collected.to_bytes().into()).expect("text")
    }

    /// The whole body as JSON.
    pub async fn json(self) -> serde_json::Value {
        let text = self.text().await;
        serde_json::from_str(&text).expect("JSON")
    }

    /// Checks that the answer is a problem with this status and gives its detail.
    pub async fn problem(self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let json = self.json().await;
        assert_eq!(json["status"], status);
        for member in ["type", "title", "detail"] {
            assert!(json[member].is_string(), "{member} is missing in {json}");
        }
        json["detail"].as_str().unwrap_or_default().to_owned()
    }

    /// Reads an endless body until it holds the text; gives what was read.
    pub async fn until(&mut self, text: &str) -> String {
        let mut read = String::new();
        let reading = async {
            while !read.contains(text) {
                let frame = self.body.frame().await;
                let frame = frame.unwrap_or_else(|| panic!("the body ended after {read:?}"));
                if let Ok(data) = frame.expect("the body is whole").into_data() {
                    read.push_str(std::str::from_utf8(&data).expect("text"));
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading)
            .await
            .unwrap_or_else(|_| panic!("{text:?} did not come"));
        read
    }
}
