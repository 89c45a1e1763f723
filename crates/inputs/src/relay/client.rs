//! The HTTP side: a WHEP client with deadlines, bounded answers and bounded redirects.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use inver_node::{Refusal, RefusalKind, Secret};
use inver_outward::Guard;
use inver_proto::{RELAY_PATH_HEADER, RelayPath, RoomId};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};

/// How long an origin may take to answer an offer, redirects included. An Inver origin that has to
/// fetch the room itself takes its time; a door's own deadline is a little longer.
const ANSWER: Duration = Duration::from_secs(7);

/// How long the end of a session may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(3);

/// Redirects that are followed.
const REDIRECTS: usize = 5;

/// Largest answer in bytes; ours have a few kilobytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Longest text of a refusal that is passed on.
const MAX_DETAIL: usize = 200;

/// Why a template is no URL to pull from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the url is no WHEP URL: {reason}; write one like https://origin.example/whep/{{room}}")]
pub struct UrlError {
    // The URL itself may hold a secret.
    reason: &'static str,
}

/// Fills a template and checks the URL.
///
/// # Errors
///
/// It is not http or https, or holds a user name.
pub(super) fn url_of(template: &str, room: &RoomId) -> Result<Url, UrlError> {
    let wrong = |reason| UrlError { reason };
    let url = Url::parse(&template.replace("{room}", room.as_str()))
        .map_err(|_| wrong("it does not parse"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong(
            "it must begin with https:// or http:// and have a host",
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("a user name does not belong in it; set token"));
    }
    Ok(url)
}

/// Host, and port where it is not the scheme's own: fit to be shown.
pub(crate) fn origin_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// A session that the origin has granted.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) answer: String,
    resource: Url,
}

/// A client for one origin.
#[derive(Debug)]
pub(crate) struct Origin {
    client: Client,
    url: Url,
    token: Option<Secret>,
}

impl Origin {
    /// For an origin that the operator vouches for; with `guard`, one that somebody else named.
    ///
    /// # Errors
    ///
    /// There is no way to make the requests, or it leads inside.
    pub(crate) fn new(
        url: Url,
        token: Option<Secret>,
        guard: Option<Guard>,
    ) -> Result<Self, Refusal> {
        if let Some(guard) = guard {
            let checked = guard.check(url.host_str().unwrap_or_default());
            checked.map_err(|inside| Refusal::new(RefusalKind::Internal, inside.to_string()))?;
        }
        let client = client(&url, guard)?;
        Ok(Self { client, url, token })
    }

    /// Asks for the room.
    ///
    /// # Errors
    ///
    /// What viewers here are told.
    pub(crate) async fn ask(&self, offer: &str, path: &RelayPath) -> Result<Granted, Refusal> {
        let asked = tokio::time::timeout(ANSWER, self.ask_on(offer, path)).await;
        asked.unwrap_or_else(|_| Err(self.unavailable("did not answer in time")))
    }

    async fn ask_on(&self, offer: &str, path: &RelayPath) -> Result<Granted, Refusal> {
        let mut url = self.url.clone();
        for _ in 0..=REDIRECTS {
            let response = self.post(&url, offer, path).await?;
            match response.status() {
                StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => {
                    url = self.follow(&url, response.headers())?;
                }
                StatusCode::CREATED => return self.granted(&url, response).await,
                _ => return Err(self.refused(response).await),
            }
        }
        Err(self.unavailable("redirects without end"))
    }

    async fn post(&self, url: &Url, offer: &str, path: &RelayPath) -> Result<Response, Refusal> {
        let elsewhere = if url.origin() == self.url.origin() {
            None
        } else {
            // Who named the origin vouches for its own URL alone.
            let guard = Guard::PUBLIC_ONLY;
            let inside = || self.unavailable("redirects to an address inside the network");
            let host = url.host_str().unwrap_or_default();
            guard.check(host).map_err(|_| inside())?;
            Some(client(url, Some(guard))?)
        };
        let mut request = elsewhere
            .as_ref()
            .unwrap_or(&self.client)
            .post(url.clone())
            .header(header::CONTENT_TYPE, "application/sdp")
            .header(header::ACCEPT, "application/sdp")
            .header(RELAY_PATH_HEADER, path.to_string())
            .body(offer.to_owned());
        if let Some(token) = self.token_for(url) {
            request = request.bearer_auth(token);
        }
        request.send().await.map_err(|error| {
            let error = error.without_url();
            tracing::debug!(%error, "an origin was not reached");
            self.unavailable("is not reachable")
        })
    }

