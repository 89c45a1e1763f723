//! A server in this process with a data plane that only counts, and small clients.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use inver_node::{Answering, Media};
use inver_proto::{SessionId, SourceId};
use inver_server::config::Config;
use inver_server::running::{DataPlane, Running};
use inver_shard::{
    Answer, Batch, CloseReason, Error, Event, FeedLink, IceFragment, Layer, LayerSelection,
    Publish, Snapshot, Subscribe,
};
use tokio::sync::mpsc;

/// Longest time that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Accepts every session and connects it at once; its sessions leave only when closed.
#[derive(Clone)]
pub(crate) struct Scripted {
    events: mpsc::Sender<(usize, Event)>,
    pub(crate) closed: Arc<Mutex<Vec<(SessionId, CloseReason)>>>,
}

impl Scripted {
    async fn answer(&self, session: SessionId) -> Result<Answer, Error> {
        let connected = Event::Connected { session };
        self.events
            .send((0, connected))
            .await
            .map_err(|_| Error::Gone)?;
        Ok(Answer {
            sdp: "v=0\r\n".to_owned(),
            ufrag: "ufrag".to_owned(),
        })
    }
}

impl Media for Scripted {
    fn publish(&self, request: Publish) -> Answering<'_, Answer> {
        Box::pin(self.answer(request.session))
    }

    fn pull(&self, _: inver_shard::Pull) -> Answering<'_, Answer> {
        Box::pin(async { Err(Error::Full) })
    }

    fn subscribe(&self, request: Subscribe) -> Answering<'_, Answer> {
        Box::pin(self.answer(request.session))
    }

    fn begin_feed(&self, _: SessionId, _: SourceId) -> Answering<'_, FeedLink> {
        Box::pin(async { Err(Error::Full) })
    }

    fn accept_answer(&self, _: SessionId, _: String) -> Answering<'_, ()> {
        Box::pin(async { Err(Error::UnknownSession) })
    }

    fn trickle(&self, _: SessionId, _: IceFragment) -> Answering<'_, ()> {
        Box::pin(async { Err(Error::UnknownSession) })
    }

    fn restart_ice(&self, _: SessionId, _: IceFragment) -> Answering<'_, Answer> {
        Box::pin(async { Err(Error::UnknownSession) })
    }

    fn select_layer(&self, _: SessionId, _: LayerSelection) -> Answering<'_, ()> {
        Box::pin(async { Err(Error::UnknownSession) })
    }

    fn switch_source(&self, _: SessionId, _: SourceId) -> Answering<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn close(&self, session: SessionId, reason: CloseReason) {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        closed.push((session, reason));
        let _ = self.events.try_send((0, Event::Closed { session, reason }));
    }

    fn forget_source(&self, _: SourceId) {}

    fn tap(&self, _: SourceId) -> Option<mpsc::Receiver<Arc<Batch>>> {
        None
    }

    fn want_keyframe(&self, _: SourceId, _: Layer) {}

    fn forget_session(&self, _: SessionId) {}

    fn snapshots(&self) -> Vec<Arc<Snapshot>> {
        vec![Arc::new(Snapshot::default())]
    }

    fn stop(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {})
    }
}

/// A running server with its folder.
pub(crate) struct Server {
    pub(crate) running: Running,
    pub(crate) media: Scripted,
    pub(crate) folder: tempfile::TempDir,
}

impl Server {
    /// Starts with this configuration, on a port of its own unless it names one.
    pub(crate) async fn start(toml: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self::start_in(folder, toml, false).await.expect("starts")
    }

    pub(crate) async fn start_in(
        folder: tempfile::TempDir,
        toml: &str,
        show_admin_link: bool,
    ) -> anyhow::Result<Self> {
        let mut config: Config = toml::from_str(toml).expect("a valid configuration");
        config.server.data_dir = Some(folder.path().join("data"));
        if config.server.listen.is_none() {
            config.server.listen = Some(vec!["127.0.0.1:0".parse().expect("valid")]);
        }
        let (events, told) = mpsc::channel(100);
        let media = Scripted {
            events,
            closed: Arc::default(),
        };
        let plane = DataPlane {
            media: media.clone(),
            events: told,
            candidates: vec![SocketAddr::from(([192, 0, 2, 1], 7000))],
        };
        let start = |_| Ok(plane);
        let running = Box::pin(Running::start(&config, show_admin_link, start)).await?;
        Ok(Self {
            running,
            media,
            folder,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.listeners[0]
    }

    pub(crate) fn port(&self) -> u16 {
        self.address().port()
    }
}

/// An HTTP client that trusts one certificate, or any where none is given, and follows nothing.
pub(crate) fn client(certificate: Option<&[u8]>) -> reqwest::Client {
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .no_proxy();
    let builder = match certificate {
        Some(pem) => {
            let certificate = reqwest::Certificate::from_pem(pem).expect("a certificate");
            builder.tls_certs_only([certificate])
        }
        None => builder.tls_danger_accept_invalid_certs(true),
    };
    builder.build().expect("a client")
}

/// A certificate for this machine with its key, both in PEM.
pub(crate) fn certificate() -> (String, String) {
    let names = vec![
        "localhost".to_owned(),
        IpAddr::from([127, 0, 0, 1]).to_string(),
    ];
    let made = rcgen::generate_simple_self_signed(names).expect("makes one");
    (made.cert.pem(), made.signing_key.serialize_pem())
}
