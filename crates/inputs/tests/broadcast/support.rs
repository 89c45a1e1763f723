//! A node with a keyed room, doors to it, and a look at what came in.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use inver_http::testing::Fixture;
use inver_media::Frame;
use inver_node::{Client, Credentials, FrameReader, Read, ReadFrames};
use inver_proto::{CreateKey, CreateRoom, Direction, Door, RoomId};
use inver_protocols::rtsp::Status;
use inver_protocols::srt::Rejection;
use inver_sockets::testing::soon;
use inver_sockets::{rtmp, rtsp, srt};
use tokio::sync::watch;

pub(crate) fn room(name: &str) -> RoomId {
    name.parse().expect("a room id")
}

/// Makes a room and gives its key and its number.
pub(crate) async fn keyed_room(fixture: &Fixture, name: &str) -> (String, u32) {
    let request = CreateRoom {
        id: Some(room(name)),
        keyed: Some(true),
        ..CreateRoom::default()
    };
    let created = fixture.handle.create_room(request).await.expect("a room");
    let key = fixture
        .handle
        .create_key(&created.id, CreateKey::default())
        .await
        .expect("a key")
        .key;
    (key, created.number.expect("keyed rooms have a number"))
}

/// Reads the frames of a room that is live, as an administrator.
pub(crate) async fn read(fixture: &Fixture, name: &str) -> FrameReader {
    fixture.flows(name, true).await;
    fixture
        .handle
        .read_frames(ReadFrames {
            room: room(name),
            participant: None,
            credentials: Credentials::bearer(fixture.handle.admin_token().reveal()),
            client: Client::default(),
            door: Door::Srt,
        })
        .await
        .expect("the room is live")
}

/// Waits until nobody publishes into a room.
pub(crate) async fn vacant(fixture: &Fixture, name: &str) {
    let name = room(name);
    let mut events = fixture.handle.events(Some(&name), None);
    let waiting = async {
        while fixture.handle.room(&name).is_ok_and(|room| {
            let mut sessions = room.participants.iter().flat_map(|one| &one.sessions);
            sessions.any(|session| session.direction == Direction::Publish)
        }) {
            events.next().await.expect("the node runs");
        }
    };
    soon("the end of the session", waiting).await;
}

/// Waits until somebody's media reached the data plane.
pub(crate) async fn media(fixture: &Fixture) {
    let came = async {
        while fixture.asked.batches.lock().expect("no panic").is_empty() {
            tokio::task::yield_now().await;
        }
    };
    soon("media", came).await;
}

/// The next frames, by layer: sound is `None`.
pub(crate) async fn frames(
    reader: &mut FrameReader,
    count: usize,
) -> Vec<(Option<u8>, Arc<Frame>)> {
    let mut frames = Vec::new();
    while frames.len() < count {
        match soon("a frame", reader.next())
            .await
            .expect("reading goes on")
        {
            Read::Video { layer, frame } => frames.push((Some(layer), frame)),
            Read::Audio(frame) => frames.push((None, frame)),
            Read::Lost | Read::Idle => {}
        }
    }
    frames
}

/// Takes players and readers, and notes what they wanted.
#[derive(Default)]
pub(crate) struct Handed {
    pub(crate) wanted: Mutex<Vec<String>>,
}

impl Handed {
    fn note(&self, wanted: String) {
        self.wanted.lock().expect("no panic").push(wanted);
    }
}

impl rtmp::Player for Handed {
    fn play(&self, mut play: rtmp::Play) -> rtmp::Playing<'_> {
        self.note(play.address.stream().to_owned());
        Box::pin(async move {
            let core = play.connection.core();
            core.refuse("NetStream.Play.StreamNotFound", "only a test");
            play.connection.close().await;
        })
    }
}

impl rtsp::Reader for Handed {
    fn read(&self, mut read: rtsp::Read) -> rtsp::Reading<'_> {
        self.note(read.wish.address.path().to_owned());
        Box::pin(async move {
            // A client that is gone needs no word.
            let _ = read.connection.refuse(Status::NotFound, "only a test");
            read.connection.close().await;
        })
    }
}

impl srt::Reader for Handed {
    fn read(&self, read: srt::Read) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.note(read.room.to_string());
        Box::pin(read.call.reject(Rejection::NotFound))
    }
}

/// The stop of a door.
pub(crate) fn stop() -> (watch::Sender<bool>, watch::Receiver<bool>) {
    watch::channel(false)
}
