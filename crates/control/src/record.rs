//! What survives a restart, and changes to it.
//!
//! A durable decision goes in three steps: control *plans* it (checks, no change), the shell
//! *commits* the changes to its store, control *applies* them. A store that fails in between
//! leaves memory and disk as they were.

use inver_proto::{Key, KeyId, RoomId, RoomKind, Timestamp};
use serde::{Deserialize, Serialize};

use crate::vault::KeyHash;

/// A configured room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomRecord {
    /// Its name.
    pub id: RoomId,
    /// What it is for.
    pub kind: RoomKind,
    /// Its number, where it is keyed.
    pub number: Option<u32>,
    /// Whether publishing needs a key or token.
    pub keyed: bool,
    /// Whether viewers may come before the publisher.
    pub wait_for_publisher: bool,
    /// Most viewers at one time.
    pub max_viewers: Option<u32>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A stream key as stored: its hash, and the key itself sealed under the server's secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Its public name.
    pub id: KeyId,
    /// The room that it publishes to.
    pub room: RoomId,
    /// What its owner calls it.
    pub label: Option<String>,
    /// When its secret was made.
    pub created_at: Timestamp,
    /// When somebody last published with it.
    pub last_used_at: Option<Timestamp>,
    /// SHA-256 of the key.
    pub hash: KeyHash,
    /// Nonce, ciphertext and tag of AES-256-GCM.
    pub sealed: Vec<u8>,
}

impl KeyRecord {
    /// The form that the control API shows.
    pub fn view(&self) -> Key {
        Key {
            id: self.id.clone(),
            label: self.label.clone(),
            created_at: self.created_at,
            last_used_at: self.last_used_at,
        }
    }
}

impl std::fmt::Debug for KeyRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRecord")
            .field("id", &self.id)
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}

/// One change to what survives a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Writes a room, new or known.
    PutRoom(RoomRecord),
    /// Removes a room; its keys go in changes of their own.
    RemoveRoom(RoomId),
    /// Writes a key, new or known.
    PutKey(KeyRecord),
    /// Removes a key.
    RemoveKey(RoomId, KeyId),
    /// Sets the number of the next keyed room.
    NextNumber(u32),
}

/// Changes that belong together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order in which they are made; stored in one transaction.
    pub changes: Vec<Change>,
    /// Whether the store is concerned; rooms without configuration live in memory only.
    pub durable: bool,
}

/// All that a store holds.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    /// Configured rooms.
    pub rooms: Vec<RoomRecord>,
    /// Stream keys.
    pub keys: Vec<KeyRecord>,
    /// Number of the next keyed room, where one was ever given.
    pub next_number: Option<u32>,
}
