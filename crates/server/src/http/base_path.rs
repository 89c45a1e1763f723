//! Serves everything under a base path as well as at the root, so that it does not matter whether
//! a proxy strips the path from requests.

use axum::Router;
use axum::extract::Request;
use axum::http::uri::PathAndQuery;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use tower::ServiceExt as _;

use crate::config::BasePath;

/// Puts the application under the path.
pub fn under(app: Router, base: &BasePath) -> Router {
    if base.prefix().is_empty() {
        return app;
    }
    let prefix: std::sync::Arc<str> = base.prefix().into();
    Router::new().fallback(move |mut request: Request| {
        let (app, prefix) = (app.clone(), prefix.clone());
        async move {
            match stripped(request.uri(), &prefix) {
                Some(Inside::Root(location)) => {
                    let headers = [(header::LOCATION, location)];
                    return (StatusCode::TEMPORARY_REDIRECT, headers).into_response();
                }
                Some(Inside::Uri(uri)) => *request.uri_mut() = uri,
                None => {}
            }
            let Ok(response): Result<Response, _> = app.oneshot(request).await;
            response
        }
    })
}

enum Inside {
    /// The path itself without its final slash, under which relative links would lead out of it.
    Root(String),
    /// What the application sees.
    Uri(Uri),
}

fn stripped(uri: &Uri, prefix: &str) -> Option<Inside> {
    let rest = uri.path_and_query()?.as_str().strip_prefix(prefix)?;
    if rest.is_empty() || rest.starts_with('?') {
        return Some(Inside::Root(format!("{prefix}/{rest}")));
    }
    if !rest.starts_with('/') {
        return None;
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(rest.parse::<PathAndQuery>().ok()?);
    Some(Inside::Uri(Uri::from_parts(parts).ok()?))
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::routing::get;

    use super::*;

    async fn ask(path: &str) -> (StatusCode, String) {
        let app = Router::new()
            .route("/", get(async || "home"))
            .route("/watch/{room}", get(async |uri: Uri| uri.to_string()));
        let base = "/inver".parse().expect("a base path");
        let request = Request::builder()
            .uri(path)
            .body(Body::empty())
            .expect("a valid request");
        let Ok(response) = under(app, &base).oneshot(request).await;
        let status = response.status();
        if let Some(location) = response.headers().get(header::LOCATION) {
            return (status, location.to_str().expect("text").to_owned());
        }
        let body = to_bytes(response.into_body(), 1000).await.expect("short");
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn it_does_not_matter_whether_the_proxy_strips() {
        let home = (StatusCode::OK, "home".to_owned());
        assert_eq!(ask("/").await, home);
        assert_eq!(ask("/inver/").await, home);
        let watch = (StatusCode::OK, "/watch/a?b=c".to_owned());
        assert_eq!(ask("/watch/a?b=c").await, watch);
        assert_eq!(ask("/inver/watch/a?b=c").await, watch);
        assert_eq!(ask("/inverted/watch/a").await.0, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn without_the_slash_it_redirects() {
        let (status, location) = ask("/inver?a=b").await;
        assert_eq!(status, StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(location, "/inver/?a=b");
    }
}
