//! A service without a network, for tests on virtual time.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::fault::Fault;
use crate::outbound::{Answer, Post, Transport};
use crate::service::Answering;

/// What a [`Script`] does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Answers at once.
    Answer(u16, &'static str),
    /// Answers at once and asks for patience, in seconds.
    Busy(u16, u64),
    /// Cannot be reached.
    Unreachable,
    /// Never answers.
    Silent,
}

/// Answers requests by a script; the last step is repeated.
#[derive(Default)]
pub(crate) struct Script {
    steps: Mutex<VecDeque<Step>>,
    asked: Mutex<Vec<(Instant, Post)>>,
    heard: Notify,
}

impl Script {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: Mutex::new(steps.into_iter().collect()),
            ..Self::default()
        }
    }

    fn requests(&self) -> MutexGuard<'_, Vec<(Instant, Post)>> {
        self.asked.lock().expect("no test panics with the lock")
    }

    /// Requests so far, with the time since the first one.
    pub(crate) fn asked(&self) -> Vec<(Duration, Post)> {
        let asked = self.requests();
        let first = asked.first().map(|(at, _)| *at);
        asked
            .iter()
            .map(|(at, post)| (*at - first.unwrap_or(*at), post.clone()))
            .collect()
    }

    /// Waits for this many requests.
    pub(crate) async fn asked_for(&self, count: usize) -> Vec<(Duration, Post)> {
        loop {
            let heard = self.heard.notified();
            if self.requests().len() >= count {
                return self.asked();
            }
            heard.await;
        }
    }
}

impl Transport for Script {
    fn post(&self, post: Post) -> Answering<'_, Result<Answer, Fault>> {
        self.requests().push((Instant::now(), post));
        self.heard.notify_waiters();
        let step = {
            let mut steps = self.steps.lock().expect("no test panics with the lock");
            match steps.len() {
                0 | 1 => steps.front().cloned(),
                _ => steps.pop_front(),
            }
        };
        Box::pin(async move {
            // As over a network, others have their turn meanwhile.
            tokio::task::yield_now().await;
            let answer = |status, body: &'static str, wait| Answer {
                status: StatusCode::from_u16(status).expect("a status"),
                retry_after: wait,
                body: Bytes::from_static(body.as_bytes()),
            };
            match step.expect("a script has at least one step") {
                Step::Answer(status, body) => Ok(answer(status, body, None)),
                Step::Busy(status, wait) => Ok(answer(status, "", Some(Duration::from_secs(wait)))),
                Step::Unreachable => Err(Fault::Unreachable("no route".to_owned())),
                Step::Silent => std::future::pending().await,
            }
        })
    }
}
