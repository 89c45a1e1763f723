//! Encryption of payloads: AES in counter mode, keys wrapped by a key that the passphrase yields
//! (draft-sharabayko-srt, section 6; RFC 3394; RFC 8018). Never shows a secret.
//!
//! Both directions begin with the caller's key, because that is what every other implementation
//! expects of a listener; each sender replaces its own key when it has been used long enough.

mod wrapping;

use std::fmt;

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rand;
use thiserror::Error;

use super::key_material::{KeyLength, KeyMaterial, KeyMaterialError, SALT};
use super::wire::KeyFlag;
use wrapping::WrappingKey;

/// Passphrases have at least this many bytes.
pub const MIN_PASSPHRASE: usize = 10;

/// Passphrases have at most this many bytes.
pub const MAX_PASSPHRASE: usize = 79;

/// A passphrase that no other implementation would take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a passphrase has {MIN_PASSPHRASE} to {MAX_PASSPHRASE} bytes, this one has {0}")]
pub struct PassphraseError(pub usize);

/// Whether other implementations take this passphrase.
///
/// # Errors
/// When it has less than 10 or more than 79 bytes.
pub fn check_passphrase(passphrase: &str) -> Result<(), PassphraseError> {
    let length = passphrase.len();
    if (MIN_PASSPHRASE..=MAX_PASSPHRASE).contains(&length) {
        Ok(())
    } else {
        Err(PassphraseError(length))
    }
}

/// Why keys cannot be had from a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum CryptoError {
    #[error("the passphrase is wrong")]
    BadSecret,
    #[error(transparent)]
    Message(#[from] KeyMaterialError),
    #[error("the cryptographic library failed")]
    Library,
}

impl From<aws_lc_rs::error::Unspecified> for CryptoError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Library
    }
}

fn algorithm(length: KeyLength) -> &'static Algorithm {
    match length {
        KeyLength::Aes128 => &AES_128,
        KeyLength::Aes192 => &AES_192,
        KeyLength::Aes256 => &AES_256,
    }
}

/// A key for payloads with the salt that belongs to it.
struct PayloadKey {
    salt: [u8; SALT],
    bytes: Vec<u8>,
    cipher: EncryptingKey,
}

impl PayloadKey {
    fn new(salt: [u8; SALT], bytes: &[u8], length: KeyLength) -> Result<Self, CryptoError> {
        let key = UnboundCipherKey::new(algorithm(length), bytes)?;
        Ok(Self {
            salt,
            bytes: bytes.to_vec(),
            cipher: EncryptingKey::ctr(key)?,
        })
    }

    /// Encrypts or decrypts, which in counter mode is the same.
    fn apply(&self, sequence: u32, payload: &mut [u8]) -> Result<(), CryptoError> {
        // 14 bytes of the salt, the sequence number in the last four of them, and a block counter.
        let mut counter = self.salt;
        counter[14..].fill(0);
        for (byte, mask) in counter[10..14].iter_mut().zip(sequence.to_be_bytes()) {
            *byte ^= mask;
        }
        let context = EncryptionContext::Iv128(FixedLength::from(counter));
        self.cipher.less_safe_encrypt(payload, context)?;
        Ok(())
    }
}

/// Even or odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parity {
    Even,
    Odd,
}

impl Parity {
    fn other(self) -> Self {
        match self {
            Self::Even => Self::Odd,
            Self::Odd => Self::Even,
        }
    }

    fn flag(self) -> KeyFlag {
        match self {
            Self::Even => KeyFlag::Even,
            Self::Odd => KeyFlag::Odd,
        }
    }
}

/// When a sender replaces its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRefresh {
    /// Packets after which the next key is used. A lower value costs a message more often, a
    /// higher one gives an attacker more to work on.
    pub after: u64,
    /// How many packets before that the next key is announced.
    pub announce: u64,
}

impl Default for KeyRefresh {
    fn default() -> Self {
        Self {
            after: 1 << 24,
            announce: 1 << 12,
        }
    }
}

/// Past this many packets with one key its counters would soon repeat (sequence numbers have 31
/// bits), so nothing more is sent.
const KEY_EXHAUSTED: u64 = 1 << 30;

/// Keys of one connection, for both directions.
pub(super) struct Crypto {
    passphrase: String,
    length: KeyLength,
    salt: [u8; SALT],
    wrapping: WrappingKey,
    refresh: KeyRefresh,
    sending: PayloadKey,
    parity: Parity,
    sent: u64,
    changes: u64,
    /// The key after this one, with the message that announces it, and whether the peer has it.
    next: Option<(PayloadKey, Vec<u8>, bool)>,
    even: Option<PayloadKey>,
    odd: Option<PayloadKey>,
    /// The last message that was taken: the same one again only needs the same answer.
    taken: Vec<u8>,
}

impl fmt::Debug for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crypto")
            .field("length", &self.length)
            .field("parity", &self.parity)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

