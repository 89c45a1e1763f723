//! The design's own service: channels and streams behind GraphQL, a token by OAuth 2 client
//! credentials (RFC 6749 section 4.4).
//!
//! An example of what the interface takes. Its rooms are channels, so their names are numbers; it
//! has no word for viewers, who stay with control, and none to end a stream by a report.

mod documents;
mod token;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use inver_control::Secret;
use inver_proto::RoomId;
use reqwest::Url;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::asked::{
    Approved, Denied, DeniedBy, HmacRequest, KeyLookup, Proof, Publish, Read, Start, shown,
    split_at_first_dash,
};
use crate::config::{ConfigError, GraphQlConfig, WhenDown, check_deadline};
use crate::fault::Fault;
use crate::outbound::{Answer, Http, Post, Transport, endpoint, label, within};
use crate::service::{Answering, Service};
use crate::stream::{Event, Metadata, Stream, StreamId, Verdict};
use crate::webhook::check_thumbnail;

use token::Tokens;

/// Requests on their way at once; further ones wait within their deadlines.
const REQUESTS: usize = 64;

/// Reports and thumbnails on their way at once. They have places of their own, or those of a
/// thousand streams would hold up the publisher who waits.
const REPORTS: usize = 32;

/// A thumbnail is no decision, nobody waits for it: it may take longer.
const UPLOAD: Duration = Duration::from_secs(10);

/// A GraphQL service.
pub struct GraphQl {
    transport: Arc<dyn Transport>,
    tokens: Tokens,
    graph: Url,
    requests: Semaphore,
    reporting: Semaphore,
    deadline: Duration,
    when_down: WhenDown,
    thumbnails: bool,
}

impl std::fmt::Debug for GraphQl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GraphQl")
            .field("endpoint", &label(&self.graph))
            .field("deadline", &self.deadline)
            .field("when_down", &self.when_down)
            .finish_non_exhaustive()
    }
}

/// A body with its type.
#[derive(Clone)]
struct Content {
    kind: HeaderValue,
    body: Bytes,
}

impl GraphQl {
    /// Checks the settings; nothing is asked yet.
    pub fn new(config: GraphQlConfig) -> Result<Self, ConfigError> {
        let base = endpoint(config.endpoint.reveal(), config.allow_private)?;
        let transport = Arc::new(Http::new(&[&base], config.allow_private)?);
        Self::over(transport, &base, config)
    }

    fn over(
        transport: Arc<dyn Transport>,
        base: &Url,
        config: GraphQlConfig,
    ) -> Result<Self, ConfigError> {
        let deadline = check_deadline(config.deadline)?;
        Ok(Self {
            tokens: Tokens::new(
                below(base, "api/oauth/token"),
                &config.client_id,
                &config.client_secret,
            ),
            transport,
            graph: below(base, "api/graph"),
            requests: Semaphore::new(REQUESTS),
            reporting: Semaphore::new(REPORTS),
            deadline,
            when_down: config.when_down,
            thumbnails: config.thumbnails,
        })
    }

    /// Runs a document and gives its `data`.
    async fn run(
        &self,
        places: &Semaphore,
        document: &str,
        variables: Value,
    ) -> Result<Value, Fault> {
        let request = json!({ "query": document, "variables": variables });
        let content = Content {
            kind: HeaderValue::from_static("application/json"),
            body: Bytes::from(request.to_string()),
        };
        within(self.deadline, self.exchange(places, content)).await
    }

    /// Sends with a token; once more with a new one where the service does not take it.
    async fn exchange(&self, places: &Semaphore, content: Content) -> Result<Value, Fault> {
        let _place = places
            .acquire()
            .await
            .expect("this semaphore is never closed");
        let transport = &*self.transport;
        let token = self.tokens.current(transport).await?;
        let answer = self.send(&token.bearer, content.clone()).await?;
        if answer.status != 401 {
            return data(&answer);
        }
        self.tokens.forget(&token).await;
        let token = self.tokens.current(transport).await?;
        let answer = self.send(&token.bearer, content).await?;
        if answer.status == 401 {
            return Err(Fault::NoAccess(401));
        }
        data(&answer)
    }

