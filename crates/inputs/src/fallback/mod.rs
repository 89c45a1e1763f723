//! Fallbacks: what rooms show while their publisher is gone.
//!
//! Control says when one is wanted, and takes the place back when the publisher returns. Each has a
//! task meanwhile, which shows a picture, or plays a source as a pull does.

mod picture;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use inver_node::{FallbackSource, Handle, Restream, RestreamNews, WantedFallback};
use inver_proto::{ParticipantId, RestreamId};
use inver_sockets::{Backoff, Stop, stopped};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::rustls::ClientConfig;

/// How long tasks may take to end after the stop.
const DRAIN: Duration = Duration::from_secs(5);

/// Shows what is wanted until the stop. `tls` is what sources of `rtmps://` are trusted by.
pub async fn run(handle: Handle, tls: Arc<ClientConfig>, mut stop: Stop) {
    let mut changes = handle.fallback_changes();
    let mut stops: HashMap<u64, watch::Sender<bool>> = HashMap::new();
    let mut tasks = JoinSet::new();
    loop {
        changes.mark_unchanged();
        let wanted = handle.wanted_fallbacks();
        stops.retain(|number, _| wanted.iter().any(|one| one.number == *number));
        for wanted in wanted {
            stops.entry(wanted.number).or_insert_with(|| {
                let (stop, stopped) = watch::channel(false);
                let task = Task {
                    handle: handle.clone(),
                    tls: Arc::clone(&tls),
                    wanted,
                };
                tasks.spawn(task.run(stopped));
                stop
            });
        }
        tokio::select! {
            () = stopped(&mut stop) => break,
            changed = changes.changed() => if changed.is_err() { break },
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
        }
    }
    // A sender that is gone tells the task to end as well.
    drop(stops);
    let ended = async { while tasks.join_next().await.is_some() {} };
    if timeout(DRAIN, ended).await.is_err() {
        tracing::debug!("fallbacks are cut off: they did not end in time");
    }
}

/// Shows one.
struct Task {
    handle: Handle,
    tls: Arc<ClientConfig>,
    wanted: Arc<WantedFallback>,
}

impl Task {
    async fn run(self, mut stop: Stop) {
        let mut backoff = Backoff::default();
        let (room, number) = (&self.wanted.room, self.wanted.number);
        loop {
            self.tell(RestreamNews::Connecting);
            let mut since = None;
            let reason = tokio::select! {
                // First, so that whoever has to give way does not try again.
                biased;
                () = stopped(&mut stop) => return,
                reason = self.show(&mut since) => self.wanted.source.hide(&reason),
            };
            let held = since.map_or(Duration::ZERO, |since: Instant| since.elapsed());
            let after = backoff.after(held);
            let wanted = self.handle.wanted_fallbacks();
            if !wanted.iter().any(|wanted| wanted.number == number) {
                // The publisher is back, and the word to stop is on its way.
                return;
            }
            tracing::warn!(%room, number, reason, ?after, "a fallback failed and is tried again");
            self.tell(RestreamNews::Failed { reason, after });
            tokio::select! {
                () = tokio::time::sleep(after) => {}
                () = stopped(&mut stop) => return,
            }
        }
    }

    /// Shows it until something ends that; gives why.
    async fn show(&self, since: &mut Option<Instant>) -> String {
        let address = match &self.wanted.source {
            FallbackSource::Picture(path) => return self.picture(path, since).await,
            FallbackSource::Stream(address) => address.clone(),
        };
        let id: RestreamId = "fallback".parse().expect("a word is a name");
        let restream = Restream {
            id,
            room: self.wanted.room.clone(),
            address,
            guard: self.wanted.guard,
            // Control knows for whom it stands in.
            participant: ParticipantId::main(),
            on_demand: false,
            keep_opus: false,
        };
        let number = self.wanted.number;
        crate::pull::stand_in(&self.handle, restream, &self.tls, number, since).await
    }

    fn tell(&self, news: RestreamNews) {
        self.handle.tell_fallback(self.wanted.number, news);
    }
}