impl Crypto {
    /// A caller's keys: new ones, and the message that tells the listener.
    pub(super) fn generate(
        passphrase: &str,
        length: KeyLength,
        refresh: KeyRefresh,
    ) -> Result<(Self, Vec<u8>), CryptoError> {
        let mut salt = [0; SALT];
        rand::fill(&mut salt)?;
        let bytes = random_key(length)?;
        let wrapping = WrappingKey::derive(passphrase, &salt, length)?;
        let wrapped = wrapping.wrap(&bytes)?;
        let message = KeyMaterial {
            keys: KeyFlag::Even,
            length,
            salt,
            wrapped: &wrapped,
        }
        .write();
        let crypto = Self {
            passphrase: passphrase.to_owned(),
            length,
            salt,
            wrapping,
            refresh,
            sending: PayloadKey::new(salt, &bytes, length)?,
            parity: Parity::Even,
            sent: 0,
            changes: 0,
            next: None,
            even: Some(PayloadKey::new(salt, &bytes, length)?),
            odd: None,
            taken: Vec::new(),
        };
        Ok((crypto, message))
    }

    /// A listener's keys, from the caller's message.
    pub(super) fn from_message(
        passphrase: &str,
        message: &[u8],
        refresh: KeyRefresh,
    ) -> Result<Self, CryptoError> {
        let material = KeyMaterial::parse(message)?;
        let wrapping = WrappingKey::derive(passphrase, &material.salt, material.length)?;
        let (even, odd) = open(&wrapping, &material)?;
        let first = even.as_ref().or(odd.as_ref()).ok_or(CryptoError::Library)?;
        let sending = PayloadKey::new(first.salt, &first.bytes, material.length)?;
        Ok(Self {
            passphrase: passphrase.to_owned(),
            length: material.length,
            salt: material.salt,
            wrapping,
            refresh,
            sending,
            parity: if even.is_some() {
                Parity::Even
            } else {
                Parity::Odd
            },
            sent: 0,
            changes: 0,
            next: None,
            even,
            odd,
            taken: message.to_vec(),
        })
    }

    /// Whether taking this message would mean hashing the passphrase anew, which costs about a
    /// millisecond and so must not be had for each packet.
    pub(super) fn is_costly(&self, message: &[u8]) -> bool {
        KeyMaterial::parse(message)
            .is_ok_and(|material| material.salt != self.salt || material.length != self.length)
    }

    /// Takes the keys of the peer as a sender, in mid-stream.
    pub(super) fn take(&mut self, message: &[u8]) -> Result<(), CryptoError> {
        if message == self.taken {
            return Ok(());
        }
        let material = KeyMaterial::parse(message)?;
        let (even, odd) = if self.is_costly(message) {
            let key = WrappingKey::derive(&self.passphrase, &material.salt, material.length)?;
            open(&key, &material)?
        } else {
            open(&self.wrapping, &material)?
        };
        self.even = even.or(self.even.take());
        self.odd = odd.or(self.odd.take());
        self.taken = message.to_vec();
        Ok(())
    }

    /// Encrypts a payload; says with which key.
    pub(super) fn encrypt(
        &mut self,
        sequence: u32,
        payload: &mut [u8],
    ) -> Result<KeyFlag, CryptoError> {
        if self.sent >= self.refresh.after
            && let Some((_, _, true)) = self.next
            && let Some((key, ..)) = self.next.take()
        {
            self.sending = key;
            self.parity = self.parity.other();
            self.sent = 0;
            self.changes += 1;
        }
        if self.sent >= KEY_EXHAUSTED {
            return Err(CryptoError::Library);
        }
        self.sending.apply(sequence, payload)?;
        self.sent += 1;
        Ok(self.parity.flag())
    }

    /// How often the key for sending was replaced.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Decrypts a payload; `false` when its key is not known or it is not encrypted at all.
    pub(super) fn decrypt(&self, flag: KeyFlag, sequence: u32, payload: &mut [u8]) -> bool {
        let key = match flag {
            KeyFlag::Even => self.even.as_ref(),
            KeyFlag::Odd => self.odd.as_ref(),
            KeyFlag::Clear | KeyFlag::Both => None,
        };
        key.is_some_and(|key| key.apply(sequence, payload).is_ok())
    }

    /// The message that the peer has yet to confirm, made when it is time for the next key.
    pub(super) fn announcement(&mut self) -> Option<&[u8]> {
        if self.next.is_none() && self.sent + self.refresh.announce >= self.refresh.after {
            // Without a new key the old one goes on, which `KEY_EXHAUSTED` bounds.
            self.next = self.next_key().ok();
        }
        match &self.next {
            Some((_, message, false)) => Some(message),
            _ => None,
        }
    }

    /// Whether an announcement waits for its answer.
    pub(super) fn has_announcement(&self) -> bool {
        matches!(self.next, Some((_, _, false)))
    }

