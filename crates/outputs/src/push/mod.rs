//! Pushes: rooms sent to RTMP(S) and SRT targets elsewhere, while somebody publishes in them.
//!
//! Each push has one task: it waits until the room is live, connects, sends the first layer of the
//! picture and the sound, and begins again after a while when the target goes away. A publisher
//! that comes back within its grace finds the connection still there. A target that is too slow
//! loses what it does not take, up to the next keyframe. Opus becomes AAC.

mod room;
mod rtmp;
mod srt;

use std::sync::Arc;
use std::time::Duration;

use inver_node::{Address, Handle, Restream, RestreamNews, Way};
use inver_sockets::{Backoff, Stop, stopped};
use tokio::time::Instant;
use tokio_rustls::rustls::ClientConfig;

/// Bytes that wait for a target's connection before no more frames are taken for it. Less drops on
/// short stalls, more costs memory for each slow target and lets viewers there fall behind.
const QUEUE: usize = 2 << 20;

/// How long a target has to take everything until it is no longer called too slow. Less would have
/// the word come and go with every burst.
const KEEPS_UP: Duration = Duration::from_secs(30);

/// Runs every push that there is or comes to be, until the stop. `tls` is what targets of
/// `rtmps://` are trusted by.
pub async fn run(handle: Handle, tls: Arc<ClientConfig>, stop: Stop) {
    let pushes = handle.clone();
    inver_node::tend(handle, Way::Push, stop, move |restream, stop| {
        let push = Push {
            handle: pushes.clone(),
            restream,
            tls: tls.clone(),
        };
        push.run(stop)
    })
    .await;
}

/// Why sending ended.
enum End {
    /// The room's publisher is gone: wait for the next one.
    RoomEnded,
    /// The push was removed or the server stops.
    Stopped,
    /// The target cannot be reached, refuses or is gone; why, for people.
    Failed(String),
}

/// Whether a target takes what is sent to it, for its status.
struct Pace<'a> {
    push: &'a Push,
    /// When it last did not.
    behind: Option<Instant>,
}

impl<'a> Pace<'a> {
    fn new(push: &'a Push) -> Self {
        Self { push, behind: None }
    }

    /// The target did not take a frame: all up to the next keyframe are left out.
    fn falls_behind(&mut self) {
        if self.behind.replace(Instant::now()).is_none() {
            self.push.log("a target is too slow: frames are left out");
            let reason = "the target takes less than the room sends: pictures are left out up to \
                          the next keyframe; a lower bitrate helps"
                .to_owned();
            self.push.tell(RestreamNews::Behind { reason });
        }
    }

    /// It took one.
    fn keeps_up(&mut self) {
        if self.behind.is_some_and(|at| at.elapsed() >= KEEPS_UP) {
            self.behind = None;
            self.push.tell(RestreamNews::Live);
        }
    }
}

/// One push.
struct Push {
    handle: Handle,
    restream: Arc<Restream>,
    tls: Arc<ClientConfig>,
}

impl Push {
    async fn run(self, mut stop: Stop) {
        let mut backoff = Backoff::default();
        loop {
            self.tell(RestreamNews::Waiting);
            tokio::select! {
                () = room::live(&self.handle, &self.restream.room) => {}
                () = stopped(&mut stop) => return,
            }
            self.tell(RestreamNews::Connecting);
            let mut since = None;
            // Boxed, for they are large and most of the time is spent waiting.
            let end = match &self.restream.address {
                Address::Rtmp(target) => Box::pin(self.rtmp(target, &mut stop, &mut since)).await,
                Address::Srt(target) => Box::pin(self.srt(target, &mut stop, &mut since)).await,
                Address::Rtsp(_) | Address::Whep(_) | Address::File(_) => {
                    End::Failed("nothing is pushed there".to_owned())
                }
            };
            let reason = match end {
                End::Stopped => return,
                End::RoomEnded => {
                    self.log("a push ended: the publisher is gone");
                    backoff = Backoff::default();
                    continue;
                }
                End::Failed(reason) => self.restream.address.hide(&reason),
            };
            let after = backoff
                .after(since.map_or_else(Default::default, |since: Instant| since.elapsed()));
            let (room, id) = (&self.restream.room, &self.restream.id);
            tracing::warn!(%room, %id, reason, ?after, "a push failed and is tried again");
            self.tell(RestreamNews::Failed { reason, after });
            tokio::select! {
                () = tokio::time::sleep(after) => {}
                () = stopped(&mut stop) => return,
            }
        }
    }

    fn tell(&self, news: RestreamNews) {
        self.handle.tell_restream(&self.restream.id, news);
    }

    /// Media flows from now on.
    fn begun(&self, since: &mut Option<Instant>) {
        *since = Some(Instant::now());
        self.tell(RestreamNews::Live);
        self.log("pushing");
    }

    fn log(&self, message: &str) {
        let (room, id) = (&self.restream.room, &self.restream.id);
        tracing::info!(%room, %id, url = self.restream.address.shown(), "{message}");
    }
}
