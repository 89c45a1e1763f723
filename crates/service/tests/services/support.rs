//! A service on this machine that records what it is asked and answers as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode};
use inver_control::{Credentials, Secret};
use inver_proto::{Door, ParticipantId, RoomId, SessionId};
use inver_service::{Proof, Publish, Read, Start};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The secret that all tests sign with.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The largest body that a test's service takes.
const MAX_BODY: usize = 4 << 20;

/// One request as it came.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("there is a header {name}"))
            .to_str()
            .expect("ASCII")
    }

    /// Checks the signature as a receiver does, from the documents of Standard Webhooks alone.
    #[track_caller]
    pub(crate) fn assert_signed(&self, secret: &str) {
        let key = STANDARD
            .decode(secret.strip_prefix("whsec_").expect("the prefix"))
            .expect("base64");
        let mut signed = Vec::new();
        signed.extend_from_slice(self.header("webhook-id").as_bytes());
        signed.push(b'.');
        signed.extend_from_slice(self.header("webhook-timestamp").as_bytes());
        signed.push(b'.');
        signed.extend_from_slice(&self.body);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let good = self.header("webhook-signature").split(' ').any(|one| {
            let code = one.strip_prefix("v1,").expect("version 1");
            let code = STANDARD.decode(code).expect("base64");
            hmac::verify(&key, &signed, &code).is_ok()
        });
        assert!(good, "one of the signatures fits");
        let sent: u64 = self.header("webhook-timestamp").parse().expect("seconds");
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970")
            .as_secs();
        assert!(now.abs_diff(sent) <= 300, "the timestamp is of now");
    }
}

type Answers = Arc<dyn Fn(usize, &Asked) -> Response + Send + Sync>;

#[derive(Clone)]
struct Shared {
    answers: Answers,
    asked: Arc<Mutex<Vec<Asked>>>,
    count: watch::Sender<usize>,
}

/// A listening service. Ends with the test's runtime.
pub(crate) struct Local {
    pub(crate) address: SocketAddr,
    shared: Shared,
}

impl Local {
    /// Answers by a function of the request's number, from 0, and the request.
    pub(crate) async fn start<R: IntoResponse>(
        answers: impl Fn(usize, &Asked) -> R + Send + Sync + 'static,
    ) -> Self {
        let shared = Shared {
            answers: Arc::new(move |nth, asked| answers(nth, asked).into_response()),
            asked: Arc::default(),
            count: watch::channel(0).0,
        };
        let app = Router::new().fallback(take).with_state(shared.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("is bound");
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, shared }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        let asked = self.shared.asked.lock();
        asked.expect("no test panics with the lock").clone()
    }

    /// Waits for this many requests.
    pub(crate) async fn asked_for(&self, count: usize) -> Vec<Asked> {
        let mut counts = self.shared.count.subscribe();
        let enough = counts.wait_for(|now| *now >= count);
        enough.await.expect("the service lives");
        self.asked()
    }
}

async fn take(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let asked = Asked {
        path: parts.uri.path().to_owned(),
        headers: parts.headers,
        body,
    };
    let nth = {
        let mut all = shared.asked.lock().expect("no test panics with the lock");
        all.push(asked.clone());
        all.len() - 1
    };
    shared.count.send_replace(nth + 1);
    (shared.answers)(nth, &asked)
}

pub(crate) fn room(name: &str) -> RoomId {
    name.parse().expect("a room")
}

/// Somebody who wants to publish with a key.
pub(crate) fn publish(name: &str, key: &str) -> Publish {
    Publish {
        room: room(name),
        number: Some(7),
        participant: None,
        proof: Proof::Shown(Credentials::bearer(key)),
        door: Door::Whip,
        remote: Some([192, 0, 2, 1].into()),
        user_agent: Some("encoder/1".to_owned()),
    }
}

/// Somebody who wants to watch with a token.
pub(crate) fn read(name: &str, token: &str) -> Read {
    Read {
        room: room(name),
        participant: None,
        credentials: Credentials::bearer(token),
        door: Door::Whep,
        remote: None,
        user_agent: None,
    }
}

/// A stream that begins.
pub(crate) fn start(name: &str) -> Start {
    Start {
        room: room(name),
        number: None,
        participant: ParticipantId::main(),
        session: SessionId(3),
        door: Door::Whip,
    }
}

pub(crate) fn secret() -> Secret {
    Secret::new(SECRET)
}
