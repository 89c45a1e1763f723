//! Notifications on their way: in order per room, tried again until they age out, never in
//! anybody's way.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use inver_control::{SystemEntropy, base62};
use inver_proto::Timestamp;
use reqwest::Url;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::config::{ConfigError, HookConfig, Retry, check_retry};
use crate::fault::Fault;
use crate::outbound::{Answer, Http, Post, Transport, endpoint, label, within};
use crate::signature::Signer;
use crate::stream::{Event, EventKind};

/// Queues that are worked off side by side. One would let the busiest room hold up all others;
/// more would let a slow receiver be hit by more requests at once.
const LANES: usize = 8;

/// Notifications that wait in one lane: with about 1 KB each, 1 MB in all. What comes on top is
/// dropped, because the receiver is minutes behind by then.
const LANE: usize = 128;

/// Letters of a message's id: 160 bits.
const ID_LETTERS: usize = 27;

/// A message of a webhook in the form that Standard Webhooks recommends.
#[derive(Serialize)]
struct Message<'a, D> {
    #[serde(rename = "type")]
    kind: &'a str,
    timestamp: Timestamp,
    data: D,
}

/// The body of a message.
pub(crate) fn message(kind: &str, timestamp: Timestamp, data: impl Serialize) -> Bytes {
    let message = Message {
        kind,
        timestamp,
        data,
    };
    let body = serde_json::to_vec(&message).expect("names and numbers always serialise");
    Bytes::from(body)
}

/// The time of day.
pub(crate) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp::from_unix(since.unwrap_or_default())
}

/// Where signed messages go.
pub(crate) struct Target {
    pub(crate) url: Url,
    pub(crate) signer: Signer,
    pub(crate) transport: Arc<dyn Transport>,
}

impl Target {
    /// Over HTTP.
    pub(crate) fn over_http(
        url: &str,
        secrets: &[inver_control::Secret],
        allow_private: bool,
    ) -> Result<Self, ConfigError> {
        let url = endpoint(url, allow_private)?;
        let signer = Signer::new(secrets)?;
        let transport = Arc::new(Http::new(&[&url], allow_private)?);
        Ok(Self {
            url,
            signer,
            transport,
        })
    }

    /// An id that no other message has.
    pub(crate) fn new_id() -> String {
        let random = base62(&mut SystemEntropy::default(), ID_LETTERS);
        format!("msg_{random}")
    }

    /// Sends once, signed with the present time as Standard Webhooks asks for.
    pub(crate) async fn send(&self, id: &str, body: Bytes) -> Result<Answer, Fault> {
        let timestamp = wall().seconds();
        let signature = self.signer.sign(id, timestamp, &body);
        let text = |text: &str| {
            HeaderValue::from_str(text).expect("ids and base64 are visible ASCII characters")
        };
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert("webhook-id", text(id));
        headers.insert("webhook-timestamp", timestamp.into());
        headers.insert("webhook-signature", text(&signature));
        let url = self.url.clone();
        self.transport.post(Post { url, headers, body }).await
    }
}

/// A message that waits.
struct Notification {
    id: String,
    kind: &'static str,
    body: Bytes,
    queued: Instant,
}

/// Sends notifications to one receiver.
pub(crate) struct Notifier {
    /// `None` once closed.
    lanes: Mutex<Option<Vec<mpsc::Sender<Notification>>>>,
    tasks: Mutex<JoinSet<()>>,
    dropped: AtomicU64,
    label: String,
}

impl Notifier {
    /// Starts the lanes' tasks on the current tokio runtime.
    pub(crate) fn start(target: Arc<Target>, retry: Retry) -> Self {
        let label = label(&target.url);
        let mut tasks = JoinSet::new();
        let lanes = (0..LANES).map(|_| {
            let (sender, queue) = mpsc::channel(LANE);
            tasks.spawn(work(target.clone(), retry, queue));
            sender
        });
        let lanes = Mutex::new(Some(lanes.collect()));
        Self {
            lanes,
            tasks: Mutex::new(tasks),
            dropped: AtomicU64::new(0),
            label,
        }
    }

    /// Queues a message; those with the same `lane` arrive in their order.
    pub(crate) fn send(&self, lane: &str, kind: &'static str, at: Timestamp, data: impl Serialize) {
        let notification = Notification {
            id: Target::new_id(),
            kind,
            body: message(kind, at, data),
            queued: Instant::now(),
        };
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(lane);
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = lanes.as_ref().is_some_and(|lanes| {
            let nth = (hash % LANES as u64) as usize;
            let sender = lanes.get(nth);
            sender.is_some_and(|lane| lane.try_send(notification).is_ok())
        });
        drop(lanes);
        if !taken {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            // At 1, 2, 4, 8 ...: a receiver that is down for hours must not fill the log.
            if dropped.is_power_of_two() {
                tracing::warn!(
                    receiver = %self.label, kind, dropped,
                    "notifications were dropped: the receiver is too slow or down"
                );
            }
        }
    }

