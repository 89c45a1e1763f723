//! A service behind a signed webhook: JSON bodies in the form and with the signature of Standard
//! Webhooks, decisions by the answer.
//!
//! | `type` | asks or tells | answer |
//! | --- | --- | --- |
//! | `publish.authorize`, `read.authorize` | may it come in | 2xx yes, 4xx no; `allow`, `reason`, `participant` |
//! | `key.lookup` | a room's key for FTL and SRT | `key`; 404 where there is none |
//! | `stream.start` | a stream begins | 2xx yes, 4xx no; `stream_id`, `reason` |
//! | `stream.report`, `stream.thumbnail` | how it fares | 2xx; `"end": true` with 2xx or 4xx ends it, `reason` |
//! | `stream.end`, `publish.started`, ... | tells, tried again | 2xx |
//!
//! A 2xx without a body says yes. 408, 425, 429, 3xx, 5xx, an answer that is not understood and
//! none within the deadline are no decision: then the configuration decides.

mod answer;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use inver_control::{Credentials, Secret};
use inver_proto::RoomId;
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::asked::{
    Approved, Authority, Denied, DeniedBy, HmacRequest, KeyLookup, Proof, Publish, Read, Start,
    shown, split_at_first_dash,
};
use crate::config::{ConfigError, WebhookConfig, WhenDown, check_deadline, check_retry};
use crate::fault::Fault;
use crate::notifier::{Notifier, Target, message, wall};
use crate::outbound::within;
use crate::service::{Answering, Service};
use crate::stream::{Event, EventKind, MAX_THUMBNAIL, Metadata, Stream, StreamId, Verdict};

use answer::{Decision, Reply, decision};

/// Questions on their way at once. A flood of publishers waits here, within their deadlines,
/// rather than opening a connection each.
const QUESTIONS: usize = 64;

/// Reports and thumbnails on their way at once. They have places of their own, or those of a
/// thousand streams would hold up the publisher who waits.
const REPORTS: usize = 32;

/// Longest key in bytes that a service may name.
const MAX_KEY: usize = 512;

/// A webhook that decides and is told.
pub struct Webhook {
    target: Arc<Target>,
    notifier: Notifier,
    questions: Semaphore,
    reporting: Semaphore,
    deadline: Duration,
    when_down: WhenDown,
    viewers: bool,
    reports: bool,
    thumbnails: bool,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook")
            .field("receiver", &crate::outbound::label(&self.target.url))
            .field("deadline", &self.deadline)
            .field("when_down", &self.when_down)
            .finish_non_exhaustive()
    }
}

/// What a webhook is told of somebody who wants in.
#[derive(Serialize)]
struct Asked<'a> {
    room: &'a RoomId,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    participant: Option<&'a str>,
    /// `key`, `challenge` or `none`.
    proof: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    door: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<std::net::IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
}

impl Webhook {
    /// Starts it on the current tokio runtime.
    pub fn new(config: WebhookConfig) -> Result<Self, ConfigError> {
        let WebhookConfig {
            url,
            secrets,
            allow_private,
            deadline,
            when_down,
            viewers,
            reports,
            thumbnails,
            retry,
        } = config;
        let deadline = check_deadline(deadline)?;
        let retry = check_retry(retry)?;
        let target = Arc::new(Target::over_http(url.reveal(), &secrets, allow_private)?);
        Ok(Self {
            notifier: Notifier::start(target.clone(), retry),
            target,
            questions: Semaphore::new(QUESTIONS),
            reporting: Semaphore::new(REPORTS),
            deadline,
            when_down,
            viewers,
            reports,
            thumbnails,
        })
    }

    /// Asks. A question is not repeated: somebody waits for the answer.
    async fn ask(&self, kind: &'static str, data: impl Serialize) -> Result<Decision, Fault> {
        self.send(&self.questions, kind, data).await
    }

    /// Sends once, when there is a place, within the deadline.
    async fn send(
        &self,
        places: &Semaphore,
        kind: &'static str,
        data: impl Serialize,
    ) -> Result<Decision, Fault> {
        let body = message(kind, wall(), data);
        let asked = async {
            let _place = places
                .acquire()
                .await
                .expect("this semaphore is never closed");
            self.target.send(&Target::new_id(), body).await
        };
        decision(&within(self.deadline, asked).await?)
    }

