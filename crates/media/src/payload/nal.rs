//! H.264 (RFC 6184, packetization mode 1) and H.265 (RFC 7798, no DONL fields): both send small
//! units together and large ones in fragments, and differ in the length of headers.

use std::sync::Arc;

use super::depacketizer::{Assembled, Broken};
use super::packetizer::{MAX_FRAME, Sink, even};
use crate::codec::nal::{NalKind, NalLength, ParameterSets, kind, length_prefixed};
use crate::{Codec, Config, Frame};

/// How the two payload formats differ.
#[derive(Debug, Clone, Copy)]
struct Format {
    codec: Codec,
    /// Bytes of a NAL unit's header.
    header: usize,
    aggregate: u8,
    fragment: u8,
}

const H264: Format = Format {
    codec: Codec::H264,
    header: 1,
    aggregate: 24,
    fragment: 28,
};
const H265: Format = Format {
    codec: Codec::H265,
    header: 2,
    aggregate: 48,
    fragment: 49,
};

impl Format {
    fn of(codec: Codec) -> Self {
        if codec == Codec::H265 { H265 } else { H264 }
    }

    fn nal_type(self, nal: &[u8]) -> Option<u8> {
        let first = *nal.first()?;
        Some(if self.header == 1 {
            first & 0x1f
        } else {
            (first >> 1) & 0x3f
        })
    }

    /// Appends the header of a unit with its type replaced.
    fn push_header(self, out: &mut Vec<u8>, nal: &[u8], nal_type: u8) {
        if let [first, second, ..] = *nal
            && self.header == 2
        {
            out.extend_from_slice(&[(first & 0x81) | nal_type << 1, second]);
        } else if let [first, ..] = *nal {
            out.push((first & 0xe0) | nal_type);
        }
    }
}

/// Writes a frame; `None` where its units do not fill it, with nothing written.
pub(super) fn packetize(
    frame: &Frame,
    sent: &mut Option<Arc<Config>>,
    sink: &mut Sink<'_>,
) -> Option<()> {
    let format = Format::of(frame.codec());
    let mut check = length_prefixed(&frame.data, NalLength::Four);
    if !check.all(|nal| nal.len() > format.header) || check.broken() {
        return None;
    }
    // A picture parameter set may change between keyframes; sequence parameter sets may not, and
    // would make the picture look like a keyframe.
    let changed = sent
        .as_ref()
        .is_none_or(|sent| !Arc::ptr_eq(sent, &frame.config) && **sent != *frame.config);
    let sets = crate::codec::nal::parameter_sets(&frame.config).filter(|set| {
        set.len() > format.header
            && (frame.keyframe || (changed && kind(format.codec, set) == NalKind::Pps))
    });
    if frame.keyframe || changed {
        *sent = Some(frame.config.clone());
    }
    let mut group = Group {
        format,
        nals: Vec::new(),
        size: format.header,
    };
    for nal in sets.chain(length_prefixed(&frame.data, NalLength::Four)) {
        group.add(nal, sink);
    }
    group.flush(sink);
    Some(())
}

/// Units that wait to go in one payload.
struct Group<'a> {
    format: Format,
    nals: Vec<&'a [u8]>,
    /// Bytes that the payload would have as an aggregate.
    size: usize,
}

impl<'a> Group<'a> {
    fn add(&mut self, nal: &'a [u8], sink: &mut Sink<'_>) {
        // An aggregate tells lengths in two bytes.
        if self.size + 2 + nal.len() > sink.most {
            self.flush(sink);
        }
        if nal.len() > sink.most {
            self.fragment(nal, sink);
        } else {
            self.size += 2 + nal.len();
            self.nals.push(nal);
        }
    }

    fn flush(&mut self, sink: &mut Sink<'_>) {
        match self.nals.as_slice() {
            [] => {}
            [nal] => {
                sink.scratch.extend_from_slice(nal);
                sink.close();
            }
            nals => {
                self.aggregate_header(nals, sink.scratch);
                for nal in nals {
                    // Smaller than a payload, which is smaller than a datagram.
                    let len = u16::try_from(nal.len()).unwrap_or(u16::MAX);
                    sink.scratch.extend_from_slice(&len.to_be_bytes());
                    sink.scratch.extend_from_slice(nal);
                }
                sink.close();
            }
        }
        self.nals.clear();
        self.size = self.format.header;
    }

