//! Elements: an id, a length, and what is inside.

/// Ids of the elements that are written here, with their markers.
pub(super) mod id {
    pub(in super::super) const EBML: u32 = 0x1a45_dfa3;
    pub(in super::super) const EBML_VERSION: u32 = 0x4286;
    pub(in super::super) const EBML_READ_VERSION: u32 = 0x42f7;
    pub(in super::super) const EBML_MAX_ID: u32 = 0x42f2;
    pub(in super::super) const EBML_MAX_SIZE: u32 = 0x42f3;
    pub(in super::super) const DOC_TYPE: u32 = 0x4282;
    pub(in super::super) const DOC_TYPE_VERSION: u32 = 0x4287;
    pub(in super::super) const DOC_TYPE_READ_VERSION: u32 = 0x4285;
    pub(in super::super) const VOID: u32 = 0xec;
    pub(in super::super) const SEGMENT: u32 = 0x1853_8067;
    pub(in super::super) const SEEK_HEAD: u32 = 0x114d_9b74;
    pub(in super::super) const SEEK: u32 = 0x4dbb;
    pub(in super::super) const SEEK_ID: u32 = 0x53ab;
    pub(in super::super) const SEEK_POSITION: u32 = 0x53ac;
    pub(in super::super) const INFO: u32 = 0x1549_a966;
    pub(in super::super) const TIMESTAMP_SCALE: u32 = 0x2a_d7b1;
    pub(in super::super) const DURATION: u32 = 0x4489;
    pub(in super::super) const MUXING_APP: u32 = 0x4d80;
    pub(in super::super) const WRITING_APP: u32 = 0x5741;
    pub(in super::super) const TRACKS: u32 = 0x1654_ae6b;
    pub(in super::super) const TRACK_ENTRY: u32 = 0xae;
    pub(in super::super) const TRACK_NUMBER: u32 = 0xd7;
    pub(in super::super) const TRACK_UID: u32 = 0x73c5;
    pub(in super::super) const TRACK_TYPE: u32 = 0x83;
    pub(in super::super) const FLAG_LACING: u32 = 0x9c;
    pub(in super::super) const LANGUAGE: u32 = 0x22_b59c;
    pub(in super::super) const CODEC_ID: u32 = 0x86;
    pub(in super::super) const CODEC_PRIVATE: u32 = 0x63a2;
    pub(in super::super) const CODEC_DELAY: u32 = 0x56aa;
    pub(in super::super) const SEEK_PRE_ROLL: u32 = 0x56bb;
    pub(in super::super) const VIDEO: u32 = 0xe0;
    pub(in super::super) const PIXEL_WIDTH: u32 = 0xb0;
    pub(in super::super) const PIXEL_HEIGHT: u32 = 0xba;
    pub(in super::super) const AUDIO: u32 = 0xe1;
    pub(in super::super) const SAMPLING_FREQUENCY: u32 = 0xb5;
    pub(in super::super) const CHANNELS: u32 = 0x9f;
    pub(in super::super) const CLUSTER: u32 = 0x1f43_b675;
    pub(in super::super) const TIMESTAMP: u32 = 0xe7;
    pub(in super::super) const SIMPLE_BLOCK: u32 = 0xa3;
    pub(in super::super) const CUES: u32 = 0x1c53_bb6b;
    pub(in super::super) const CUE_POINT: u32 = 0xbb;
    pub(in super::super) const CUE_TIME: u32 = 0xb3;
    pub(in super::super) const CUE_TRACK_POSITIONS: u32 = 0xb7;
    pub(in super::super) const CUE_TRACK: u32 = 0xf7;
    pub(in super::super) const CUE_CLUSTER_POSITION: u32 = 0xf1;
}

/// Lengths that fill a number of bytes are reserved for "not known".
const LENGTHS: [(usize, u64); 4] = [
    (1, (1 << 7) - 2),
    (2, (1 << 14) - 2),
    (3, (1 << 21) - 2),
    (4, (1 << 28) - 2),
];

