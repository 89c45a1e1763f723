//! The last events of the control API, for readers that come back.

use std::collections::VecDeque;

use inver_proto::{ApiEvent, RoomEvent, RoomId};

use crate::Now;

/// Events that are kept. More lets readers stay away longer; each takes some 200 bytes.
const KEPT: usize = 2048;

/// What a returning reader missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replay {
    /// These events, oldest first; none for a reader that is new or up to date.
    Events(Vec<ApiEvent>),
    /// Some events are lost: the reader must ask for the whole state.
    Reset,
}

#[derive(Debug)]
pub(crate) struct EventRing {
    events: VecDeque<ApiEvent>,
    next: u64,
}

impl EventRing {
    /// Numbers start at the time of day in milliseconds, so that those of an earlier run are
    /// always smaller than those kept now and lead to a reset.
    pub(crate) fn new(now: Now) -> Self {
        Self {
            events: VecDeque::new(),
            next: now.wall.0.max(1),
        }
    }

    pub(crate) fn push(&mut self, now: Now, room: RoomId, what: RoomEvent) -> ApiEvent {
        if self.events.len() == KEPT {
            self.events.pop_front();
        }
        let event = ApiEvent {
            id: self.next,
            at: now.wall,
            room,
            what,
        };
        self.next += 1;
        self.events.push_back(event.clone());
        event
    }

    /// Events after the one that a reader saw last, of one room or of all.
    pub(crate) fn replay(&self, last_seen: Option<u64>, room: Option<&RoomId>) -> Replay {
        let Some(last_seen) = last_seen else {
            return Replay::Events(Vec::new());
        };
        let oldest = self.events.front().map_or(self.next, |event| event.id);
        if last_seen >= self.next || last_seen + 1 < oldest {
            return Replay::Reset;
        }
        let missed = self.events.iter().filter(|event| event.id > last_seen);
        let wanted = missed.filter(|event| room.is_none_or(|room| *room == event.room));
        Replay::Events(wanted.cloned().collect())
    }
}
