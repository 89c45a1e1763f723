//! AV1 (AOM "RTP Payload Format for AV1", 4): an aggregation header, then OBUs or pieces of them
//! without size fields.

use std::sync::Arc;

use super::depacketizer::{Assembled, Broken};
use super::packetizer::{MAX_FRAME, Sink, even};
use crate::codec::av1::{
    self, OBU_PADDING, OBU_SEQUENCE_HEADER, OBU_TEMPORAL_DELIMITER, OBU_TILE_LIST, Obu, leb128,
    leb128_len, write_leb128,
};
use crate::{Config, Frame};

/// The element continues one of the payload before.
const CONTINUES: u8 = 0x80;
/// The last element goes on in the next payload.
const GOES_ON: u8 = 0x40;
/// First payload of a coded video sequence.
const NEW_SEQUENCE: u8 = 0x08;
/// Elements that the header can count; the last counted one needs no length.
const COUNTED: usize = 3;

/// Whether receivers do without it: RTP has no delimiters, forbids tile lists, and padding would
/// cost bandwidth.
fn left_out(obu: &Obu<'_>) -> bool {
    matches!(
        obu.obu_type(),
        OBU_TEMPORAL_DELIMITER | OBU_TILE_LIST | OBU_PADDING
    )
}

fn len(obu: &Obu<'_>) -> usize {
    1 + usize::from(obu.extension.is_some()) + obu.body.len()
}

/// Writes a temporal unit; `None` where it is not made of whole OBUs, with nothing written.
pub(super) fn packetize(frame: &Frame, sink: &mut Sink<'_>) -> Option<()> {
    let mut units = Vec::new();
    let mut used = 0;
    for bytes in av1::obus(&frame.data) {
        used += bytes.len();
        let obu = Obu::parse(bytes)?;
        if !left_out(&obu) {
            units.push(obu);
        }
    }
    if used != frame.data.len() || units.is_empty() {
        return None;
    }
    let has_header = units
        .iter()
        .any(|obu| obu.obu_type() == OBU_SEQUENCE_HEADER);
    if frame.keyframe
        && !has_header
        && let Config::Av1 { sequence_header } = &*frame.config
        && let Some(header) = Obu::parse(sequence_header)
    {
        units.insert(0, header);
    }
    let lengths: usize = units.iter().map(|obu| leb128_len(len(obu))).sum();
    let total = units.iter().map(len).sum::<usize>() + lengths;
    let room = even(total, sink.most - 1);
    let mut cutter = Cutter {
        units: &units,
        index: 0,
        offset: 0,
    };
    let mut first = frame.keyframe;
    while cutter.index < units.len() {
        cutter.payload(room, std::mem::take(&mut first), sink);
    }
    Some(())
}

/// Where the next payload begins.
struct Cutter<'a> {
    units: &'a [Obu<'a>],
    index: usize,
    offset: usize,
}

impl Cutter<'_> {
    /// Writes one payload with at most `room` bytes behind its header.
    fn payload(&mut self, mut room: usize, new_sequence: bool, sink: &mut Sink<'_>) {
        let mut header = if self.offset > 0 { CONTINUES } else { 0 };
        if new_sequence {
            header |= NEW_SEQUENCE;
        }
        sink.scratch.push(0);
        for count in 1..=COUNTED {
            let Some(obu) = self.units.get(self.index) else {
                break;
            };
            let left = len(obu) - self.offset;
            let next = self.units.get(self.index + 1);
            // One payload holds one layer only.
            let same_layer = next.is_some_and(|next| {
                next.extension.is_none()
                    || obu.extension.is_none()
                    || next.extension == obu.extension
            });
            let closes = count == COUNTED || !same_layer;
            let with_length = leb128_len(left) + left;
            if !closes && with_length < room {
                write_leb128(sink.scratch, left);
                self.take(left, sink.scratch);
                room -= with_length;
                continue;
            }
            let mut take = left.min(room);
            // A payload that began with a whole unit inside a temporal unit would look like the
            // start of a frame; so the last byte of this unit goes there too.
            if take == left && take > 1 && same_layer {
                take -= 1;
            }
            self.take(take, sink.scratch);
            header |= (count as u8) << 4;
            break;
        }
        if self.offset > 0 {
            header |= GOES_ON;
        }
        if let Some(first) = sink.scratch.first_mut() {
            *first = header;
        }
        sink.close();
    }

    /// Appends the next `count` bytes of the unit, and goes on to the next one at its end.
    fn take(&mut self, count: usize, out: &mut Vec<u8>) {
        let Some(obu) = self.units.get(self.index) else {
            return;
        };
        let head = [obu.header, obu.extension.unwrap_or(0)];
        let head_len = 1 + usize::from(obu.extension.is_some());
        let end = self.offset + count;
        out.extend_from_slice(&head[self.offset.min(head_len)..end.min(head_len)]);
        let body = self.offset.saturating_sub(head_len)..end.saturating_sub(head_len);
        out.extend_from_slice(obu.body.get(body).unwrap_or_default());
        self.offset = end;
        if end >= len(obu) {
            self.index += 1;
            self.offset = 0;
        }
    }
}

