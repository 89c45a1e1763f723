//! What the doors and the control API do with the list.

use std::sync::Arc;
use std::time::Duration;

use inver_control::{
    ClientInfo, Credentials, PublishRequest, PublishTarget, Refusal, RefusalKind, Secret, Vouched,
};
use inver_media::Codec;
use inver_outward::Guard;
use inver_proto::{Door, Fallback, RoomId, RoomPattern, SetFallback};
use tokio::sync::watch;

use super::{Entry, FallbackRecord, FallbackSource, MOST, WantedFallback, rule};
use crate::feed::Feed;
use crate::handle::{Handle, store_refusal};
use crate::restream::{RestreamNews, check_outside};

/// How long a publisher has to be gone where nothing else is said.
const AFTER_MS: u64 = 2_000;

/// How long a fallback goes on at most where nothing else is said.
const LONGEST_SECONDS: u64 = 600;

/// The longest time that can be set: a year.
const MOST_SECONDS: u64 = 366 * 24 * 3600;

impl Handle {
    /// What stands in for the publisher of a room.
    ///
    /// # Errors
    /// Nothing does.
    pub fn fallback(&self, room: &RoomId) -> Result<Fallback, Refusal> {
        let state = self.0.fallbacks.lock();
        state.view(room).ok_or_else(|| none(room))
    }

    /// Says what stands in for the publisher of a room, in place of what did; it survives a
    /// restart.
    ///
    /// # Errors
    /// The address makes no sense or leads inside, a time does not fit, or the store fails.
    pub async fn set_fallback(
        &self,
        room: &RoomId,
        request: SetFallback,
    ) -> Result<Fallback, Refusal> {
        // In a task of its own: a client that hangs up in between must not leave the disk and the
        // memory apart.
        let (handle, of) = (self.clone(), room.clone());
        let task = tokio::spawn(async move { handle.put_fallback(&of, request).await });
        task.await.map_err(|_| failed())??;
        self.fallback(room)
    }

    async fn put_fallback(&self, room: &RoomId, request: SetFallback) -> Result<(), Refusal> {
        let inner = &self.0;
        let unfit = |detail: String| Refusal::new(RefusalKind::Unprocessable, detail);
        let url = Secret::new(request.url);
        let source = FallbackSource::of(&url).map_err(unfit)?;
        if source.is_file() && self.files_dir().is_none() {
            return Err(unfit(
                "this server has no folder for such files; its operator sets restream.files_dir"
                    .to_owned(),
            ));
        }
        let after_ms = request.after_ms.unwrap_or(AFTER_MS);
        let longest_seconds = request.longest_seconds.unwrap_or(LONGEST_SECONDS);
        let grace = inner.look(|control| control.grace());
        if Duration::from_millis(after_ms) >= grace {
            return Err(unfit(format!(
                "after_ms is {after_ms}, and by then viewers have left; it has to be below \
                 rooms.grace, which is {} ms",
                grace.as_millis()
            )));
        }
        if longest_seconds > MOST_SECONDS {
            return Err(unfit(format!(
                "longest_seconds is {longest_seconds}; it goes to {MOST_SECONDS}, and 0 is no end"
            )));
        }
        let guard = self.guard_of_made();
        if let Some(address) = source.address() {
            check_outside(guard, address).await?;
        }
        let _order = inner.writing.lock().await;
        let full = {
            let fallbacks = inner.fallbacks.lock();
            fallbacks.made.len() >= MOST && !fallbacks.made.contains_key(room)
        };
        if full {
            let detail = format!("{MOST} rooms have a fallback; no more can be made");
            return Err(Refusal::new(RefusalKind::Conflict, detail));
        }
        let record = FallbackRecord {
            room: room.clone(),
            sealed: inner.mutate(|control, _| control.seal(&place(room), &url)),
            after_ms,
            longest_seconds,
            always: request.always,
            created_at: inner.now().wall,
        };
        let (store, stored) = (inner.store.clone(), record.clone());
        let written = tokio::task::spawn_blocking(move || store.put_fallback(&stored)).await;
        written
            .map_err(|_| failed())?
            .map_err(|error| store_refusal(&error))?;
        let shown = source.shown();
        tracing::info!(%room, url = shown, "a fallback was set");
        self.take_fallback(record, source, guard);
        self.apply_fallbacks(room);
        Ok(())
    }

    fn guard_of_made(&self) -> Guard {
        Guard::new(self.0.restreams.allows_private())
    }

    /// Puts one that was made by API on the list.
    fn take_fallback(&self, record: FallbackRecord, source: FallbackSource, guard: Guard) {
        let entry = Entry {
            rooms: RoomPattern::Room(record.room.clone()),
            source,
            guard,
            rule: rule(
                Duration::from_millis(record.after_ms),
                Duration::from_secs(record.longest_seconds),
                record.always,
            ),
            configured: false,
            created_at: record.created_at,
        };
        self.0.fallbacks.lock().made.insert(record.room, entry);
    }

