//! Whether somebody wants to watch a room that is pulled on demand.

use std::time::Duration;

use inver_node::Handle;
use inver_proto::RoomId;
use tokio::time::{Instant, sleep};

/// How often it is looked whether somebody watches: a fraction of what connecting takes.
const LOOK: Duration = Duration::from_millis(250);

/// How long nobody may watch before the pull ends. Less would connect anew for everybody who
/// reloads a page; more costs the source's bandwidth for nobody.
const LINGER: Duration = Duration::from_secs(15);

/// Waits until somebody watches or waits. Cancel-safe.
pub(super) async fn wanted(handle: &Handle, room: &RoomId) {
    while !handle.is_wanted(room) {
        sleep(LOOK).await;
    }
}

/// Waits until nobody has watched for a while. Cancel-safe.
pub(super) async fn unwanted(handle: &Handle, room: &RoomId) {
    let mut last = Instant::now();
    while last.elapsed() < LINGER {
        sleep(LOOK).await;
        if handle.is_wanted(room) {
            last = Instant::now();
        }
    }
}
