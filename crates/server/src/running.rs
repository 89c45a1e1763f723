//! A server that runs: started from a configuration, drained once.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use inver_inputs::relay::Relays;
use inver_node::{Handle, Media};
use inver_outputs::record::Recorder;
use inver_proto::{CreateKey, CreateRoom, RoomId};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::assemble::{self, Application};
use crate::banner::{Banner, ROOM, machine_addresses};
use crate::config::Config;
use crate::http::redirect;
use crate::http::serve::{self, Bounds};
use crate::{doors, listen, tls, turn};

/// How often draining looks whether the last session has gone.
const LOOK: Duration = Duration::from_millis(50);
/// Share of the drain's time that is kept for closing what has not left by itself: DTLS closes and
/// the last responses take far less than this part of the usual ten seconds.
const CLOSING_SHARE: u32 = 4;

/// The data plane, as [`Running::start`] needs it.
pub struct DataPlane<M> {
    /// What the node drives.
    pub media: M,
    /// What it tells the node.
    pub events: mpsc::Receiver<(usize, inver_shard::Event)>,
    /// Addresses that media clients are told.
    pub candidates: Vec<SocketAddr>,
}

/// A server that runs.
pub struct Running {
    /// Addresses that pages are served on.
    pub listeners: Vec<SocketAddr>,
    /// What to print.
    pub banner: String,
    /// The control plane.
    pub handle: Handle,
    recorder: Recorder,
    ready: Arc<AtomicBool>,
    reload: Arc<Notify>,
    stop: watch::Sender<bool>,
    /// Listeners; they end when told to stop.
    serving: JoinSet<()>,
    /// Certificates and TURN passwords; they end with this.
    _tending: JoinSet<()>,
    drain_timeout: Duration,
}

impl Running {
    /// Binds all addresses, then starts the data plane by `start`, then serves.
    ///
    /// # Errors
    /// An address that cannot be bound, a certificate or data folder that cannot be used.
    pub async fn start<M: Media>(
        config: &Config,
        show_admin_link: bool,
        start: impl FnOnce(inver_shard::Config) -> anyhow::Result<DataPlane<M>>,
    ) -> anyhow::Result<Self> {
        let bound = Bound::new(config)?;
        let data_dir = config.data_dir();
        make_folder(&data_dir)?;
        let machine = machine_addresses();
        let reload = Arc::new(Notify::new());
        let mut tending = JoinSet::new();
        let tls = tls::set_up(config, &data_dir, &machine, reload.clone(), &mut tending)?;
        let plane = start(assemble::shard_config(config))?;
        let first_run = !data_dir.join("server.secret").exists();
        let handle = Handle::open(assemble::node_config(config)?, plane.media, plane.events)
            .await
            .with_context(|| format!("data folder {} (server.data_dir)", data_dir.display()))?;
        tending.spawn(turn::renew(
            config.webrtc.ice_servers.clone(),
            handle.clone(),
        ));
        let recording = config.recordings()?;
        let folder = recording.folder.clone();
        let recorder = Recorder::start(handle.clone(), recording)
            .await
            .with_context(|| format!("folder {} (recording.folder)", folder.display()))?;
        let application = assemble::application(config, &handle, &recorder)?;
        let stream_key = first_stream_key(&handle).await;
        let listeners = bound.addresses()?;
        let show = first_run || show_admin_link;
        let encoders = bound.encoders.ports();
        handle.set_encoder_ports(encoders.clone());
        let banner = Banner {
            config,
            encoders: &encoders,
            missing: &bound.encoders.missing,
            listeners: &listeners,
            machine: &machine,
            candidates: &plane.candidates,
            admin_token: show.then(|| handle.admin_token().reveal()),
            stream_key: stream_key.as_deref(),
            fingerprint: tls.as_ref().and_then(|tls| tls.fingerprint.as_deref()),
        };
        for note in banner.notes() {
            tracing::debug!(note, "start");
        }
        let (stop, stopped) = watch::channel(false);
        let mut running = Self {
            banner: banner.text(),
            listeners,
            handle,
            recorder,
            ready: application.ready.clone(),
            reload,
            stop,
            serving: JoinSet::new(),
            _tending: tending,
            drain_timeout: config.server.drain_timeout.0,
        };
        running.serve(
            config,
            bound,
            application,
            tls.map(|tls| tls.server),
            &stopped,
        );
        Ok(running)
    }

