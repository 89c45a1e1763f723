//! Pushes and pulls: which there are, how each fares, what survives a restart.
//!
//! The doors do the work and tell how it goes; here is only the list. Addresses hold keys, so the
//! store has them encrypted and answers show them without.

mod address;
mod demand;
mod handle;
mod tend;
mod whep;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use inver_control::Secret;
use inver_outward::Guard;
use inver_proto::{
    ParticipantId, Pull, Push, RestreamId, RestreamState, RestreamStatus, RoomId, Timestamp,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use address::Address;
pub(crate) use address::file_below;
pub(crate) use handle::check_outside;
pub use tend::tend;
pub use whep::WhepTarget;

/// Which way media goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Out of a room.
    Push,
    /// Into a room.
    Pull,
}

impl Way {
    fn noun(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Pull => "pull",
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Self::Push => "pushes",
            Self::Pull => "pulls",
        }
    }
}

/// A push or pull of the configuration file.
#[derive(Debug, Clone)]
pub struct ConfiguredRestream {
    /// The room.
    pub room: RoomId,
    /// Which way.
    pub way: Way,
    /// Its address, an [`Address`].
    pub url: Secret,
    /// Whether a pull runs only while somebody watches.
    pub on_demand: bool,
    /// Whether Opus goes to an SRT target as it is.
    pub keep_opus: bool,
    /// As whom a pull publishes.
    pub participant: Option<ParticipantId>,
}

/// What pushes and pulls may do.
#[derive(Debug, Clone)]
pub struct RestreamPolicy {
    /// Whether those made by API may lead to addresses inside the network. Those of the
    /// configuration file may.
    pub allow_private: bool,
    /// Most pushes, and most pulls, in all. Each that is live costs a connection and the media's
    /// bandwidth.
    pub most: usize,
    /// Most pushes, and most pulls, of one room.
    pub most_per_room: usize,
    /// Folder of files that can be pulled; none where absent.
    pub files_dir: Option<PathBuf>,
    /// Those of the configuration file.
    pub configured: Vec<ConfiguredRestream>,
}

impl Default for RestreamPolicy {
    fn default() -> Self {
        Self {
            allow_private: false,
            most: 100,
            most_per_room: 10,
            files_dir: None,
            configured: Vec::new(),
        }
    }
}

/// One push or pull, as the doors need it.
#[derive(Debug, Clone)]
pub struct Restream {
    /// Its name.
    pub id: RestreamId,
    /// The room.
    pub room: RoomId,
    /// The other end.
    pub address: Address,
    /// Which addresses it may lead to.
    pub guard: Guard,
    /// As whom a pull publishes.
    pub participant: ParticipantId,
    /// Whether a pull runs only while somebody watches.
    pub on_demand: bool,
    /// Whether Opus goes to an SRT target as it is.
    pub keep_opus: bool,
}

/// What is stored of one.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct RestreamRecord {
    pub(crate) id: RestreamId,
    pub(crate) room: RoomId,
    pub(crate) way: Way,
    /// The address, encrypted under the server's secret.
    pub(crate) sealed: Vec<u8>,
    pub(crate) participant: ParticipantId,
    pub(crate) on_demand: bool,
    pub(crate) keep_opus: bool,
    pub(crate) created_at: Timestamp,
}

/// How one fares, in the doors' words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestreamNews {
    /// It waits for somebody to publish or to watch.
    Waiting,
    /// It connects.
    Connecting,
    /// Media flows.
    Live,
    /// Media flows, but not all of it.
    Behind {
        /// What is missing and why, for people; holds no secret.
        reason: String,
    },
    /// It failed and is tried again after a while.
    Failed {
        /// Why, for people; holds no secret.
        reason: String,
        /// When the next try begins.
        after: Duration,
    },
}

struct Entry {
    way: Way,
    restream: Arc<Restream>,
    configured: bool,
    created_at: Timestamp,
    status: RestreamStatus,
}

/// The list.
pub(crate) struct Restreams {
    policy: RestreamPolicy,
    entries: Mutex<BTreeMap<RestreamId, Entry>>,
    changed: watch::Sender<u64>,
    /// When somebody last wanted to watch what is pulled on demand.
    wishes: Mutex<HashMap<RoomId, demand::Wanted>>,
}

impl Restreams {
    pub(crate) fn new(policy: RestreamPolicy) -> Self {
        Self {
            policy,
            entries: Mutex::default(),
            changed: watch::channel(0).0,
            wishes: Mutex::default(),
        }
    }

    /// Whether those made by API may lead to addresses inside the network.
    pub(crate) fn allows_private(&self) -> bool {
        self.policy.allow_private
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RestreamId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(
        &self,
        way: Way,
        restream: Restream,
        configured: bool,
        created_at: Timestamp,
        now: Timestamp,
    ) {
        let entry = Entry {
            way,
            configured,
            created_at,
            status: RestreamStatus {
                state: RestreamState::Waiting,
                since: now,
                reason: None,
                retry_at: None,
            },
            restream: Arc::new(restream),
        };
        self.lock().insert(entry.restream.id.clone(), entry);
        self.changed.send_modify(|changes| *changes += 1);
    }

    fn remove(&self, id: &RestreamId) {
        self.lock().remove(id);
        self.changed.send_modify(|changes| *changes += 1);
    }

    fn tell(&self, id: &RestreamId, news: RestreamNews, now: Timestamp) {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(id) else {
            return;
        };
        note(&mut entry.status, news, now);
    }
}

/// Puts how one fares into the words of the API.
pub(crate) fn note(status: &mut RestreamStatus, news: RestreamNews, now: Timestamp) {
    let (state, reason, retry_at) = match news {
        RestreamNews::Waiting => (RestreamState::Waiting, None, None),
        // Why the last try failed stays until one succeeds.
        RestreamNews::Connecting => (RestreamState::Connecting, status.reason.take(), None),
        RestreamNews::Live => (RestreamState::Live, None, None),
        RestreamNews::Behind { reason } => (RestreamState::Live, Some(reason), None),
        RestreamNews::Failed { reason, after } => {
            (RestreamState::Retrying, Some(reason), Some(now.plus(after)))
        }
    };
    if status.state != state {
        status.since = now;
    }
    status.state = state;
    status.reason = reason;
    status.retry_at = retry_at;
}

impl Entry {
    fn push(&self) -> Push {
        Push {
            id: self.restream.id.clone(),
            room: self.restream.room.clone(),
            url: self.restream.address.shown(),
            configured: self.configured,
            created_at: self.created_at,
            status: self.status.clone(),
        }
    }

    fn pull(&self) -> Pull {
        Pull {
            id: self.restream.id.clone(),
            room: self.restream.room.clone(),
            url: self.restream.address.shown(),
            participant: self.restream.participant.clone(),
            on_demand: self.restream.on_demand,
            configured: self.configured,
            created_at: self.created_at,
            status: self.status.clone(),
        }
    }
}
