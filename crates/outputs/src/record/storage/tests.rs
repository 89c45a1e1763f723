//! The queue on virtual time, and uploads into a bucket in memory.

use std::cell::Cell;
use std::time::Duration;

use inver_proto::Timestamp;
use object_store::ObjectStoreExt;

use super::super::manifest::{
    Place, RecordedFile, Recording, RecordingState, StorageState, Stored,
};
use super::bucket::{Bucket, Failure};
use super::queue::{Next, Queue, Work};

fn recording(id: &str, started: u64, places: &[Place]) -> Recording {
    let files = (1..).zip(places).map(|(number, place)| RecordedFile {
        name: format!("{number:04}.mp4"),
        participant: "main".parse().expect("a name"),
        codecs: Vec::new(),
        offset_ms: 0,
        duration_ms: 1_000,
        size_bytes: 10,
        gaps: 0,
        finished: true,
        place: *place,
        url: None,
    });
    Recording {
        id: id.to_owned(),
        room: "room".parse().expect("a name"),
        state: RecordingState::Finished,
        started_at: Timestamp(started),
        ended_at: None,
        duration_ms: 0,
        size_bytes: 0,
        participants: Vec::new(),
        warnings: Vec::new(),
        files: files.collect(),
        storage: Some(Stored {
            location: format!("s3://bucket/rooms/{id}"),
            state: StorageState::Waiting,
            trouble: None,
        }),
        preview: None,
    }
}

fn file(id: &str, name: &str) -> Next {
    let (id, name) = (id.to_owned(), name.to_owned());
    Next::Work(Work::File { id, name })
}

fn manifest(id: &str) -> Next {
    Next::Work(Work::Manifest { id: id.to_owned() })
}

const NOW: Duration = Duration::from_secs(3_600);

#[test]
fn files_go_first_and_the_manifest_completes() {
    let mut queue = Queue::default();
    let mut one = recording("one", 1, &[Place::Both, Place::Disk, Place::Disk]);
    one.files[2].finished = false;
    one.state = RecordingState::Recording;
    let next = |queue: &mut Queue, one: &Recording, drop| queue.next(NOW, [one].into_iter(), drop);
    assert_eq!(next(&mut queue, &one, false), file("one", "0002.mp4"));
    // One worker at a time.
    assert_eq!(next(&mut queue, &one, false), Next::Idle);
    queue.done("one");
    one.files[1].place = Place::Both;
    // It goes on, and its third file grows.
    assert_eq!(next(&mut queue, &one, false), Next::Idle);
    assert_eq!(next(&mut queue, &one, true), file("one", "0001.mp4"));
    queue.done("one");
    one.state = RecordingState::Finished;
    assert_eq!(next(&mut queue, &one, false), manifest("one"));
    queue.done("one");
    if let Some(storage) = &mut one.storage {
        storage.state = StorageState::Complete;
    }
    assert_eq!(next(&mut queue, &one, false), Next::Idle);
    // What could be completed only at the next start follows.
    one.files[2].finished = true;
    assert_eq!(next(&mut queue, &one, false), file("one", "0003.mp4"));
    queue.done("one");
    one.storage = None;
    assert_eq!(next(&mut queue, &one, false), Next::Idle);
}

#[test]
fn an_outage_is_waited_for_longer_each_time() {
    let mut queue = Queue::default();
    let all = [
        recording("old", 1, &[Place::Disk]),
        recording("new", 2, &[Place::Disk]),
    ];
    let mut now = NOW;
    let mut waits = Vec::new();
    for _ in 0..9 {
        let Next::Work(Work::File { id, .. }) = queue.next(now, all.iter(), false) else {
            panic!("there is work to do");
        };
        let Next::Work(Work::File { id: other, .. }) = queue.next(now, all.iter(), false) else {
            panic!("for two");
        };
        queue.failed(&id, now);
        queue.failed(&other, now);
        let Next::Wait(wait) = queue.next(now, all.iter(), false) else {
            panic!("nobody waits");
        };
        waits.push(wait.as_secs());
        now += wait;
    }
    assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 300]);
    assert_eq!(queue.next(now, all.iter(), false), file("old", "0001.mp4"));
    queue.done("old");
    assert_eq!(queue.next(now, all.iter(), false), file("old", "0001.mp4"));
    queue.failed("old", now);
    assert_eq!(
        queue.next(now, all.iter(), false),
        Next::Wait(Duration::from_secs(2))
    );
}

