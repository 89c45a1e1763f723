//! A node with a room that an encoder feeds.

use inver_http::testing::Fixture;
use inver_media::{Frame, Kind};
use inver_node::{Client, Credentials, Feed, PublishFeed, Target};
use inver_proto::{Door, RoomId};

pub(crate) fn room(name: &str) -> RoomId {
    name.parse().expect("a room id")
}

/// Feeds the room `studio` until it is live.
pub(crate) async fn feed(fixture: &Fixture, frames: &[Frame]) -> Feed {
    let request = PublishFeed {
        target: Target::Room(room("studio")),
        participant: None,
        credentials: Credentials::bearer(fixture.handle.admin_token().reveal()),
        client: Client::default(),
        door: Door::Rtmp,
    };
    let started = fixture.handle.publish_feed(request).await;
    let mut feed = started.expect("the encoder is let in");
    put(&mut feed, frames);
    fixture.flows("studio", true).await;
    feed
}

pub(crate) fn put(feed: &mut Feed, frames: &[Frame]) {
    for frame in frames {
        match frame.codec().kind() {
            Kind::Video => feed.video(0, frame),
            Kind::Audio => feed.audio(frame),
        }
    }
}
