//! WHIP and WHEP clients: one POST begins a session, one DELETE ends it.

use std::time::{Duration, Instant};

use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER,
};
use reqwest::{Method, Response, StatusCode, Url};

/// Time for one request, redirects included.
const DEADLINE: Duration = Duration::from_secs(15);

/// Redirects that are followed at most.
const MAX_REDIRECTS: usize = 5;

/// Bytes of an answer that are read at most; a session description has a few thousand.
const MAX_BODY: usize = 256 * 1024;

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// No connection, or it broke.
    #[error("{url} cannot be reached: {cause}")]
    Unreachable {
        /// Where.
        url: String,
        /// Why, with all causes.
        cause: String,
    },
    /// The server answered with an error.
    #[error("{url} answered {status}{}{hint}", detail(.said))]
    Refused {
        /// Where.
        url: String,
        /// Status of the answer.
        status: StatusCode,
        /// What the server said about it.
        said: String,
        /// What may help.
        hint: &'static str,
        /// When the server wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The answer breaks WHIP or WHEP.
    #[error("{url} answered what it may not: {what}")]
    Malformed {
        /// Where.
        url: String,
        /// What is wrong with the answer.
        what: String,
    },
}

fn detail(said: &str) -> String {
    if said.is_empty() {
        String::new()
    } else {
        format!(": {said}")
    }
}

impl Failure {
    /// The kind of failure in a few words, to count by.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Unreachable { .. } => "unreachable".to_owned(),
            Self::Refused { status, .. } => status.to_string(),
            Self::Malformed { what, .. } => what.clone(),
        }
    }

    /// When another try makes sense: nobody is live yet, or the server is busy.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused {
                status: StatusCode::CONFLICT | StatusCode::NOT_FOUND,
                retry_after,
                ..
            } => Some(retry_after.unwrap_or(Duration::from_millis(500))),
            Self::Refused {
                status: StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE,
                retry_after,
                ..
            } => *retry_after,
            Self::Unreachable { .. } | Self::Refused { .. } | Self::Malformed { .. } => None,
        }
    }
}

/// A session that the server opened.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The server's answer.
    pub(crate) answer: String,
    /// The session's URL, for DELETE; a server without one cannot be told of the end.
    pub(crate) session: Option<Url>,
    /// When the request was sent.
    pub(crate) asked: Instant,
    /// When the answer had been read.
    pub(crate) answered: Instant,
}

/// A client of WHIP and WHEP endpoints. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    token: Option<HeaderValue>,
    redirect_token: bool,
}

impl Client {
    /// A client that identifies itself by `token`.
    ///
    /// # Errors
    ///
    /// The token has characters that no header may have, or TLS cannot be set up.
    pub(crate) fn new(
        token: Option<&str>,
        redirect_token: bool,
        insecure: bool,
    ) -> anyhow::Result<Self> {
        use anyhow::Context as _;
        let token = token
            .map(|token| {
                let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                    .context("--token has characters that an HTTP header cannot carry")?;
                value.set_sensitive(true);
                anyhow::Ok(value)
            })
            .transpose()?;
        let http = reqwest::Client::builder()
            .user_agent(concat!("inver-bench/", env!("CARGO_PKG_VERSION")))
            // Redirects of POST keep method and body here, and the token only where it belongs.
            .redirect(reqwest::redirect::Policy::none())
            .timeout(DEADLINE)
            // What is measured is the server, not a proxy.
            .no_proxy()
            .tls_danger_accept_invalid_certs(insecure)
            .build()
            .context("cannot set up an HTTP client")?;
        Ok(Self {
            http,
            token,
            redirect_token,
        })
    }

    /// Posts an offer.
    pub(crate) async fn open(&self, endpoint: &Url, offer: String) -> Result<Opened, Failure> {
        let asked = Instant::now();
        let (response, url) = self
            .send(Method::POST, endpoint, endpoint, Some(offer))
            .await?;
        let malformed = |what: &str| Failure::Malformed {
            url: url.to_string(),
            what: what.to_owned(),
        };
        let status = response.status();
        let headers = response.headers().clone();
        let body = read(response, &url).await?;
        if status == StatusCode::NOT_ACCEPTABLE {
            return Err(malformed(
                "406: the server wants to offer itself, which is not spoken here",
            ));
        }
        if !status.is_success() {
            return Err(refused(&url, status, &headers, &body, self.token.is_some()));
        }
        if !body.starts_with("v=0") {
            return Err(malformed("the body is not an SDP answer"));
        }
        let session = match headers.get(LOCATION) {
            None => None,
            Some(location) => {
                let location = location
                    .to_str()
                    .ok()
                    .and_then(|location| url.join(location).ok())
                    .ok_or_else(|| malformed("the Location header is not a URL"))?;
                Some(location)
            }
        };
        Ok(Opened {
            answer: body,
            session,
            asked,
            answered: Instant::now(),
        })
    }

