//! SRT: who gets in, what comes through, which codes refuse.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use inver_http::testing::Fixture;
use inver_inputs::srt::{Config, Server};
use inver_media::Codec;
use inver_protocols::srt::{CallError, CallerConfig, Event, KeyLength, Rejection};
use inver_sockets::testing::{SrtClient, second, soon, transport_stream};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::{Handed, frames, keyed_room, media, read, room, stop};

struct Door {
    fixture: Fixture,
    address: SocketAddr,
    key: String,
    handed: Arc<Handed>,
    stop: watch::Sender<bool>,
    served: JoinHandle<std::io::Result<()>>,
}

async fn door(config: Config) -> Door {
    let fixture = Fixture::keyed().await;
    let (key, _) = keyed_room(&fixture, "studio").await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let address = socket.local_addr().expect("is bound");
    let handed = Arc::new(Handed::default());
    let server = Server::new(fixture.handle.clone(), config, handed.clone());
    let (stop, stopped) = stop();
    let served = tokio::spawn(async move { server.serve(socket, stopped).await });
    Door {
        fixture,
        address,
        key,
        handed,
        stop,
        served,
    }
}

fn caller(stream_id: &str) -> CallerConfig {
    CallerConfig {
        stream_id: stream_id.to_owned(),
        latency: Duration::from_millis(20),
        ..CallerConfig::default()
    }
}

fn encrypted(stream_id: &str, passphrase: &str, key_length: KeyLength) -> CallerConfig {
    CallerConfig {
        passphrase: Some(passphrase.to_owned()),
        key_length,
        ..caller(stream_id)
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

    /// Publishes two seconds and sees that they come through.
    async fn works(&self, config: CallerConfig) {
        let mut client = self.call(config).await.expect("gets in");
        let mut sent = second(0);
        sent.extend(second(1000));
        client.send_all(&transport_stream(&sent)).await;
        let driven = async { while client.next().await.is_some() {} };
        let seen = async {
            media(&self.fixture).await;
            let mut reader = read(&self.fixture, "studio").await;
            frames(&mut reader, 20).await
        };
        let got = tokio::select! {
            () = driven => panic!("the connection ended"),
            got = seen => got,
        };
        assert!(got[0].1.keyframe && got[0].1.codec() == Codec::H264);
        assert!(got.iter().any(|(layer, _)| layer.is_none()), "no sound");
        client.close().await;
    }
}

#[tokio::test]
async fn every_form_of_stream_id_publishes() {
    let key = |door: &Door| door.key.clone();
    let forms: [fn(&str) -> String; 4] = [
        |key| format!("publish:studio:{key}"),
        |key| format!("publish:studio:main:{key}"),
        |key| format!("#!::r=studio,m=publish,s={key}"),
        |key| format!("studio-{key}"),
    ];
    for form in forms {
        let door = door(Config::default()).await;
        door.works(caller(&form(&key(&door)))).await;
    }
}

#[tokio::test]
async fn the_stream_key_is_the_passphrase_in_every_key_length() {
    for length in [KeyLength::Aes128, KeyLength::Aes192, KeyLength::Aes256] {
        let door = door(Config {
            require_encryption: true,
            ..Config::default()
        })
        .await;
        let id = format!("studio-{}", door.key);
        door.works(encrypted(&id, &door.key, length)).await;
    }
}

#[tokio::test]
async fn refusals_have_the_codes_that_callers_know() {
    let door = door(Config::default()).await;
    let key = &door.key;
    let right = format!("publish:studio:{key}");
    let cases = [
        (caller("publish:studio:wrong"), Rejection::Unauthorized),
        (caller("studio-wrong"), Rejection::Unauthorized),
        (caller(""), Rejection::BadRequest),
        (caller("publish:no room:x"), Rejection::BadRequest),
        (caller("read:studio"), Rejection::NotFound),
        (
            encrypted(&right, "not the passphrase", KeyLength::Aes128),
            Rejection::BadSecret,
        ),
    ];
    for (config, expected) in cases {
        let id = config.stream_id.replace(key, "KEY");
        assert_eq!(door.rejection(config).await, expected, "{id}");
    }
    assert_eq!(*door.handed.wanted.lock().expect("no panic"), ["studio"]);
}

#[tokio::test]
async fn who_does_not_encrypt_is_refused_where_that_is_required() {
    let door = door(Config {
        require_encryption: true,
        ..Config::default()
    })
    .await;
    let id = format!("publish:studio:{}", door.key);
    assert_eq!(door.rejection(caller(&id)).await, Rejection::Unsecure);
}

#[tokio::test]
async fn a_second_publisher_conflicts() {
    let door = door(Config::default()).await;
    let id = format!("publish:studio:{}", door.key);
    let _first = door.call(caller(&id)).await.expect("gets in");
    let other = door
        .fixture
        .handle
        .create_key(&room("studio"), inver_proto::CreateKey::default())
        .await
        .expect("a key")
        .key;
    let second = caller(&format!("publish:studio:other:{other}"));
    assert_eq!(door.rejection(second).await, Rejection::Conflict);
}

#[tokio::test]
async fn garbage_reaches_nobody() {
    let door = door(Config::default()).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    for index in 0..200_u8 {
        let garbage = vec![index; usize::from(index) * 7];
        socket
            .send_to(&garbage, door.address)
            .await
            .expect("is sent");
    }
    door.works(caller(&format!("studio-{}", door.key))).await;
}

#[tokio::test]
async fn the_stop_ends_connections_and_the_door() {
    let door = door(Config::default()).await;
    let id = format!("publish:studio:{}", door.key);
    let mut client = door.call(caller(&id)).await.expect("gets in");
    door.stop.send_replace(true);
    let closed = async {
        loop {
            if let Some(Event::Closed(_)) | None = client.next().await {
                return;
            }
        }
    };
    soon("the end", closed).await;
    soon("the door's end", door.served)
        .await
        .expect("no panic")
        .expect("no error");
}