    /// Takes nothing more, and lets what is queued leave for at most this long.
    pub(crate) async fn close(&self, most: Duration) {
        drop(
            self.lanes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let mut tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let done = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(most, done).await.is_err() {
            tracing::warn!(
                receiver = %self.label,
                "the server stops with notifications that could not be delivered"
            );
        }
    }
}

/// Works off one lane until it is closed.
async fn work(target: Arc<Target>, retry: Retry, mut queue: mpsc::Receiver<Notification>) {
    while let Some(notification) = queue.recv().await {
        deliver(&target, retry, notification).await;
    }
}

/// What one try came to.
#[derive(Debug, PartialEq, Eq)]
enum Tried {
    Delivered,
    /// The receiver said no and would say so again.
    Refused(u16),
    Failed {
        why: String,
        retry_after: Option<Duration>,
    },
}

fn tried(answer: Result<Answer, Fault>) -> Tried {
    let answer = match answer {
        Ok(answer) => answer,
        // Delivered is delivered, however much the receiver has to say about it.
        Err(Fault::Oversized) => return Tried::Delivered,
        Err(fault) => {
            return Tried::Failed {
                why: fault.to_string(),
                retry_after: None,
            };
        }
    };
    let status = answer.status.as_u16();
    match status {
        200..=299 => Tried::Delivered,
        300..=399 => Tried::Failed {
            why: Fault::Redirected(status).to_string(),
            retry_after: None,
        },
        // Too early, too slow, too many: those pass. Other refusals do not.
        400..=499 if !matches!(status, 408 | 425 | 429) => Tried::Refused(status),
        _ => Tried::Failed {
            why: Fault::Status(status).to_string(),
            retry_after: answer.retry_after,
        },
    }
}

async fn deliver(target: &Target, retry: Retry, notification: Notification) {
    let Notification {
        id,
        kind,
        body,
        queued,
    } = notification;
    let expires = queued + retry.give_up;
    let mut pause = retry.first;
    let receiver = label(&target.url);
    for attempt in 1_u32.. {
        let answer = within(retry.attempt, target.send(&id, body.clone())).await;
        let (why, retry_after) = match tried(answer) {
            Tried::Delivered => return,
            Tried::Refused(status) => {
                tracing::warn!(%receiver, kind, status, "a notification was refused");
                return;
            }
            Tried::Failed { why, retry_after } => (why, retry_after),
        };
        let varied = pause.mul_f64(0.75 + 0.5 * fastrand::f64());
        let wait = varied.max(retry_after.unwrap_or_default());
        // Checked, because Retry-After is the receiver's word.
        let next = Instant::now().checked_add(wait);
        let Some(next) = next.filter(|next| *next <= expires) else {
            tracing::warn!(%receiver, kind, attempt, %why, "a notification was given up");
            return;
        };
        tracing::debug!(%receiver, kind, attempt, %why, ?wait, "a notification is tried again");
        tokio::time::sleep_until(next).await;
        pause = (pause * 2).min(retry.longest);
    }
}

/// A webhook that is told what happens.
pub struct Hook {
    notifier: Notifier,
    events: Vec<EventKind>,
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hook")
            .field("receiver", &self.notifier.label)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

impl Hook {
    /// Starts it on the current tokio runtime.
    pub fn new(config: HookConfig) -> Result<Self, ConfigError> {
        let HookConfig {
            url,
            secrets,
            allow_private,
            events,
            retry,
        } = config;
        let retry = check_retry(retry)?;
        let target = Target::over_http(url.reveal(), &secrets, allow_private)?;
        let notifier = Notifier::start(Arc::new(target), retry);
        Ok(Self { notifier, events })
    }

    pub(crate) fn notify(&self, event: &Event) {
        if self.events.contains(&event.kind) {
            let lane = event.room.as_str();
            self.notifier
                .send(lane, event.kind.as_str(), event.at, event);
        }
    }

    pub(crate) async fn close(&self, within: Duration) {
        self.notifier.close(within).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Script, Step};

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn notifier(script: &Arc<Script>) -> Notifier {
        let secret = inver_control::Secret::new(SECRET);
        let target = Target {
            url: Url::parse("https://hooks.example.com/").expect("a URL"),
            signer: Signer::new(&[secret]).expect("a secret"),
            transport: script.clone(),
        };
        Notifier::start(Arc::new(target), Retry::default())
    }

    fn send(notifier: &Notifier, lane: &str, data: &str) {
        notifier.send(lane, "publish.started", Timestamp(0), data);
    }