    /// Ends a session of `endpoint`.
    pub(crate) async fn close(&self, endpoint: &Url, session: &Url) -> Result<(), Failure> {
        let (response, url) = self.send(Method::DELETE, endpoint, session, None).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let headers = response.headers().clone();
        let body = read(response, &url).await.unwrap_or_default();
        Err(refused(&url, status, &headers, &body, true))
    }

    /// Sends a request and follows its redirects (RFC 9725, 4.5). `home` is where the token
    /// belongs.
    async fn send(
        &self,
        method: Method,
        home: &Url,
        url: &Url,
        offer: Option<String>,
    ) -> Result<(Response, Url), Failure> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.http.request(method.clone(), url.clone());
            if let Some(offer) = &offer {
                request = request
                    .header(CONTENT_TYPE, "application/sdp")
                    .header(ACCEPT, "application/sdp")
                    .body(offer.clone());
            }
            if let Some(token) = &self.token
                && (self.redirect_token || url.origin() == home.origin())
            {
                request = request.header(AUTHORIZATION, token.clone());
            }
            let response = request
                .send()
                .await
                .map_err(|error| unreachable(&url, &error))?;
            if !matches!(
                response.status(),
                StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
            ) {
                return Ok((response, url));
            }
            let next = response
                .headers()
                .get(LOCATION)
                .and_then(|location| url.join(location.to_str().ok()?).ok());
            let Some(next) = next.filter(|next| matches!(next.scheme(), "http" | "https")) else {
                return Err(Failure::Malformed {
                    url: url.to_string(),
                    what: "a redirect without a usable Location".to_owned(),
                });
            };
            url = next;
        }
        Err(Failure::Malformed {
            url: url.to_string(),
            what: format!("more than {MAX_REDIRECTS} redirects"),
        })
    }
}

async fn read(mut response: Response, url: &Url) -> Result<String, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| unreachable(url, &error))?
    {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(Failure::Malformed {
                url: url.to_string(),
                what: format!("a body of more than {MAX_BODY} bytes"),
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn unreachable(url: &Url, error: &reqwest::Error) -> Failure {
    let cause = if error.is_timeout() {
        format!("no answer within {} s", DEADLINE.as_secs())
    } else {
        // The outermost cause repeats the URL; the ones below say what happened.
        let mut causes = Vec::new();
        let mut next = std::error::Error::source(error);
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        if causes.is_empty() {
            causes.push(error.to_string());
        }
        causes.join(": ")
    };
    Failure::Unreachable {
        url: url.to_string(),
        cause,
    }
}

fn refused(
    url: &Url,
    status: StatusCode,
    headers: &HeaderMap,
    body: &str,
    with_token: bool,
) -> Failure {
    let retry_after = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let hint = match status {
        StatusCode::UNAUTHORIZED if !with_token => " (give a --token)",
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => " (is the --token right?)",
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => " (is the URL right?)",
        StatusCode::CONFLICT => " (somebody publishes there already, or nobody does to watch)",
        _ => "",
    };
    Failure::Refused {
        url: url.to_string(),
        status,
        said: said(body),
        hint,
        retry_after,
    }
}

/// The explanation in an error's body: of `application/problem+json` (RFC 9457), or its first
/// line.
fn said(body: &str) -> String {
    let problem = serde_json::from_str::<serde_json::Value>(body).ok();
    let text = problem
        .as_ref()
        .and_then(|problem| {
            ["detail", "title", "message", "error"]
                .iter()
                .find_map(|field| problem.get(field)?.as_str())
        })
        .unwrap_or_else(|| body.lines().next().unwrap_or_default());
    text.chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_the_server_said_and_what_may_help() {
        let url = Url::parse("http://h/whip/a").expect("a URL");
        let failure = refused(
            &url,
            StatusCode::UNAUTHORIZED,
            &HeaderMap::new(),
            r#"{"type":"about:blank","status":401,"detail":"a key is needed"}"#,
            false,
        );
        assert_eq!(
            failure.to_string(),
            "http://h/whip/a answered 401 Unauthorized: a key is needed (give a --token)"
        );
        assert_eq!(failure.reason(), "401 Unauthorized");
        assert_eq!(failure.retry_after(), None);
    }

    #[test]
    fn only_what_passes_is_tried_again() {
        let url = Url::parse("http://h/whep/a").expect("a URL");
        let of = |status, retry: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(retry) = retry {
                headers.insert(RETRY_AFTER, HeaderValue::from_static(retry));
            }
            refused(&url, status, &headers, "", false).retry_after()
        };
        assert_eq!(
            of(StatusCode::CONFLICT, Some("2")),
            Some(Duration::from_secs(2))
        );
        assert!(of(StatusCode::CONFLICT, None).is_some());
        assert_eq!(of(StatusCode::SERVICE_UNAVAILABLE, None), None);
        assert_eq!(of(StatusCode::BAD_REQUEST, Some("2")), None);
    }

    #[test]
    fn bodies_are_shown_short_and_clean() {
        assert_eq!(said("nope\r\nmore"), "nope");
        assert_eq!(said("\u{1b}[31mred"), "[31mred");
        assert_eq!(said(&"x".repeat(5000)).len(), 200);
        assert_eq!(said(""), "");
    }
}
