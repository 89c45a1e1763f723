//! The interface through which control asks who may publish and watch, and tells how it goes.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use inver_control::Secret;
use inver_proto::RoomId;

use crate::asked::{Approved, Denied, HmacRequest, KeyLookup, Publish, Read, Start};
use crate::fault::Fault;
use crate::stream::{Event, Metadata, Stream, Verdict};

/// What a service will answer.
pub type Answering<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Who decides over publishers and viewers and hears of streams.
///
/// Every future comes to an end within the service's own deadline; dropping one before that is
/// safe. Decisions of a service that is down are made by its configuration, never left open.
pub trait Service: Send + Sync + 'static {
    /// The service's name in logs.
    fn name(&self) -> &'static str;

    /// Whether everything is left to control.
    fn decides_nothing(&self) -> bool {
        false
    }

    /// How this service divides `{room}-{key}`; `None` leaves that to control, which knows its
    /// rooms.
    fn split_key(&self, text: &Secret) -> Option<(RoomId, Secret)>;

    /// May this publisher come in? Asked before anything is started for it.
    fn authenticate(&self, publish: Publish) -> Answering<'_, Result<Approved, Denied>>;

    /// The key that a publisher has to prove by a challenge (FTL) or encrypts with (SRT).
    fn hmac_key(&self, request: HmacRequest) -> Answering<'_, Result<KeyLookup, Fault>>;

    /// A publisher that was let in sends media now.
    fn start_stream(&self, start: Start) -> Answering<'_, Result<Stream, Denied>>;

    /// A stream is over. Once per stream that was started.
    fn end_stream<'a>(&'a self, stream: &'a Stream) -> Answering<'a, Result<(), Fault>>;

    /// Whether this service wants [`report`](Self::report)s.
    fn wants_reports(&self) -> bool {
        true
    }

    /// How a stream fares, every five seconds; see [`Reporter`](crate::Reporter).
    fn report<'a>(
        &'a self,
        stream: &'a Stream,
        metadata: &'a Metadata,
    ) -> Answering<'a, Result<Verdict, Fault>>;

    /// Whether this service wants [`thumbnail`](Self::thumbnail)s.
    fn wants_thumbnails(&self) -> bool {
        false
    }

    /// A picture of the stream as JPEG, at most [`MAX_THUMBNAIL`](crate::MAX_THUMBNAIL) bytes.
    fn thumbnail<'a>(&'a self, stream: &'a Stream, jpeg: Bytes)
    -> Answering<'a, Result<(), Fault>>;

    /// May this viewer watch? That it left is told by
    /// [`notify`](Self::notify)(`Unread`).
    fn authorize_read(&self, read: Read) -> Answering<'_, Result<Approved, Denied>>;

    /// Tells what happened. Never waits: what does not fit into the bounded queue is dropped and
    /// counted in the log.
    fn notify(&self, event: &Event);

    /// Takes nothing more and lets what is queued leave, for at most this long.
    fn close(&self, within: Duration) -> Answering<'_, ()>;
}