    async fn authorize(
        &self,
        kind: &'static str,
        room: &RoomId,
        asked: Asked<'_>,
    ) -> Result<Approved, Denied> {
        let shown_something = asked.key.is_some();
        match self.ask(kind, asked).await {
            Ok(Decision::Yes(reply)) => Ok(Approved {
                authority: Authority::Service,
                participant: reply.participant,
            }),
            Ok(Decision::No { status, reply }) => {
                let by = if status == 401 || !shown_something {
                    DeniedBy::Credentials
                } else {
                    DeniedBy::Policy
                };
                let denied = Denied::new(by, reply.reason.as_deref(), "the service refused this");
                tracing::info!(%room, status, reason = denied.reason, "{kind}: denied by the webhook");
                Err(denied)
            }
            Err(fault) => self
                .when_down
                .decide(self.name(), kind, room, &fault)
                .map(|()| Approved::BY_SERVICE),
        }
    }

    async fn ask_to_start(&self, start: Start) -> Result<Stream, Denied> {
        #[derive(Serialize)]
        struct Starting<'a> {
            room: &'a RoomId,
            #[serde(skip_serializing_if = "Option::is_none")]
            number: Option<u32>,
            participant: &'a str,
            session: inver_proto::SessionId,
            door: &'static str,
        }
        let kind = "stream.start";
        let starting = Starting {
            room: &start.room,
            number: start.number,
            participant: start.participant.as_str(),
            session: start.session,
            door: start.door.as_str(),
        };
        let asked = self.ask(kind, starting).await;
        // An id that does not fit is as good as no answer.
        let asked = asked.and_then(|decision| match decision {
            Decision::Yes(Reply {
                stream_id: Some(id),
                ..
            }) => match StreamId::new(id) {
                Some(id) => Ok(Ok(id)),
                None => Err(Fault::Malformed(
                    "stream_id has to have 1 to 128 bytes and no control characters".to_owned(),
                )),
            },
            Decision::Yes(_) => Ok(Ok(StreamId::own())),
            Decision::No { status, reply } => Ok(Err((status, reply))),
        });
        let id = match asked {
            Ok(Ok(id)) => id,
            Ok(Err((status, reply))) => {
                let ours = "the service refused to start the stream";
                let denied = Denied::new(DeniedBy::Policy, reply.reason.as_deref(), ours);
                let (room, reason) = (&start.room, &denied.reason);
                tracing::info!(%room, status, reason, "{kind}: denied by the webhook");
                return Err(denied);
            }
            Err(fault) => {
                self.when_down
                    .decide(self.name(), kind, &start.room, &fault)?;
                StreamId::own()
            }
        };
        let room = start.room;
        Ok(Stream { id, room })
    }

    async fn look_up(&self, request: HmacRequest) -> Result<KeyLookup, Fault> {
        #[derive(Serialize)]
        struct Wanted<'a> {
            room: &'a RoomId,
            number: u32,
        }
        let HmacRequest { room, number } = request;
        let wanted = Wanted {
            room: &room,
            number,
        };
        match self.ask("key.lookup", wanted).await? {
            Decision::Yes(Reply { key: Some(key), .. }) => {
                let key = Secret::new(key);
                let length = key.reveal().len();
                if (1..=MAX_KEY).contains(&length) {
                    return Ok(KeyLookup::Key(key));
                }
                let why = format!("key has {length} bytes; 1 to {MAX_KEY} are right");
                Err(Fault::Malformed(why))
            }
            Decision::Yes(_) => Err(Fault::Malformed("key is missing".to_owned())),
            Decision::No { .. } => Ok(KeyLookup::Unknown),
        }
    }

    /// Tells how a stream fares; the webhook may end it.
    async fn tell(&self, kind: &'static str, data: impl Serialize) -> Result<Verdict, Fault> {
        let ours = "the service ended the stream";
        match self.send(&self.reporting, kind, data).await? {
            Decision::Yes(reply) | Decision::No { reply, .. } if reply.end == Some(true) => {
                let reason = Denied::new(DeniedBy::Policy, reply.reason.as_deref(), ours).reason;
                Ok(Verdict::End { reason })
            }
            Decision::Yes(_) => Ok(Verdict::Continue),
            Decision::No { status, .. } => Err(Fault::Status(status)),
        }
    }
}

/// A report or the like: the stream's name beside what it is about.
#[derive(Serialize)]
struct About<'a, T> {
    stream_id: &'a StreamId,
    room: &'a RoomId,
    #[serde(flatten)]
    what: T,
}

fn about<T>(stream: &Stream, what: T) -> About<'_, T> {
    About {
        stream_id: &stream.id,
        room: &stream.room,
        what,
    }
}