    async fn send(&self, bearer: &HeaderValue, content: Content) -> Result<Answer, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, bearer.clone());
        headers.insert(header::CONTENT_TYPE, content.kind);
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let url = self.graph.clone();
        let body = content.body;
        self.transport.post(Post { url, headers, body }).await
    }

    async fn key_of(&self, channel: u32) -> Result<KeyLookup, Fault> {
        let variables = json!({ "id": channel.to_string() });
        let data = self
            .run(&self.requests, documents::HMAC_KEY, variables)
            .await?;
        match data.pointer("/channel/hmacKey") {
            Some(Value::String(key)) if !key.is_empty() => Ok(KeyLookup::Key(Secret::new(key))),
            _ => Ok(KeyLookup::Unknown),
        }
    }

    async fn check(&self, publish: Publish) -> Result<Approved, Denied> {
        let Some(channel) = channel(&publish.room) else {
            return Err(no_channel());
        };
        let credentials = match publish.proof {
            // The key that it proved came from here.
            Proof::Challenge => return Ok(Approved::BY_SERVICE),
            Proof::Shown(credentials) => credentials,
        };
        let Some(shown) = credentials.secret() else {
            let ours = "a stream key is needed; it goes with the channel as {channel}-{key}";
            return Err(Denied::new(DeniedBy::Credentials, None, ours));
        };
        match self.key_of(channel).await {
            Ok(KeyLookup::Key(key)) if key.matches(shown.reveal()) => Ok(Approved::BY_SERVICE),
            Ok(_) => {
                let ours = "the channel has another stream key";
                Err(Denied::new(DeniedBy::Credentials, None, ours))
            }
            // It was heard and said no, also of channels that it does not know: it is not down.
            Err(Fault::Answered(words)) => {
                let ours = "the service refused this channel";
                Err(Denied::new(DeniedBy::Credentials, Some(&words), ours))
            }
            Err(fault) => self
                .when_down
                .decide(self.name(), "authenticate", &publish.room, &fault)
                .map(|()| Approved::BY_SERVICE),
        }
    }

    async fn start(&self, start: Start) -> Result<Stream, Denied> {
        let Some(channel) = channel(&start.room) else {
            return Err(no_channel());
        };
        let room = start.room;
        let variables = json!({ "channelId": channel.to_string() });
        let started = self.run(&self.requests, documents::START, variables).await;
        let id = started.and_then(|data| {
            let id = match data.pointer("/startStream/id") {
                Some(Value::String(id)) => StreamId::new(id.as_str()),
                Some(Value::Number(id)) => StreamId::new(id.to_string()),
                _ => None,
            };
            id.ok_or_else(|| Fault::Malformed("startStream gave no id".to_owned()))
        });
        match id {
            Ok(id) => Ok(Stream { id, room }),
            // It was heard and said no: a channel that may not stream.
            Err(Fault::Answered(words)) => {
                let ours = "the service refused to start the stream";
                let denied = Denied::new(DeniedBy::Policy, Some(&words), ours);
                tracing::info!(%room, reason = denied.reason, "start of a stream: denied");
                Err(denied)
            }
            Err(fault) => {
                self.when_down
                    .decide(self.name(), "start of a stream", &room, &fault)?;
                let id = StreamId::own();
                Ok(Stream { id, room })
            }
        }
    }
}

/// The channel that a room stands for: its name is the number, in the one usual spelling.
fn channel(room: &RoomId) -> Option<u32> {
    let number: u32 = room.as_str().parse().ok()?;
    (number.to_string() == room.as_str()).then_some(number)
}

fn no_channel() -> Denied {
    let ours = "the service's channels are numbers; the room's name has to be one";
    Denied::new(DeniedBy::Policy, None, ours)
}

/// A path below the endpoint, which may have a path of its own.
fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let own = base.path().trim_end_matches('/');
    url.set_path(&format!("{own}/{path}"));
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// The `data` of a GraphQL answer; its errors where it has some.
fn data(answer: &Answer) -> Result<Value, Fault> {
    let status = answer.status.as_u16();
    if answer.status.is_redirection() {
        return Err(Fault::Redirected(status));
    }
    if !answer.status.is_success() {
        return Err(Fault::Status(status));
    }
    let mut answer: Value = serde_json::from_slice(&answer.body)
        .map_err(|_| Fault::Malformed("the body is no JSON".to_owned()))?;
    if let Some(errors) = answer.get("errors").and_then(Value::as_array)
        && let Some(first) = errors.first()
    {
        let words = first.get("message").and_then(Value::as_str);
        return Err(Fault::Answered(shown(words.unwrap_or("(no words)"))));
    }
    match answer.get_mut("data").map(Value::take) {
        Some(data @ Value::Object(_)) => Ok(data),
        _ => Err(Fault::Malformed("data is missing".to_owned())),
    }
}