    /// The token is for the origin that it was configured for.
    fn token_for(&self, url: &Url) -> Option<&str> {
        let token = self.token.as_ref()?;
        (url.origin() == self.url.origin()).then(|| token.reveal())
    }

    fn follow(&self, from: &Url, headers: &HeaderMap) -> Result<Url, Refusal> {
        let to = location(from, headers);
        let to = to.ok_or_else(|| self.unavailable("redirects to nowhere"))?;
        if from.scheme() == "https" && to.scheme() != "https" {
            return Err(self.unavailable("redirects from https to http"));
        }
        Ok(to)
    }

    async fn granted(&self, url: &Url, response: Response) -> Result<Granted, Refusal> {
        let resource = location(url, response.headers());
        let resource =
            resource.ok_or_else(|| self.unavailable("grants a session without a Location"))?;
        let answer = self.text(response).await?;
        Ok(Granted { answer, resource })
    }

    async fn text(&self, mut response: Response) -> Result<String, Refusal> {
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_ANSWER => {
                    body.extend_from_slice(&chunk);
                }
                Ok(Some(_)) => return Err(self.unavailable("sends an answer without end")),
                Ok(None) => break,
                Err(_) => return Err(self.unavailable("broke off its answer")),
            }
        }
        String::from_utf8(body).map_err(|_| self.unavailable("answers in no text"))
    }

    /// What a status that grants nothing means for viewers here.
    async fn refused(&self, response: Response) -> Refusal {
        let status = response.status();
        let after = retry_after(response.headers());
        let detail = self
            .text(response)
            .await
            .ok()
            .and_then(|body| detail(&body));
        let origin = origin_of(&self.url);
        tracing::debug!(origin, %status, detail = detail.as_deref(), "an origin refused");
        let mut refusal = refusal_of(status, &origin);
        refusal.retry_after = after.or(refusal.retry_after);
        refusal
    }

    fn unavailable(&self, what: &str) -> Refusal {
        let origin = origin_of(&self.url);
        let detail = format!("the room comes from {origin}, which {what}");
        Refusal::new(RefusalKind::Unavailable, detail).retry_after(Duration::from_secs(2))
    }

    /// Ends a session, as far as the origin listens.
    pub(crate) async fn end(&self, granted: &Granted) {
        let url = &granted.resource;
        // Who grants a session elsewhere has it end by itself: media has ended.
        if url.origin() != self.url.origin() {
            return;
        }
        let mut request = self.client.delete(url.clone()).timeout(FAREWELL);
        if let Some(token) = self.token_for(url) {
            request = request.bearer_auth(token);
        }
        if let Err(error) = request.send().await {
            let error = error.without_url();
            tracing::debug!(%error, "a session with an origin was not ended by request");
        }
    }
}

fn client(url: &Url, guard: Option<Guard>) -> Result<Client, Refusal> {
    let mut builder = Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .referer(false)
        .connect_timeout(CONNECT)
        .pool_max_idle_per_host(1)
        .user_agent(concat!("inver/", env!("CARGO_PKG_VERSION")));
    if let Some(guard) = guard {
        builder = builder.dns_resolver(Arc::new(guard));
    }
    if url.scheme() == "http" {
        // The system's certificates are not needed, and may not be there.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| {
        tracing::warn!(error = %error.without_url(), "no client for an origin");
        Refusal::new(
            RefusalKind::Internal,
            "the origin cannot be asked; see the log",
        )
    })
}

/// Where a `Location` leads, relative ones included.
fn location(base: &Url, headers: &HeaderMap) -> Option<Url> {
    let text = headers.get(header::LOCATION)?.to_str().ok()?;
    let url = base.join(text).ok()?;
    matches!(url.scheme(), "http" | "https").then_some(url)
}

/// Seconds of `Retry-After`.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// The detail of a problem (RFC 9457), for the log.
fn detail(body: &str) -> Option<String> {
    let problem: serde_json::Value = serde_json::from_str(body).ok()?;
    let detail = problem.get("detail")?.as_str()?;
    let shown = detail.chars().filter(|c| !c.is_control());
    Some(shown.take(MAX_DETAIL).collect())
}

