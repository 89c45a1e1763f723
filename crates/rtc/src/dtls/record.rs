//! The record layer: splitting datagrams into records, AES-GCM protection, replay protection.
//!
//! Knows two epochs: 0 in the clear, 1 protected; there is no renegotiation. Whatever does not
//! authenticate is dropped without a word. RFC 6347 section 4.1, RFC 5288.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::failure::Failure;
use super::wire::{Reader, VERSION, put_u16};

/// Length of a record's header.
pub(super) const HEADER_LEN: usize = 13;
/// The part of the nonce that both ends derive.
pub(super) const FIXED_NONCE_LEN: usize = 4;
const EXPLICIT_NONCE_LEN: usize = 8;
const TAG_LEN: usize = 16;
/// What protection adds to a record's contents.
pub(super) const PROTECTION_LEN: usize = EXPLICIT_NONCE_LEN + TAG_LEN;
/// The most that one record carries.
pub(super) const MAX_PLAINTEXT_LEN: usize = 1 << 14;

/// A record as it came in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) content: u8,
    pub(super) epoch: u16,
    sequence: u64,
    pub(super) fragment: &'a [u8],
    /// The whole record, header included.
    pub(super) bytes: &'a [u8],
}

/// The records of a datagram, up to the first that is not one.
pub(super) struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    pub(super) fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let mut reader = Reader::new(std::mem::take(&mut self.rest));
        let whole = reader;
        let content = reader.u8()?;
        let version = reader.u16()?;
        let epoch = reader.u16()?;
        let sequence = reader.u48()?;
        let fragment = reader.vector(2)?;
        // A first ClientHello may come in a record of DTLS 1.0.
        let is_dtls = version >> 8 == VERSION >> 8;
        let fits = fragment.len() <= MAX_PLAINTEXT_LEN + PROTECTION_LEN;
        if !is_dtls || !fits {
            return None;
        }
        let bytes = { whole }.take(HEADER_LEN + fragment.len())?;
        self.rest = reader.rest();
        Some(Record {
            content,
            epoch,
            sequence,
            fragment,
            bytes,
        })
    }
}

/// The key of one direction.
pub(super) struct Protection {
    key: LessSafeKey,
    fixed_nonce: [u8; FIXED_NONCE_LEN],
}

impl Protection {
    /// `key` is 16 or 32 bytes long.
    pub(super) fn new(key: &[u8], fixed_nonce: &[u8]) -> Result<Self, Failure> {
        let algorithm = if key.len() == 16 {
            &AES_128_GCM
        } else {
            &AES_256_GCM
        };
        let failed = || Failure::Crypto("record key");
        let key = UnboundKey::new(algorithm, key).map_err(|_| failed())?;
        let fixed_nonce = fixed_nonce.try_into().map_err(|_| failed())?;
        Ok(Self {
            key: LessSafeKey::new(key),
            fixed_nonce,
        })
    }

    fn nonce(&self, explicit: [u8; EXPLICIT_NONCE_LEN]) -> Nonce {
        let mut nonce = [0; FIXED_NONCE_LEN + EXPLICIT_NONCE_LEN];
        nonce[..FIXED_NONCE_LEN].copy_from_slice(&self.fixed_nonce);
        nonce[FIXED_NONCE_LEN..].copy_from_slice(&explicit);
        Nonce::assume_unique_for_key(nonce)
    }

    fn open(&self, record: &Record<'_>) -> Option<Vec<u8>> {
        let (explicit, sealed) = record.fragment.split_first_chunk()?;
        let len = sealed.len().checked_sub(TAG_LEN)?;
        let aad = additional_data(
            full_sequence(record.epoch, record.sequence),
            record.content,
            len,
        );
        let mut plaintext = sealed.to_vec();
        self.key
            .open_in_place(self.nonce(*explicit), aad, &mut plaintext)
            .ok()?;
        plaintext.truncate(len);
        Some(plaintext)
    }
}

/// Epoch and sequence number as one number, as nonces and authentication take them.
fn full_sequence(epoch: u16, sequence: u64) -> u64 {
    u64::from(epoch) << 48 | sequence
}

fn additional_data(full_sequence: u64, content: u8, len: usize) -> Aad<[u8; 13]> {
    let mut data = [0; 13];
    data[..8].copy_from_slice(&full_sequence.to_be_bytes());
    data[8] = content;
    data[9..11].copy_from_slice(&VERSION.to_be_bytes());
    data[11..].copy_from_slice(&(len as u16).to_be_bytes());
    Aad::from(data)
}

/// Both directions of a session's records.
#[derive(Default)]
pub(super) struct RecordLayer {
    /// Next sequence number to write, by epoch.
    sequences: [u64; 2],
    write: Option<Protection>,
    read: Option<Protection>,
    replay: ReplayWindow,
}

impl RecordLayer {
    /// From now on epoch 1 can be written and read.
    pub(super) fn install(&mut self, write: Protection, read: Protection) {
        self.write = Some(write);
        self.read = Some(read);
    }

    pub(super) fn is_protected(&self) -> bool {
        self.read.is_some()
    }

