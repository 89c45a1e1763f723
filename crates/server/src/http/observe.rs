//! A span, a count and a log line for each request.
//!
//! They name the route (`/whip/session/{token}`), never the path itself: paths hold session tokens
//! and stream keys. Query strings and headers are never looked at.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{Next, from_fn};
use tracing::Instrument as _;

use crate::metrics::{HttpRequests, RouteClass};

/// Puts the observer around all routes.
pub fn observe(router: Router, requests: Arc<HttpRequests>) -> Router {
    router.layer(from_fn(move |request: Request, next: Next| {
        let requests = Arc::clone(&requests);
        async move {
            let route = request.extensions().get::<MatchedPath>().cloned();
            let route = route.as_ref().map(MatchedPath::as_str);
            let span = tracing::info_span!(
                "request",
                method = %request.method(),
                route = route.unwrap_or("none"),
            );
            let class = RouteClass::of(route);
            let begin = Instant::now();
            let response = next.run(request).instrument(span.clone()).await;
            let time = begin.elapsed();
            let status = response.status().as_u16();
            requests.record(class, status, time);
            span.in_scope(|| tracing::debug!(status, ?time, "answered"));
            response
        }
    }))
}
