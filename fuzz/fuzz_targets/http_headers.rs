//! Header fields of requests: who asks, through which proxies, with which rights and preferences.
//!
//! The first byte chooses where the request comes from and which server it reaches. Then come
//! the request's target and lines of the form `name: value`.
#![cfg_attr(fuzzing, no_main)]

use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use inver_fuzz::Input;
use inver_http::{Caller, Config, Connection, Context, bearer, media_type, protect};
use tower::ServiceExt;

inver_fuzz::target!(run);

/// The proxy whose word is believed.
const PROXY: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 3)), 1000);
/// Somebody on the internet.
const STRANGER: SocketAddr =
    SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 5)), 1000);

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let text = input.rest();
    let mut lines = text
        .split(|byte| *byte == b'\n')
        .map(|line| line.trim_ascii());
    let target = lines.next().unwrap_or_default();
    let Ok(uri) = Uri::try_from(target) else {
        return;
    };
    let headers = headers(lines);
    let context = Context::new(Config {
        trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")],
        open: choice & 1 != 0,
        allowed_hosts: vec!["studio.lan".to_owned()],
        allowed_origins: vec!["https://studio.example.net".to_owned()],
        ..Config::default()
    })
    .expect("a good configuration");
    let remote = if choice & 2 != 0 { PROXY } else { STRANGER };

    let mut request = Request::new(Body::empty());
    *request.method_mut() = if choice & 4 != 0 {
        Method::POST
    } else {
        Method::GET
    };
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    request.extensions_mut().insert(Connection {
        remote,
        local: None,
        tls: choice & 8 != 0,
    });
    look(&context, &request, remote);
    inver_outputs::whep::fuzz_preferences(request.headers());

    let router = Router::new().fallback(any(|| async { "" }));
    let router = protect(router, &context);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime can be made");
    let response = runtime
        .block_on(router.oneshot(request))
        .expect("a router always answers");
    assert!(response.status() != 500, "bad headers are not our fault");
}

fn headers<'a>(lines: impl Iterator<Item = &'a [u8]>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.take(64) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = HeaderName::from_bytes(parts.next().unwrap_or_default());
        let value = HeaderValue::from_bytes(parts.next().unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

fn look(context: &Context, request: &Request<Body>, remote: SocketAddr) {
    let headers = request.headers();
    let caller = Caller::of(context, request.uri(), headers, request.extensions());
    if remote == STRANGER {
        assert_eq!(
            caller.address(),
            Some(remote.ip()),
            "a stranger cannot choose its address"
        );
    }
    let url = caller.url("/whip/session/x");
    assert!(
        HeaderValue::try_from(&url).is_ok(),
        "{url:?} can stand in a Location"
    );
    assert!(url.starts_with("http://") || url.starts_with("https://"));
    let _ = caller.client();
    if let Some(secret) = bearer(headers).secret() {
        assert!(!secret.reveal().trim().is_empty());
    }
    let _ = media_type(headers);
}
