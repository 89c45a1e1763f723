//! What the shell asks of the data plane, so that a scripted one can stand in for it in tests.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use inver_proto::{SessionId, SourceId};
use inver_rtc::Layer;
use inver_shard::{
    Answer, Batch, CloseReason, Error, FeedLink, IceFragment, LayerSelection, Publish, Pull,
    Snapshot, Subscribe,
};
use tokio::sync::mpsc;

/// An answer of the data plane on its way. It comes within a deadline that the data plane keeps.
pub type Answering<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// The data plane of this node.
pub trait Media: Send + Sync + 'static {
    /// Lets a publisher's session feed a source.
    fn publish(&self, request: Publish) -> Answering<'_, Answer>;

    /// Makes an offer to receive what is to feed a source; the answer follows.
    fn pull(&self, request: Pull) -> Answering<'_, Answer>;

    /// Lets a viewer's session receive a source.
    fn subscribe(&self, request: Subscribe) -> Answering<'_, Answer>;

    /// Lets an encoder's session feed a source with packets that are handed over.
    fn begin_feed(&self, session: SessionId, source: SourceId) -> Answering<'_, FeedLink>;

    /// Takes the answer to an offer of ours.
    fn accept_answer(&self, session: SessionId, sdp: String) -> Answering<'_, ()>;

    /// Adds candidates.
    fn trickle(&self, session: SessionId, fragment: IceFragment) -> Answering<'_, ()>;

    /// Starts ICE anew; the answer's text is an SDP fragment.
    fn restart_ice(&self, session: SessionId, fragment: IceFragment) -> Answering<'_, Answer>;

    /// Chooses what a viewer receives.
    fn select_layer(&self, session: SessionId, selection: LayerSelection) -> Answering<'_, ()>;

    /// Gives a viewer another source.
    fn switch_source(&self, session: SessionId, source: SourceId) -> Answering<'_, ()>;

    /// Ends a session; sessions that are not known are no error.
    fn close(&self, session: SessionId, reason: CloseReason);

    /// Notes that a session has ended, as the data plane told.
    fn forget_session(&self, session: SessionId);

    /// Drops a source that nobody feeds or watches.
    fn forget_source(&self, source: SourceId);

    /// Gives what a source's publisher sends over WebRTC from now on, until the source is
    /// forgotten; nothing of encoders that hand their packets over. `None`: not now.
    fn tap(&self, source: SourceId) -> Option<mpsc::Receiver<Arc<Batch>>>;

    /// Asks a source's publisher for a keyframe of a layer, in the order of its offer.
    fn want_keyframe(&self, source: SourceId, layer: Layer);

    /// What was measured, refreshed every second.
    fn snapshots(&self) -> Vec<Arc<Snapshot>>;

    /// Stops the data plane.
    fn stop(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}