/// Puts a temporal unit together.
#[derive(Debug)]
pub(super) struct Assembly {
    config: Arc<Config>,
    /// Whole OBUs with size fields.
    data: Vec<u8>,
    /// An OBU without size field whose end still comes.
    open: Vec<u8>,
    continues: bool,
}

impl Assembly {
    pub(super) fn new(config: Arc<Config>) -> Self {
        Self {
            config,
            data: Vec::new(),
            open: Vec::new(),
            continues: false,
        }
    }

    pub(super) fn clear(&mut self) {
        self.data.clear();
        self.open.clear();
        self.continues = false;
    }

    pub(super) fn push(&mut self, payload: &[u8]) -> Result<(), Broken> {
        let (&header, mut rest) = payload.split_first().ok_or(Broken)?;
        if (header & CONTINUES != 0) != self.continues {
            return Err(Broken);
        }
        if self.data.len() + self.open.len() + payload.len() > MAX_FRAME {
            return Err(Broken);
        }
        let count = usize::from((header >> 4) & 0x03);
        let mut index = 0;
        while !rest.is_empty() {
            index += 1;
            let element;
            if count != 0 && index == count {
                (element, rest) = (rest, &[][..]);
            } else {
                let (len, used) = leb128(rest).ok_or(Broken)?;
                let behind = rest.get(used..).ok_or(Broken)?;
                (element, rest) = behind.split_at_checked(len).ok_or(Broken)?;
            }
            self.open.extend_from_slice(element);
            self.continues = rest.is_empty() && header & GOES_ON != 0;
            if !self.continues {
                self.close()?;
            }
        }
        if count != 0 && index != count {
            return Err(Broken);
        }
        Ok(())
    }

    /// Ends the open OBU.
    fn close(&mut self) -> Result<(), Broken> {
        if self.open.is_empty() {
            return Ok(());
        }
        let obu = Obu::parse(&self.open).ok_or(Broken)?;
        if !left_out(&obu) {
            obu.write(&mut self.data);
        }
        self.open.clear();
        Ok(())
    }

    /// The temporal unit; `None` where it is empty.
    pub(super) fn finish(&mut self) -> Result<Option<Assembled>, Broken> {
        if self.continues {
            return Err(Broken);
        }
        let header = av1::obus(&self.data).find(|obu| av1::sequence_header(obu).is_some());
        if let Some(header) = header
            && !matches!(&*self.config, Config::Av1 { sequence_header } if sequence_header == header)
        {
            self.config = Arc::new(Config::Av1 {
                sequence_header: header.to_vec(),
            });
        }
        if self.data.is_empty() {
            return Ok(None);
        }
        let known =
            matches!(&*self.config, Config::Av1 { sequence_header } if !sequence_header.is_empty());
        Ok(Some(Assembled {
            config: self.config.clone(),
            keyframe: known && av1::keyframe(&self.data),
            reordered: false,
            leading: false,
            data: std::mem::take(&mut self.data),
        }))
    }
}
