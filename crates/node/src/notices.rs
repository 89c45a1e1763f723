//! Warnings about rooms that doors add: what control does not know of.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use inver_proto::{Room, RoomId, Warning, WarningKind};

use crate::handle::Handle;

/// Warnings by room; of each kind one.
#[derive(Debug, Default)]
pub(crate) struct Notices(Mutex<HashMap<RoomId, Vec<Warning>>>);

impl Handle {
    /// Adds a warning to those of a room, in place of an earlier one of this kind; without a message
    /// only takes that away. Whoever adds one takes it away when it is over.
    pub fn warn_room(&self, room: &RoomId, kind: WarningKind, message: Option<String>) {
        let mut notices = self
            .0
            .notices
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = notices.entry(room.clone()).or_default();
        known.retain(|known| known.kind != kind);
        known.extend(message.map(|message| Warning { kind, message }));
        if known.is_empty() {
            notices.remove(room);
        }
    }
}

impl Notices {
    /// Adds to a room what is known of it.
    pub(crate) fn add_to(&self, room: &mut Room) {
        let notices = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        room.warnings
            .extend(notices.get(&room.id).into_iter().flatten().cloned());
    }
}
