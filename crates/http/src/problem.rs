//! Errors as clients see them: `application/problem+json` (RFC 9457).

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use inver_node::{Refusal, RefusalKind};

/// Content type of every error body.
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Type of the problem that somebody is live whom nobody can watch: a player shows the detail in
/// place of its offline screen.
const UNPLAYABLE: &str = "urn:inver:problem:unplayable";

/// A request that was not granted, ready to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    retry_after: Option<Duration>,
    header: Option<(http::HeaderName, &'static str)>,
}

impl Problem {
    /// A problem whose status says all about its kind (`about:blank`).
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            kind: "about:blank",
            detail: detail.into(),
            retry_after: None,
            header: None,
        }
    }

    /// 400: the request makes no sense.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 404: what the URL names does not exist.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// Names the kind of problem by a URI, where clients act on it.
    #[must_use]
    pub fn kind(mut self, uri: &'static str) -> Self {
        self.kind = uri;
        self
    }

    /// Tells when another try makes sense; rounded up to whole seconds.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Adds one header that the status calls for, such as `Accept-Post` to 415.
    #[must_use]
    pub fn header(mut self, name: http::HeaderName, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.kind.status())
            .expect("every kind of refusal names a valid status");
        let mut problem = Self::new(status, refusal.detail);
        if refusal.kind == RefusalKind::Unplayable {
            problem = problem.kind(UNPLAYABLE);
        }
        match (refusal.retry_after, refusal.kind) {
            (Some(after), _) => problem.retry_after(after),
            // A client that is told to come back must be told when (RFC 9110, 10.2.3).
            (None, RefusalKind::Unavailable | RefusalKind::TooMany) => {
                problem.retry_after(Duration::from_secs(1))
            }
            (None, _) => problem,
        }
    }
}

/// Whole seconds, at least one: zero would invite a tight loop.
fn whole_seconds(after: Duration) -> u64 {
    after.as_millis().div_ceil(1000).max(1) as u64
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = inver_proto::Problem {
            kind: self.kind.to_owned(),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
        };
        let json = serde_json::to_string(&body).expect("strings and numbers always serialise");
        let mut response = (self.status, json).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, whole_seconds(after).into());
        }
        if let Some((name, value)) = self.header {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_whole_seconds_and_never_zero() {
        assert_eq!(whole_seconds(Duration::ZERO), 1);
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_millis(1001)), 2);
    }

    #[test]
    fn a_refusal_keeps_its_status_and_time() {
        let refusal = Refusal::new(RefusalKind::Conflict, "nobody is live")
            .retry_after(Duration::from_secs(3));
        let response = Problem::from(refusal).into_response();
        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert_eq!(response.headers()[header::RETRY_AFTER], "3");
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
    }

    #[test]
    fn a_full_server_always_says_when_to_come_back() {
        let refusal = Refusal::new(RefusalKind::Unavailable, "full");
        let response = Problem::from(refusal).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }
}
