//! Thumbnails: what is shown to whom, how often it is made, and what there is no picture of.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use http::Method;
use inver_http::testing::{Fixture, ask};
use inver_http::{Config as HttpConfig, Context};
use inver_media::container::mpegts::{Item, Reader};
use inver_media::{Config, Frame, MediaTime};
use inver_node::{Client, Credentials, Feed, Policy, PublishFeed, Target};
use inver_outputs::thumbnail::{self, Maker};
use inver_proto::{CreateToken, Door};
use inver_sockets::testing::soon;

/// A red and blue picture of 1280x720, one IDR picture.
const H264: &[u8] = include_bytes!("../../media/src/still/data/red-blue.ts");
const VP8: &[u8] = include_bytes!("../../media/src/still/data/red-blue.vp8");

fn h264() -> Frame {
    let mut reader = Reader::default();
    reader.push(H264);
    reader.finish();
    std::iter::from_fn(|| reader.poll())
        .find_map(|item| match item {
            Item::Frame { frame, .. } => Some(frame),
            _ => None,
        })
        .expect("one frame")
}

fn frame(config: Config, data: &[u8]) -> Frame {
    Frame {
        config: Arc::new(config),
        pts: MediaTime::ZERO,
        dts: MediaTime::ZERO,
        keyframe: true,
        data: data.into(),
    }
}

fn router(fixture: &Fixture, open: bool, config: thumbnail::Config) -> Router {
    let context = Context::new(HttpConfig {
        open,
        ..HttpConfig::default()
    })
    .expect("a good configuration");
    let maker = Arc::new(Maker::new(config));
    thumbnail::router(fixture.handle.clone(), context, maker)
}

fn quick() -> thumbnail::Config {
    thumbnail::Config {
        keyframe_wait: Duration::from_millis(200),
        ..thumbnail::Config::default()
    }
}

async fn feed(fixture: &Fixture) -> Feed {
    let request = PublishFeed {
        target: Target::Room("studio".parse().expect("a room id")),
        participant: None,
        credentials: Credentials::bearer(fixture.handle.admin_token().reveal()),
        client: Client::default(),
        door: Door::Rtmp,
    };
    let started = fixture.handle.publish_feed(request).await;
    let feed = started.expect("the encoder is let in");
    fixture.flows("studio", true).await;
    feed
}

/// An open server whose room shows these pictures.
async fn showing(frames: &[Frame]) -> (Fixture, Router, Feed) {
    let fixture = Fixture::open().await;
    let router = router(&fixture, true, quick());
    let mut feed = feed(&fixture).await;
    for frame in frames {
        feed.video(0, frame);
    }
    (fixture, router, feed)
}

const PATH: &str = "/thumbnails/studio.jpg";

#[tokio::test]
async fn a_live_room_has_a_picture() {
    let (_fixture, router, _feed) = showing(&[h264()]).await;
    let answer = ask(Method::GET, PATH).send(&router).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "image/jpeg");
    assert_eq!(answer.header("cache-control"), "public, max-age=5");
    let etag = answer.header("etag").to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    for known in [etag.clone(), format!("\"other\", W/{etag}")] {
        let again = ask(Method::GET, PATH).header("if-none-match", &known);
        let again = again.send(&router).await;
        assert_eq!(again.status, 304);
        assert_eq!(again.header("etag"), etag);
    }
}

#[tokio::test]
async fn vp8_has_one_too() {
    let (_fixture, router, _feed) = showing(&[frame(Config::Vp8, VP8)]).await;
    let answer = ask(Method::GET, PATH).send(&router).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_picture_is_made_anew_only_when_the_last_one_is_old() {
    let fixture = Fixture::open().await;
    let config = thumbnail::Config {
        interval: Duration::from_millis(300),
        ..quick()
    };
    let router = router(&fixture, true, config);
    let mut feed = feed(&fixture).await;
    feed.video(0, &h264());
    let tag = async || {
        let answer = ask(Method::GET, PATH).send(&router).await;
        assert_eq!(answer.status, 200);
        answer.header("etag").to_owned()
    };
    let begun = Instant::now();
    let first = tag().await;
    let mut other = frame(Config::Vp8, VP8);
    other.pts = MediaTime(1_000_000_000);
    other.dts = other.pts;
    feed.video(0, &other);
    assert_eq!(tag().await, first);
    soon("another picture", async { while tag().await == first {} }).await;
    assert!(begun.elapsed() >= config.interval, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn who_is_not_live_has_none() {
    let fixture = Fixture::open().await;
    let router = router(&fixture, true, quick());
    for path in [
        PATH,
        "/thumbnails/studio",
        "/thumbnails/.jpg",
        "/thumbnails/a%20b.jpg",
    ] {
        let answer = ask(Method::GET, path).send(&router).await;
        answer.problem(404).await;
    }
    let feed = feed(&fixture).await;
    let detail = ask(Method::GET, PATH)
        .send(&router)
        .await
        .problem(404)
        .await;
    assert!(detail.contains("no keyframe of studio"), "{detail}");
    drop(feed);
}

#[tokio::test]
async fn what_nothing_here_decodes_is_told() {
    let vp9 = frame(Config::Vp9 { profile: 0 }, &[0x82, 0x49, 0x83, 0x42]);
    let (_fixture, router, _feed) = showing(&[vp9]).await;
    let detail = ask(Method::GET, PATH)
        .send(&router)
        .await
        .problem(422)
        .await;
    assert!(detail.contains("VP9"), "{detail}");
}

#[tokio::test]
async fn damage_is_told_and_nothing_else_happens() {
    let damaged = frame(Config::Vp8, &VP8[..40]);
    let (_fixture, router, _feed) = showing(&[damaged]).await;
    ask(Method::GET, PATH)
        .send(&router)
        .await
        .problem(503)
        .await;
}

#[tokio::test]
async fn a_private_room_shows_its_picture_to_its_viewers_only() {
    let fixture = Fixture::with(Policy {
        open: false,
        public_viewing: false,
        ..Policy::default()
    })
    .await;
    let router = router(&fixture, false, quick());
    let mut feed = feed(&fixture).await;
    feed.video(0, &h264());
    ask(Method::GET, PATH)
        .send(&router)
        .await
        .problem(401)
        .await;
    let request = CreateToken {
        room: Some("studio".parse().expect("a room id")),
        subscribe: true,
        ..CreateToken::default()
    };
    let token = fixture.handle.issue_token(&request).expect("a token").token;
    let by_query = format!("{PATH}?token={token}");
    let by_query = ask(Method::GET, &by_query).send(&router).await;
    assert_eq!(by_query.status, 200);
    assert_eq!(by_query.header("cache-control"), "private, max-age=5");
    let by_header = ask(Method::GET, PATH).header("authorization", &format!("Bearer {token}"));
    assert_eq!(by_header.send(&router).await.status, 200);
    let forged = format!("{PATH}?token={token}x");
    ask(Method::GET, &forged)
        .send(&router)
        .await
        .problem(401)
        .await;
}