    /// The peer's answer to an announcement: the same message when it has the keys.
    pub(super) fn confirm(&mut self, answer: &[u8]) {
        if let Some((_, message, confirmed)) = &mut self.next {
            *confirmed |= message == answer;
        }
    }

    fn next_key(&self) -> Result<(PayloadKey, Vec<u8>, bool), CryptoError> {
        let bytes = random_key(self.length)?;
        let key = PayloadKey::new(self.salt, &bytes, self.length)?;
        let (even, odd) = match self.parity {
            Parity::Even => (&self.sending.bytes, &bytes),
            Parity::Odd => (&bytes, &self.sending.bytes),
        };
        let wrapped = self.wrapping.wrap(&[even.as_slice(), odd].concat())?;
        let message = KeyMaterial {
            keys: KeyFlag::Both,
            length: self.length,
            salt: self.salt,
            wrapped: &wrapped,
        }
        .write();
        Ok((key, message, false))
    }
}

fn random_key(length: KeyLength) -> Result<Vec<u8>, CryptoError> {
    let mut bytes = vec![0; length.bytes()];
    rand::fill(&mut bytes)?;
    Ok(bytes)
}

type Keys = (Option<PayloadKey>, Option<PayloadKey>);

fn open(wrapping: &WrappingKey, material: &KeyMaterial<'_>) -> Result<Keys, CryptoError> {
    let bytes = wrapping.unwrap(material.wrapped)?;
    let mut keys = bytes
        .chunks_exact(material.length.bytes())
        .map(|bytes| PayloadKey::new(material.salt, bytes, material.length));
    let mut next = || keys.next().transpose();
    Ok(match material.keys {
        KeyFlag::Clear => (None, None),
        KeyFlag::Even => (next()?, None),
        KeyFlag::Odd => (None, next()?),
        KeyFlag::Both => (next()?, next()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [KeyLength; 3] = [KeyLength::Aes128, KeyLength::Aes192, KeyLength::Aes256];

    #[test]
    fn both_sides_read_each_other_and_only_with_the_same_passphrase() {
        for length in LENGTHS {
            let refresh = KeyRefresh::default();
            let (mut caller, message) =
                Crypto::generate("correct horse", length, refresh).expect("keys");
            let wrong = Crypto::from_message("correct house", &message, refresh);
            assert_eq!(wrong.err(), Some(CryptoError::BadSecret));
            let mut listener =
                Crypto::from_message("correct horse", &message, refresh).expect("keys");
            for (from, to) in [(0, 1), (1, 0)] {
                let pair = [&mut caller, &mut listener];
                let mut payload = *b"a payload of more than one block";
                let flag = pair[from].encrypt(99, &mut payload).expect("encrypted");
                assert_ne!(&payload, b"a payload of more than one block");
                let mut other = payload;
                assert!(pair[to].decrypt(flag, 99, &mut payload));
                assert_eq!(&payload, b"a payload of more than one block");
                assert!(pair[to].decrypt(flag, 98, &mut other));
                assert_ne!(payload, other, "each packet has its own counter");
            }
        }
    }

    #[test]
    fn a_sender_changes_keys_only_when_the_peer_has_the_next() {
        let refresh = KeyRefresh {
            after: 10,
            announce: 4,
        };
        let (mut sender, message) =
            Crypto::generate("correct horse", KeyLength::Aes128, refresh).expect("keys");
        let mut receiver = Crypto::from_message("correct horse", &message, refresh).expect("keys");
        let mut flags = Vec::new();
        for sequence in 0..60 {
            let mut payload = [5; 20];
            let flag = sender.encrypt(sequence, &mut payload).expect("encrypted");
            assert!(receiver.decrypt(flag, sequence, &mut payload));
            assert_eq!(payload, [5; 20]);
            flags.push(flag);
            if let Some(message) = sender.announcement().map(<[u8]>::to_vec)
                && sequence > 15
            {
                receiver.take(&message).expect("it is right");
                sender.confirm(&message);
            }
        }
        let changes: Vec<_> = (1..60).filter(|n| flags[n - 1] != flags[*n]).collect();
        assert_eq!(changes, [17, 27, 37, 47, 57]);
    }

    #[test]
    fn a_payload_is_not_read_without_its_key() {
        let refresh = KeyRefresh::default();
        let (crypto, _) =
            Crypto::generate("correct horse", KeyLength::Aes128, refresh).expect("keys");
        for flag in [KeyFlag::Odd, KeyFlag::Clear, KeyFlag::Both] {
            assert!(!crypto.decrypt(flag, 1, &mut [0; 4]), "{flag:?}");
        }
    }

    #[test]
    fn passphrases_have_a_length_that_others_take() {
        assert_eq!(check_passphrase("123456789"), Err(PassphraseError(9)));
        assert_eq!(check_passphrase("1234567890"), Ok(()));
        assert_eq!(check_passphrase(&"x".repeat(80)), Err(PassphraseError(80)));
    }
}