    /// Tells control the rules, and shows what a room's fallback is now where it is wanted.
    fn apply_fallbacks(&self, room: &RoomId) {
        let inner = &self.0;
        let rules = inner.fallbacks.rules();
        inner.mutate(|control, now| control.set_fallbacks(rules, now));
        let now = inner.now().wall;
        let mut state = inner.fallbacks.lock();
        if state.shown.contains_key(room) {
            state.show(room, now);
        }
        drop(state);
        inner.fallbacks.told();
    }

    /// Forgets what was made by API for a room.
    ///
    /// # Errors
    /// There is nothing, the configuration file has it, or the store fails.
    pub async fn delete_fallback(&self, room: &RoomId) -> Result<(), Refusal> {
        let configured = {
            let state = self.0.fallbacks.lock();
            let entry = state.entry(room).ok_or_else(|| none(room))?;
            entry.configured
        };
        if configured {
            let detail = "the configuration file has this fallback; it is removed there";
            return Err(Refusal::new(RefusalKind::Conflict, detail));
        }
        let (handle, room) = (self.clone(), room.clone());
        let task = tokio::spawn(async move { handle.forget_fallback_of(&room).await });
        task.await.map_err(|_| failed())?
    }

    /// Forgets what was made by API for a room, if anything was.
    pub(crate) async fn forget_fallback_of(&self, room: &RoomId) -> Result<(), Refusal> {
        let inner = &self.0;
        let _order = inner.writing.lock().await;
        if !inner.fallbacks.lock().made.contains_key(room) {
            return Ok(());
        }
        let (store, gone) = (inner.store.clone(), room.clone());
        let removed = tokio::task::spawn_blocking(move || store.remove_fallback(&gone)).await;
        removed
            .map_err(|_| failed())?
            .map_err(|error| store_refusal(&error))?;
        inner.fallbacks.lock().made.remove(room);
        tracing::info!(%room, "a fallback was removed");
        self.apply_fallbacks(room);
        Ok(())
    }

    /// Takes what the store and the configuration file have.
    pub(crate) fn load_fallbacks(&self, stored: Vec<FallbackRecord>) {
        let inner = &self.0;
        let created_at = inner.now().wall;
        for one in &inner.fallbacks.configured {
            match FallbackSource::of(&one.url) {
                Ok(source) => inner.fallbacks.lock().configured.push(Entry {
                    rooms: one.rooms.clone(),
                    source,
                    guard: Guard::new(true),
                    rule: one.rule,
                    configured: true,
                    created_at,
                }),
                Err(why) => {
                    tracing::warn!(rooms = %one.rooms, why, "a configured fallback is left out");
                }
            }
        }
        for record in stored {
            let url = inner.look(|control| control.unseal(&place(&record.room), &record.sealed));
            let source = url
                .ok_or_else(|| "it does not open with this server's secret".to_owned())
                .and_then(|url| FallbackSource::of(&url));
            match source {
                Ok(source) => self.take_fallback(record, source, self.guard_of_made()),
                Err(why) => {
                    tracing::warn!(room = %record.room, why, "a stored fallback is left out");
                }
            }
        }
        let rules = inner.fallbacks.rules();
        inner.mutate(|control, now| control.set_fallbacks(rules, now));
    }

    /// All that are wanted now, for the door that shows them.
    pub fn wanted_fallbacks(&self) -> Vec<Arc<WantedFallback>> {
        let state = self.0.fallbacks.lock();
        let wanted = state.shown.values().map(|shown| Arc::clone(&shown.wanted));
        wanted.collect()
    }

    /// Changes whenever another one is wanted, or one no more.
    pub fn fallback_changes(&self) -> watch::Receiver<u64> {
        self.0.fallbacks.changed.subscribe()
    }

    /// Tells how one fares, by its number.
    pub fn tell_fallback(&self, number: u64, news: RestreamNews) {
        self.0.fallbacks.tell(number, news, self.0.now().wall);
    }

    /// The codec of the sound that a room's publisher sent, as far as is known; AAC where it is not.
    pub fn former_sound(&self, room: &RoomId) -> Codec {
        let inner = &self.0;
        let published = inner.look(|control| control.published(room, None));
        let sound = published.and_then(|(_, source)| inner.hubs.of(source).sound());
        sound.unwrap_or(Codec::Aac)
    }

    /// Takes the place of a room's publisher.
    ///
    /// # Errors
    /// Nothing is wanted there, or no more: its publisher is back.
    pub async fn publish_fallback(&self, room: &RoomId) -> Result<Feed, Refusal> {
        // The operator wants it; nobody outside is asked.
        self.begin_feed(PublishRequest {
            target: PublishTarget::Room(room.clone()),
            participant: None,
            credentials: Credentials::NONE,
            client: ClientInfo::default(),
            door: Door::Fallback,
            vouched: Some(Vouched::default()),
        })
        .await
    }
}

fn failed() -> Refusal {
    Refusal::new(
        RefusalKind::Internal,
        "the server failed to do this; see its log",
    )
}

/// Where an address is sealed for.
fn place(room: &RoomId) -> String {
    format!("fallback//{room}")
}

fn none(room: &RoomId) -> Refusal {
    let detail = format!("nothing stands in for the publisher of {room}");
    Refusal::new(RefusalKind::NotFound, detail)
}
