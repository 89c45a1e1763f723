//! What may reach the decoder: parameter sets and slices that our own parser has read first.
//!
//! The bounds are of H.264 (ITU-T H.264, 7.3.2 to 7.3.3 and annex A), narrowed to what encoders
//! with B-frames send to broadcasts.

use std::sync::Arc;

use super::{Error, opening};
use crate::codec::h264::{self, Sps};
use crate::codec::{Bits, nal, unescape};
use crate::{Config, Frame};

/// The longer and the shorter side of the largest picture: what the encoder takes at most.
const MAX_SIDES: (u32, u32) = (3840, 2160);
/// The shortest side: one macroblock.
const MIN_SIDE: u32 = 16;
/// Macroblocks that the pictures kept as references have at most: what level 5.2 allows (table
/// A-1), so that a decoder holds about 70 MB of pictures at most.
const MAX_REFERENCE_BLOCKS: u64 = 184_320;
/// Bytes of one picture. A raw picture of the largest size has twelve millions; a coded one of
/// more than a third of that is no live video.
const MAX_PICTURE_BYTES: usize = 4 << 20;
/// Bytes of a slice header in which the fields that are read here end.
const SLICE_HEADER: usize = 32;

/// So many slices have to say the same about a stream to be believed: one may be damaged.
const SURE: u32 = 3;

/// Which parameter sets a decoder needs before a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sets {
    /// It has them.
    None,
    /// Those of pictures: that of the sequence would begin another sequence.
    Pictures,
    /// All.
    All,
}

/// Why a frame is not handed on.
#[derive(Debug)]
pub(super) enum Refused {
    /// It is damaged; the stream may go on at its next keyframe.
    Corrupt,
    /// It uses what is not decoded here.
    Unsupported(Error),
}

/// A frame as the decoder takes it.
#[derive(Debug)]
pub(super) struct Unit {
    /// NAL units with start codes; none where the frame has no picture.
    pub(super) bytes: Vec<u8>,
    /// Whether it is an IDR picture: nothing behind it refers to anything before it.
    pub(super) idr: bool,
}

/// The parameter sets of a stream, and what its slices have told.
#[derive(Debug)]
pub(super) struct Source {
    config: Arc<Config>,
    sequence_set: Vec<u8>,
    /// The parameter sets with start codes, that of the sequence first.
    sets: Vec<u8>,
    /// Where those of pictures begin.
    first_picture_set: usize,
    picture_sets: Vec<PictureSet>,
    sps: Sps,
    /// By how much the frame numbers are lowered since the decoder began.
    lower: u32,
    /// B slices to which others refer.
    referenced_b: u32,
    /// Slices whose picture order counts are odd.
    odd_orders: u32,
}

impl Source {
    /// Checks a configuration. `None` while parameter sets are missing.
    pub(super) fn new(config: &Arc<Config>) -> Result<Option<Self>, Error> {
        let Config::H264 { sps, pps } = &**config else {
            return Err(Error::NotH264(config.codec()));
        };
        let Some(sequence_set) = sps.last() else {
            return Ok(None);
        };
        let (sequence_id, parsed) = sequence_id(sequence_set)
            .zip(h264::sps(sequence_set))
            .ok_or_else(|| unsupported("its sequence parameter set cannot be read"))?;
        check(&parsed)?;
        let mut sets = Vec::new();
        nal::push_annex_b(&mut sets, [whole(sequence_set)?]);
        let first_picture_set = sets.len();
        let mut picture_sets = Vec::new();
        for set in pps {
            let parsed = PictureSet::read(set)
                .ok_or_else(|| unsupported("a picture parameter set cannot be read"))?;
            if parsed.sequence != sequence_id {
                continue;
            }
            if parsed.slice_groups != 0 {
                return Err(unsupported("its pictures are cut into slice groups"));
            }
            nal::push_annex_b(&mut sets, [whole(set)?]);
            picture_sets.push(parsed);
        }
        Ok((!picture_sets.is_empty()).then(|| Self {
            config: config.clone(),
            sequence_set: sequence_set.clone(),
            sets,
            first_picture_set,
            picture_sets,
            sps: parsed,
            lower: 0,
            referenced_b: 0,
            odd_orders: 0,
        }))
    }

    /// What the sequence parameter set tells.
    pub(super) fn sps(&self) -> &Sps {
        &self.sps
    }

    /// Whether it was made of this configuration.
    pub(super) fn is_of(&self, config: &Arc<Config>) -> bool {
        Arc::ptr_eq(&self.config, config) || self.config == *config
    }