    fn body(post: &Post) -> String {
        let body: serde_json::Value = serde_json::from_slice(&post.body).expect("JSON");
        body["data"].as_str().expect("text").to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_the_longest() {
        let script = Arc::new(Script::new([Step::Unreachable]));
        let notifier = notifier(&script);
        send(&notifier, "room", "first");
        let asked = script.asked_for(12).await;
        let pauses = asked.windows(2).map(|pair| pair[1].0 - pair[0].0);
        let mut expected = 0.5_f64;
        for pause in pauses {
            let ratio = pause.as_secs_f64() / expected;
            assert!((0.74..1.26).contains(&ratio), "{pause:?} near {expected} s");
            expected = (expected * 2.0).min(30.0);
        }
        assert!(
            (expected - 30.0).abs() < f64::EPSILON,
            "the longest pause was reached"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_notification_is_given_up_at_its_age_and_the_next_one_goes_on() {
        let script = Arc::new(Script::new([Step::Unreachable]));
        let notifier = notifier(&script);
        send(&notifier, "room", "first");
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let asked = script.asked();
        let last = asked.last().expect("asked").0;
        assert!(last <= Duration::from_secs(300), "{last:?}");
        assert!(last > Duration::from_secs(250), "{last:?}");
        send(&notifier, "room", "second");
        let asked = script.asked_for(asked.len() + 1).await;
        assert_eq!(body(&asked[asked.len() - 1].1), "second");
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_keeps_its_id_and_a_room_its_order() {
        let script = Arc::new(Script::new([
            Step::Answer(500, ""),
            Step::Answer(302, ""),
            Step::Answer(204, ""),
        ]));
        let notifier = notifier(&script);
        send(&notifier, "room", "first");
        send(&notifier, "room", "second");
        let asked = script.asked_for(4).await;
        let order: Vec<_> = asked.iter().map(|(_, post)| body(post)).collect();
        assert_eq!(order, ["first", "first", "first", "second"]);
        let ids: Vec<_> = asked
            .iter()
            .map(|(_, post)| &post.headers["webhook-id"])
            .collect();
        assert_eq!(ids[0], ids[1]);
        assert_eq!(ids[0], ids[2]);
        assert_ne!(ids[0], ids[3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_asks_for_patience_gets_it() {
        let script = Arc::new(Script::new([Step::Busy(503, 90), Step::Answer(200, "")]));
        let notifier = notifier(&script);
        send(&notifier, "room", "first");
        let asked = script.asked_for(2).await;
        assert_eq!(asked[1].0.as_secs(), 90);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_without_end_is_not_granted() {
        let script = Arc::new(Script::new([Step::Busy(429, u64::MAX)]));
        let notifier = notifier(&script);
        send(&notifier, "room", "first");
        notifier.close(Duration::from_secs(3600)).await;
        assert_eq!(script.asked().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_not_tried_again() {
        for status in [400, 401, 404, 410] {
            let script = Arc::new(Script::new([Step::Answer(status, "")]));
            let notifier = notifier(&script);
            send(&notifier, "room", "first");
            notifier.close(Duration::from_secs(3600)).await;
            assert_eq!(script.asked().len(), 1, "{status}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_receiver_is_given_ten_seconds_per_try() {
        let script = Arc::new(Script::new([Step::Silent, Step::Answer(200, "")]));
        let notifier = notifier(&script);
        send(&notifier, "room", "first");
        let asked = script.asked_for(2).await;
        let gap = asked[1].0.as_secs_f64();
        assert!((10.3..10.7).contains(&gap), "{gap}");
    }

    #[tokio::test(start_paused = true)]
    async fn queues_are_bounded_and_never_hold_the_sender_up() {
        let script = Arc::new(Script::new([Step::Silent]));
        let notifier = notifier(&script);
        for n in 0..10_000 {
            send(&notifier, "room", &n.to_string());
        }
        // All in one lane, of which nothing has been taken yet.
        let dropped = notifier.dropped.load(Ordering::Relaxed);
        assert_eq!(dropped, 10_000 - LANE as u64);
    }

    #[tokio::test(start_paused = true)]
    async fn closing_waits_no_longer_than_it_is_told_to() {
        let script = Arc::new(Script::new([Step::Silent]));
        let notifier = notifier(&script);
        send(&notifier, "room", "first");
        let before = Instant::now();
        notifier.close(Duration::from_secs(3)).await;
        assert_eq!(before.elapsed().as_secs(), 3);
        send(&notifier, "room", "late");
        assert_eq!(notifier.dropped.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_room_does_not_wait_for_a_room_in_another_lane() {
        let script = Arc::new(Script::new([Step::Silent]));
        let notifier = notifier(&script);
        // More names than lanes: at least two lanes are hit.
        for n in 0..64 {
            send(&notifier, &format!("room-{n}"), "first");
        }
        let asked = script.asked_for(2).await;
        assert_eq!(asked[1].0, Duration::ZERO);
    }
}
