//! A data plane that does nothing, for tests of what does not need one.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use inver_proto::{SessionId, SourceId};
use inver_shard::{
    Answer, Batch, CloseReason, Error, FeedLink, IceFragment, Layer, LayerSelection, Publish,
    Snapshot, Subscribe,
};
use tokio::sync::mpsc;

use crate::media::{Answering, Media};

pub(crate) struct Silent;

fn gone<T: Send + 'static>() -> Answering<'static, T> {
    Box::pin(ready(Err(Error::Gone)))
}

impl Media for Silent {
    fn publish(&self, _: Publish) -> Answering<'_, Answer> {
        gone()
    }

    fn pull(&self, _: inver_shard::Pull) -> Answering<'_, Answer> {
        gone()
    }

    fn subscribe(&self, _: Subscribe) -> Answering<'_, Answer> {
        gone()
    }

    fn begin_feed(&self, _: SessionId, _: SourceId) -> Answering<'_, FeedLink> {
        gone()
    }

    fn accept_answer(&self, _: SessionId, _: String) -> Answering<'_, ()> {
        gone()
    }

    fn trickle(&self, _: SessionId, _: IceFragment) -> Answering<'_, ()> {
        gone()
    }

    fn restart_ice(&self, _: SessionId, _: IceFragment) -> Answering<'_, Answer> {
        gone()
    }

    fn select_layer(&self, _: SessionId, _: LayerSelection) -> Answering<'_, ()> {
        gone()
    }

    fn switch_source(&self, _: SessionId, _: SourceId) -> Answering<'_, ()> {
        gone()
    }

    fn close(&self, _: SessionId, _: CloseReason) {}

    fn forget_session(&self, _: SessionId) {}

    fn forget_source(&self, _: SourceId) {}

    fn tap(&self, _: SourceId) -> Option<mpsc::Receiver<Arc<Batch>>> {
        None
    }

    fn want_keyframe(&self, _: SourceId, _: Layer) {}

    fn snapshots(&self) -> Vec<Arc<Snapshot>> {
        Vec::new()
    }

    fn stop(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(ready(()))
    }
}
