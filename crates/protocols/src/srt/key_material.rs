//! The key material message, which carries wrapped keys in a handshake and in mid-stream
//! (draft-sharabayko-srt, section 3.2.2). Layout only: wrapping is in `crypto`.

use thiserror::Error;

use super::wire::KeyFlag;

/// Bytes of a salt, the only length that exists.
pub(super) const SALT: usize = 16;

/// Bytes before the salt.
const FIXED: usize = 16;

/// Bytes that wrapping adds.
const INTEGRITY: usize = 8;

/// Version 1, packet type 2, and the vendor's signature.
const SIGNATURE: [u8; 3] = [0x12, 0x20, 0x29];

const CIPHER_CTR: u8 = 2;
const ENCAPSULATION_SRT: u8 = 2;

/// How long a key is. The caller chooses, the listener follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyLength {
    /// AES-128.
    Aes128,
    /// AES-192.
    Aes192,
    /// AES-256.
    Aes256,
}

impl KeyLength {
    /// Bytes of the key: 16, 24 or 32.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }

    /// The length of that many bytes, `None` for any but 16, 24 and 32.
    #[must_use]
    pub fn from_bytes(bytes: usize) -> Option<Self> {
        [Self::Aes128, Self::Aes192, Self::Aes256]
            .into_iter()
            .find(|length| length.bytes() == bytes)
    }
}

/// Why key material cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum KeyMaterialError {
    #[error("the message has a wrong length or signature")]
    Malformed,
    #[error("the cipher is not AES-CTR")]
    Cipher,
}

/// A message with one or two wrapped keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyMaterial<'a> {
    /// Which keys: never [`KeyFlag::Clear`].
    pub(super) keys: KeyFlag,
    pub(super) length: KeyLength,
    pub(super) salt: [u8; SALT],
    /// The even key before the odd one where there are both.
    pub(super) wrapped: &'a [u8],
}

impl<'a> KeyMaterial<'a> {
    pub(super) fn parse(content: &'a [u8]) -> Result<Self, KeyMaterialError> {
        let malformed = KeyMaterialError::Malformed;
        let (head, rest) = content.split_first_chunk::<FIXED>().ok_or(malformed)?;
        let [
            a,
            b,
            c,
            keys,
            _,
            _,
            _,
            _,
            cipher,
            auth,
            _,
            _,
            _,
            _,
            salt,
            length,
        ] = *head;
        if [a, b, c] != SIGNATURE || usize::from(salt) * 4 != SALT {
            return Err(malformed);
        }
        if cipher != CIPHER_CTR || auth != 0 {
            return Err(KeyMaterialError::Cipher);
        }
        let keys = KeyFlag::from_bits(u32::from(keys));
        let length = KeyLength::from_bytes(usize::from(length) * 4).ok_or(malformed)?;
        let (salt, wrapped) = rest.split_first_chunk::<SALT>().ok_or(malformed)?;
        if keys == KeyFlag::Clear || wrapped.len() != wrapped_length(keys, length) {
            return Err(malformed);
        }
        Ok(Self {
            keys,
            length,
            salt: *salt,
            wrapped,
        })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let [a, b, c] = SIGNATURE;
        let keys = u8::try_from(self.keys.bits()).expect("two bits");
        let length = u8::try_from(self.length.bytes() / 4).expect("at most 8");
        let salt = u8::try_from(SALT / 4).expect("it is 4");
        let mut out = vec![a, b, c, keys, 0, 0, 0, 0];
        out.extend_from_slice(&[CIPHER_CTR, 0, ENCAPSULATION_SRT, 0, 0, 0, salt, length]);
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(self.wrapped);
        out
    }
}

fn wrapped_length(keys: KeyFlag, length: KeyLength) -> usize {
    let count = if keys == KeyFlag::Both { 2 } else { 1 };
    count * length.bytes() + INTEGRITY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written_and_not_when_cut() {
        for (keys, length) in [
            (KeyFlag::Even, KeyLength::Aes128),
            (KeyFlag::Odd, KeyLength::Aes192),
            (KeyFlag::Both, KeyLength::Aes256),
        ] {
            let wrapped = vec![7; wrapped_length(keys, length)];
            let material = KeyMaterial {
                keys,
                length,
                salt: [3; SALT],
                wrapped: &wrapped,
            };
            let bytes = material.write();
            assert_eq!(KeyMaterial::parse(&bytes), Ok(material));
            for cut in 0..bytes.len() {
                assert!(KeyMaterial::parse(&bytes[..cut]).is_err(), "{cut} bytes");
            }
        }
    }

    #[test]
    fn another_cipher_is_told_from_nonsense() {
        let wrapped = [7; 24];
        let mut bytes = KeyMaterial {
            keys: KeyFlag::Even,
            length: KeyLength::Aes128,
            salt: [3; SALT],
            wrapped: &wrapped,
        }
        .write();
        bytes[8] = 4;
        assert_eq!(KeyMaterial::parse(&bytes), Err(KeyMaterialError::Cipher));
        bytes[0] = 0x47;
        assert_eq!(KeyMaterial::parse(&bytes), Err(KeyMaterialError::Malformed));
    }
}
