//! What the doors and the control API do with the list.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use inver_control::{Refusal, RefusalKind, Secret, SystemEntropy, base62};
use inver_outward::{Guard, NoAddress};
use inver_proto::{
    CreatePull, CreatePush, ParticipantId, Pull, Push, RestreamId, RoomId, Timestamp,
};
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Address, Restream, RestreamNews, RestreamRecord, Way};
use crate::handle::{Handle, store_refusal};

/// Letters of a name.
const ID_LETTERS: usize = 12;

/// Longest wait for the resolver when one is made. The connection asks it again and checks.
const RESOLVING: Duration = Duration::from_secs(3);

/// What is asked for, whichever way.
struct Wish {
    way: Way,
    url: Secret,
    participant: Option<ParticipantId>,
    on_demand: bool,
    keep_opus: bool,
}

impl Handle {
    /// A room's pushes, oldest first.
    pub fn pushes(&self, room: &RoomId) -> Vec<Push> {
        self.list(room, Way::Push, super::Entry::push, |push| push.created_at)
    }

    /// A room's pulls, oldest first.
    pub fn pulls(&self, room: &RoomId) -> Vec<Pull> {
        self.list(room, Way::Pull, super::Entry::pull, |pull| pull.created_at)
    }

    fn list<T>(
        &self,
        room: &RoomId,
        way: Way,
        view: impl Fn(&super::Entry) -> T,
        made: impl Fn(&T) -> Timestamp,
    ) -> Vec<T> {
        let entries = self.0.restreams.lock();
        let of_room = entries
            .values()
            .filter(|entry| entry.way == way && entry.restream.room == *room);
        let mut list: Vec<T> = of_room.map(view).collect();
        list.sort_by_key(made);
        list
    }

