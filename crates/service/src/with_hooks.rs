//! A service beside which others are told what happens.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use inver_control::Secret;
use inver_proto::RoomId;

use crate::asked::{Approved, Denied, HmacRequest, KeyLookup, Publish, Read, Start};
use crate::fault::Fault;
use crate::notifier::Hook;
use crate::service::{Answering, Service};
use crate::stream::{Event, Metadata, Stream, Verdict};

/// One service decides; hooks hear of it.
pub struct WithHooks {
    decider: Arc<dyn Service>,
    hooks: Vec<Hook>,
}

impl std::fmt::Debug for WithHooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WithHooks")
            .field("decider", &self.decider.name())
            .field("hooks", &self.hooks)
            .finish()
    }
}

impl WithHooks {
    /// Puts hooks beside a service.
    pub fn new(decider: Arc<dyn Service>, hooks: Vec<Hook>) -> Self {
        Self { decider, hooks }
    }
}

impl Service for WithHooks {
    fn name(&self) -> &'static str {
        self.decider.name()
    }

    fn decides_nothing(&self) -> bool {
        self.decider.decides_nothing()
    }

    fn split_key(&self, text: &Secret) -> Option<(RoomId, Secret)> {
        self.decider.split_key(text)
    }

    fn authenticate(&self, publish: Publish) -> Answering<'_, Result<Approved, Denied>> {
        self.decider.authenticate(publish)
    }

    fn hmac_key(&self, request: HmacRequest) -> Answering<'_, Result<KeyLookup, Fault>> {
        self.decider.hmac_key(request)
    }

    fn start_stream(&self, start: Start) -> Answering<'_, Result<Stream, Denied>> {
        self.decider.start_stream(start)
    }

    fn end_stream<'a>(&'a self, stream: &'a Stream) -> Answering<'a, Result<(), Fault>> {
        self.decider.end_stream(stream)
    }

    fn wants_reports(&self) -> bool {
        self.decider.wants_reports()
    }

    fn report<'a>(
        &'a self,
        stream: &'a Stream,
        metadata: &'a Metadata,
    ) -> Answering<'a, Result<Verdict, Fault>> {
        self.decider.report(stream, metadata)
    }

    fn wants_thumbnails(&self) -> bool {
        self.decider.wants_thumbnails()
    }

    fn thumbnail<'a>(
        &'a self,
        stream: &'a Stream,
        jpeg: Bytes,
    ) -> Answering<'a, Result<(), Fault>> {
        self.decider.thumbnail(stream, jpeg)
    }

    fn authorize_read(&self, read: Read) -> Answering<'_, Result<Approved, Denied>> {
        self.decider.authorize_read(read)
    }

    fn notify(&self, event: &Event) {
        self.decider.notify(event);
        for hook in &self.hooks {
            hook.notify(event);
        }
    }

    fn close(&self, within: Duration) -> Answering<'_, ()> {
        Box::pin(async move {
            // One after the other would give each the whole time.
            let hooks = async {
                let closing = self.hooks.iter().map(|hook| Box::pin(hook.close(within)));
                join_all(closing.collect()).await;
            };
            tokio::join!(self.decider.close(within), hooks);
        })
    }
}

/// Polls all until all are done.
async fn join_all<F: Future<Output = ()> + Unpin>(mut waiting: Vec<F>) {
    std::future::poll_fn(|context| {
        waiting.retain_mut(|next| std::pin::Pin::new(next).poll(context).is_pending());
        if waiting.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}