/// Writes elements into one buffer.
#[derive(Debug, Default)]
pub(super) struct Elements {
    out: Vec<u8>,
}

impl Elements {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self {
            out: Vec::with_capacity(bytes),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.out
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    pub(super) fn append(&mut self, other: &Self) {
        self.out.extend_from_slice(&other.out);
    }

    fn id(&mut self, id: u32) {
        let bytes = id.to_be_bytes();
        let zeros = (id.leading_zeros() / 8) as usize;
        self.out.extend_from_slice(&bytes[zeros..]);
    }

    fn len(&mut self, len: u64) {
        let fits = LENGTHS.iter().find(|(_, most)| len <= *most);
        let width = fits.map_or(8, |(width, _)| *width);
        let marked = len | 1 << (7 * width);
        self.out
            .extend_from_slice(&marked.to_be_bytes()[8 - width..]);
    }

    /// The beginning of an element whose length takes eight bytes, known or not.
    pub(super) fn begin(&mut self, id: u32, len: Option<u64>) {
        self.id(id);
        let len = len.unwrap_or((1 << 56) - 1) | 1 << 56;
        self.out.extend_from_slice(&len.to_be_bytes());
    }

    pub(super) fn binary(&mut self, id: u32, bytes: &[u8]) {
        self.id(id);
        self.len(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    pub(super) fn master(&mut self, id: u32, inside: &Self) {
        self.binary(id, &inside.out);
    }

    pub(super) fn text(&mut self, id: u32, text: &str) {
        self.binary(id, text.as_bytes());
    }

    pub(super) fn uint(&mut self, id: u32, value: u64) {
        let zeros = (value.leading_zeros() / 8).min(7) as usize;
        self.binary(id, &value.to_be_bytes()[zeros..]);
    }

    /// A number that always takes eight bytes.
    pub(super) fn wide(&mut self, id: u32, value: u64) {
        self.binary(id, &value.to_be_bytes());
    }

    pub(super) fn float(&mut self, id: u32, value: f64) {
        self.binary(id, &value.to_be_bytes());
    }

    /// Nothing, in so many bytes: from 2 to 128.
    pub(super) fn void(&mut self, bytes: usize) {
        let zeros = [0; 126];
        self.binary(id::VOID, &zeros[..bytes.clamp(2, 128) - 2]);
    }

    /// A frame of a track, so many ticks after its cluster's time.
    pub(super) fn block(&mut self, track: u32, after: i16, keyframe: bool, frame: &[u8]) {
        self.id(id::SIMPLE_BLOCK);
        self.len(frame.len() as u64 + 4);
        // Tracks are few, their numbers one byte.
        self.out.push(0x80 | (track & 0x7f) as u8);
        self.out.extend_from_slice(&after.to_be_bytes());
        self.out.push(if keyframe { 0x80 } else { 0 });
        self.out.extend_from_slice(frame);
    }
}

/// How an element begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its id, with its marker.
    pub id: u32,
    /// Bytes of id and length.
    pub len: u64,
    /// Bytes inside; `None`: it does not tell.
    pub inside: Option<u64>,
}

/// Reads how an element begins; `None` where the bytes end early or are no element.
pub fn head(bytes: &[u8]) -> Option<Head> {
    let first = *bytes.first()?;
    let width = first.leading_zeros() as usize + 1;
    if width > 4 {
        return None;
    }
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    };
    let id = u32::try_from(number(bytes.get(..width)?)).ok()?;
    let rest = &bytes[width..];
    let first = *rest.first()?;
    let long = first.leading_zeros() as usize + 1;
    if long > 8 {
        return None;
    }
    let all = (1 << (7 * long)) - 1;
    let inside = number(rest.get(..long)?) & all;
    Some(Head {
        id,
        len: (width + long) as u64,
        inside: (inside != all).then_some(inside),
    })
}
