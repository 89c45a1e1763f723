//! Request bodies whose rest is read even when nobody wants it.
//!
//! A handler that refuses a request by its header drops the body unread. If the connection were
//! closed with bytes on their way, the client's system would answer with a reset and throw the
//! refusal away before the client reads it. So a bounded rest is read and forgotten.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::timeout;

/// Most bytes that are read for nothing: the largest honest mistake is a media file in place of
/// an offer, and no bound reasonable for a server covers that.
const MOST: usize = 512 * 1024;
/// Longest time that is spent on it.
const LONGEST: Duration = Duration::from_secs(2);

/// A body that reads its rest when it is dropped early.
pub struct Lingering(Option<Incoming>);

impl Lingering {
    /// Takes the body of a request.
    pub fn new(body: Incoming) -> Self {
        Self(Some(body))
    }
}

impl Body for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.0 {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let rest = self.0.take().filter(|body| !body.is_end_stream());
        // Outside a runtime there is no connection left either.
        if let (Some(rest), Ok(runtime)) = (rest, tokio::runtime::Handle::try_current()) {
            runtime.spawn(timeout(LONGEST, discard(rest)));
        }
    }
}

async fn discard(mut body: Incoming) {
    let mut read = 0;
    while read <= MOST {
        match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(_)) | None => return,
        }
    }
}
