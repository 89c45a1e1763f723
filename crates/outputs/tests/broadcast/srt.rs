//! SRT read: what readers get, and with which codes they are refused.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use inver_http::testing::Fixture;
use inver_media::container::mpegts::{Item, Reader as Demultiplexer};
use inver_media::{Codec, Config as Codecs, Frame};
use inver_node::{Credentials, Secret};
use inver_outputs::srt::{Config, Reader};
use inver_protocols::srt::{CallError, CallerConfig, Event, Rejection};
use inver_sockets::srt::{Call, Read, Reader as _, serve};
use inver_sockets::testing::{SrtClient, frame, second, soon};
use inver_sockets::{Limits, client};
use tokio::net::UdpSocket;
use tokio::sync::watch;

use crate::support::{feed, put, room};

struct Door {
    address: SocketAddr,
    stop: watch::Sender<bool>,
}

/// A door that takes every caller for a reader of `studio`.
async fn door(fixture: &Fixture, config: Config) -> Door {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let address = socket.local_addr().expect("is bound");
    let reader = Reader::new(fixture.handle.clone(), config);
    let (stop, stopped) = watch::channel(false);
    let of_readers = stopped.clone();
    tokio::spawn(async move {
        let callee = move |call: Call| {
            let (reader, stop) = (reader.clone(), of_readers.clone());
            async move {
                let client = client(call.address());
                let read = Read {
                    call,
                    room: room("studio"),
                    participant: None,
                    credentials: Credentials::NONE,
                    client,
                    stop,
                };
                reader.read(read).await;
            }
        };
        serve(socket, Limits::default(), stopped, callee).await
    });
    Door { address, stop }
}

fn caller(passphrase: Option<&str>) -> CallerConfig {
    CallerConfig {
        stream_id: "read:studio".to_owned(),
        passphrase: passphrase.map(str::to_owned),
        latency: Duration::from_millis(20),
        ..CallerConfig::default()
    }
}

impl Door {
    async fn call(&self, config: CallerConfig) -> Result<SrtClient, CallError> {
        soon("an answer", SrtClient::call(self.address, config)).await
    }

    async fn rejection(&self, config: CallerConfig) -> Rejection {
        match self.call(config).await.map(|_| "got in") {
            Err(CallError::Rejected(rejection)) => rejection,
            other => panic!("{other:?}"),
        }
    }
}

async fn frames(client: &mut SrtClient, count: usize) -> Vec<Frame> {
    let mut reader = Demultiplexer::default();
    let mut frames = Vec::new();
    while frames.len() < count {
        let event = soon("a payload", client.next()).await;
        if let Event::Data(payload) = event.expect("the connection goes on") {
            reader.push(&payload);
        }
        while let Some(item) = reader.poll() {
            if let Item::Frame { frame, .. } = item {
                frames.push(frame);
            }
        }
    }
    frames
}

#[tokio::test]
async fn a_reader_gets_picture_and_sound_from_a_keyframe_on() {
    let fixture = Fixture::open().await;
    let mut feed = feed(&fixture, &second(5000)).await;
    let door = door(&fixture, Config::default()).await;
    let mut client = door.call(caller(None)).await.expect("gets in");
    put(&mut feed, &second(6000));
    let got = frames(&mut client, 100).await;
    let picture = got.iter().find(|frame| frame.codec() == Codec::H264);
    assert!(picture.expect("pictures").keyframe);
    assert!(got.iter().any(|frame| frame.codec() == Codec::Aac));
}

#[tokio::test]
async fn readers_that_encrypt_have_the_passphrase_that_is_set() {
    let fixture = Fixture::open().await;
    let _feed = feed(&fixture, &second(0)).await;
    let config = Config {
        passphrase: Some(Secret::new("readers only")),
        require_encryption: true,
        ..Config::default()
    };
    let door = door(&fixture, config).await;
    assert_eq!(door.rejection(caller(None)).await, Rejection::Unsecure);
    let wrong = caller(Some("another passphrase"));
    assert_eq!(door.rejection(wrong).await, Rejection::BadSecret);
    let right = caller(Some("readers only"));
    let mut client = door.call(right).await.expect("gets in");
    frames(&mut client, 20).await;
}

#[tokio::test]
async fn refusals_have_the_codes_that_callers_know() {
    let fixture = Fixture::open().await;
    let door = door(&fixture, Config::default()).await;
    assert_eq!(door.rejection(caller(None)).await, Rejection::NotFound);
    let config = Arc::new(Codecs::Vp9 { profile: 0 });
    let _feed = feed(&fixture, &[frame(&config, 0, true, 4)]).await;
    let rejection = door.rejection(caller(None)).await;
    assert_eq!(rejection, Rejection::UnsupportedMedia);
}

#[tokio::test]
async fn the_end_of_the_room_and_the_stop_end_readers() {
    let fixture = Fixture::open().await;
    let first = feed(&fixture, &second(0)).await;
    let door = door(&fixture, Config::default()).await;
    let mut client = door.call(caller(None)).await.expect("gets in");
    let closed = async |client: &mut SrtClient| {
        while !matches!(client.next().await, Some(Event::Closed(_)) | None) {}
    };
    fixture
        .handle
        .close_room(&room("studio"))
        .await
        .expect("the room closes");
    soon("the end", closed(&mut client)).await;
    drop(first);
    let _again = feed(&fixture, &second(0)).await;
    let mut client = door.call(caller(None)).await.expect("gets in");
    door.stop.send_replace(true);
    soon("the end", closed(&mut client)).await;
}
