//! Object storage as recordings meet it: an S3 server on loopback that can be away for a while.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::Builder;

/// The bucket that there is.
const BUCKET: &str = "recordings";
/// Who may do everything there, and what proves it.
const KEY: &str = "a-key";
pub(crate) const SECRET: &str = "a-secret-that-no-log-shows";

/// A running S3 server; gone when dropped.
#[derive(Debug)]
pub(crate) struct Storage {
    root: TempDir,
    address: SocketAddr,
    away: watch::Sender<bool>,
    parts: Arc<Parts>,
}

/// Parts of files that were uploaded.
#[derive(Debug)]
struct Parts {
    taken: AtomicUsize,
    /// With the one after these the server goes away.
    most: AtomicUsize,
}

impl Storage {
    /// Starts it with an empty bucket.
    pub(crate) async fn start() -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(root.path().join(BUCKET)).expect("a writable folder");
        let files = FileSystem::new(root.path()).expect("the folder is there");
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (away, gone) = watch::channel(false);
        let parts = Arc::new(Parts {
            taken: AtomicUsize::new(0),
            most: AtomicUsize::new(usize::MAX),
        });
        let (counting, leaving) = (Arc::clone(&parts), away.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (service, mut gone) = (service.clone(), gone.clone());
                let (parts, away) = (Arc::clone(&counting), leaving.clone());
                let service = service_fn(move |request: hyper::Request<Incoming>| {
                    let query = request.uri().query().unwrap_or_default();
                    if query.contains("partNumber=") {
                        if parts.taken.load(Ordering::SeqCst) >= parts.most.load(Ordering::SeqCst) {
                            away.send_replace(true);
                        } else {
                            parts.taken.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    Service::call(&service, request)
                });
                tokio::spawn(async move {
                    let stream = TokioIo::new(stream);
                    tokio::select! {
                        biased;
                        // Connections end at once then, and so do new ones.
                        _ = gone.wait_for(|gone| *gone) => {}
                        _ = http1::Builder::new().serve_connection(stream, service) => {}
                    }
                });
            }
        });
        Self {
            root,
            address,
            away,
            parts,
        }
    }

    /// Goes away once it has so many parts of files.
    pub(crate) fn be_away_after(&self, parts: usize) {
        self.parts.most.store(parts, Ordering::SeqCst);
    }

    /// Parts of files that it took.
    pub(crate) fn parts(&self) -> usize {
        self.parts.taken.load(Ordering::SeqCst)
    }

    /// Lets nobody in, or everybody again.
    pub(crate) fn be_away(&self, away: bool) {
        self.be_away_after(usize::MAX);
        self.away.send_replace(away);
    }

    /// Has a server upload here, below `live/`.
    pub(crate) fn configure(&self, builder: Builder) -> Builder {
        builder
            .set("recording_s3.bucket", BUCKET)
            .set("recording_s3.endpoint", &format!("http://{}", self.address))
            .set("recording_s3.access_key_id", KEY)
            .set("recording_s3.secret_access_key", SECRET)
            .set("recording_s3.prefix", "live")
    }

    /// Where a file of a recording lies, if it is there.
    pub(crate) fn file(&self, recording: &str, name: &str) -> PathBuf {
        let folder = self.root.path().join(BUCKET).join("live");
        folder.join(recording).join(name)
    }
}
