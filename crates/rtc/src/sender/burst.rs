//! Datagrams that leave together.

/// Datagrams for one destination, back to back in one buffer, so that the kernel can take many
/// with one call (UDP segmentation offload). Keep one and clear it: it holds on to its memory.
#[derive(Debug, Default)]
pub struct Burst {
    pub(crate) bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Burst {
    /// Forgets all datagrams.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Datagrams in it.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// All bytes, datagram behind datagram.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where each datagram ends in [`Self::bytes`].
    pub fn ends(&self) -> &[usize] {
        &self.ends
    }

    /// The datagrams one by one.
    pub fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, end)| &self.bytes[start..*end])
    }

    /// Adds a copy of a datagram.
    pub fn push(&mut self, datagram: &[u8]) {
        self.bytes.extend_from_slice(datagram);
        self.close();
    }

    /// What was written since the last one is a datagram.
    pub(crate) fn close(&mut self) {
        self.ends.push(self.bytes.len());
    }
}
