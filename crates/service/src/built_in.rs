//! The service where nothing is configured: everything stays with control.

use std::future::ready;
use std::time::Duration;

use bytes::Bytes;
use inver_control::Secret;
use inver_proto::RoomId;

use crate::asked::{Approved, Denied, HmacRequest, KeyLookup, Publish, Read, Start};
use crate::fault::Fault;
use crate::service::{Answering, Service};
use crate::stream::{Event, Metadata, Stream, StreamId, Verdict};

/// Leaves every decision to control's own keys, tokens and policy, and hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuiltIn;

impl Service for BuiltIn {
    fn name(&self) -> &'static str {
        "built-in"
    }

    fn decides_nothing(&self) -> bool {
        true
    }

    fn split_key(&self, _: &Secret) -> Option<(RoomId, Secret)> {
        None
    }

    fn authenticate(&self, _: Publish) -> Answering<'_, Result<Approved, Denied>> {
        Box::pin(ready(Ok(Approved::BY_CONTROL)))
    }

    fn hmac_key(&self, _: HmacRequest) -> Answering<'_, Result<KeyLookup, Fault>> {
        Box::pin(ready(Ok(KeyLookup::AskControl)))
    }

    fn start_stream(&self, start: Start) -> Answering<'_, Result<Stream, Denied>> {
        let id = StreamId::own();
        let room = start.room;
        Box::pin(ready(Ok(Stream { id, room })))
    }

    fn end_stream<'a>(&'a self, _: &'a Stream) -> Answering<'a, Result<(), Fault>> {
        Box::pin(ready(Ok(())))
    }

    fn wants_reports(&self) -> bool {
        false
    }

    fn report<'a>(
        &'a self,
        _: &'a Stream,
        _: &'a Metadata,
    ) -> Answering<'a, Result<Verdict, Fault>> {
        Box::pin(ready(Ok(Verdict::Continue)))
    }

    fn thumbnail<'a>(&'a self, _: &'a Stream, _: Bytes) -> Answering<'a, Result<(), Fault>> {
        Box::pin(ready(Ok(())))
    }

    fn authorize_read(&self, _: Read) -> Answering<'_, Result<Approved, Denied>> {
        Box::pin(ready(Ok(Approved::BY_CONTROL)))
    }

    fn notify(&self, _: &Event) {}

    fn close(&self, _: Duration) -> Answering<'_, ()> {
        Box::pin(ready(()))
    }
}