/// What viewers here are told. The origin's own words may be meant for its clients alone.
fn refusal_of(status: StatusCode, origin: &str) -> Refusal {
    let new = |kind, what: &str| {
        Refusal::new(kind, format!("the room comes from {origin}, {what}"))
            .retry_after(Duration::from_secs(2))
    };
    match status.as_u16() {
        401 | 403 => new(
            RefusalKind::Unavailable,
            "which refuses this server; it wants a token that may watch there",
        ),
        404 | 409 => new(RefusalKind::Conflict, "where nobody publishes it now"),
        406 => new(
            RefusalKind::Unavailable,
            "which takes no offer but makes its own; that is not understood here",
        ),
        508 => {
            let mut refusal = new(
                RefusalKind::Loop,
                "which would relay it from here again; of the two servers one must not relay it",
            );
            refusal.retry_after = None;
            refusal
        }
        code => new(
            RefusalKind::Unavailable,
            &format!("which does not give it now (status {code})"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> RoomId {
        "studio".parse().expect("a name")
    }

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a value"))])
    }

    #[test]
    fn templates_become_urls_of_the_room() {
        let url = url_of("https://a.example:8443/whep/{room}?x=1", &room()).expect("fits");
        assert_eq!(url.as_str(), "https://a.example:8443/whep/studio?x=1");
        assert_eq!(origin_of(&url), "a.example:8443");
        for wrong in [
            "a.example/{room}",
            "ftp://a/{room}",
            "https://u:geheim@a/",
            "",
        ] {
            let error = url_of(wrong, &room()).expect_err(wrong).to_string();
            assert!(!error.contains("geheim"), "{error}");
        }
    }

    #[test]
    fn the_token_stays_with_its_origin() {
        let url = url_of("http://a.example/whep/{room}", &room()).expect("fits");
        let origin = Origin::new(url, Some(Secret::new("geheim")), None).expect("a client");
        let token = |url: &str| origin.token_for(&Url::parse(url).expect("a URL"));
        assert_eq!(token("http://a.example/other"), Some("geheim"));
        for other in [
            "http://b.example/",
            "http://a.example:81/",
            "https://a.example/",
        ] {
            assert_eq!(token(other), None, "{other}");
        }
    }

    #[test]
    fn locations_may_be_relative_and_lead_nowhere_else_than_the_web() {
        let base = Url::parse("http://a.example/whep/studio").expect("a URL");
        let to = |text: &str| {
            location(&base, &headers(header::LOCATION, text)).map(|url| url.to_string())
        };
        assert_eq!(to("/s/1").as_deref(), Some("http://a.example/s/1"));
        assert_eq!(to("b/2").as_deref(), Some("http://a.example/whep/b/2"));
        assert_eq!(to("https://b/").as_deref(), Some("https://b/"));
        assert_eq!(to("file:///etc/passwd"), None);
        assert_eq!(location(&base, &HeaderMap::new()), None);
    }

    #[test]
    fn what_an_origin_says_becomes_what_viewers_are_told() {
        let kind = |status: u16| {
            refusal_of(StatusCode::from_u16(status).expect("a status"), "a.example").kind
        };
        assert_eq!(kind(401), RefusalKind::Unavailable);
        assert_eq!(kind(404), RefusalKind::Conflict);
        assert_eq!(kind(409), RefusalKind::Conflict);
        assert_eq!(kind(508), RefusalKind::Loop);
        assert_eq!(kind(503), RefusalKind::Unavailable);
        assert_eq!(kind(200), RefusalKind::Unavailable);
        let after = retry_after(&headers(header::RETRY_AFTER, "7"));
        assert_eq!(after, Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&headers(header::RETRY_AFTER, "soon")), None);
    }

    #[test]
    fn details_are_cut_and_free_of_control_characters() {
        let long = format!("{{\"detail\":\"a\\u0007{}\"}}", "b".repeat(500));
        assert_eq!(detail(&long).map(|text| text.len()), Some(MAX_DETAIL));
        assert_eq!(detail("<html>"), None);
    }

    /// What a server was asked: path, token and way.
    type Asked = (String, Option<String>, String);

    /// A server that answers what it is told to, by path.
    async fn server(
        answer: impl Fn(&str) -> (StatusCode, &'static str, &'static str)
        + Clone
        + Send
        + Sync
        + 'static,
    ) -> (String, tokio::sync::mpsc::UnboundedReceiver<Asked>) {
        let (tell, told) = tokio::sync::mpsc::unbounded_channel();
        let answers = move |request: axum::extract::Request| {
            let field = |name: &str| {
                let value = request.headers().get(name)?.to_str().ok()?;
                Some(value.to_owned())
            };
            let path = request.uri().path().to_owned();
            let (status, location, body) = answer(&path);
            let way = field(RELAY_PATH_HEADER).unwrap_or_default();
            let _ = tell.send((path, field("authorization"), way));
            async move { (status, [(header::LOCATION, location)], body) }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let app = axum::Router::new().fallback(answers);
        tokio::spawn(async move { axum::serve(listener, app).await });
        (format!("http://{address}"), told)
    }

    fn origin(base: &str, guard: Option<Guard>) -> Result<Origin, Refusal> {
        let url = url_of(&format!("{base}/whep/{{room}}"), &room()).expect("a URL");
        Origin::new(url, Some(Secret::new("geheim")), guard)
    }

    #[tokio::test]
    async fn redirects_are_followed_with_token_and_way_and_the_session_is_where_they_lead() {
        let (base, mut asked) = server(|path| match path {
            "/whep/studio" => (StatusCode::TEMPORARY_REDIRECT, "/node/2", ""),
            "/node/2" => (StatusCode::PERMANENT_REDIRECT, "elsewhere", ""),
            "/node/elsewhere" => (StatusCode::CREATED, "/sessions/9", "v=0"),
            _ => (StatusCode::OK, "", ""),
        })
        .await;
        let path = RelayPath::default().then(inver_proto::NodeId(5));
        let origin = origin(&base, None).expect("a client");
        let granted = origin.ask("offer", &path).await.expect("it grants");
        assert_eq!(granted.answer, "v=0");
        origin.end(&granted).await;
        let token = Some("Bearer geheim".to_owned());
        for (wanted, way) in [
            ("/whep/studio", "0000000000000005"),
            ("/node/2", "0000000000000005"),
            ("/node/elsewhere", "0000000000000005"),
            ("/sessions/9", ""),
        ] {
            let expected = (wanted.to_owned(), token.clone(), way.to_owned());
            assert_eq!(asked.recv().await, Some(expected));
        }
    }

    #[tokio::test]
    async fn redirects_lead_neither_inside_nor_round_and_round_nor_out_of_tls() {
        let (inside, mut never) = server(|_| (StatusCode::CREATED, "/x", "v=0")).await;
        let to: &'static str = inside.leak();
        let (base, _asked) = server(move |_| (StatusCode::TEMPORARY_REDIRECT, to, "")).await;
        let way = RelayPath::default();
        let refused = origin(&base, None).expect("a client").ask("o", &way).await;
        let detail = refused.expect_err("another origin inside").detail;
        assert!(detail.contains("inside the network"), "{detail}");
        assert!(never.try_recv().is_err(), "nobody was asked there");

        let (base, _asked) = server(|_| (StatusCode::TEMPORARY_REDIRECT, "/again", "")).await;
        let refused = origin(&base, None).expect("a client").ask("o", &way).await;
        let detail = refused.expect_err("round and round").detail;
        assert!(detail.contains("without end"), "{detail}");

        let (base, _asked) = server(|_| (StatusCode::TEMPORARY_REDIRECT, "", "")).await;
        let secure = Url::parse(&base.replace("http", "https")).expect("a URL");
        let plain = headers(header::LOCATION, "http://a.example/");
        let origin = origin(&base, None).expect("a client");
        let detail = origin
            .follow(&secure, &plain)
            .expect_err("out of TLS")
            .detail;
        assert!(detail.contains("https to http"), "{detail}");
    }

    #[tokio::test]
    async fn an_origin_that_somebody_named_may_not_be_inside() {
        let (base, mut never) = server(|_| (StatusCode::CREATED, "/x", "v=0")).await;
        assert!(origin(&base, Some(Guard::PUBLIC_ONLY)).is_err());
        let named = base.replace("127.0.0.1", "localhost");
        let origin = origin(&named, Some(Guard::PUBLIC_ONLY)).expect("a name may be public");
        let refused = origin.ask("o", &RelayPath::default()).await;
        assert!(refused.is_err());
        assert!(never.try_recv().is_err(), "nobody was asked there");
    }
}