impl Service for GraphQl {
    fn name(&self) -> &'static str {
        "graphql"
    }

    fn split_key(&self, text: &Secret) -> Option<(RoomId, Secret)> {
        split_at_first_dash(text)
    }

    fn authenticate(&self, publish: Publish) -> Answering<'_, Result<Approved, Denied>> {
        Box::pin(self.check(publish))
    }

    fn hmac_key(&self, request: HmacRequest) -> Answering<'_, Result<KeyLookup, Fault>> {
        Box::pin(async move {
            match channel(&request.room) {
                Some(channel) => match self.key_of(channel).await {
                    // It was heard and knows no such channel, or does not tell.
                    Err(Fault::Answered(_)) => Ok(KeyLookup::Unknown),
                    found => found,
                },
                None => Ok(KeyLookup::Unknown),
            }
        })
    }

    fn start_stream(&self, start: Start) -> Answering<'_, Result<Stream, Denied>> {
        Box::pin(self.start(start))
    }

    fn end_stream<'a>(&'a self, stream: &'a Stream) -> Answering<'a, Result<(), Fault>> {
        Box::pin(async move {
            let variables = json!({ "streamId": stream.id });
            self.run(&self.reporting, documents::END, variables)
                .await
                .map(drop)
        })
    }

    fn report<'a>(
        &'a self,
        stream: &'a Stream,
        metadata: &'a Metadata,
    ) -> Answering<'a, Result<Verdict, Fault>> {
        Box::pin(async move {
            let metadata = documents::metadata(metadata);
            let variables = json!({ "streamId": stream.id, "metadata": metadata });
            self.run(&self.reporting, documents::REPORT, variables)
                .await?;
            Ok(Verdict::Continue)
        })
    }

    fn wants_thumbnails(&self) -> bool {
        self.thumbnails
    }

    fn thumbnail<'a>(
        &'a self,
        stream: &'a Stream,
        jpeg: Bytes,
    ) -> Answering<'a, Result<(), Fault>> {
        Box::pin(async move {
            check_thumbnail(&jpeg)?;
            let (kind, body) = documents::upload(&stream.id, &jpeg);
            let content = Content { kind, body };
            within(UPLOAD, self.exchange(&self.reporting, content))
                .await
                .map(drop)
        })
    }

    fn authorize_read(&self, _: Read) -> Answering<'_, Result<Approved, Denied>> {
        Box::pin(std::future::ready(Ok(Approved::BY_CONTROL)))
    }

    fn notify(&self, _: &Event) {}

    fn close(&self, _: Duration) -> Answering<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Script, Step};

    const GRANTED: &str = r#"{"access_token":"a","token_type":"Bearer","expires_in":3600}"#;
    const CHANNEL: &str = r#"{"data":{"channel":{"hmacKey":"k"}}}"#;

    fn service(steps: impl IntoIterator<Item = Step>) -> (GraphQl, Arc<Script>) {
        let script = Arc::new(Script::new(steps));
        let config = GraphQlConfig::new("https://example.com", "id", Secret::new("geheim"));
        let base = Url::parse("https://example.com").expect("a URL");
        let service = GraphQl::over(script.clone(), &base, config).expect("fits");
        (service, script)
    }

    fn paths(script: &Script) -> Vec<String> {
        let asked = script.asked();
        asked
            .iter()
            .map(|(_, post)| post.url.path().to_owned())
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_kept_until_shortly_before_it_expires() {
        let (service, script) = service([
            Step::Answer(200, GRANTED),
            Step::Answer(200, CHANNEL),
            Step::Answer(200, CHANNEL),
            Step::Answer(200, GRANTED),
            Step::Answer(200, CHANNEL),
        ]);
        service.key_of(1).await.expect("answers");
        tokio::time::advance(Duration::from_secs(3539)).await;
        service.key_of(1).await.expect("answers");
        tokio::time::advance(Duration::from_secs(2)).await;
        service.key_of(1).await.expect("answers");
        let (token, graph) = ("/api/oauth/token", "/api/graph");
        assert_eq!(paths(&script), [token, graph, graph, token, graph]);
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_need_a_token_ask_for_one() {
        let (service, script) = service([Step::Answer(200, GRANTED), Step::Answer(200, CHANNEL)]);
        let _ = tokio::join!(service.key_of(1), service.key_of(2), service.key_of(3));
        let tokens = paths(&script);
        let tokens = tokens.iter().filter(|path| path.ends_with("token"));
        assert_eq!(tokens.count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_service_costs_the_deadline_and_no_more() {
        let (service, _) = service([Step::Silent]);
        let before = tokio::time::Instant::now();
        let fault = service.key_of(1).await.expect_err("silent");
        assert_eq!(fault, Fault::Deadline(Duration::from_secs(2)));
        assert_eq!(before.elapsed(), Duration::from_secs(2));
    }

    #[test]
    fn only_usual_numbers_are_channels() {
        let channel = |name: &str| channel(&name.parse().expect("a room"));
        assert_eq!(channel("1234"), Some(1234));
        for name in ["01234", "4294967296", "studio", "1-2"] {
            assert_eq!(channel(name), None, "{name}");
        }
    }
}