    fn serve(
        &mut self,
        config: &Config,
        bound: Bound,
        application: Application,
        tls: Option<Arc<ServerConfig>>,
        stopped: &watch::Receiver<bool>,
    ) {
        let bounds = Bounds {
            connections: Arc::new(Semaphore::new(config.limits.connections)),
            header_timeout: config.limits.header_timeout.0,
            handshake_timeout: config.limits.handshake_timeout.0,
        };
        let port = self.listeners.first().map_or(443, SocketAddr::port);
        let authority = config
            .server
            .public_url
            .as_ref()
            .filter(|url| url.is_https())
            .map(|url| url.authority().to_owned());
        let mut spawn =
            |listeners: Vec<TcpListener>, app: Router, tls: Option<_>, bounds: &Bounds| {
                for listener in listeners {
                    let serve = serve::serve(
                        listener,
                        app.clone(),
                        tls.clone(),
                        bounds.clone(),
                        stopped.clone(),
                    );
                    self.serving.spawn(serve);
                }
            };
        let encoders_tls = tls.clone();
        spawn(bound.pages, application.router, tls, &bounds);
        spawn(
            bound.redirects,
            redirect::to_listener(port, authority),
            None,
            &bounds,
        );
        // Figures must be had when clients have taken every connection.
        let own = Bounds {
            connections: Arc::new(Semaphore::new(METRICS_CONNECTIONS)),
            ..bounds
        };
        spawn(bound.metrics, application.metrics, None, &own);
        let relays = config.relays();
        if !relays.rooms.is_empty() {
            let relays = Relays::new(self.handle.clone(), relays, stopped.clone());
            self.handle.set_relays(Arc::new(relays.clone()));
            self.serving.spawn(relays.serve());
        }
        bound.encoders.serve(
            config,
            &self.handle,
            encoders_tls.as_ref(),
            &mut self.serving,
            stopped,
        );
    }

    /// Reads certificate files again.
    pub fn reload(&self) {
        self.reload.notify_one();
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        let counts = self.handle.session_counts();
        counts.connecting + counts.publishing + counts.subscribing
    }

    /// Takes no new sessions, tells those that are there, waits for them to leave, and closes what
    /// is left; all within `server.drain_timeout`.
    pub async fn drain(mut self) {
        let begin = Instant::now();
        let deadline = begin + self.drain_timeout;
        let leave_by = deadline - self.drain_timeout / CLOSING_SHARE;
        self.ready.store(false, Ordering::Relaxed);
        self.handle.drain();
        while self.sessions() > 0 && Instant::now() + LOOK < leave_by {
            tokio::time::sleep(LOOK).await;
        }
        let left = self.sessions();
        if left > 0 {
            tracing::info!(sessions = left, "closing sessions that did not leave");
        }
        // While publishers are still there: their last frames are worth as much as the others.
        let closing = leave_by + (deadline - leave_by) / 2;
        if timeout_at(closing.max(Instant::now() + LOOK), self.recorder.stop())
            .await
            .is_err()
        {
            tracing::warn!("some recordings are completed at the next start");
        }
        if timeout_at(deadline, self.handle.stop()).await.is_err() {
            tracing::warn!("the control plane did not stop in time");
        }
        self.stop.send_replace(true);
        let finished = async { while self.serving.join_next().await.is_some() {} };
        if timeout_at(deadline, finished).await.is_err() {
            tracing::debug!("some HTTP requests were cut off");
        }
        tracing::info!(after = ?begin.elapsed(), "stopped");
    }
}

/// Connections to metrics at once: a few scrapers.
const METRICS_CONNECTIONS: usize = 64;

/// Addresses bound before anything else begins, so that a taken port has no consequences.
struct Bound {
    pages: Vec<TcpListener>,
    redirects: Vec<TcpListener>,
    metrics: Vec<TcpListener>,
    encoders: doors::Bound,
}

impl Bound {
    fn new(config: &Config) -> Result<Self, listen::Error> {
        let bind = |addresses: Vec<_>, key, flag| {
            addresses
                .into_iter()
                .map(|address| listen::bind(address, key, flag))
                .collect::<Result<Vec<_>, _>>()
        };
        let pages = bind(config.listen(), "server.listen", Some("--listen"))?;
        let metrics = config.metrics.listen.clone().unwrap_or_default();
        let metrics = bind(metrics, "metrics.listen", None)?;
        let redirects = match bind(config.http_redirect(), "server.http_redirect", None) {
            Ok(redirects) => redirects,
            // Nobody asked for it: with ACME it is a convenience.
            Err(error) if config.server.http_redirect.is_none() => {
                tracing::warn!(%error, "plain http is not redirected to https");
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        Ok(Self {
            pages,
            redirects,
            metrics,
            encoders: doors::Bound::new(config)?,
        })
    }

    fn addresses(&self) -> anyhow::Result<Vec<SocketAddr>> {
        let addresses = self
            .pages
            .iter()
            .map(TcpListener::local_addr)
            .collect::<Result<_, _>>();
        addresses.context("an address that was just bound")
    }
}

/// Makes the data folder, for its owner only.
fn make_folder(path: &Path) -> anyhow::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).with_context(|| {
        format!(
            "cannot make the data folder {} (server.data_dir); choose another one with --data-dir",
            path.display()
        )
    })
}

/// On a server with keys and without rooms, makes the room of the examples and a key to it: the
/// banner then has all that an encoder needs.
async fn first_stream_key(handle: &Handle) -> Option<String> {
    if handle.is_open() || !handle.rooms().is_empty() {
        return None;
    }
    let room: RoomId = ROOM.parse().ok()?;
    let made = async {
        let request = CreateRoom {
            id: Some(room.clone()),
            ..CreateRoom::default()
        };
        handle.create_room(request).await?;
        let label = Some("made at the first run".to_owned());
        handle.create_key(&room, CreateKey { label }).await
    };
    match made.await {
        Ok(created) => Some(created.key),
        Err(refusal) => {
            tracing::warn!(refusal = refusal.detail, "made no first stream key");
            None
        }
    }
}