    /// The aggregate's header sums up those of its units: the most important reference of H.264,
    /// the lowest layers of H.265.
    fn aggregate_header(&self, nals: &[&[u8]], out: &mut Vec<u8>) {
        if self.format.header == 1 {
            let first = nals.iter().filter_map(|nal| nal.first());
            let reference = first.map(|first| first & 0x60).max().unwrap_or(0);
            out.push(reference | self.format.aggregate);
            return;
        }
        let ids = |shift: u32, mask: u16| {
            nals.iter()
                .filter_map(|nal| nal.first_chunk())
                .map(move |header| u16::from_be_bytes(*header) >> shift & mask)
                .min()
                .unwrap_or(0)
        };
        let (layer, temporal) = (ids(3, 0x3f), ids(0, 0x07));
        let header = u16::from(self.format.aggregate) << 9 | layer << 3 | temporal;
        out.extend_from_slice(&header.to_be_bytes());
    }

    fn fragment(&self, nal: &[u8], sink: &mut Sink<'_>) {
        let (Some(nal_type), Some(body)) =
            (self.format.nal_type(nal), nal.get(self.format.header..))
        else {
            return;
        };
        let piece = even(body.len(), sink.most - self.format.header - 1);
        let count = body.len().div_ceil(piece);
        for (index, bytes) in body.chunks(piece).enumerate() {
            let start = u8::from(index == 0) << 7;
            let end = u8::from(index + 1 == count) << 6;
            self.format
                .push_header(sink.scratch, nal, self.format.fragment);
            sink.scratch.push(start | end | nal_type);
            sink.scratch.extend_from_slice(bytes);
            sink.close();
        }
    }
}

/// Puts an access unit together.
#[derive(Debug)]
pub(super) struct Assembly {
    format: Format,
    sets: ParameterSets,
    /// Units behind lengths of four bytes.
    data: Vec<u8>,
    /// Where the length of a unit stands whose fragments still come.
    open: Option<usize>,
}

impl Assembly {
    pub(super) fn new(sets: ParameterSets) -> Self {
        Self {
            format: Format::of(sets.config().codec()),
            sets,
            data: Vec::new(),
            open: None,
        }
    }

    pub(super) fn clear(&mut self) {
        self.data.clear();
        self.open = None;
    }

    pub(super) fn push(&mut self, payload: &[u8]) -> Result<(), Broken> {
        let format = self.format;
        let nal_type = format.nal_type(payload).ok_or(Broken)?;
        let body = payload.get(format.header..).ok_or(Broken)?;
        if self.data.len() + payload.len() > MAX_FRAME {
            return Err(Broken);
        }
        if nal_type == format.fragment {
            return self.push_fragment(payload, body);
        }
        if self.open.is_some() {
            return Err(Broken);
        }
        if nal_type == format.aggregate {
            let mut nals = length_prefixed(body, NalLength::Two);
            for nal in nals.by_ref() {
                self.push_nal(nal);
            }
            return if nals.broken() { Err(Broken) } else { Ok(()) };
        }
        // What lies above are aggregates and fragments of modes that were not agreed on.
        if nal_type == 0 && format.header == 1 || nal_type > format.aggregate {
            return Err(Broken);
        }
        self.push_nal(payload);
        Ok(())
    }

    fn push_nal(&mut self, nal: &[u8]) {
        if nal.len() > self.format.header {
            crate::codec::nal::push_length_prefixed(&mut self.data, nal);
        }
    }

    fn push_fragment(&mut self, payload: &[u8], body: &[u8]) -> Result<(), Broken> {
        let (&header, piece) = body.split_first().ok_or(Broken)?;
        let (start, end) = (header & 0x80 != 0, header & 0x40 != 0);
        let nal_type = header & if self.format.header == 1 { 0x1f } else { 0x3f };
        let at = match (start, self.open) {
            (true, None) => {
                let at = self.data.len();
                self.data.extend_from_slice(&[0; 4]);
                self.format.push_header(&mut self.data, payload, nal_type);
                self.open = Some(at);
                at
            }
            (false, Some(at)) => at,
            (true, Some(_)) | (false, None) => return Err(Broken),
        };
        self.data.extend_from_slice(piece);
        if end {
            self.open = None;
            let len = self.data.len().saturating_sub(at + 4);
            let len = u32::try_from(len).map_err(|_| Broken)?;
            let slot = self.data.get_mut(at..at + 4).ok_or(Broken)?;
            slot.copy_from_slice(&len.to_be_bytes());
        }
        Ok(())
    }

    /// The access unit; `None` where there is no picture, only parameter sets or messages.
    pub(super) fn finish(&mut self) -> Result<Option<Assembled>, Broken> {
        if self.open.is_some() {
            return Err(Broken);
        }
        let unit = self
            .sets
            .access_unit(length_prefixed(&self.data, NalLength::Four));
        if !unit.picture {
            return Ok(None);
        }
        Ok(Some(Assembled {
            keyframe: unit.keyframe && self.sets.complete(),
            leading: self.format.codec == Codec::H265 && unit.reordered,
            reordered: unit.reordered,
            config: unit.config,
            data: unit.data,
        }))
    }
}
