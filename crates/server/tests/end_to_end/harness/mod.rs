//! What the tests share: the real program, real clients, a lossy path between them.
//!
//! Nothing here sleeps for luck or tries again: a test waits for what somebody reports, up to a
//! deadline, and says what it had seen when the deadline passes.

mod client;
mod encoder;
mod fixtures;
mod host;
mod relay;
mod server;
mod storage;

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

pub(crate) use client::{Client, Flow, ffmpeg};
pub(crate) use encoder::{AAC, Ffmpeg, H264, H264_WITH_B_FRAMES, H265, PICTURE, TONE};
pub(crate) use fixtures::{Fixture, fixture};
pub(crate) use host::{Namespace, skip};
pub(crate) use relay::{Loss, Relay};
pub(crate) use server::{Builder, Encoder, Server};
pub(crate) use storage::{SECRET, Storage};

/// Longest wait for anything that takes a program's start, a handshake or a few frames. The tests
/// share two cores with builds and browsers; a wait that succeeds is over long before.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);

/// Tests with live media at once. Browsers and encoders of two tests would starve one another on
/// two cores, and what starves looks like loss.
static STAGE: Semaphore = Semaphore::const_new(1);

/// Waits for the machine; hold what is returned for as long as media flows.
pub(crate) async fn stage() -> SemaphorePermit<'static> {
    STAGE
        .acquire()
        .await
        .expect("the semaphore is never closed")
}