    /// One push of a room.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn push(&self, room: &RoomId, id: &RestreamId) -> Result<Push, Refusal> {
        let found = self.pushes(room).into_iter().find(|push| push.id == *id);
        found.ok_or_else(|| none(room, Way::Push, id))
    }

    /// One pull of a room.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn pull(&self, room: &RoomId, id: &RestreamId) -> Result<Pull, Refusal> {
        let found = self.pulls(room).into_iter().find(|pull| pull.id == *id);
        found.ok_or_else(|| none(room, Way::Pull, id))
    }

    /// Makes a push; it survives a restart.
    ///
    /// # Errors
    /// The address makes no sense or leads inside, there are too many, or the store fails.
    pub async fn create_push(&self, room: &RoomId, request: CreatePush) -> Result<Push, Refusal> {
        let wish = Wish {
            way: Way::Push,
            url: Secret::new(request.url),
            participant: None,
            on_demand: false,
            keep_opus: request.keep_opus,
        };
        let id = self.create(room, wish).await?;
        self.push(room, &id)
    }

    /// Makes a pull; it survives a restart.
    ///
    /// # Errors
    /// The address makes no sense or leads inside, there are too many, or the store fails.
    pub async fn create_pull(&self, room: &RoomId, request: CreatePull) -> Result<Pull, Refusal> {
        let wish = Wish {
            way: Way::Pull,
            url: Secret::new(request.url),
            participant: request.participant,
            on_demand: request.on_demand,
            keep_opus: false,
        };
        let id = self.create(room, wish).await?;
        self.pull(room, &id)
    }

    /// In a task of its own: a client that hangs up in between must not leave the disk and the
    /// memory apart.
    async fn create(&self, room: &RoomId, wish: Wish) -> Result<RestreamId, Refusal> {
        let (handle, room) = (self.clone(), room.clone());
        let task = tokio::spawn(async move { handle.make(&room, wish).await });
        task.await.map_err(|_| failed())?
    }

    async fn make(&self, room: &RoomId, wish: Wish) -> Result<RestreamId, Refusal> {
        let inner = &self.0;
        let unfit = |detail: String| Refusal::new(RefusalKind::Unprocessable, detail);
        let address = parse(wish.way, &wish.url).map_err(unfit)?;
        let policy = &inner.restreams.policy;
        if matches!(address, Address::File(_)) && policy.files_dir.is_none() {
            return Err(unfit(
                "this server has no folder for such files; its operator sets restream.files_dir"
                    .to_owned(),
            ));
        }
        let guard = Guard::new(policy.allow_private);
        check_outside(guard, &address).await?;
        // One after the other, so that limits hold and a restart finds what was answered.
        let _order = inner.writing.lock().await;
        self.check_places(room, wish.way)?;
        let id: RestreamId = base62(&mut SystemEntropy::default(), ID_LETTERS)
            .parse()
            .expect("letters and digits are a name");
        let created_at = inner.now().wall;
        let participant = wish.participant.unwrap_or_else(|| address.participant());
        let record = RestreamRecord {
            sealed: inner.mutate(|control, _| control.seal(&place(&id), &wish.url)),
            id: id.clone(),
            room: room.clone(),
            way: wish.way,
            participant: participant.clone(),
            on_demand: wish.on_demand,
            keep_opus: wish.keep_opus,
            created_at,
        };
        let store = inner.store.clone();
        let stored = tokio::task::spawn_blocking(move || store.put_restream(&record)).await;
        stored
            .map_err(|_| failed())?
            .map_err(|error| store_refusal(&error))?;
        let restream = Restream {
            id: id.clone(),
            room: room.clone(),
            address,
            guard,
            participant,
            on_demand: wish.on_demand,
            keep_opus: wish.keep_opus,
        };
        let shown = restream.address.shown();
        inner
            .restreams
            .insert(wish.way, restream, false, created_at, created_at);
        tracing::info!(%room, %id, url = shown, "a {} was made", wish.way.noun());
        Ok(id)
    }

    fn check_places(&self, room: &RoomId, way: Way) -> Result<(), Refusal> {
        let restreams = &self.0.restreams;
        let entries = restreams.lock();
        let all = entries.values().filter(|entry| entry.way == way);
        let of_room = all.clone().filter(|entry| entry.restream.room == *room);
        let (most, most_per_room) = (restreams.policy.most, restreams.policy.most_per_room);
        let what = way.plural();
        if of_room.count() >= most_per_room {
            let detail = format!("{room} has {most_per_room} {what} and takes no more");
            return Err(Refusal::new(RefusalKind::Conflict, detail));
        }
        if all.count() >= most {
            let detail = format!("the server has {most} {what} and takes no more");
            return Err(Refusal::new(RefusalKind::Conflict, detail));
        }
        Ok(())
    }

    /// Ends a push or pull and forgets it.
    ///
    /// # Errors
    /// There is none of that name, the configuration file has it, or the store fails.
    pub async fn delete_restream(
        &self,
        room: &RoomId,
        way: Way,
        id: &RestreamId,
    ) -> Result<(), Refusal> {
        let (handle, room, id) = (self.clone(), room.clone(), id.clone());
        let task = tokio::spawn(async move { handle.delete(&room, way, &id).await });
        task.await.map_err(|_| failed())?
    }

    async fn delete(&self, room: &RoomId, way: Way, id: &RestreamId) -> Result<(), Refusal> {
        let inner = &self.0;
        let _order = inner.writing.lock().await;
        {
            let entries = inner.restreams.lock();
            let entry = entries
                .get(id)
                .filter(|entry| entry.way == way && entry.restream.room == *room)
                .ok_or_else(|| none(room, way, id))?;
            if entry.configured {
                let detail = format!(
                    "the configuration file has this {}; it is removed there",
                    way.noun()
                );
                return Err(Refusal::new(RefusalKind::Conflict, detail));
            }
        }
        self.forget(vec![id.clone()]).await
    }

    /// Forgets what was made by API for a room that is closed.
    pub(crate) async fn forget_restreams_of(&self, room: &RoomId) -> Result<(), Refusal> {
        let _order = self.0.writing.lock().await;
        let ids: Vec<RestreamId> = {
            let entries = self.0.restreams.lock();
            let made = entries
                .values()
                .filter(|entry| !entry.configured && entry.restream.room == *room);
            made.map(|entry| entry.restream.id.clone()).collect()
        };
        if ids.is_empty() {
            return Ok(());
        }
        self.forget(ids).await
    }

    async fn forget(&self, ids: Vec<RestreamId>) -> Result<(), Refusal> {
        let store = self.0.store.clone();
        let gone = ids.clone();
        let removed = tokio::task::spawn_blocking(move || store.remove_restreams(&gone)).await;
        removed
            .map_err(|_| failed())?
            .map_err(|error| store_refusal(&error))?;
        for id in ids {
            self.0.restreams.remove(&id);
            tracing::info!(%id, "a push or pull was removed");
        }
        Ok(())
    }

    /// Takes what the store and the configuration file have.
    pub(crate) fn load_restreams(&self, stored: Vec<RestreamRecord>) {
        let inner = &self.0;
        let now = inner.now().wall;
        let guard = Guard::new(inner.restreams.policy.allow_private);
        for record in stored {
            let url = inner.look(|control| control.unseal(&place(&record.id), &record.sealed));
            let address =
                url.ok_or_else(|| "it does not open with this server's secret".to_owned());
            let address = address.and_then(|url| parse(record.way, &url));
            match address {
                Ok(address) => {
                    let restream = Restream {
                        id: record.id,
                        room: record.room,
                        address,
                        guard,
                        participant: record.participant,
                        on_demand: record.on_demand,
                        keep_opus: record.keep_opus,
                    };
                    let made = record.created_at;
                    inner
                        .restreams
                        .insert(record.way, restream, false, made, now);
                }
                Err(why) => {
                    tracing::warn!(room = %record.room, id = %record.id, why, "a stored {} is left out", record.way.noun());
                }
            }
        }
        let configured = inner.restreams.policy.configured.clone();
        for (index, one) in configured.into_iter().enumerate() {
            let address = match parse(one.way, &one.url) {
                Ok(address) => address,
                Err(why) => {
                    tracing::warn!(room = %one.room, why, "a configured {} is left out", one.way.noun());
                    continue;
                }
            };
            let id = format!("configured-{}", index + 1);
            let restream = Restream {
                id: id.parse().expect("a word and a number are a name"),
                room: one.room,
                participant: one.participant.unwrap_or_else(|| address.participant()),
                address,
                guard: Guard::new(true),
                on_demand: one.on_demand,
                keep_opus: one.keep_opus,
            };
            inner.restreams.insert(one.way, restream, true, now, now);
        }
    }

    /// Every push or every pull, for the door that does the work.
    pub fn restreams(&self, way: Way) -> Vec<Arc<Restream>> {
        let entries = self.0.restreams.lock();
        let all = entries.values().filter(|entry| entry.way == way);
        all.map(|entry| Arc::clone(&entry.restream)).collect()
    }

    /// Changes whenever one is added or removed.
    pub fn restream_changes(&self) -> watch::Receiver<u64> {
        self.0.restreams.changed.subscribe()
    }

    /// Tells how one fares.
    pub fn tell_restream(&self, id: &RestreamId, news: RestreamNews) {
        self.0.restreams.tell(id, news, self.0.now().wall);
    }

    /// Folder of files that can be pulled.
    pub fn files_dir(&self) -> Option<PathBuf> {
        self.0.restreams.policy.files_dir.clone()
    }
}

