//! From a source's tap to its hub, while somebody reads.

use std::sync::{Arc, Weak};
use std::time::Duration;

use inver_proto::SourceId;
use inver_shard::Batch;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::assembly::{Assembly, Made};
use crate::frames::Hub;
use crate::handle::Inner;

/// How often it is looked whether anybody still reads.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Begins to pump a source's packets into its hub, unless that goes on already. Call it once the
/// reader has joined; it ends some time after the last one left.
pub(crate) fn begin(inner: &Arc<Inner>, source: SourceId, hub: &Arc<Hub>) {
    if hub.begin_pumping() {
        inner
            .runtime
            .spawn(pump(Arc::clone(inner), source, Arc::downgrade(hub)));
    }
}

/// Ends with the hub too: when the source is forgotten nobody but the publication keeps it.
async fn pump(inner: Arc<Inner>, source: SourceId, hub: Weak<Hub>) {
    let mut stopping = inner.stopping.subscribe();
    let mut assembly = Assembly::new(Instant::now().into_std());
    let mut made = Vec::new();
    let mut tap = None;
    while hub.upgrade().is_some_and(|hub| hub.is_read()) {
        if tap.is_none() {
            tap = inner.media.tap(source);
        }
        let look = Instant::now() + LOOK_INTERVAL;
        let due = assembly.poll_timeout().map(Instant::from_std);
        let batch = tokio::select! {
            // A hub that is not read has noted the end itself, and another pump may run already.
            _ = stopping.wait_for(|stopping| *stopping) => return stop(&hub),
            batch = next(&mut tap) => match batch {
                Some(batch) => Some(batch),
                None => return stop(&hub),
            },
            () = tokio::time::sleep_until(due.map_or(look, |at| at.min(look))) => None,
        };
        let now = Instant::now().into_std();
        match batch {
            Some(batch) => assembly.push(&batch, now, &mut made),
            None => assembly.handle_timeout(now, &mut made),
        }
        let Some(hub) = hub.upgrade() else {
            return;
        };
        for made in made.drain(..) {
            match made {
                Made::Video(layer, frame) => hub.video(None, layer, &frame),
                Made::Audio(frame) => hub.audio(None, &frame),
                Made::Lost => hub.lost(),
                Made::Idle => hub.idle(),
                Made::Layers(numbers) => hub.set_layers(numbers),
                Made::WantKeyframe(layer) => inner.media.want_keyframe(source, layer),
            }
        }
    }
}

fn stop(hub: &Weak<Hub>) {
    if let Some(hub) = hub.upgrade() {
        hub.stop_pumping();
    }
}

/// What comes next; for ever nothing without a tap.
async fn next(tap: &mut Option<mpsc::Receiver<Arc<Batch>>>) -> Option<Arc<Batch>> {
    match tap {
        Some(tap) => tap.recv().await,
        None => std::future::pending().await,
    }
}
