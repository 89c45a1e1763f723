//! The server's secret and what is made with it: sealed stream keys, signed tokens.
//!
//! Stream keys have more than 128 random bits, so nobody can try them all: a plain SHA-256 is
//! enough to store them by, and it is quick enough to check on every request. A slow password
//! hash would protect nothing here and give floods a lever. Because FTL signs with the key and
//! SRT derives its encryption from it, a copy is sealed with AES-256-GCM under a key derived from
//! the server's secret; whoever has the store alone learns nothing.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use inver_proto::{KeyId, RoomId};
use zeroize::Zeroizing;

use crate::entropy::{Entropy, base62};
use crate::{Refusal, RefusalKind, Secret};

/// Letters of a generated stream key: 142 bits.
const KEY_LETTERS: usize = 24;

/// Letters of a session token: 142 bits.
const TOKEN_LETTERS: usize = 24;

/// SHA-256 of a stream key.
pub type KeyHash = [u8; 32];

/// The secret that a server makes at its first run and keeps in its data folder.
#[derive(Clone)]
pub struct ServerSecret(Zeroizing<[u8; 32]>);

impl ServerSecret {
    /// Takes stored bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Makes a new one.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        entropy.fill(&mut *bytes);
        Self(bytes)
    }

    /// The bytes, to be stored where only the server reads them.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for ServerSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(server secret)")
    }
}

/// Length of derived keys, in the form that HKDF asks for.
struct Bytes32;

impl KeyType for Bytes32 {
    fn len(&self) -> usize {
        32
    }
}

/// Keys derived from the server's secret.
pub(crate) struct Vault {
    sealing: LessSafeKey,
    pub(crate) signing: Zeroizing<[u8; 32]>,
}

impl Vault {
    pub(crate) fn new(secret: &ServerSecret) -> Self {
        let sealing = derive(secret, b"stream keys");
        let sealing = UnboundKey::new(&AES_256_GCM, &*sealing).expect("AES-256 takes 32 bytes");
        Self {
            sealing: LessSafeKey::new(sealing),
            signing: derive(secret, b"tokens"),
        }
    }

    /// Encrypts a stream key for the store; bound to its room and id.
    pub(crate) fn seal(
        &self,
        entropy: &mut dyn Entropy,
        room: &RoomId,
        id: &KeyId,
        key: &Secret,
    ) -> Vec<u8> {
        self.seal_text(entropy, &context(room, id), key)
    }

    /// Encrypts a text for the store; bound to where it is kept.
    pub(crate) fn seal_text(
        &self,
        entropy: &mut dyn Entropy,
        place: &str,
        key: &Secret,
    ) -> Vec<u8> {
        let mut sealed = vec![0; NONCE_LEN];
        entropy.fill(&mut sealed);
        let nonce = Nonce::try_assume_unique_for_key(&sealed).expect("the length is a nonce's");
        let mut text = Zeroizing::new(key.reveal().as_bytes().to_vec());
        let tag = self
            .sealing
            .seal_in_place_separate_tag(nonce, Aad::from(place), &mut text)
            .expect("a secret is far shorter than AES-GCM's limit");
        sealed.extend_from_slice(&text);
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// Decrypts a stream key; fails where the store was changed or the secret is another one.
    pub(crate) fn open(&self, room: &RoomId, id: &KeyId, sealed: &[u8]) -> Result<Secret, Refusal> {
        let fault = || {
            Refusal::new(
                RefusalKind::Internal,
                "the stored stream key does not open with this server's secret; rotate the key",
            )
        };
        self.open_text(&context(room, id), sealed).ok_or_else(fault)
    }

    /// Decrypts a text of [`Self::seal_text`]; `None` where the store was changed, the text was
    /// kept elsewhere or the secret is another one.
    pub(crate) fn open_text(&self, place: &str, sealed: &[u8]) -> Option<Secret> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = Zeroizing::new(text.to_vec());
        let key = self
            .sealing
            .open_in_place(nonce, Aad::from(place), &mut text)
            .ok()?;
        std::str::from_utf8(key).map(Secret::new).ok()
    }
}

fn derive(secret: &ServerSecret, purpose: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    Salt::new(HKDF_SHA256, b"inver")
        .extract(secret.as_bytes())
        .expand(&[purpose], Bytes32)
        .and_then(|material| material.fill(&mut *key))
        .expect("HKDF gives 32 bytes");
    key
}

/// What a sealed key is bound to. A room id has no `/`, so no two pairs look the same.
fn context(room: &RoomId, id: &KeyId) -> String {
    format!("{room}/{id}")
}

/// The hash that a stream key is stored and found by.
pub(crate) fn hash(key: &str) -> KeyHash {
    let digest = digest::digest(&digest::SHA256, key.as_bytes());
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

/// A new stream key: letters and digits, so that `{room}-{key}` splits at its last `-`.
pub(crate) fn new_key(entropy: &mut dyn Entropy) -> Secret {
    Secret::new(base62(entropy, KEY_LETTERS))
}

/// A new session token.
pub(crate) fn new_token(entropy: &mut dyn Entropy) -> String {
    base62(entropy, TOKEN_LETTERS)
}
