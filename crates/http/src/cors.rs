//! Cross-origin resource sharing: any origin, never with cookies.
//!
//! Rights travel in the `Authorization` header only, so a foreign page has none of its own. An
//! open server, where everybody has all rights, refuses foreign origins before it comes to this.

use http::{HeaderMap, HeaderValue, header};

/// Headers of ours that scripts of other origins may read.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Location, ETag, Link, Retry-After, Accept-Post, Accept-Patch, Preference-Applied, \
     WWW-Authenticate",
);
/// Headers that scripts of other origins may send.
const ACCEPTED: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, If-Match, Prefer, Accept, Link, Last-Event-ID, Cache-Control",
);
/// How long a browser may keep the answer to a preflight request: longer saves round trips,
/// shorter lets a change of methods be seen sooner.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// Lets scripts of every origin read the response.
pub(crate) fn share(headers: &mut HeaderMap) {
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}

/// Answers a preflight request for the methods given.
pub(crate) fn permit(headers: &mut HeaderMap, methods: &'static str) {
    let methods = HeaderValue::from_static(methods);
    headers.insert(header::ALLOW, methods.clone());
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ACCEPTED);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
}
