//! `/livez`, `/readyz` and `/metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use inver_shard::Snapshot;

use crate::metrics::{self, HttpRequests, Rooms};

/// What operations can tell, and who may ask.
#[derive(Clone)]
pub struct Operations {
    /// Whether new sessions are accepted.
    pub ready: Arc<AtomicBool>,
    /// Counts of requests.
    pub requests: Arc<HttpRequests>,
    /// When the process began to serve.
    pub started: Instant,
    /// Reads the shards' figures.
    pub snapshots: Arc<dyn Fn() -> Vec<Arc<Snapshot>> + Send + Sync>,
    /// Reads control's figures.
    pub rooms: Arc<dyn Fn() -> Rooms + Send + Sync>,
    /// Whether a request may see metrics. Not asked on a listener of their own.
    pub may_read: Arc<dyn Fn(&Request) -> bool + Send + Sync>,
}

impl Operations {
    /// Routes beside pages and doors: metrics are for those who may.
    pub fn guarded(self) -> Router {
        Self::health()
            .route("/metrics", get(guarded_metrics))
            .with_state(self)
    }

    /// Routes of a listener of their own.
    pub fn unguarded(self) -> Router {
        let metrics = get(async |State(operations): State<Self>| operations.metrics());
        Self::health().route("/metrics", metrics).with_state(self)
    }

    fn health() -> Router<Self> {
        // The process lives if it answers at all.
        Router::new()
            .route("/livez", get(async || "live\n"))
            .route("/readyz", get(ready))
    }

    fn metrics(&self) -> Response {
        let ready = self.ready.load(Ordering::Relaxed);
        let uptime = self.started.elapsed();
        let shards = (self.snapshots)();
        let page = metrics::render(&shards, (self.rooms)(), &self.requests, uptime, ready);
        let headers = [
            (header::CONTENT_TYPE, metrics::CONTENT_TYPE),
            (header::CACHE_CONTROL, "no-store"),
        ];
        (headers, page).into_response()
    }
}

async fn ready(State(operations): State<Operations>) -> Response {
    let headers = [(header::CACHE_CONTROL, "no-store")];
    if operations.ready.load(Ordering::Relaxed) {
        (headers, "ready\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, headers, "draining\n").into_response()
    }
}

async fn guarded_metrics(State(operations): State<Operations>, request: Request) -> Response {
    if (operations.may_read)(&request) {
        return operations.metrics();
    }
    let body = "Metrics are for this machine and for administrators (Authorization: Bearer); \
                metrics.listen in the configuration serves them on an address of their own.\n";
    (StatusCode::FORBIDDEN, body).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use tower::ServiceExt as _;

    use super::*;

    fn operations(may_read: bool) -> Operations {
        Operations {
            ready: Arc::new(AtomicBool::new(true)),
            requests: Arc::default(),
            started: Instant::now(),
            snapshots: Arc::new(|| vec![Arc::new(Snapshot::default())]),
            rooms: Arc::new(Rooms::default),
            may_read: Arc::new(move |_| may_read),
        }
    }

    async fn get(router: Router, path: &str) -> (StatusCode, String) {
        let request = Request::builder()
            .uri(path)
            .body(Body::empty())
            .expect("a valid request");
        let Ok(response) = router.oneshot(request).await;
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20)
            .await
            .expect("a short body");
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn readiness_ends_with_draining_and_life_does_not() {
        let operations = operations(true);
        assert_eq!(
            get(operations.clone().guarded(), "/readyz").await.0,
            StatusCode::OK
        );
        operations.ready.store(false, Ordering::Relaxed);
        let (status, body) = get(operations.clone().guarded(), "/readyz").await;
        assert_eq!(
            (status, body.as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
        );
        assert_eq!(get(operations.guarded(), "/livez").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_for_those_who_may() {
        let (status, body) = get(operations(true).guarded(), "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(
            body.contains("inver_packets_sent_total{shard=\"0\"} 0"),
            "{body}"
        );
        let (status, body) = get(operations(false).guarded(), "/metrics").await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert!(!body.contains("inver_packets"), "{body}");
        assert_eq!(
            get(operations(false).unguarded(), "/metrics").await.0,
            StatusCode::OK
        );
    }
}
