//! VP8 (RFC 7741) with picture ids of 15 bits and no layers.

use super::depacketizer::{Assembled, Broken};
use super::packetizer::{MAX_FRAME, Sink, even};
use crate::codec::vp8;
use crate::{Config, Frame};
use std::sync::Arc;

/// Extension bit, start of partition 0.
const EXTENDED: u8 = 0x80;
const START: u8 = 0x10;
/// Picture id in the extension; in the id, its length of 15 bits.
const PICTURE_ID: u8 = 0x80;
/// Bytes of the descriptor.
const DESCRIPTOR: usize = 4;

pub(super) fn packetize(frame: &Frame, picture_id: u16, sink: &mut Sink<'_>) {
    let piece = even(frame.data.len(), sink.most - DESCRIPTOR);
    let [high, low] = picture_id.to_be_bytes();
    for (index, bytes) in frame.data.chunks(piece).enumerate() {
        let start = if index == 0 { START } else { 0 };
        sink.scratch
            .extend_from_slice(&[EXTENDED | start, PICTURE_ID, 0x80 | high, low]);
        sink.scratch.extend_from_slice(bytes);
        sink.close();
    }
}

/// Puts a frame together.
#[derive(Debug)]
pub(super) struct Assembly {
    config: Arc<Config>,
    data: Vec<u8>,
}

impl Assembly {
    pub(super) fn new(config: Arc<Config>) -> Self {
        Self {
            config,
            data: Vec::new(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.data.clear();
    }

    pub(super) fn push(&mut self, payload: &[u8]) -> Result<(), Broken> {
        let descriptor = vp8::descriptor(payload).ok_or(Broken)?;
        let piece = payload.get(descriptor.len..).ok_or(Broken)?;
        if descriptor.frame_start != self.data.is_empty()
            || piece.is_empty()
            || self.data.len() + piece.len() > MAX_FRAME
        {
            return Err(Broken);
        }
        self.data.extend_from_slice(piece);
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result<Option<Assembled>, Broken> {
        let first = *self.data.first().ok_or(Broken)?;
        Ok(Some(Assembled {
            config: self.config.clone(),
            // The first bit of the frame tag is zero in keyframes (RFC 6386, 9.1).
            keyframe: first & 1 == 0,
            reordered: false,
            leading: false,
            data: std::mem::take(&mut self.data),
        }))
    }
}
