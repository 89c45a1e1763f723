//! RTMP: who gets in, what comes through, how refusals look.

use std::net::SocketAddr;
use std::sync::Arc;

use inver_http::testing::Fixture;
use inver_inputs::rtmp::{Config, Server};
use inver_media::Codec;
use inver_media::container::flv::{TagType, Track};
use inver_protocols::rtmp::{ClientEvent, Purpose};
use inver_sockets::Limits;
use inver_sockets::testing::{RtmpClient, frame, h264, second, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::{Handed, frames, keyed_room, media, read, room, stop, vacant};

struct Door {
    fixture: Fixture,
    address: SocketAddr,
    key: String,
    handed: Arc<Handed>,
    stop: watch::Sender<bool>,
    served: JoinHandle<()>,
}

async fn door() -> Door {
    door_with(Config::default()).await
}

async fn door_with(config: Config) -> Door {
    let fixture = Fixture::keyed().await;
    let (key, _) = keyed_room(&fixture, "studio").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("is bound");
    let handed = Arc::new(Handed::default());
    let server = Server::new(fixture.handle.clone(), config, handed.clone());
    let (stop, stopped) = stop();
    let served = tokio::spawn(async move { server.serve(listener, None, stopped).await });
    Door {
        fixture,
        address,
        key,
        handed,
        stop,
        served,
    }
}

impl Door {
    async fn client(&self, path: &str) -> RtmpClient {
        let url = format!("rtmp://localhost/{path}");
        RtmpClient::connect(self.address, &url, Purpose::Publish, true).await
    }

    async fn publisher(&self) -> RtmpClient {
        let mut client = self.client(&format!("live/studio-{}", self.key)).await;
        client.started().await;
        client
    }
}

#[tokio::test]
async fn what_an_encoder_sends_is_what_the_room_gets() {
    let door = door().await;
    let mut client = door.publisher().await;
    let sent = second(1000);
    client.send_all(&sent).await;
    media(&door.fixture).await;
    let mut reader = read(&door.fixture, "studio").await;
    client.send_all(&second(2000)).await;
    let got = frames(&mut reader, 60).await;
    let first = &got[0];
    assert_eq!((first.0, first.1.keyframe), (Some(0), true));
    assert_eq!(first.1.codec(), Codec::H264);
    let sound = got.iter().filter(|(layer, _)| layer.is_none());
    assert!(sound.clone().count() > 20);
    assert!(sound.clone().all(|(_, frame)| frame.codec() == Codec::Aac));
    // Both kinds keep their places against each other, to the millisecond of the wire.
    for (_, frame) in &got {
        let sent = sent.iter().chain(&second(2000)).any(|sent| {
            sent.data == frame.data && (sent.dts.0 - 1_000_000_000 - frame.dts.0).abs() <= 1_000_000
        });
        assert!(sent, "{:?} was not sent so", frame.dts);
    }
}

#[tokio::test]
async fn a_key_may_stand_in_the_query_of_any_part_of_the_address() {
    for parameter in ["key", "token", "pass"] {
        let door = door().await;
        let key = &door.key;
        for path in [
            format!("live/studio?{parameter}={key}"),
            format!("any/studio-{key}"),
            // Twice: it is no part of the name.
            format!("live/studio-{key}?{parameter}={key}"),
        ] {
            let mut client = door.client(&path).await;
            client.started().await;
            client.close().await;
            vacant(&door.fixture, "studio").await;
        }
    }
}

#[tokio::test]
async fn a_wrong_key_is_refused_as_such() {
    let door = door().await;
    for path in ["live/studio-wrong", "live/studio?key=wrong", "live/nowhere"] {
        let mut client = door.client(path).await;
        let (code, description) = client.refused().await;
        assert_eq!(code, "NetStream.Publish.Unauthorized", "{path}");
        assert!(description.contains("key"), "{description}");
        assert!(!description.contains("wrong"), "{description}");
    }
    let mut client = door.client("live/no%20room?key=x").await;
    assert_eq!(client.refused().await.0, "NetStream.Publish.Denied");
}

#[tokio::test]
async fn a_second_publisher_gets_bad_name_and_the_first_goes_on() {
    let door = door().await;
    let mut first = door.publisher().await;
    first.send_all(&second(0)).await;
    media(&door.fixture).await;
    let mut reader = read(&door.fixture, "studio").await;
    // Another key of the room: the same one may take over.
    let other = door
        .fixture
        .handle
        .create_key(&room("studio"), inver_proto::CreateKey::default())
        .await
        .expect("a key")
        .key;
    let mut second_client = door
        .client(&format!("live/studio-{other}?participant=other"))
        .await;
    let (code, _) = second_client.refused().await;
    assert_eq!(code, "NetStream.Publish.BadName");
    first.send_all(&second(1000)).await;
    frames(&mut reader, 60).await;
}

#[tokio::test]
async fn a_publisher_that_stops_may_begin_again_on_a_new_connection() {
    let door = door().await;
    for start in [0, 5000] {
        let mut client = door.publisher().await;
        client.send_all(&second(start)).await;
        client.close().await;
        vacant(&door.fixture, "studio").await;
    }
}

#[tokio::test]
async fn mp3_is_refused_by_name() {
    let door = door().await;
    let mut client = door.publisher().await;
    let mp3 = [0x2f, 0xff, 0xfb, 0x90];
    client.core().send(TagType::Audio, 0, &mp3);
    client.flush().await;
    let (code, description) = client.refused().await;
    assert_eq!(code, "NetStream.Publish.Rejected");
    assert!(
        description.contains("MP3") && description.contains("AAC"),
        "{description}"
    );
}

#[tokio::test]
async fn several_pictures_become_layers() {
    let door = door().await;
    let mut client = door.publisher().await;
    let video = h264();
    let second_track = Track {
        id: 1,
        ..Track::VIDEO
    };
    for index in 0..10 {
        let picture = frame(&video, index * 40, index % 5 == 0, 300);
        client.send(Track::VIDEO, &picture).await;
        client.send(second_track, &picture).await;
    }
    media(&door.fixture).await;
    let mut reader = read(&door.fixture, "studio").await;
    for index in 10..20 {
        let picture = frame(&video, index * 40, index % 5 == 0, 300);
        client.send(Track::VIDEO, &picture).await;
        client.send(second_track, &picture).await;
    }
    let got = frames(&mut reader, 16).await;
    for layer in [0, 1] {
        assert!(
            got.iter().any(|(of, _)| *of == Some(layer)),
            "no layer {layer}"
        );
    }
}

#[tokio::test]
async fn whoever_is_ended_by_control_hears_of_it() {
    let door = door().await;
    let mut client = door.publisher().await;
    client.send_all(&second(0)).await;
    door.fixture
        .handle
        .close_room(&room("studio"))
        .await
        .expect("the room closes");
    client
        .until(|event| matches!(event, ClientEvent::Ended { .. }).then_some(()))
        .await;
}

#[tokio::test]
async fn a_player_is_handed_on() {
    let door = door().await;
    let url = "rtmp://localhost/live/studio?token=t";
    let mut client = RtmpClient::connect(door.address, url, Purpose::Play, false).await;
    assert_eq!(client.refused().await.0, "NetStream.Play.StreamNotFound");
    assert_eq!(*door.handed.wanted.lock().expect("no panic"), ["studio"]);
}

#[tokio::test]
async fn the_stop_ends_publishers_and_the_door() {
    let door = door().await;
    let mut client = door.publisher().await;
    door.stop.send_replace(true);
    client
        .until(|event| matches!(event, ClientEvent::Ended { .. }).then_some(()))
        .await;
    drop(client);
    soon("the end", door.served).await.expect("no panic");
    assert!(TcpStream::connect(door.address).await.is_err());
}

#[tokio::test]
async fn garbage_ends_its_own_connection_only() {
    let door = door().await;
    let mut client = door.publisher().await;
    for garbage in [
        &b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..],
        &[0; 4096],
        &[3; 8192],
        &[0xff; 100],
    ] {
        let mut stream = TcpStream::connect(door.address).await.expect("listens");
        // The door may close while this is written.
        let _ = stream.write_all(garbage).await;
        let _ = stream.shutdown().await;
        let mut rest = Vec::new();
        let _ = soon("the end", stream.read_to_end(&mut rest)).await;
    }
    client.send_all(&second(0)).await;
    media(&door.fixture).await;
}

#[tokio::test]
async fn a_half_handshake_is_closed_in_time() {
    let door = door().await;
    let mut stream = TcpStream::connect(door.address).await.expect("listens");
    stream.write_all(&[3, 0, 0]).await.expect("is taken");
    tokio::time::pause();
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest).await;
    tokio::time::resume();
    // A reset is an end too.
    assert!(read.is_err() || rest.len() < 4096);
}

#[tokio::test]
async fn an_address_gets_no_more_than_its_share() {
    let door = door_with(Config {
        limits: Limits {
            connections: 10,
            per_address: 2,
        },
    })
    .await;
    let first = TcpStream::connect(door.address).await.expect("listens");
    let _second = TcpStream::connect(door.address).await.expect("listens");
    let mut third = TcpStream::connect(door.address).await.expect("listens");
    let mut rest = Vec::new();
    let read = soon("the end", third.read_to_end(&mut rest)).await;
    assert!(read.is_err() || rest.is_empty());
    drop(first);
    let mut client = loop {
        let mut client = door.client(&format!("live/studio-{}", door.key)).await;
        // The place is free when the door has seen the first one go.
        if let Some(ClientEvent::Connected { .. }) = client.next().await {
            break client;
        }
    };
    client.started().await;
}
