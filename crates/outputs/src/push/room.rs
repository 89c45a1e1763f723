//! When a room is live, and what it begins with.

use std::time::Duration;

use inver_node::{Handle, RefusalKind};
use inver_proto::RoomId;
use tokio::time::timeout;

use crate::frames::{Frames, Opening};

/// How often a room is looked at beside its events, of which some may be lost.
const LOOK: Duration = Duration::from_secs(5);

/// Waits until media of the room can be read. Cancel-safe.
pub(super) async fn live(handle: &Handle, room: &RoomId) {
    // Before the first look, so that nothing falls in between.
    let mut events = handle.events(Some(room), None);
    loop {
        if handle.is_published(room)
            && let Ok(reader) = handle.tap(room, None)
        {
            let mut frames = Frames::new(reader);
            if let Ok(Some(_)) = timeout(LOOK, frames.next()).await {
                return;
            }
            continue;
        }
        // Either an event or time: both are reasons to look.
        if let Ok(None) = timeout(LOOK, events.next()).await {
            // The node stops.
            return std::future::pending().await;
        }
    }
}

/// What the room gives now; an error says in words for people what is wrong, `None` that nobody
/// publishes any more.
pub(super) async fn open(
    handle: &Handle,
    room: &RoomId,
) -> Result<Option<(Frames, Opening)>, String> {
    let reader = match handle.tap(room, None) {
        Ok(reader) => reader,
        Err(refusal) if refusal.kind == RefusalKind::Conflict => return Ok(None),
        Err(refusal) => return Err(refusal.detail),
    };
    let mut frames = Frames::new(reader);
    let opening = frames.opening().await;
    Ok(Some((frames, opening)))
}