/// What was shown, as the body tells it.
fn proof_of(credentials: &Credentials) -> (&'static str, Option<&str>) {
    match credentials.secret() {
        Some(secret) => ("key", Some(secret.reveal())),
        None => ("none", None),
    }
}

impl Service for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn split_key(&self, text: &Secret) -> Option<(RoomId, Secret)> {
        split_at_first_dash(text)
    }

    fn authenticate(&self, publish: Publish) -> Answering<'_, Result<Approved, Denied>> {
        Box::pin(async move {
            let (proof, key) = match &publish.proof {
                Proof::Shown(credentials) => proof_of(credentials),
                Proof::Challenge => ("challenge", None),
            };
            let asked = Asked {
                room: &publish.room,
                number: publish.number,
                participant: publish.participant.as_ref().map(AsRef::as_ref),
                proof,
                key,
                door: publish.door.as_str(),
                remote: publish.remote,
                user_agent: publish.user_agent.as_deref(),
            };
            self.authorize("publish.authorize", &publish.room, asked)
                .await
        })
    }

    fn hmac_key(&self, request: HmacRequest) -> Answering<'_, Result<KeyLookup, Fault>> {
        Box::pin(self.look_up(request))
    }

    fn start_stream(&self, start: Start) -> Answering<'_, Result<Stream, Denied>> {
        Box::pin(self.ask_to_start(start))
    }

    fn end_stream<'a>(&'a self, stream: &'a Stream) -> Answering<'a, Result<(), Fault>> {
        #[derive(Serialize)]
        struct Nothing {}
        let told = about(stream, Nothing {});
        // Nobody waits for it, and it must not get lost: it goes the way of notifications.
        self.notifier
            .send(stream.room.as_str(), "stream.end", wall(), told);
        Box::pin(std::future::ready(Ok(())))
    }

    fn wants_reports(&self) -> bool {
        self.reports
    }

    fn report<'a>(
        &'a self,
        stream: &'a Stream,
        metadata: &'a Metadata,
    ) -> Answering<'a, Result<Verdict, Fault>> {
        #[derive(Serialize)]
        struct Report<'a> {
            metadata: &'a Metadata,
        }
        Box::pin(self.tell("stream.report", about(stream, Report { metadata })))
    }

    fn wants_thumbnails(&self) -> bool {
        self.thumbnails
    }

    fn thumbnail<'a>(
        &'a self,
        stream: &'a Stream,
        jpeg: Bytes,
    ) -> Answering<'a, Result<(), Fault>> {
        #[derive(Serialize)]
        struct Thumbnail {
            /// Base64, so that the signature covers picture and name alike.
            jpeg: String,
        }
        Box::pin(async move {
            check_thumbnail(&jpeg)?;
            let jpeg = STANDARD.encode(&jpeg);
            let told = about(stream, Thumbnail { jpeg });
            // Only reports end streams, so that there is one place where it happens.
            self.tell("stream.thumbnail", told).await.map(drop)
        })
    }

    fn authorize_read(&self, read: Read) -> Answering<'_, Result<Approved, Denied>> {
        Box::pin(async move {
            if !self.viewers {
                return Ok(Approved::BY_CONTROL);
            }
            let (proof, key) = proof_of(&read.credentials);
            let asked = Asked {
                room: &read.room,
                number: None,
                participant: read.participant.as_ref().map(AsRef::as_ref),
                proof,
                key,
                door: read.door.as_str(),
                remote: read.remote,
                user_agent: read.user_agent.as_deref(),
            };
            self.authorize("read.authorize", &read.room, asked).await
        })
    }

    fn notify(&self, event: &Event) {
        let wanted = match event.kind {
            EventKind::Published | EventKind::Unpublished => true,
            EventKind::Read | EventKind::Unread => self.viewers,
        };
        if wanted {
            let lane = event.room.as_str();
            self.notifier
                .send(lane, event.kind.as_str(), event.at, event);
        }
    }

    fn close(&self, within: Duration) -> Answering<'_, ()> {
        Box::pin(self.notifier.close(within))
    }
}

/// Refuses pictures that are too large, before they are copied.
pub(crate) fn check_thumbnail(jpeg: &Bytes) -> Result<(), Fault> {
    if jpeg.len() <= MAX_THUMBNAIL {
        return Ok(());
    }
    let length = jpeg.len();
    Err(Fault::Unsendable(shown(&format!(
        "a thumbnail has {length} bytes; at most {MAX_THUMBNAIL} are sent"
    ))))
}
