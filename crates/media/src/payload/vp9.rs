//! VP9 (RFC 9628): sent in the non-flexible mode with picture ids of 15 bits and no layers;
//! received in every mode, with spatial layers joined into a superframe.

use std::sync::Arc;

use super::depacketizer::{Assembled, Broken};
use super::packetizer::{MAX_FRAME, Sink, even};
use crate::codec::vp9;
use crate::{Config, Frame};

const PICTURE_ID: u8 = 0x80;
const INTER: u8 = 0x40;
const BEGIN: u8 = 0x08;
const END: u8 = 0x04;
const STRUCTURE: u8 = 0x02;
const NOT_REFERENCED_ABOVE: u8 = 0x01;
/// First byte and picture id.
const DESCRIPTOR: usize = 3;
/// Frames that the index of a superframe can tell.
const MAX_LAYERS: usize = 8;

pub(super) fn packetize(frame: &Frame, picture_id: u16, sink: &mut Sink<'_>) {
    let size = vp9::frame_header(&frame.data)
        .and_then(|header| header.size)
        .filter(|_| frame.keyframe)
        .and_then(|(width, height)| {
            Some((u16::try_from(width).ok()?, u16::try_from(height).ok()?))
        });
    // The structure stands in the first payload only; the frame is cut as if all had it, so that
    // the pieces behind the first stay within the limit too.
    let structure = if size.is_some() { 5 } else { 0 };
    let total = frame.data.len() + structure;
    let room = even(total, sink.most - DESCRIPTOR);
    let [high, low] = picture_id.to_be_bytes();
    let mut rest = &*frame.data;
    let mut begin = true;
    while !rest.is_empty() {
        let room = if begin { room - structure } else { room };
        let (piece, behind) = rest.split_at(room.min(rest.len()));
        rest = behind;
        let mut first = PICTURE_ID | NOT_REFERENCED_ABOVE;
        if !frame.keyframe {
            first |= INTER;
        }
        if begin {
            first |= BEGIN;
        }
        if rest.is_empty() {
            first |= END;
        }
        if begin && size.is_some() {
            first |= STRUCTURE;
        }
        sink.scratch.extend_from_slice(&[first, 0x80 | high, low]);
        if let Some((width, height)) = size
            && begin
        {
            // One spatial layer (0), its size follows (0x10), no group of pictures.
            sink.scratch.push(0x10);
            sink.scratch.extend_from_slice(&width.to_be_bytes());
            sink.scratch.extend_from_slice(&height.to_be_bytes());
        }
        sink.scratch.extend_from_slice(piece);
        sink.close();
        begin = false;
    }
}

/// Puts a picture together: one frame, or one for each spatial layer.
#[derive(Debug)]
pub(super) struct Assembly {
    config: Arc<Config>,
    data: Vec<u8>,
    /// Where each layer's frame ends.
    ends: Vec<usize>,
    /// A frame began whose end still comes.
    open: bool,
}

impl Assembly {
    pub(super) fn new(config: Arc<Config>) -> Self {
        Self {
            config,
            data: Vec::new(),
            ends: Vec::new(),
            open: false,
        }
    }

    pub(super) fn clear(&mut self) {
        self.data.clear();
        self.ends.clear();
        self.open = false;
    }

    pub(super) fn push(&mut self, payload: &[u8]) -> Result<(), Broken> {
        let first = *payload.first().ok_or(Broken)?;
        let len = vp9::descriptor_len(payload).ok_or(Broken)?;
        let piece = payload.get(len..).ok_or(Broken)?;
        if (first & BEGIN != 0) == self.open
            || piece.is_empty()
            || self.ends.len() >= MAX_LAYERS
            || self.data.len() + piece.len() > MAX_FRAME
        {
            return Err(Broken);
        }
        self.data.extend_from_slice(piece);
        self.open = first & END == 0;
        if !self.open {
            self.ends.push(self.data.len());
        }
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result<Option<Assembled>, Broken> {
        if self.open {
            return Err(Broken);
        }
        let header = vp9::frame_header(&self.data).ok_or(Broken)?;
        let config = Config::Vp9 {
            profile: header.profile,
        };
        if header.keyframe && *self.config != config {
            self.config = Arc::new(config);
        }
        if self.ends.len() > 1 {
            self.push_index();
        }
        Ok(Some(Assembled {
            config: self.config.clone(),
            keyframe: header.keyframe,
            reordered: false,
            leading: false,
            data: std::mem::take(&mut self.data),
        }))
    }

    /// Appends the index by which a decoder finds the frames (VP9 annex B), with sizes of four
    /// bytes.
    fn push_index(&mut self) {
        let marker = 0xc0 | 3 << 3 | (self.ends.len() - 1) as u8;
        self.data.push(marker);
        let mut begin = 0;
        for &end in &self.ends {
            // Bounded by the largest frame.
            let size = u32::try_from(end - begin).unwrap_or(u32::MAX);
            self.data.extend_from_slice(&size.to_le_bytes());
            begin = end;
        }
        self.data.push(marker);
    }
}
