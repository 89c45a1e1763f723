//! RTMP play: what players get, and how they are refused.

use std::net::SocketAddr;
use std::sync::Arc;

use inver_http::testing::Fixture;
use inver_media::container::flv::{Item, TagReader};
use inver_media::{Codec, Config as Codecs, Frame, MediaTime};
use inver_node::Policy;
use inver_outputs::rtmp::{Config, Player};
use inver_protocols::rtmp::{ClientEvent, Purpose, ServerEvent};
use inver_sockets::client;
use inver_sockets::rtmp::{Connection, Play, Player as _};
use inver_sockets::testing::{RtmpClient, frame, h264, second};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::support::{feed, put, room};

struct Door {
    fixture: Fixture,
    address: SocketAddr,
    stop: watch::Sender<bool>,
}

/// A door that takes one player.
async fn door(fixture: Fixture, config: Config) -> Door {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("is bound");
    let player = Player::new(fixture.handle.clone(), config);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        let (stream, from) = listener.accept().await.expect("a client");
        let mut connection = Connection::new(stream);
        loop {
            let event = connection.next().await.expect("it speaks RTMP");
            if let ServerEvent::PlayRequested(address) = event {
                let play = Play {
                    connection,
                    address,
                    client: client(from),
                    stop: stopped,
                };
                return player.play(play).await;
            }
        }
    });
    Door {
        fixture,
        address,
        stop,
    }
}

impl Door {
    async fn player(&self, path: &str, enhanced: bool) -> RtmpClient {
        let url = format!("rtmp://localhost/live/{path}");
        RtmpClient::connect(self.address, &url, Purpose::Play, enhanced).await
    }
}

/// The next frames that a player gets.
async fn frames(client: &mut RtmpClient, reader: &mut TagReader, count: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    while frames.len() < count {
        let media = client
            .until(|event| match event {
                ClientEvent::Media(media) => Some(media.clone()),
                ClientEvent::Ended { code } => panic!("ended: {code}"),
                ClientEvent::Refused { description, .. } => panic!("refused: {description}"),
                ClientEvent::Connected { .. }
                | ClientEvent::Started
                | ClientEvent::ReconnectRequested { .. }
                | ClientEvent::Closed => None,
            })
            .await;
        let items = reader
            .read(media.tag_type, media.timestamp, &media.body)
            .unwrap_or_default();
        frames.extend(items.into_iter().filter_map(|item| match item {
            Item::Frame { frame, .. } => Some(frame),
            Item::Metadata(_)
            | Item::Config { .. }
            | Item::Ended { .. }
            | Item::Unsupported { .. }
            | Item::Dropped { .. } => None,
        }));
    }
    frames
}

#[tokio::test]
async fn a_player_begins_with_a_keyframe_and_goes_on() {
    let fixture = Fixture::open().await;
    let mut feed = feed(&fixture, &second(5000)).await;
    let door = door(fixture, Config::default()).await;
    let mut player = door.player("studio", false).await;
    player.started().await;
    let mut reader = TagReader::new();
    let first = frames(&mut player, &mut reader, 60).await;
    assert!(first[0].keyframe && first[0].codec() == Codec::H264);
    assert_eq!(first[0].dts, MediaTime::ZERO);
    assert!(first.iter().any(|frame| frame.codec() == Codec::Aac));
    put(&mut feed, &second(6000));
    let more = frames(&mut player, &mut reader, 60).await;
    let newest = more.iter().map(|frame| frame.dts).max().expect("frames");
    assert!(newest > MediaTime(1_000_000_000), "{newest:?}");
    door.fixture
        .handle
        .close_room(&room("studio"))
        .await
        .expect("the room closes");
    let ended = player.until(|event| match event {
        ClientEvent::Ended { code } => Some(code.clone()),
        _ => None,
    });
    assert_eq!(ended.await, "NetStream.Play.UnpublishNotify");
}

