//! Pictures of streams for the webhook, made by whom the program names.

use std::future::ready;
use std::sync::Arc;

use bytes::Bytes;
use inver_node::{Handle, Pictures, Picturing};
use inver_proto::{ParticipantId, RoomId};

use crate::receiver::Receiver;
use crate::told::live;

/// Shows who was asked for.
struct Named;

impl Pictures for Named {
    fn picture<'a>(
        &'a self,
        _: &'a Handle,
        room: &'a RoomId,
        participant: &'a ParticipantId,
    ) -> Picturing<'a> {
        let picture = format!("{room} {participant}");
        Box::pin(ready(Some(Bytes::from(picture))))
    }
}

#[tokio::test]
async fn a_stream_is_shown_once_it_has_begun() {
    let folder = tempfile::tempdir().expect("a folder");
    let webhook = Receiver::start(|kind, _| match kind {
        "stream.start" => (200, r#"{"stream_id": "s-1"}"#),
        _ => (200, ""),
    })
    .await;
    let node = webhook.node(folder.path(), false).await;
    node.handle.set_pictures(Arc::new(Named));
    live(&node).await;
    let shown = webhook.told("stream.thumbnail").await;
    assert_eq!(shown["stream_id"], "s-1");
    assert_eq!(shown["room"], "studio");
    // "studio main" in base64.
    assert_eq!(shown["jpeg"], "c3R1ZGlvIG1haW4=");
}
