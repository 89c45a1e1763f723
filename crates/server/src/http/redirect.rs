//! Answers plain HTTP with the same address in https.
//!
//! 307 keeps method and body, which WHIP clients follow (RFC 9725, 4.5), and is not remembered by
//! browsers, so that a server that loses its certificate can be reached again.

use axum::Router;
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

/// To the same host and port: for plain HTTP that arrives where TLS is spoken.
pub fn same_address() -> Router {
    Router::new().fallback(async |request: Request| to(&request, None))
}

/// To the same host and another port, or to a configured authority.
pub fn to_listener(port: u16, authority: Option<String>) -> Router {
    Router::new().fallback(move |request: Request| {
        let target = authority.clone().or_else(|| {
            let host = host(&request)?;
            Some(if port == 443 {
                host.host().into()
            } else {
                format!("{}:{port}", host.host())
            })
        });
        async move { to(&request, Some(target)) }
    })
}

fn host(request: &Request) -> Option<Authority> {
    let from_header = || {
        request
            .headers()
            .get(header::HOST)?
            .to_str()
            .ok()?
            .parse()
            .ok()
    };
    request.uri().authority().cloned().or_else(from_header)
}

fn to(request: &Request, target: Option<Option<String>>) -> Response {
    let target = target.unwrap_or_else(|| host(request).map(|host| host.to_string()));
    let Some(target) = target else {
        return (
            StatusCode::BAD_REQUEST,
            "the Host header is missing or not valid\n",
        )
            .into_response();
    };
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let location = format!("https://{target}{path}");
    (
        StatusCode::TEMPORARY_REDIRECT,
        [(header::LOCATION, location)],
    )
        .into_response()
}
