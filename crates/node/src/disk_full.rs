//! A disk without room: changes are refused, nothing is lost, and it heals by itself.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use inver_control::{Credentials, RefusalKind, Secret, Secrets, ServerSecret, Stored};
use inver_proto::{CreateKey, CreateRoom, RoomId};
use redb::{Builder, StorageBackend};
use tokio::sync::mpsc;

use crate::handle::{Handle, Settings};
use crate::silent::Silent;
use crate::store::Store;
use crate::{Action, Policy};

/// A file in memory on a disk that may be full.
#[derive(Debug, Clone, Default)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    full: Arc<AtomicBool>,
}

impl Disk {
    fn bytes(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn room(&self) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn store(&self) -> Store {
        let disk = self.clone();
        let opener = move || Builder::new().create_with_backend(disk.clone());
        Store::open_with(Path::new("in memory"), Box::new(opener)).expect("there is room")
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).expect("the test's file is small");
        out.copy_from_slice(&self.bytes()[start..start + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.room()?;
        self.bytes()
            .resize(usize::try_from(len).expect("the test's file is small"), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.room()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.room()?;
        let start = usize::try_from(offset).expect("the test's file is small");
        self.bytes()[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }
}

fn open(disk: &Disk) -> Handle {
    let store = disk.store();
    let stored: Stored = store.load().expect("is readable");
    let secrets = Secrets {
        server: ServerSecret::from_bytes([7; 32]),
        admin_token: Secret::new("admin-token-of-the-tests"),
    };
    let policy = Policy {
        open: false,
        ..Policy::default()
    };
    let settings = Settings {
        restream: crate::restream::RestreamPolicy::default(),
        policy,
        ice_servers: Vec::new(),
        version: "test".to_owned(),
        server_name: None,
        recoders: 0,
        service: Arc::new(inver_service::BuiltIn),
        reports: inver_service::ReportPolicy::default(),
        farewell: std::time::Duration::ZERO,
        fallbacks: Vec::new(),
    };
    let (_, events) = mpsc::channel(1);
    Handle::start(settings, secrets, store, stored, Silent, events).expect("starts")
}

fn named(id: &str) -> CreateRoom {
    CreateRoom {
        id: Some(room(id)),
        ..CreateRoom::default()
    }
}

fn room(id: &str) -> RoomId {
    id.parse().expect("is a room id")
}

#[tokio::test]
async fn changes_are_refused_while_the_disk_is_full_and_taken_again_afterwards() {
    let disk = Disk::default();
    let handle = open(&disk);
    handle
        .create_room(named("before"))
        .await
        .expect("there is room");
    let key = handle
        .create_key(&room("before"), CreateKey::default())
        .await;
    let key = key.expect("there is room");

    disk.full.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let refusal = handle
            .create_room(named("during"))
            .await
            .expect_err("the disk is full");
        assert_eq!(refusal.kind, RefusalKind::Unavailable);
        assert!(refusal.retry_after.is_some());
        let refusal = handle
            .rotate_key(&room("before"), &key.id)
            .await
            .expect_err("is full");
        assert_eq!(refusal.kind, RefusalKind::Unavailable);
    }
    handle
        .close_room(&room("before"))
        .await
        .expect_err("the disk is full");
    assert!(
        handle.room(&room("during")).is_err(),
        "what was refused did not happen"
    );
    let credentials = Credentials::bearer(&key.key);
    handle
        .authorize(&credentials, Action::Publish(&room("before")))
        .expect("what was there is there, and the old key is the key");

    disk.full.store(false, Ordering::SeqCst);
    let made = handle
        .create_room(named("during"))
        .await
        .expect("there is room again");
    assert_eq!(made.number, Some(1002), "refused attempts took no numbers");
    handle.stop().await;

    let again = open(&disk);
    let rooms: Vec<_> = again
        .rooms()
        .into_iter()
        .map(|room| room.id.to_string())
        .collect();
    assert_eq!(rooms, ["before", "during"]);
    again
        .authorize(&credentials, Action::Publish(&room("before")))
        .expect("the key is kept");
    assert!(
        again.reveal_keys(&room("before")).expect("opens")[0]
            .1
            .matches(&key.key)
    );
}