fn failed() -> Refusal {
    Refusal::new(
        RefusalKind::Internal,
        "the server failed to do this; see its log",
    )
}

fn parse(way: Way, url: &Secret) -> Result<Address, String> {
    match way {
        Way::Push => Address::of_push(url.reveal()),
        Way::Pull => Address::of_pull(url.reveal()),
    }
}

/// Refuses what leads inside. A name that has no address now may have one later.
pub(crate) async fn check_outside(guard: Guard, address: &Address) -> Result<(), Refusal> {
    let Some((host, port)) = address.host() else {
        return Ok(());
    };
    match timeout(RESOLVING, guard.resolve(host, port)).await {
        Ok(Err(NoAddress::Inside(inside))) => {
            let detail = format!(
                "{inside}; the operator of this server allows that by restream.allow_private, or \
                 by listing the target in the configuration file"
            );
            Err(Refusal::new(RefusalKind::Unprocessable, detail))
        }
        Ok(Ok(_) | Err(NoAddress::Unknown { .. })) | Err(_) => Ok(()),
    }
}

/// Where an address is sealed for.
fn place(id: &RestreamId) -> String {
    format!("restream//{id}")
}

fn none(room: &RoomId, way: Way, id: &RestreamId) -> Refusal {
    let detail = format!("{room} has no {} {id}", way.noun());
    Refusal::new(RefusalKind::NotFound, detail)
}