    /// Takes over what the slices of `old` have told, where a decoder of that can go on with
    /// this; tells whether it can.
    pub(super) fn continues(&mut self, old: &Self) -> bool {
        if self.sequence_set != old.sequence_set {
            return false;
        }
        self.lower = old.lower;
        self.referenced_b = old.referenced_b;
        self.odd_orders = old.odd_orders;
        true
    }

    /// Forgets what slices have told, since a damaged one may have told it.
    pub(super) fn forget(&mut self) {
        self.referenced_b = 0;
        self.odd_orders = 0;
    }

    /// Brings a frame into the decoder's shape, with these parameter sets first. The frame with
    /// which a decoder begins is made an IDR picture, where it is none.
    ///
    /// Slices only: what else a frame may hold decodes nothing, and leaving it out keeps the
    /// decoder's parsers of scalable and multiview extensions out of reach.
    pub(super) fn unit(&mut self, frame: &Frame, sets: Sets, begin: bool) -> Result<Unit, Refused> {
        if frame.data.len() > MAX_PICTURE_BYTES {
            return Err(Refused::Corrupt);
        }
        let mut unit = Unit {
            bytes: Vec::with_capacity(frame.data.len() + self.sets.len() + 64),
            idr: false,
        };
        let from = match sets {
            Sets::All => 0,
            Sets::Pictures => self.first_picture_set,
            Sets::None => self.sets.len(),
        };
        unit.bytes
            .extend_from_slice(self.sets.get(from..).unwrap_or_default());
        let (mut slices, mut pictures) = (0, 0);
        let mut nals = nal::length_prefixed(&frame.data, nal::NalLength::Four);
        for nal in nals.by_ref() {
            let kind = nal.first().map_or(0, |first| first & 0x1f);
            match kind {
                1 | 5 => {}
                // Data partitions, which none of the profiles has.
                2..=4 => return Err(Refused::Corrupt),
                _ => continue,
            }
            slices += 1;
            // A start code inside a unit would be another unit that nobody has looked at.
            if slices > nal::MAX_NALS || nal::start_code(nal, 0).is_some() {
                return Err(Refused::Corrupt);
            }
            let slice = Slice::read(nal, &self.sps).ok_or(Refused::Corrupt)?;
            pictures += u32::from(slice.first_block == 0);
            self.note(&slice)?;
            unit.idr |= kind == 5;
            let rewritten = if kind == 5 {
                self.lower = 0;
                None
            } else if begin {
                self.lower = slice.frame_num;
                Some(opening::idr_slice(nal, &self.sps, &self.picture_sets))
            } else if self.lower != 0 {
                Some(opening::renumbered(nal, &self.sps, self.lower))
            } else {
                None
            };
            match rewritten {
                None => nal::push_annex_b(&mut unit.bytes, [nal]),
                Some(Some(nal)) => nal::push_annex_b(&mut unit.bytes, [nal.as_slice()]),
                Some(None) => return Err(Refused::Corrupt),
            }
        }
        if nals.broken() || pictures > 1 {
            return Err(Refused::Corrupt);
        }
        if slices == 0 {
            unit.bytes.clear();
        }
        Ok(unit)
    }

    /// The decoder takes a B picture for the next to be shown when its order count is at most two
    /// above that of the last one shown. That is wrong where counts go up in steps of one and B
    /// pictures are coded out of order among themselves: such streams are refused, since their
    /// pictures would change places.
    fn note(&mut self, slice: &Slice) -> Result<(), Refused> {
        self.referenced_b = self
            .referenced_b
            .saturating_add(u32::from(slice.b && slice.referenced));
        let odd = slice.order.is_some_and(|order| order % 2 == 1);
        self.odd_orders = self.odd_orders.saturating_add(u32::from(odd));
        if slice.b && slice.order.is_none() {
            return Err(Refused::Unsupported(unsupported(
                "its B-frames have no picture order counts",
            )));
        }
        if self.referenced_b.min(self.odd_orders) >= SURE {
            return Err(Refused::Unsupported(unsupported(
                "it refers to B-frames and counts its pictures in steps of one",
            )));
        }
        Ok(())
    }
}

fn unsupported(cause: impl Into<String>) -> Error {
    Error::Unsupported(cause.into())
}

