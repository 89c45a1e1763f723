//! The shards as this node's data plane.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use inver_proto::{SessionId, SourceId};
use inver_rtc::Layer;
use inver_shard::{
    Answer, Batch, CloseReason, FeedLink, IceFragment, LayerSelection, Link, Publish, Pull,
    Snapshot, Subscribe,
};
use tokio::sync::mpsc;

use crate::media::{Answering, Media};

impl Media for Link {
    fn publish(&self, request: Publish) -> Answering<'_, Answer> {
        Box::pin(Link::publish(self, request))
    }

    fn pull(&self, request: Pull) -> Answering<'_, Answer> {
        Box::pin(Link::pull(self, request))
    }

    fn subscribe(&self, request: Subscribe) -> Answering<'_, Answer> {
        Box::pin(Link::subscribe(self, request))
    }

    fn begin_feed(&self, session: SessionId, source: SourceId) -> Answering<'_, FeedLink> {
        Box::pin(Link::begin_feed(self, session, source))
    }

    fn accept_answer(&self, session: SessionId, sdp: String) -> Answering<'_, ()> {
        Box::pin(Link::accept_answer(self, session, sdp))
    }

    fn trickle(&self, session: SessionId, fragment: IceFragment) -> Answering<'_, ()> {
        Box::pin(Link::trickle(self, session, fragment))
    }

    fn restart_ice(&self, session: SessionId, fragment: IceFragment) -> Answering<'_, Answer> {
        Box::pin(Link::restart_ice(self, session, fragment))
    }

    fn select_layer(&self, session: SessionId, selection: LayerSelection) -> Answering<'_, ()> {
        Box::pin(Link::select_layer(self, session, selection))
    }

    fn switch_source(&self, session: SessionId, source: SourceId) -> Answering<'_, ()> {
        Box::pin(Link::switch_source(self, session, source))
    }

    fn close(&self, session: SessionId, reason: CloseReason) {
        Link::close(self, session, reason);
    }

    fn forget_session(&self, session: SessionId) {
        Link::forget_session(self, session);
    }

    fn tap(&self, source: SourceId) -> Option<mpsc::Receiver<Arc<Batch>>> {
        Link::tap(self, source)
    }

    fn want_keyframe(&self, source: SourceId, layer: Layer) {
        Link::want_keyframe(self, source, layer);
    }

    fn forget_source(&self, source: SourceId) {
        Link::forget_source(self, source);
    }

    fn snapshots(&self) -> Vec<Arc<Snapshot>> {
        Link::snapshots(self)
    }

    fn stop(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(Link::stop(self))
    }
}
