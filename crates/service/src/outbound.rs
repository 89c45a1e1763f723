//! Requests to services: bounded in time, number and size of answers, and never into the network
//! behind the server unless that is configured.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use inver_outward::{Guard, Inside};
use reqwest::Url;
use reqwest::redirect::Policy;

use crate::config::ConfigError;
use crate::fault::Fault;
use crate::service::Answering;

/// Largest answer in bytes. Answers are a few fields of JSON; more is a page of HTML or an attack.
pub(crate) const MAX_ANSWER: usize = 64 * 1024;

/// Longest wait for a connection, so that a dead address leaves time for another one.
const CONNECT: Duration = Duration::from_secs(2);

/// Idle connections kept: enough for bursts of decisions without new handshakes.
const IDLE_CONNECTIONS: usize = 16;

/// A request. Always a POST: every request here tells or asks by its body.
#[derive(Clone)]
pub(crate) struct Post {
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// When the other side wants to be asked again.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Bytes,
}

/// What carries requests. A seam for tests on virtual time; callers bring the deadline.
pub(crate) trait Transport: Send + Sync + 'static {
    fn post(&self, post: Post) -> Answering<'_, Result<Answer, Fault>>;
}

/// Checks a service's URL: http or https, no credentials in it, no literal address inside the
/// network. Names are checked whenever they are resolved.
pub(crate) fn endpoint(url: &str, allow_private: bool) -> Result<Url, ConfigError> {
    let wrong = |reason: String| ConfigError::Url(reason);
    let parsed = Url::parse(url.trim())
        .map_err(|error| wrong(format!("the URL of a service does not parse: {error}")))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        let scheme = parsed.scheme();
        return Err(wrong(format!(
            "the URL of a service has the scheme {scheme:?}; http or https is right"
        )));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(wrong(
            "the URL of a service has a user or password in it; requests are signed or carry a \
             token instead"
                .to_owned(),
        ));
    }
    let host = parsed.host_str().unwrap_or_default();
    if Guard::new(allow_private).check(host).is_err() {
        return Err(wrong(format!(
            "the URL of a service names {host}, an address inside the network (loopback, private \
             or link local); set allow_private if that is meant"
        )));
    }
    Ok(parsed)
}

/// Where a URL leads, without path and query: fit for logs.
pub(crate) fn label(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Requests over HTTP.
#[derive(Debug)]
pub(crate) struct Http(reqwest::Client);

impl Http {
    /// A client for one service at these URLs, all from [`endpoint`].
    pub(crate) fn new(urls: &[&Url], allow_private: bool) -> Result<Self, ConfigError> {
        let mut builder = reqwest::Client::builder()
            .redirect(Policy::none())
            // A proxy would resolve names itself, past the guard.
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .user_agent(concat!("inver/", env!("CARGO_PKG_VERSION")));
        if !allow_private {
            builder = builder.dns_resolver(Arc::new(Guard::PUBLIC_ONLY));
        }
        if urls.iter().all(|url| url.scheme() == "http") {
            // The system's certificates are not needed, and may not be there.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build();
        client
            .map(Self)
            .map_err(|error| ConfigError::Client(chain(&error.without_url())))
    }

    async fn exchange(&self, post: Post) -> Result<Answer, Fault> {
        let Post { url, headers, body } = post;
        let request = self.0.post(url).headers(headers).body(body);
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let retry_after = retry_after(response.headers());
        if response
            .content_length()
            .is_some_and(|length| length > MAX_ANSWER as u64)
        {
            return Err(Fault::Oversized);
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(Fault::Oversized);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status,
            retry_after,
            body: body.freeze(),
        })
    }
}

impl Transport for Http {
    fn post(&self, post: Post) -> Answering<'_, Result<Answer, Fault>> {
        Box::pin(self.exchange(post))
    }
}

/// Seconds of `Retry-After`; its form as a date is not used by services and ignored.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

fn unreachable(error: reqwest::Error) -> Fault {
    let error = error.without_url();
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(Inside(host)) = cause.downcast_ref() {
            let host = host.clone();
            return Fault::Inside { host };
        }
        source = cause.source();
    }
    Fault::Unreachable(chain(&error))
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    crate::asked::shown(&text)
}

/// Waits for an answer for at most this long.
pub(crate) async fn within<T>(
    deadline: Duration,
    answer: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    match tokio::time::timeout(deadline, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(Fault::Deadline(deadline)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_lead_inside_are_refused_in_every_spelling() {
        let inside = [
            "http://127.0.0.1/",
            "http://127.1:8080/hook",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://0.0.0.0/",
            "http://10.0.0.8/",
            "https://192.168.1.1/",
            "http://169.254.169.254/latest/meta-data",
            "http://[::1]/",
            "http://[::]/",
            "http://[fe80::1]/",
            "http://[fd00::1]/",
            "http://[::ffff:10.0.0.1]/",
            "http://[::ffff:7f00:1]/",
        ];
        for url in inside {
            let refused = endpoint(url, false).expect_err(url).to_string();
            assert!(refused.contains("allow_private"), "{url}: {refused}");
            assert!(endpoint(url, true).is_ok(), "{url}");
        }
        assert!(endpoint("https://hooks.example.com/a?b=c", false).is_ok());
        assert!(endpoint("http://93.184.215.14/", false).is_ok());
    }

    #[test]
    fn other_schemes_and_credentials_are_refused_without_showing_them() {
        for url in ["ftp://example.com", "file:///etc/passwd", "example.com", ""] {
            assert!(endpoint(url, true).is_err(), "{url}");
        }
        let error = endpoint("https://user:geheim@example.com/", false).expect_err("refused");
        assert!(!error.to_string().contains("geheim"));
    }

    #[test]
    fn a_label_shows_no_path_and_no_query() {
        let url = endpoint("https://example.com:8443/hook/geheim?token=x", false).expect("fits");
        assert_eq!(label(&url), "https://example.com:8443");
    }
}
