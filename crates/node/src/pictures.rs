//! Pictures of rooms for the service outside. An output makes them; which one the program says.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use inver_proto::{ParticipantId, RoomId};
use inver_service::Stream;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::handle::{Handle, Inner};

/// How often the service gets a picture of a stream. Each costs a decoded keyframe here and an
/// upload there.
const INTERVAL: Duration = Duration::from_secs(10);

/// A picture on its way.
pub type Picturing<'a> = Pin<Box<dyn Future<Output = Option<Bytes>> + Send + 'a>>;

/// Makes pictures of what rooms show.
pub trait Pictures: Send + Sync + 'static {
    /// A JPEG of what this participant shows now, no older than some seconds; `None` where there is
    /// none to be had. Comes to an end by itself within some seconds.
    fn picture<'a>(
        &'a self,
        handle: &'a Handle,
        room: &'a RoomId,
        participant: &'a ParticipantId,
    ) -> Picturing<'a>;
}

impl Handle {
    /// Says who makes pictures, for services that want some. The first word counts.
    pub fn set_pictures(&self, pictures: Arc<dyn Pictures>) {
        // A second word would change what running streams use.
        let _ = self.0.pictures.set(pictures);
    }
}

/// Gives the service pictures of a stream once it has begun. Never ends; drop it with the stream.
pub(crate) async fn show(
    inner: Arc<Inner>,
    participant: ParticipantId,
    begun: oneshot::Receiver<Stream>,
) {
    let Ok(stream) = begun.await else {
        return std::future::pending().await;
    };
    let service = Arc::clone(&inner.service);
    let wanted = inner.pictures.get().filter(|_| service.wants_thumbnails());
    let Some(pictures) = wanted.cloned() else {
        return std::future::pending().await;
    };
    let handle = Handle(inner);
    loop {
        let due = Instant::now() + INTERVAL;
        let picture = pictures.picture(&handle, &stream.room, &participant).await;
        if let Some(jpeg) = picture
            && let Err(fault) = service.thumbnail(&stream, jpeg).await
        {
            let (service, room) = (service.name(), &stream.room);
            tracing::debug!(service, %room, %fault, "the service did not take a picture");
        }
        sleep_until(due).await;
    }
}