#[tokio::test]
async fn times_go_on_where_the_publisher_comes_back() {
    let fixture = Fixture::open().await;
    let first_feed = feed(&fixture, &second(0)).await;
    let door = door(fixture, Config::default()).await;
    let mut player = door.player("studio", false).await;
    player.started().await;
    let mut reader = TagReader::new();
    frames(&mut player, &mut reader, 60).await;
    drop(first_feed);
    door.fixture.flows("studio", false).await;
    let mut again = feed(&door.fixture, &[]).await;
    put(&mut again, &second(90_000));
    let more = frames(&mut player, &mut reader, 71).await;
    let newest = more.iter().map(|frame| frame.dts).max().expect("frames");
    let seconds = newest.0 / 1_000_000_000;
    assert!((1..4).contains(&seconds), "{newest:?}");
}

#[tokio::test]
async fn where_nobody_is_live_no_stream_is_found() {
    let door = door(Fixture::open().await, Config::default()).await;
    let mut player = door.player("studio", false).await;
    assert_eq!(player.refused().await.0, "NetStream.Play.StreamNotFound");
}

#[tokio::test]
async fn a_picture_that_the_player_does_not_take_is_named() {
    let fixture = Fixture::open().await;
    let config = Arc::new(Codecs::Vp9 { profile: 0 });
    let picture = Frame {
        data: Arc::from([0x82, 0x49, 0x83, 0x42]),
        ..frame(&config, 0, true, 4)
    };
    let _feed = feed(&fixture, &[picture]).await;
    let door = door(fixture, Config::default()).await;
    let mut player = door.player("studio", false).await;
    let (code, description) = player.refused().await;
    assert_eq!(code, "NetStream.Play.Failed");
    assert!(description.contains("VP9"), "{description}");
}

#[tokio::test]
async fn credentials_are_asked_for_where_viewing_is_not_public() {
    let fixture = Fixture::with(Policy {
        open: false,
        public_viewing: false,
        ..Policy::default()
    })
    .await;
    let token = fixture.handle.admin_token().reveal().to_owned();
    let _feed = feed(&fixture, &second(0)).await;
    let without = door(fixture, Config::default()).await;
    let mut player = without.player("studio", false).await;
    assert_eq!(player.refused().await.0, "NetStream.Play.Failed");
    let with = door(without.fixture, Config::default()).await;
    let mut player = with.player(&format!("studio?token={token}"), false).await;
    player.started().await;
}

#[tokio::test]
async fn a_player_that_takes_nothing_loses_frames_and_goes_on_with_a_keyframe() {
    let fixture = Fixture::open().await;
    let mut feed = feed(&fixture, &second(0)).await;
    let door = door(fixture, Config { queue: 64 * 1024 }).await;
    let mut player = door.player("studio", false).await;
    player.started().await;
    // Far more than sockets hold, one picture in ten a keyframe; all within the ten seconds beyond
    // which a gap would count as a clock that began anew.
    let video = h264();
    let step = 2;
    let mut last = 1000;
    let mut send = |last: &mut i64| {
        *last += step;
        let keyframe = *last % (10 * step) == 0;
        feed.video(0, &frame(&video, *last, keyframe, 20_000));
    };
    for index in 0..3000 {
        send(&mut last);
        if index % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let mut reader = TagReader::new();
    let mut before: Option<Frame> = None;
    loop {
        // Live goes on while the player catches up.
        send(&mut last);
        let [got] = <[Frame; 1]>::try_from(frames(&mut player, &mut reader, 1).await)
            .expect("one was asked for");
        let ms = got.dts.ticks(1000);
        if got.codec() != Codec::H264 || ms <= 1000 {
            continue;
        }
        if let Some(before) = &before
            && ms - before.dts.ticks(1000) > step
        {
            assert!(got.keyframe, "after a gap comes {:?}", got.dts);
            return;
        }
        before = Some(got);
        assert!(ms < 7000, "nothing was dropped");
    }
}

#[tokio::test]
async fn the_stop_ends_players() {
    let fixture = Fixture::open().await;
    let _feed = feed(&fixture, &second(0)).await;
    let door = door(fixture, Config::default()).await;
    let mut player = door.player("studio", false).await;
    player.started().await;
    door.stop.send_replace(true);
    player
        .until(|event| matches!(event, ClientEvent::Ended { .. }).then_some(()))
        .await;
}
