//! What services outside are told: once that a session has begun, once that it has ended.

use inver_proto::{CloseCause, Direction, SessionId};

use crate::output::{Happening, Output, What};
use crate::state::{Progress, SessionState};
use crate::{Control, Now};

impl Control {
    /// Tells that a publisher's media flows or a viewer is connected, the first time that it is
    /// so.
    pub(crate) fn tell_begin(&mut self, session: SessionId, now: Now) {
        let Some(state) = self.sessions.get(&session) else {
            return;
        };
        // Nobody published: it is the same broadcast, and its publisher may come back.
        if self.stands_in(session) {
            return;
        }
        let source = self.sources.get(&state.source);
        let begun = match state.direction {
            Direction::Publish => source.is_some_and(|s| s.flowing && s.session == Some(session)),
            Direction::Subscribe => state.progress == Progress::Connected,
        };
        if begun
            && state.direction == Direction::Publish
            && let Some(source) = self.sources.get_mut(&state.source)
        {
            source.was_live = true;
        }
        if !begun || state.told.is_some() {
            return;
        }
        let what = match state.direction {
            Direction::Publish => What::Published,
            Direction::Subscribe => What::Read,
        };
        let happening = self.happening(state, what, now);
        if let Some(state) = self.sessions.get_mut(&session) {
            state.told = Some(now.elapsed);
        }
        self.output(Output::Happened(happening));
    }

    /// Tells that a session is gone, where its beginning was told.
    pub(crate) fn tell_end(&mut self, state: &SessionState, cause: CloseCause, now: Now) {
        let Some(told) = state.told else {
            return;
        };
        let lasted = now.elapsed.saturating_sub(told);
        let what = match state.direction {
            Direction::Publish => What::Unpublished { lasted, cause },
            Direction::Subscribe => What::Unread { lasted, cause },
        };
        let happening = self.happening(state, what, now);
        self.output(Output::Happened(happening));
    }

    fn happening(&self, state: &SessionState, what: What, now: Now) -> Happening {
        Happening {
            what,
            at: now.wall,
            session: state.id,
            source: state.source,
            room: state.room.clone(),
            number: self.rooms.get(&state.room).and_then(|room| room.number),
            participant: state.participant.clone(),
            door: state.door,
            address: state.address,
        }
    }
}
