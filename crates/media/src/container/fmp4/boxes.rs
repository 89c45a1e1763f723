//! Boxes: a length, a name, and what is inside.

/// Writes boxes into one buffer; lengths are filled in when a box ends.
#[derive(Debug, Default)]
pub(super) struct Boxes {
    out: Vec<u8>,
}

impl Boxes {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self {
            out: Vec::with_capacity(bytes),
        }
    }

    /// A box of that name with whatever `inside` writes.
    pub(super) fn nest(&mut self, name: &[u8; 4], inside: impl FnOnce(&mut Self)) {
        let start = self.out.len();
        self.u32(0);
        self.bytes(name);
        inside(self);
        // Bounded by the frames of a fragment, which are far below four gigabytes.
        let len = u32::try_from(self.out.len() - start).unwrap_or(u32::MAX);
        self.out[start..start + 4].copy_from_slice(&len.to_be_bytes());
    }

    /// A box with version and flags.
    pub(super) fn full(
        &mut self,
        name: &[u8; 4],
        version: u8,
        flags: u32,
        inside: impl FnOnce(&mut Self),
    ) {
        self.nest(name, |boxes| {
            boxes.u32(u32::from(version) << 24 | flags);
            inside(boxes);
        });
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub(super) fn zeros(&mut self, count: usize) {
        self.out.resize(self.out.len() + count, 0);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    /// Where the next byte goes.
    pub(super) fn position(&self) -> usize {
        self.out.len()
    }

    /// Overwrites four bytes that were left for it.
    pub(super) fn set_u32(&mut self, at: usize, value: u32) {
        self.out[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.out
    }
}
