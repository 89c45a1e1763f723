//! Pulls on demand: who wants to watch what is not there yet.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use inver_control::{Action, SubscribeRequest};
use inver_proto::{RelayPath, RoomId};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Restreams, Way};
use crate::handle::Handle;

/// How long a wish to watch holds: as long as whoever has it waits for the answer. Doors whose
/// watchers have no session say it again with each request.
const WISH: Duration = Duration::from_secs(10);

/// How often a room is looked at beside its events, of which some may be lost.
const LOOK: Duration = Duration::from_secs(1);

/// The last wish to watch a room.
pub(super) struct Wanted {
    at: Instant,
    /// The servers that wait for the room.
    path: RelayPath,
}

impl Restreams {
    fn wishes(&self) -> MutexGuard<'_, HashMap<RoomId, Wanted>> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody without a session wanted to watch the room a moment ago.
    pub(crate) fn is_wished(&self, room: &RoomId) -> bool {
        let wishes = self.wishes();
        wishes
            .get(room)
            .is_some_and(|wanted| wanted.at.elapsed() < WISH)
    }
}

impl Handle {
    /// Notes that somebody who may watch the room wants to; nothing where neither a pull on demand
    /// would feed it nor layers would be made of it. Doors whose watchers have no session call it
    /// with each request.
    pub fn want(&self, room: &RoomId) {
        self.want_for(room, &RelayPath::default());
    }

    fn want_for(&self, room: &RoomId, path: &RelayPath) {
        if self.comes_on_demand(room) || self.may_have_ladder(room) {
            let mut wishes = self.0.restreams.wishes();
            wishes.retain(|_, wanted| wanted.at.elapsed() < WISH);
            let wanted = Wanted {
                at: Instant::now(),
                path: path.clone(),
            };
            wishes.insert(room.clone(), wanted);
        }
    }

    /// The servers that wait for a room which is pulled, this one at the end: what another server
    /// is told, so that it does not pull the room from here.
    pub fn pull_path(&self, room: &RoomId) -> RelayPath {
        let wishes = self.0.restreams.wishes();
        let path = wishes.get(room).map(|wanted| wanted.path.clone());
        path.unwrap_or_default().then(self.node_id())
    }

    /// Whether somebody watches the room, waits in it, or wanted to a moment ago.
    pub fn is_wanted(&self, room: &RoomId) -> bool {
        self.0.restreams.is_wished(room) || self.0.look(|control| control.wanted_by(room)) > 0
    }

    /// Whether somebody publishes in the room or is about to do so again.
    pub fn is_published(&self, room: &RoomId) -> bool {
        self.0
            .look(|control| control.published(room, None))
            .is_some()
    }

    /// Waits a while for what a pull on demand brings, where there is one and the one who asks may
    /// watch. Whoever waits in the room for its publisher is seen there. `path` names
    /// the servers that wait.
    pub(crate) async fn bring(&self, wish: &SubscribeRequest, path: &RelayPath) {
        let room = &wish.room;
        let is_there = || self.0.look(|control| control.takes_viewers(room));
        if !self.comes_on_demand(room) || is_there() {
            return;
        }
        let may = wish.vouched.is_some()
            || self
                .authorize(&wish.credentials, Action::Subscribe(room))
                .is_ok();
        if !may {
            return;
        }
        // Before the first look, so that nothing falls in between.
        let mut events = self.events(Some(room), None);
        self.want_for(room, path);
        let coming = async {
            while !is_there() {
                if let Ok(None) = timeout(LOOK, events.next()).await {
                    return;
                }
            }
        };
        // Without it, whoever asks is told that nobody publishes.
        let _ = timeout_at(Instant::now() + WISH, coming).await;
    }

    fn comes_on_demand(&self, room: &RoomId) -> bool {
        let entries = self.0.restreams.lock();
        entries.values().any(|entry| {
            entry.way == Way::Pull && entry.restream.on_demand && entry.restream.room == *room
        })
    }
}
