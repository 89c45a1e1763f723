//! Pulls: streams of RTMP(S), RTSP(S), SRT and WHEP servers elsewhere and looping files, brought
//! into rooms.
//!
//! Each pull has one task and publishes as a participant of its own name. One on demand begins
//! when somebody watches or waits, and ends a while after the last one left. What a source sends
//! passes through the same readers as what encoders send, and over WHEP it goes the way of relays.

mod demand;
mod file;
mod media;
mod remote;
mod rtsp;
mod whep;

use std::sync::Arc;

use inver_node::{
    Address, Credentials, Encoder, Feed, Handle, PublishFeed, Restream, RestreamNews, Target, Way,
};
use inver_proto::Door;
use inver_sockets::{Backoff, Stop, stopped};
use tokio::time::Instant;
use tokio_rustls::rustls::ClientConfig;

pub(crate) use file::within;

/// Runs every pull that there is or comes to be, until the stop. `tls` is what sources of
/// `rtmps://` and `rtsps://` are trusted by.
pub async fn run(handle: Handle, tls: Arc<ClientConfig>, stop: Stop) {
    let pulls = handle.clone();
    inver_node::tend(handle, Way::Pull, stop, move |restream, stop| {
        let pull = Pull {
            handle: pulls.clone(),
            restream,
            tls: tls.clone(),
            stands_in: None,
        };
        pull.run(stop)
    })
    .await;
}

/// Plays a source into a room whose publisher is gone, until that returns; gives why it ended.
pub(crate) async fn stand_in(
    handle: &Handle,
    restream: Restream,
    tls: &Arc<ClientConfig>,
    number: u64,
    since: &mut Option<Instant>,
) -> String {
    let pull = Pull {
        handle: handle.clone(),
        restream: Arc::new(restream),
        tls: Arc::clone(tls),
        stands_in: Some(number),
    };
    pull.play(since).await
}

/// Why pulling ended.
enum End {
    /// The pull was removed or the server stops.
    Stopped,
    /// Nobody watches any more.
    Unwanted,
    /// The source cannot be reached, refuses or is gone; why, for people.
    Failed(String),
}

/// One pull.
struct Pull {
    handle: Handle,
    restream: Arc<Restream>,
    tls: Arc<ClientConfig>,
    /// The number of the fallback that it is, where it only stands in for a publisher.
    stands_in: Option<u64>,
}

impl Pull {
    async fn run(self, mut stop: Stop) {
        let mut backoff = Backoff::default();
        loop {
            if self.restream.on_demand {
                self.tell(RestreamNews::Waiting);
                tokio::select! {
                    () = demand::wanted(&self.handle, &self.restream.room) => {}
                    () = stopped(&mut stop) => return,
                }
            }
            self.tell(RestreamNews::Connecting);
            let mut since = None;
            let end = tokio::select! {
                reason = self.play(&mut since) => End::Failed(reason),
                () = self.unwanted() => End::Unwanted,
                () = stopped(&mut stop) => End::Stopped,
            };
            let (room, id) = (&self.restream.room, &self.restream.id);
            let reason = match end {
                End::Stopped => return,
                End::Unwanted => {
                    tracing::info!(%room, %id, "a pull ended: nobody watches");
                    continue;
                }
                End::Failed(reason) => self.restream.address.hide(&reason),
            };
            let after = backoff
                .after(since.map_or_else(Default::default, |since: Instant| since.elapsed()));
            tracing::warn!(%room, %id, reason, ?after, "a pull failed and is tried again");
            self.tell(RestreamNews::Failed { reason, after });
            tokio::select! {
                () = tokio::time::sleep(after) => {}
                () = stopped(&mut stop) => return,
            }
        }
    }

    /// Pulls until something ends it; gives why. Boxed, for it is large and mostly waited beside.
    async fn play(&self, since: &mut Option<Instant>) -> String {
        match &self.restream.address {
            Address::Rtmp(target) => Box::pin(self.rtmp(target, since)).await,
            Address::Rtsp(target) => Box::pin(self.rtsp(target, since)).await,
            Address::Srt(target) => Box::pin(self.srt(target, since)).await,
            Address::Whep(target) => Box::pin(self.whep(target, since)).await,
            Address::File(path) => Box::pin(self.file(path, since)).await,
        }
    }

    async fn unwanted(&self) {
        if self.restream.on_demand {
            demand::unwanted(&self.handle, &self.restream.room).await;
        } else {
            std::future::pending().await
        }
    }

    fn tell(&self, news: RestreamNews) {
        match self.stands_in {
            Some(number) => self.handle.tell_fallback(number, news),
            None => self.handle.tell_restream(&self.restream.id, news),
        }
    }

    /// Takes the place in the room, once the source has something to publish.
    async fn publish(&self, since: &mut Option<Instant>) -> Result<Feed, String> {
        let request = PublishFeed {
            target: Target::Room(self.restream.room.clone()),
            participant: Some(self.restream.participant.clone()),
            // An administrator of the room or the operator wanted it.
            credentials: Credentials::bearer(self.handle.admin_token().reveal()),
            client: inver_node::Client::default(),
            door: Door::Pull,
        };
        let published = match self.stands_in {
            Some(_) => self.handle.publish_fallback(&self.restream.room).await,
            None => self.handle.publish_feed(request).await,
        };
        let mut feed = published.map_err(|refusal| refusal.detail)?;
        let shown = self.restream.address.shown();
        let (room, id) = (&self.restream.room, &self.restream.id);
        tracing::info!(%room, %id, session = %feed.session(), url = shown, "pulling");
        feed.tell(Encoder {
            name: Some(shown),
            ..Encoder::default()
        });
        *since = Some(Instant::now());
        self.tell(RestreamNews::Live);
        Ok(feed)
    }
}
