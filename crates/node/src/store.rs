//! What survives a restart: configured rooms, stream keys, pushes, pulls and fallbacks, in one file.
//!
//! Every commit is on disk when it returns, so that a process that is killed at any moment finds
//! what it had promised. Keys are stored hashed and sealed; the file alone opens no door.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use inver_control::{Change, KeyRecord, RoomRecord, Stored};
use inver_proto::{KeyId, RestreamId, RoomId};
use redb::{Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fallback::FallbackRecord;
use crate::restream::RestreamRecord;

const ROOMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("rooms");
/// By `{room}/{key id}`; a room id has no `/`.
const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("keys");
/// By id; addresses are sealed.
const RESTREAMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("restreams");
/// By room; addresses are sealed.
const FALLBACKS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("fallbacks");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

const NEXT_NUMBER: &str = "next_number";
const SCHEMA: &str = "schema";

/// Version of what is written here. A newer program raises it when an older one could not read.
const SCHEMA_VERSION: u64 = 1;

/// Why the store cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("{0} is open in another process; each server needs a data folder of its own")]
    InUse(PathBuf),
    /// A newer program wrote it.
    #[error("{path} has schema {found}; this program reads up to {SCHEMA_VERSION}")]
    TooNew {
        /// The file.
        path: PathBuf,
        /// What was found.
        found: u64,
    },
    /// A record is not what this program writes.
    #[error("{path} has a damaged record {record:?}: {error}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The record's key.
        record: String,
        /// What is wrong.
        error: serde_json::Error,
    },
    /// The disk is full, the file is unreadable or the like.
    #[error("{path}: {error}")]
    Storage {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: Box<redb::Error>,
    },
}

pub(crate) type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

