//! A webhook on this machine that answers as it is told and keeps what it heard.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use inver_node::{Config, Secret};
use inver_service::{Decider, WebhookConfig, WhenDown, build};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::fake::Node;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Answers by a message's `type` and `data`.
type Answers = Arc<dyn Fn(&str, &Value) -> (u16, &'static str) + Send + Sync>;

#[derive(Clone)]
struct Shared {
    answers: Answers,
    heard: Arc<Mutex<Vec<Value>>>,
    count: watch::Sender<usize>,
}

/// A listening webhook. Ends with the test's runtime.
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Shared,
}

impl Receiver {
    pub(crate) async fn start(
        answers: impl Fn(&str, &Value) -> (u16, &'static str) + Send + Sync + 'static,
    ) -> Self {
        let shared = Shared {
            answers: Arc::new(answers),
            heard: Arc::default(),
            count: watch::channel(0).0,
        };
        let app = Router::new().fallback(take).with_state(shared.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("is bound");
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, shared }
    }

    /// A node that asks this webhook.
    pub(crate) async fn node(&self, folder: &Path, open: bool) -> Node {
        node(folder, open, self.address, WhenDown::Deny).await
    }

    /// All messages so far.
    pub(crate) fn heard(&self) -> Vec<Value> {
        let heard = self.shared.heard.lock();
        heard.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The `data` of the messages with this `type`.
    pub(crate) fn data(&self, kind: &str) -> Vec<Value> {
        let heard = self.heard().into_iter();
        let of_kind = heard.filter(|message| message["type"] == kind);
        of_kind.map(|message| message["data"].clone()).collect()
    }

    /// Waits for a message with this `type` and gives its `data`.
    pub(crate) async fn told(&self, kind: &str) -> Value {
        self.nth(kind, 0).await
    }

    /// The same for the nth one, from 0.
    pub(crate) async fn nth(&self, kind: &str, nth: usize) -> Value {
        let mut count = self.shared.count.subscribe();
        loop {
            if let Some(data) = self.data(kind).into_iter().nth(nth) {
                return data;
            }
            count.changed().await.expect("the webhook lives");
        }
    }
}

/// A node that asks the webhook at this address.
pub(crate) async fn node(
    folder: &Path,
    open: bool,
    address: SocketAddr,
    when_down: WhenDown,
) -> Node {
    let url = format!("http://{address}/");
    let webhook = WebhookConfig {
        allow_private: true,
        when_down,
        thumbnails: true,
        ..WebhookConfig::new(&url, Secret::new(SECRET))
    };
    let service = build(inver_service::Config {
        decider: Decider::Webhook(webhook),
        hooks: Vec::new(),
    });
    let settings = Config {
        service: service.expect("a right configuration"),
        ..Config::default()
    };
    let node = Node::with_service(folder, open, settings).await;
    node.expect("opens")
}

async fn take(
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    assert!(is_signed(&headers, &body), "every message is signed");
    let message: Value = serde_json::from_slice(&body).expect("JSON");
    let kind = message["type"].as_str().expect("a type").to_owned();
    let (status, answer) = (shared.answers)(&kind, &message["data"]);
    let mut heard = shared.heard.lock().unwrap_or_else(PoisonError::into_inner);
    heard.push(message);
    shared.count.send_replace(heard.len());
    (StatusCode::from_u16(status).expect("a status"), answer)
}

/// Checks the signature as a receiver does.
fn is_signed(headers: &HeaderMap, body: &[u8]) -> bool {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(id), Some(at), Some(signature)) = (
        header("webhook-id"),
        header("webhook-timestamp"),
        header("webhook-signature"),
    ) else {
        return false;
    };
    let key = SECRET.strip_prefix("whsec_").expect("the prefix");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(key).expect("base64"));
    let signed = [id.as_bytes(), b".", at.as_bytes(), b".", body].concat();
    let code = signature.strip_prefix("v1,").expect("version 1");
    let code = STANDARD.decode(code).expect("base64");
    hmac::verify(&key, &signed, &code).is_ok()
}