    /// Appends a record to `datagram`.
    pub(super) fn write(
        &mut self,
        epoch: u16,
        content: u8,
        plaintext: &[u8],
        datagram: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let next = &mut self.sequences[usize::from(epoch.min(1))];
        let sequence = *next;
        // The nonce must never repeat. 2^48 records take centuries, but a wrap would be silent.
        if sequence >= 1 << 48 || plaintext.len() > MAX_PLAINTEXT_LEN {
            return Err(Failure::Crypto("record out of range"));
        }
        *next += 1;
        let full = full_sequence(epoch, sequence);
        datagram.push(content);
        put_u16(datagram, VERSION);
        datagram.extend_from_slice(&full.to_be_bytes());
        if epoch == 0 {
            put_u16(datagram, plaintext.len() as u16);
            datagram.extend_from_slice(plaintext);
            return Ok(());
        }
        let failed = Failure::Crypto("sealing a record");
        let Some(write) = &self.write else {
            return Err(failed);
        };
        put_u16(datagram, (plaintext.len() + PROTECTION_LEN) as u16);
        let explicit = full.to_be_bytes();
        datagram.extend_from_slice(&explicit);
        let at = datagram.len();
        datagram.extend_from_slice(plaintext);
        let aad = additional_data(full, content, plaintext.len());
        let tag = write
            .key
            .seal_in_place_separate_tag(write.nonce(explicit), aad, &mut datagram[at..])
            .map_err(|_| failed)?;
        datagram.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Opens a record of epoch 1; `None` when it is forged, damaged or seen before.
    pub(super) fn open(&mut self, record: &Record<'_>) -> Option<Vec<u8>> {
        let read = self.read.as_ref()?;
        if !self.replay.is_new(record.sequence) {
            return None;
        }
        let plaintext = read.open(record)?;
        self.replay.mark(record.sequence);
        Some(plaintext)
    }
}

/// Remembers which of the last 64 sequence numbers came, RFC 6347 section 4.1.2.6.
#[derive(Debug, Default)]
struct ReplayWindow {
    /// One above the highest sequence number seen.
    end: u64,
    /// Bit `n` stands for `end - 1 - n`.
    seen: u64,
}

impl ReplayWindow {
    fn is_new(&self, sequence: u64) -> bool {
        match self.end.checked_sub(sequence + 1) {
            None => true,
            Some(age) => age < 64 && self.seen >> age & 1 == 0,
        }
    }

    fn mark(&mut self, sequence: u64) {
        match self.end.checked_sub(sequence + 1) {
            Some(age) => self.seen |= 1u64.checked_shl(age as u32).unwrap_or(0),
            None => {
                let ahead = u32::try_from(sequence + 1 - self.end).unwrap_or(u32::MAX);
                self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
                self.end = sequence + 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtls::wire::content;

    fn layers() -> (RecordLayer, RecordLayer) {
        let key = |byte: u8| Protection::new(&[byte; 16], &[byte; 4]).expect("16-byte key");
        let (mut left, mut right) = (RecordLayer::default(), RecordLayer::default());
        left.install(key(1), key(2));
        right.install(key(2), key(1));
        (left, right)
    }

    #[test]
    fn opens_what_the_peer_sealed_once() {
        let (mut left, mut right) = layers();
        let mut datagram = Vec::new();
        left.write(1, content::APPLICATION_DATA, b"hello", &mut datagram)
            .expect("sealed");
        left.write(1, content::APPLICATION_DATA, b"", &mut datagram)
            .expect("sealed");
        let records: Vec<_> = Records::new(&datagram).collect();
        assert_eq!(records.len(), 2);
        assert_eq!(right.open(&records[1]).as_deref(), Some(&b""[..]));
        assert_eq!(right.open(&records[0]).as_deref(), Some(&b"hello"[..]));
        assert_eq!(right.open(&records[0]), None, "a replay is dropped");
    }

    #[test]
    fn drops_every_single_bit_of_damage() {
        let (mut left, mut right) = layers();
        let mut datagram = Vec::new();
        left.write(1, content::APPLICATION_DATA, b"payload", &mut datagram)
            .expect("sealed");
        for bit in 0..datagram.len() * 8 {
            let mut damaged = datagram.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // The version is authenticated by its major byte alone: nothing else is accepted.
            if bit / 8 == 2 {
                continue;
            }
            let opened = Records::new(&damaged)
                .next()
                .and_then(|record| right.open(&record));
            assert_eq!(opened, None, "bit {bit}");
        }
        let record = Records::new(&datagram).next().expect("whole");
        assert!(right.open(&record).is_some());
    }

    #[test]
    fn truncated_datagrams_end_the_iteration() {
        let (mut left, _) = layers();
        let mut datagram = Vec::new();
        left.write(0, content::HANDSHAKE, &[7; 40], &mut datagram)
            .expect("written");
        for len in 0..datagram.len() {
            assert!(Records::new(&datagram[..len]).next().is_none());
        }
    }

    #[test]
    fn replay_window_slides() {
        let mut window = ReplayWindow::default();
        for sequence in [0, 1, 5, 70, 200] {
            assert!(window.is_new(sequence));
            window.mark(sequence);
            assert!(!window.is_new(sequence));
        }
        assert!(!window.is_new(70), "older than the window");
        assert!(window.is_new(199) && window.is_new(137) && !window.is_new(136));
        window.mark((1 << 48) - 1);
        assert!(!window.is_new(200));
    }
}