fn check(sps: &Sps) -> Result<(), Error> {
    if !matches!(sps.profile, 66 | 77 | 100) {
        return Err(unsupported(format!("its profile is {}", sps.profile)));
    }
    if (sps.chroma, sps.luma_bits, sps.chroma_bits) != (1, 8, 8) {
        return Err(unsupported("it is not 4:2:0 with 8 bits a sample"));
    }
    if !sps.frames_only {
        return Err(unsupported("it is interlaced"));
    }
    let (width, height) = sps.coded_size;
    // Coded sizes are whole macroblocks: 1080 rows are coded as 1088.
    let (long, short) = (width.max(height), width.min(height));
    let (cropped_width, cropped_height) = sps.size;
    if long > MAX_SIDES.0.next_multiple_of(16)
        || short > MAX_SIDES.1.next_multiple_of(16)
        || cropped_width.max(cropped_height) > MAX_SIDES.0
        || cropped_width.min(cropped_height) > MAX_SIDES.1
        || cropped_width.min(cropped_height) < MIN_SIDE
    {
        return Err(unsupported(format!(
            "its pictures have {cropped_width}x{cropped_height} pixels, which is not from \
             {MIN_SIDE}x{MIN_SIDE} to {}x{}",
            MAX_SIDES.0, MAX_SIDES.1
        )));
    }
    let blocks = u64::from(width / 16) * u64::from(height / 16);
    if sps.reference_frames > 16
        || blocks.saturating_mul(u64::from(sps.reference_frames)) > MAX_REFERENCE_BLOCKS
    {
        return Err(unsupported(format!(
            "it refers to {} pictures, more than any level allows at its size",
            sps.reference_frames
        )));
    }
    if sps.frame_num_bits > 16 || sps.order_bits.is_some_and(|bits| bits > 16) {
        return Err(unsupported("its sequence parameter set cannot be read"));
    }
    Ok(())
}

/// A parameter set, if it is one unit and not several.
fn whole(set: &[u8]) -> Result<&[u8], Error> {
    match nal::start_code(set, 0) {
        None if set.len() <= nal::MAX_SET_LEN => Ok(set),
        _ => Err(unsupported("a parameter set holds more than one")),
    }
}

fn sequence_id(set: &[u8]) -> Option<u32> {
    if set.first()? & 0x1f != 7 {
        return None;
    }
    let bytes = unescape(set.get(4..)?, 8);
    Bits::new(&bytes).ue()
}

/// What a picture parameter set tells (7.3.2.2).
#[derive(Debug, Clone, Copy)]
pub(super) struct PictureSet {
    pub(super) id: u32,
    /// The sequence parameter set that it is for.
    sequence: u32,
    /// Slice groups beyond the first.
    slice_groups: u32,
    /// `entropy_coding_mode_flag`.
    pub(super) arithmetic: bool,
    /// `bottom_field_pic_order_in_frame_present_flag`.
    pub(super) bottom_order: bool,
    /// `deblocking_filter_control_present_flag`.
    pub(super) deblocking_control: bool,
    /// `redundant_pic_cnt_present_flag`.
    pub(super) redundant_count: bool,
}

impl PictureSet {
    fn read(set: &[u8]) -> Option<Self> {
        if set.first()? & 0x1f != 8 {
            return None;
        }
        let bytes = unescape(set.get(1..)?, 40);
        let mut bits = Bits::new(&bytes);
        let mut set = Self {
            id: bits.ue()?,
            sequence: bits.ue()?,
            arithmetic: bits.bit()? == 1,
            bottom_order: bits.bit()? == 1,
            slice_groups: bits.ue()?,
            deblocking_control: false,
            redundant_count: false,
        };
        if set.slice_groups == 0 {
            // References, weights, quantizers.
            bits.ue()?;
            bits.ue()?;
            bits.skip(3)?;
            bits.se()?;
            bits.se()?;
            bits.se()?;
            set.deblocking_control = bits.bit()? == 1;
            bits.skip(1)?;
            set.redundant_count = bits.bit()? == 1;
        }
        Some(set)
    }
}

/// The beginning of a slice header (7.3.3).
#[derive(Debug)]
struct Slice {
    first_block: u32,
    frame_num: u32,
    b: bool,
    referenced: bool,
    /// The low bits of the picture order count, where they are coded.
    order: Option<u32>,
}

impl Slice {
    fn read(nal: &[u8], sps: &Sps) -> Option<Self> {
        let (&first, rest) = nal.split_first()?;
        let head = unescape(rest, SLICE_HEADER);
        let mut bits = Bits::new(&head);
        let first_block = bits.ue()?;
        let slice_type = bits.ue()?;
        if slice_type > 9 {
            return None;
        }
        bits.ue()?;
        let frame_num = bits.bits(sps.frame_num_bits)?;
        if first & 0x1f == 5 {
            bits.ue()?;
        }
        let order = match sps.order_bits {
            Some(count) => Some(bits.bits(count)?),
            None => None,
        };
        Some(Self {
            first_block,
            frame_num,
            b: slice_type % 5 == 1,
            referenced: first & 0x60 != 0,
            order,
        })
    }
}
