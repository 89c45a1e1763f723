//! What stands in for publishers that are gone: which rooms have something, what it is, how it
//! fares, what survives a restart.
//!
//! Control decides when it is wanted, and a door shows it; here is only the list. Addresses hold
//! keys, so the store has them encrypted and answers show them without.

mod handle;
mod source;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use inver_control::{FallbackRule, Secret};
use inver_outward::Guard;
use inver_proto::{Fallback, RestreamState, RestreamStatus, RoomId, RoomPattern, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::restream::{RestreamNews, note};
pub use source::FallbackSource;

/// Rooms that may have one made by API. Each that is shown costs what a publisher costs.
const MOST: usize = 10_000;

/// One of the configuration file.
#[derive(Debug, Clone)]
pub struct ConfiguredFallback {
    /// For which rooms.
    pub rooms: RoomPattern,
    /// What is shown.
    pub url: Secret,
    /// When.
    pub rule: FallbackRule,
}

/// One that is wanted now, as the door needs it.
#[derive(Debug)]
pub struct WantedFallback {
    /// Another one whenever it begins or is changed.
    pub number: u64,
    /// The room.
    pub room: RoomId,
    /// What is shown.
    pub source: FallbackSource,
    /// Which addresses it may lead to.
    pub guard: Guard,
}

/// What is stored of one.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct FallbackRecord {
    pub(crate) room: RoomId,
    /// The address, encrypted under the server's secret.
    pub(crate) sealed: Vec<u8>,
    pub(crate) after_ms: u64,
    /// 0: without end.
    pub(crate) longest_seconds: u64,
    pub(crate) always: bool,
    pub(crate) created_at: Timestamp,
}

#[derive(Debug, Clone)]
struct Entry {
    rooms: RoomPattern,
    source: FallbackSource,
    guard: Guard,
    rule: FallbackRule,
    configured: bool,
    created_at: Timestamp,
}

struct Shown {
    wanted: Arc<WantedFallback>,
    status: RestreamStatus,
}

/// The list.
pub(crate) struct Fallbacks {
    configured: Vec<ConfiguredFallback>,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// Made by API.
    made: BTreeMap<RoomId, Entry>,
    /// Those of the configuration file; the first that covers a room holds.
    configured: Vec<Entry>,
    /// By room, those that control wants shown.
    shown: BTreeMap<RoomId, Shown>,
    begun: u64,
}

impl State {
    fn entry(&self, room: &RoomId) -> Option<&Entry> {
        let configured = || {
            self.configured
                .iter()
                .find(|entry| entry.rooms.covers(room))
        };
        self.made.get(room).or_else(configured)
    }

    /// Shows the room's fallback from now on, as it is now.
    fn show(&mut self, room: &RoomId, now: Timestamp) {
        let Some(entry) = self.entry(room).cloned() else {
            self.shown.remove(room);
            return;
        };
        self.begun += 1;
        let wanted = WantedFallback {
            number: self.begun,
            room: room.clone(),
            source: entry.source,
            guard: entry.guard,
        };
        let shown = Shown {
            wanted: Arc::new(wanted),
            status: status(RestreamState::Connecting, now),
        };
        self.shown.insert(room.clone(), shown);
    }

    fn view(&self, room: &RoomId) -> Option<Fallback> {
        let entry = self.entry(room)?;
        let shown = self.shown.get(room);
        let idle = || status(RestreamState::Waiting, entry.created_at);
        Some(Fallback {
            room: room.clone(),
            url: entry.source.shown(),
            after_ms: u64::try_from(entry.rule.after.as_millis()).unwrap_or(u64::MAX),
            longest_seconds: entry.rule.longest.map(|longest| longest.as_secs()),
            always: entry.rule.always,
            configured: entry.configured,
            created_at: entry.created_at,
            status: shown.map_or_else(idle, |shown| shown.status.clone()),
        })
    }
}

fn status(state: RestreamState, since: Timestamp) -> RestreamStatus {
    RestreamStatus {
        state,
        since,
        reason: None,
        retry_at: None,
    }
}

impl Fallbacks {
    pub(crate) fn new(configured: Vec<ConfiguredFallback>) -> Self {
        Self {
            configured,
            state: Mutex::default(),
            changed: watch::channel(0).0,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told(&self) {
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// Control wants a room's fallback, or does not any more. Called under control's lock.
    pub(crate) fn switch(&self, room: &RoomId, wanted: bool, now: Timestamp) {
        let mut state = self.lock();
        if wanted {
            state.show(room, now);
        } else {
            state.shown.remove(room);
        }
        drop(state);
        self.told();
    }

    /// The rules for control: what is made by API stands before what is configured.
    fn rules(&self) -> Vec<(RoomPattern, FallbackRule)> {
        let state = self.lock();
        let entries = state.made.values().chain(&state.configured);
        entries
            .map(|entry| (entry.rooms.clone(), entry.rule))
            .collect()
    }

    fn tell(&self, number: u64, news: RestreamNews, now: Timestamp) {
        let mut state = self.lock();
        let mut shown = state.shown.values_mut();
        let Some(shown) = shown.find(|shown| shown.wanted.number == number) else {
            return;
        };
        note(&mut shown.status, news, now);
    }
}

/// The rule of these settings; `None`, and 0 for the longest time, are the defaults and no end.
pub(crate) fn rule(after: Duration, longest: Duration, always: bool) -> FallbackRule {
    FallbackRule {
        after,
        longest: (!longest.is_zero() && !always).then_some(longest),
        always,
    }
}
