//! Wrapping of keys by a key that the passphrase yields (RFC 3394, RFC 8018).

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{
    DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::{constant_time, pbkdf2};

use super::{CryptoError, algorithm};
use crate::srt::key_material::{KeyLength, KeyMaterialError, SALT};

/// What the draft says; more would shut out every other implementation.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(2048).expect("not zero");

/// The part of the salt that the passphrase is hashed with.
const KEK_SALT: usize = 8;

/// What the first block holds before wrapping (RFC 3394, section 2.2.3.1).
const WRAP_START: [u8; 8] = [0xa6; 8];

/// The key that wraps keys.
pub(super) struct WrappingKey {
    wrap: EncryptingKey,
    unwrap: DecryptingKey,
}

impl WrappingKey {
    pub(super) fn derive(
        passphrase: &str,
        salt: &[u8; SALT],
        length: KeyLength,
    ) -> Result<Self, CryptoError> {
        let mut key = [0; 32];
        let key = key.get_mut(..length.bytes()).ok_or(CryptoError::Library)?;
        let salt = salt.get(SALT - KEK_SALT..).unwrap_or(&[]);
        let hash = pbkdf2::PBKDF2_HMAC_SHA1;
        pbkdf2::derive(hash, ITERATIONS, salt, passphrase.as_bytes(), key);
        Self::new(key, length)
    }

    fn new(key: &[u8], length: KeyLength) -> Result<Self, CryptoError> {
        let key = || UnboundCipherKey::new(algorithm(length), key);
        Ok(Self {
            wrap: EncryptingKey::ecb(key()?)?,
            unwrap: DecryptingKey::ecb(key()?)?,
        })
    }

    /// RFC 3394, section 2.2.1. `keys` is a multiple of 8 bytes.
    pub(super) fn wrap(&self, keys: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let mut blocks = keys.to_vec();
        let mut start = WRAP_START;
        let mut count = 0u64;
        for _ in 0..6 {
            for chunk in blocks.chunks_exact_mut(8) {
                let mut block = [0; 16];
                block[..8].copy_from_slice(&start);
                block[8..].copy_from_slice(chunk);
                self.wrap
                    .less_safe_encrypt(&mut block, EncryptionContext::None)?;
                count += 1;
                for (byte, mask) in block.iter_mut().zip(count.to_be_bytes()) {
                    *byte ^= mask;
                }
                start.copy_from_slice(&block[..8]);
                chunk.copy_from_slice(&block[8..]);
            }
        }
        let mut out = start.to_vec();
        out.append(&mut blocks);
        Ok(out)
    }

    /// RFC 3394, section 2.2.2.
    pub(super) fn unwrap(&self, wrapped: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let (start, blocks) = wrapped
            .split_first_chunk::<8>()
            .ok_or(KeyMaterialError::Malformed)?;
        let (mut start, mut blocks) = (*start, blocks.to_vec());
        let mut count = 6 * (blocks.len() / 8) as u64;
        for _ in 0..6 {
            for chunk in blocks.rchunks_exact_mut(8) {
                let mut block = [0; 16];
                block[..8].copy_from_slice(&start);
                block[8..].copy_from_slice(chunk);
                for (byte, mask) in block.iter_mut().zip(count.to_be_bytes()) {
                    *byte ^= mask;
                }
                count -= 1;
                self.unwrap.decrypt(&mut block, DecryptionContext::None)?;
                start.copy_from_slice(&block[..8]);
                chunk.copy_from_slice(&block[8..]);
            }
        }
        constant_time::verify_slices_are_equal(&start, &WRAP_START)
            .map_err(|_| CryptoError::BadSecret)?;
        Ok(blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [KeyLength; 3] = [KeyLength::Aes128, KeyLength::Aes192, KeyLength::Aes256];

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex"))
            .collect()
    }

    #[test]
    fn wrapping_gives_what_the_rfc_lists() {
        // RFC 3394, sections 4.1 to 4.3.
        let data = hex("00112233445566778899AABBCCDDEEFF");
        let kek: Vec<u8> = (0..32).collect();
        let wrapped = [
            "1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5",
            "96778B25AE6CA435F92B5B97C050AED2468AB8A17AD84E5D",
            "64E8C3F9CE0F5BA263E9777905818A2A93C8191E7D6E8AE7",
        ];
        for (length, expected) in LENGTHS.into_iter().zip(wrapped) {
            let key = WrappingKey::new(&kek[..length.bytes()], length).expect("a key");
            assert_eq!(key.wrap(&data), Ok(hex(expected)));
            assert_eq!(key.unwrap(&hex(expected)), Ok(data.clone()));
            let mut broken = hex(expected);
            broken[9] ^= 1;
            assert_eq!(key.unwrap(&broken), Err(CryptoError::BadSecret));
        }
    }
}