#[test]
fn what_fails_lets_others_go_first_and_what_goes_is_left_alone() {
    let mut queue = Queue::default();
    let all = [
        recording("old", 1, &[Place::Disk]),
        recording("new", 2, &[Place::Disk]),
    ];
    assert_eq!(queue.next(NOW, all.iter(), false), file("old", "0001.mp4"));
    queue.failed("old", NOW);
    let later = NOW + Duration::from_secs(2);
    assert_eq!(
        queue.next(later, all.iter(), false),
        file("new", "0001.mp4")
    );
    queue.set_aside("new");
    assert!(queue.hold("old"));
    assert!(!queue.hold("old"));
    assert_eq!(queue.next(later, all.iter(), false), Next::Idle);
    queue.release("old");
    assert_eq!(
        queue.next(later, all.iter(), false),
        file("old", "0001.mp4")
    );
}

/// A file of so many bytes, each of which tells its place.
fn written(folder: &tempfile::TempDir, len: u32) -> std::path::PathBuf {
    let path = folder.path().join("0001.mp4");
    let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
    std::fs::write(&path, bytes).expect("a writable folder");
    path
}

#[tokio::test]
async fn an_upload_goes_on_where_it_was_stopped() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = written(&folder, 1_000);
    let bucket = Bucket::in_memory();
    let at = bucket.location("one");
    assert_eq!(at, "s3://bucket/rooms/one");
    let asked = Cell::new(0);
    let thrice = || asked.replace(asked.get() + 1) < 3;
    let stopped = bucket
        .send_in_parts(&path, &at, "0001.mp4", 100, thrice)
        .await;
    assert!(matches!(stopped, Err(Failure::Stopped)), "{stopped:?}");
    assert!(matches!(
        bucket.read(&at, "0001.mp4", 0..1).await,
        Err(Failure::Missing)
    ));
    // As after a restart: nothing but what lies beside the file is known.
    asked.set(0);
    let counted = || asked.replace(asked.get() + 1) < 100;
    let sent = bucket
        .send_in_parts(&path, &at, "0001.mp4", 100, counted)
        .await;
    sent.expect("nothing is in the way");
    assert_eq!(asked.get(), 7, "three parts were there already");
    let read = bucket
        .read(&at, "0001.mp4", 990..1_000)
        .await
        .expect("it is there");
    assert_eq!(read[..], std::fs::read(&path).expect("readable")[990..]);
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .expect("readable")
        .collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test]
async fn an_upload_that_the_storage_gave_up_begins_anew() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = written(&folder, 300);
    let bucket = Bucket::in_memory();
    let at = bucket.location("one");
    let asked = Cell::new(0);
    let once = || asked.replace(asked.get() + 1) < 1;
    let stopped = bucket
        .send_in_parts(&path, &at, "0001.mp4", 100, once)
        .await;
    assert!(matches!(stopped, Err(Failure::Stopped)), "{stopped:?}");
    // Another bucket knows nothing of it.
    let other = Bucket::in_memory();
    let refused = other
        .send_in_parts(&path, &at, "0001.mp4", 100, || true)
        .await;
    assert!(matches!(refused, Err(Failure::Storage(_))), "{refused:?}");
    let sent = other
        .send_in_parts(&path, &at, "0001.mp4", 100, || true)
        .await;
    sent.expect("nothing is in the way");
    let key = other.key(&at, "0001.mp4").expect("it is in the bucket");
    assert_eq!(
        other.objects().head(&key).await.expect("it is there").size,
        300
    );
    other.delete(&at, "0001.mp4").await.expect("deleted");
    other.delete(&at, "0001.mp4").await.expect("gone already");
}

#[test]
fn only_settings_that_can_be_are_taken() {
    let good = super::StorageConfig {
        bucket: "recordings".to_owned(),
        endpoint: Some("http://127.0.0.1:9000".to_owned()),
        region: "us-east-1".to_owned(),
        access_key_id: "key".to_owned(),
        secret_access_key: inver_node::Secret::new("secret"),
        prefix: "live/".to_owned(),
        path_style: true,
        delete_local: false,
    };
    let bucket = Bucket::new(&good).expect("these can be");
    assert_eq!(bucket.location("one"), "s3://recordings/live/one");
    assert!(bucket.holds("s3://recordings/elsewhere/one"));
    assert!(!bucket.holds("s3://recordings-2/live/one"));
    for endpoint in [
        "127.0.0.1",
        "ftp://host",
        "http://",
        "http://key:secret@host",
        "http://host/x",
    ] {
        let endpoint = Some(endpoint.to_owned());
        let config = super::StorageConfig {
            endpoint,
            ..good.clone()
        };
        assert!(Bucket::new(&config).is_err(), "{config:?}");
    }
    let config = super::StorageConfig {
        prefix: "../up".to_owned(),
        ..good.clone()
    };
    assert!(Bucket::new(&config).is_err());
    let config = super::StorageConfig {
        bucket: String::new(),
        ..good.clone()
    };
    assert!(Bucket::new(&config).is_err());
    let config = super::StorageConfig {
        access_key_id: String::new(),
        ..good
    };
    let error = Bucket::new(&config).expect_err("no key");
    assert!(
        !format!("{error} {config:?}").contains("secret\""),
        "{error} {config:?}"
    );
}
