//! Readers of a publisher's packets outside the shards, who put frames together again.
//!
//! A tap gets each batch once, on the shard where the source lives, and only what a peer
//! connection published: whoever hands packets over has the frames already. It ends when its
//! reader is gone or the source is forgotten. Without a tap nothing happens here.

use std::sync::Arc;

use inver_proto::SourceId;
use inver_sfu::Batch;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::shard::Shard;
use crate::source::Source;

impl Shard {
    /// Lets a reader have what a source's publisher sends from now on.
    pub(crate) fn tap(&mut self, id: SourceId, tap: mpsc::Sender<Arc<Batch>>) {
        let index = self.index;
        let source = self
            .sources
            .entry(id)
            .or_insert_with(|| Source::new(id, index));
        // While nobody publishes no batch finds out who is gone.
        source.taps.retain(|tap| !tap.is_closed());
        source.taps.push(tap);
    }

    /// Gives a batch to all taps of its source. One that is behind loses it, as a network would.
    pub(crate) fn give_taps(&mut self, id: SourceId, batch: &Arc<Batch>) {
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        if source.taps.is_empty() {
            return;
        }
        let mut lost = 0;
        source
            .taps
            .retain(|tap| match tap.try_send(Arc::clone(batch)) {
                Ok(()) => true,
                Err(TrySendError::Full(batch)) => {
                    lost += batch.packets.len() as u64;
                    true
                }
                Err(TrySendError::Closed(_)) => false,
            });
        self.totals.send_errors += lost;
    }
}