/// An open store. Its calls block on the disk.
pub(crate) struct Store {
    path: PathBuf,
    opener: Opener,
    /// `None` after a failure: the next call opens the file anew, which discards what a failed
    /// commit left half written and recovers once the disk has room again.
    database: Mutex<Option<Database>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the file or makes it.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let file = path.to_owned();
        Self::open_with(path, Box::new(move || Database::create(&file)))
    }

    pub(crate) fn open_with(path: &Path, opener: Opener) -> Result<Self, StoreError> {
        let store = Self {
            path: path.to_owned(),
            opener,
            database: Mutex::new(None),
        };
        store.with(|database| {
            let transaction = database.begin_write()?;
            {
                transaction.open_table(ROOMS)?;
                transaction.open_table(KEYS)?;
                transaction.open_table(RESTREAMS)?;
                transaction.open_table(FALLBACKS)?;
                let mut meta = transaction.open_table(META)?;
                let found = meta.get(SCHEMA)?.map(|value| value.value());
                match found {
                    None => {
                        meta.insert(SCHEMA, SCHEMA_VERSION)?;
                    }
                    Some(found) if found > SCHEMA_VERSION => {
                        return Ok(Err(StoreError::TooNew {
                            path: store.path.clone(),
                            found,
                        }));
                    }
                    Some(_) => {}
                }
            }
            transaction.commit()?;
            Ok(Ok(()))
        })??;
        Ok(store)
    }

    /// Reads everything.
    pub(crate) fn load(&self) -> Result<Stored, StoreError> {
        let (rooms, keys, next_number) = self.with(|database| {
            let transaction = database.begin_read()?;
            let rooms = all(&transaction.open_table(ROOMS)?)?;
            let keys = all(&transaction.open_table(KEYS)?)?;
            let next = transaction
                .open_table(META)?
                .get(NEXT_NUMBER)?
                .map(|value| value.value());
            Ok((rooms, keys, next))
        })?;
        Ok(Stored {
            rooms: self.parse::<RoomRecord>(rooms)?,
            keys: self.parse::<KeyRecord>(keys)?,
            next_number: next_number.and_then(|number| u32::try_from(number).ok()),
        })
    }

    /// Reads all pushes and pulls.
    pub(crate) fn restreams(&self) -> Result<Vec<RestreamRecord>, StoreError> {
        let rows = self.with(|database| {
            let transaction = database.begin_read()?;
            all(&transaction.open_table(RESTREAMS)?)
        })?;
        self.parse(rows)
    }

    /// Writes a push or pull; it is on disk when this returns.
    pub(crate) fn put_restream(&self, record: &RestreamRecord) -> Result<(), StoreError> {
        self.with(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            transaction
                .open_table(RESTREAMS)?
                .insert(record.id.as_str(), &*json(record))?;
            transaction.commit()?;
            Ok(())
        })
    }

    /// Removes pushes and pulls, all or none.
    pub(crate) fn remove_restreams(&self, ids: &[RestreamId]) -> Result<(), StoreError> {
        self.with(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            {
                let mut table = transaction.open_table(RESTREAMS)?;
                for id in ids {
                    table.remove(id.as_str())?;
                }
            }
            transaction.commit()?;
            Ok(())
        })
    }

    /// Reads what stands in for publishers.
    pub(crate) fn fallbacks(&self) -> Result<Vec<FallbackRecord>, StoreError> {
        let rows = self.with(|database| {
            let transaction = database.begin_read()?;
            all(&transaction.open_table(FALLBACKS)?)
        })?;
        self.parse(rows)
    }

    /// Writes what stands in for a room's publisher; it is on disk when this returns.
    pub(crate) fn put_fallback(&self, record: &FallbackRecord) -> Result<(), StoreError> {
        self.with(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            transaction
                .open_table(FALLBACKS)?
                .insert(record.room.as_str(), &*json(record))?;
            transaction.commit()?;
            Ok(())
        })
    }

    /// Removes what stands in for a room's publisher.
    pub(crate) fn remove_fallback(&self, room: &RoomId) -> Result<(), StoreError> {
        self.with(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            transaction.open_table(FALLBACKS)?.remove(room.as_str())?;
            transaction.commit()?;
            Ok(())
        })
    }

    /// Makes all changes or none; they are on disk when this returns.
    pub(crate) fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        self.with(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            {
                let mut rooms = transaction.open_table(ROOMS)?;
                let mut keys = transaction.open_table(KEYS)?;
                let mut meta = transaction.open_table(META)?;
                for change in changes {
                    match change {
                        Change::PutRoom(room) => {
                            rooms.insert(room.id.as_str(), &*json(room))?;
                        }
                        Change::RemoveRoom(room) => {
                            rooms.remove(room.as_str())?;
                        }
                        Change::PutKey(key) => {
                            keys.insert(&*path(&key.room, &key.id), &*json(key))?;
                        }
                        Change::RemoveKey(room, id) => {
                            keys.remove(&*path(room, id))?;
                        }
                        Change::NextNumber(number) => {
                            meta.insert(NEXT_NUMBER, u64::from(*number))?;
                        }
                    }
                }
            }
            transaction.commit()?;
            Ok(())
        })
    }

    /// Makes the change only to a key that is still there with the same secret.
    pub(crate) fn note(&self, note: &Change) -> Result<(), StoreError> {
        let Change::PutKey(key) = note else {
            return self.commit(std::slice::from_ref(note));
        };
        let at = path(&key.room, &key.id);
        let stored = self.with(|database| {
            let transaction = database.begin_read()?;
            let found = transaction.open_table(KEYS)?.get(&*at)?;
            Ok(found.map(|value| value.value().to_vec()))
        })?;
        let Some(stored) = stored else { return Ok(()) };
        let known: Vec<KeyRecord> = self.parse(vec![(at, stored)])?;
        if known.iter().all(|known| known.hash == key.hash) {
            self.commit(std::slice::from_ref(note))?;
        }
        Ok(())
    }

    /// Runs one job on the open database, opening it where a failure closed it.
    fn with<T>(
        &self,
        job: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let mut guard = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match guard.take() {
            Some(database) => database,
            None => (self.opener)().map_err(|error| self.open_error(error))?,
        };
        match job(&database) {
            Ok(value) => {
                *guard = Some(database);
                Ok(value)
            }
            Err(error) => {
                let path = self.path.clone();
                Err(StoreError::Storage {
                    path,
                    error: Box::new(error),
                })
            }
        }
    }

    fn open_error(&self, error: DatabaseError) -> StoreError {
        let path = self.path.clone();
        if matches!(error, DatabaseError::DatabaseAlreadyOpen) {
            return StoreError::InUse(path);
        }
        StoreError::Storage {
            path,
            error: Box::new(error.into()),
        }
    }

    fn parse<T: DeserializeOwned>(
        &self,
        rows: Vec<(String, Vec<u8>)>,
    ) -> Result<Vec<T>, StoreError> {
        let parsed = rows.into_iter().map(|(record, value)| {
            serde_json::from_slice(&value).map_err(|error| {
                let path = self.path.clone();
                StoreError::Damaged {
                    path,
                    record,
                    error,
                }
            })
        });
        parsed.collect()
    }
}

fn all(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
    let mut rows = Vec::new();
    for row in table.iter()? {
        let (key, value) = row?;
        rows.push((key.value().to_owned(), value.value().to_vec()));
    }
    Ok(rows)
}

fn path(room: &RoomId, id: &KeyId) -> String {
    format!("{room}/{id}")
}

fn json(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("records are plain structs with string keys")
}
