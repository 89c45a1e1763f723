//! Cipher suites, key exchange groups and the TLS 1.2 key schedule.
//!
//! Turns two ephemeral keys and the handshake's hash into record keys, Finished values and SRTP
//! keying material. Only ECDHE with AES-GCM: what every WebRTC peer must have (RFC 8827), and
//! nothing that needs a MAC or padding of its own. RFC 5246, RFC 5289, RFC 5705, RFC 5764,
//! RFC 7627, RFC 8422.

use aws_lc_rs::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey};
use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::tls_prf::{self, Secret};
use str0m::crypto::dtls::{KeyingMaterial, SrtpProfile};

use super::certificate::Authentication;
use super::failure::Failure;
use super::record::{self, Protection};

/// A cipher suite.
#[derive(Debug)]
pub(super) struct Suite {
    pub(super) number: u16,
    pub(super) authentication: Authentication,
    hash: Hash,
    key_len: usize,
}

#[derive(Clone, Copy, Debug)]
enum Hash {
    Sha256,
    Sha384,
}

/// Our suites, best first. They protect the handshake and data channels only; AES-128 with
/// SHA-256 is the one that all must implement and costs least.
pub(super) static SUITES: [Suite; 4] = [
    // TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
    Suite {
        number: 0xc02b,
        authentication: Authentication::Ecdsa,
        hash: Hash::Sha256,
        key_len: 16,
    },
    // TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    Suite {
        number: 0xc02f,
        authentication: Authentication::Rsa,
        hash: Hash::Sha256,
        key_len: 16,
    },
    // TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
    Suite {
        number: 0xc02c,
        authentication: Authentication::Ecdsa,
        hash: Hash::Sha384,
        key_len: 32,
    },
    // TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
    Suite {
        number: 0xc030,
        authentication: Authentication::Rsa,
        hash: Hash::Sha384,
        key_len: 32,
    },
];

impl Suite {
    pub(super) fn by_number(number: u16) -> Option<&'static Self> {
        SUITES.iter().find(|suite| suite.number == number)
    }

    fn digest(&self, data: &[u8]) -> digest::Digest {
        let algorithm = match self.hash {
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha384 => &digest::SHA384,
        };
        digest::digest(algorithm, data)
    }

    fn prf(&self, secret: &[u8], label: &[u8], seed: &[u8], len: usize) -> Result<Secret, Failure> {
        let algorithm = match self.hash {
            Hash::Sha256 => &tls_prf::P_SHA256,
            Hash::Sha384 => &tls_prf::P_SHA384,
        };
        Secret::new(algorithm, secret)
            .and_then(|secret| secret.derive(label, seed, len))
            .map_err(|_| Failure::Crypto("key derivation"))
    }
}

/// A key exchange group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    X25519,
    P256,
    P384,
}

/// Our groups, best first.
pub(super) const GROUPS: [Group; 3] = [Group::X25519, Group::P256, Group::P384];

impl Group {
    pub(super) fn number(self) -> u16 {
        match self {
            Self::X25519 => 29,
            Self::P256 => 23,
            Self::P384 => 24,
        }
    }

    pub(super) fn by_number(number: u16) -> Option<Self> {
        GROUPS.into_iter().find(|group| group.number() == number)
    }

    /// Whether `public_key` has the one form that is allowed on the wire: 32 bytes of X25519, an
    /// uncompressed point else (RFC 8422, section 5.4.1). The backend reads more forms than that;
    /// that the point is on the curve and not of small order is the backend's to check.
    fn is_well_formed(self, public_key: &[u8]) -> bool {
        match self {
            Self::X25519 => public_key.len() == 32,
            Self::P256 => is_uncompressed_point(public_key, 32),
            Self::P384 => is_uncompressed_point(public_key, 48),
        }
    }

    fn algorithm(self) -> &'static agreement::Algorithm {
        match self {
            Self::X25519 => &agreement::X25519,
            Self::P256 => &agreement::ECDH_P256,
            Self::P384 => &agreement::ECDH_P384,
        }
    }
}

/// Whether `bytes` look like an uncompressed point on a curve over a field of `field_len` bytes.
pub(super) fn is_uncompressed_point(bytes: &[u8], field_len: usize) -> bool {
    bytes.len() == 1 + 2 * field_len && bytes.first() == Some(&4)
}

/// Our half of the key exchange, used once.
pub(super) struct KeyExchange {
    group: Group,
    private_key: EphemeralPrivateKey,
    public_key: agreement::PublicKey,
}

impl KeyExchange {
    pub(super) fn generate(group: Group) -> Result<Self, Failure> {
        let failed = |_| Failure::Crypto("ephemeral key");
        let private_key = EphemeralPrivateKey::generate(group.algorithm(), &SystemRandom::new())
            .map_err(failed)?;
        let public_key = private_key.compute_public_key().map_err(failed)?;
        Ok(Self {
            group,
            private_key,
            public_key,
        })
    }

    pub(super) fn group(&self) -> Group {
        self.group
    }

    pub(super) fn public_key(&self) -> &[u8] {
        self.public_key.as_ref()
    }

    /// Combines both halves into the session's secrets. `transcript` is every handshake message
    /// up to and including ClientKeyExchange.
    pub(super) fn complete(
        self,
        peer_key: &[u8],
        suite: &'static Suite,
        transcript: &[u8],
        randoms: &Randoms,
    ) -> Result<Secrets, Failure> {
        if !self.group.is_well_formed(peer_key) {
            return Err(Failure::BadPublicKey);
        }
        let session_hash = suite.digest(transcript);
        let peer_key = UnparsedPublicKey::new(self.group.algorithm(), peer_key);
        let master = agreement::agree_ephemeral(
            self.private_key,
            peer_key,
            Failure::BadPublicKey,
            |shared| suite.prf(shared, b"extended master secret", session_hash.as_ref(), 48),
        )?;
        Ok(Secrets {
            suite,
            master,
            randoms: randoms.clone(),
        })
    }
}

/// The hellos' random values.
#[derive(Clone, Debug, Default)]
pub(super) struct Randoms {
    pub(super) client: [u8; 32],
    pub(super) server: [u8; 32],
}

impl Randoms {
    pub(super) fn client_then_server(&self) -> [u8; 64] {
        concat(&self.client, &self.server)
    }
}

fn concat(first: &[u8; 32], second: &[u8; 32]) -> [u8; 64] {
    let mut both = [0; 64];
    both[..32].copy_from_slice(first);
    both[32..].copy_from_slice(second);
    both
}

/// Which end of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Server,
}

/// Record keys, one per direction.
pub(super) struct RecordKeys {
    pub(super) client: Protection,
    pub(super) server: Protection,
}

/// The master secret and what derives from it. Wiped when dropped.
pub(super) struct Secrets {
    suite: &'static Suite,
    master: Secret,
    randoms: Randoms,
}

impl Secrets {
    pub(super) fn record_keys(&self) -> Result<RecordKeys, Failure> {
        let key_len = self.suite.key_len;
        let seed = concat(&self.randoms.server, &self.randoms.client);
        let len = 2 * (key_len + record::FIXED_NONCE_LEN);
        let block = self
            .suite
            .prf(self.master.as_ref(), b"key expansion", &seed, len)?;
        let (keys, nonces) = block.as_ref().split_at(2 * key_len);
        let (client_key, server_key) = keys.split_at(key_len);
        let (client_nonce, server_nonce) = nonces.split_at(record::FIXED_NONCE_LEN);
        Ok(RecordKeys {
            client: Protection::new(client_key, client_nonce)?,
            server: Protection::new(server_key, server_nonce)?,
        })
    }

    /// What `sender` puts into its Finished after the messages in `transcript`.
    pub(super) fn finished(&self, sender: Role, transcript: &[u8]) -> Result<[u8; 12], Failure> {
        let label: &[u8] = match sender {
            Role::Client => b"client finished",
            Role::Server => b"server finished",
        };
        let hash = self.suite.digest(transcript);
        let value = self
            .suite
            .prf(self.master.as_ref(), label, hash.as_ref(), 12)?;
        value.try_into().map_err(|_| Failure::Crypto("Finished"))
    }

    /// SRTP master keys and salts in the order of RFC 5764 section 4.2.
    pub(super) fn srtp_keying_material(
        &self,
        profile: SrtpProfile,
    ) -> Result<KeyingMaterial, Failure> {
        let seed = self.randoms.client_then_server();
        let len = profile.keying_material_len();
        let material = self
            .suite
            .prf(self.master.as_ref(), b"EXTRACTOR-dtls_srtp", &seed, len)?;
        Ok(KeyingMaterial::new(material.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(group: Group, peer_key: &[u8]) -> Result<Secrets, Failure> {
        let exchange = KeyExchange::generate(group).expect("a key");
        exchange.complete(peer_key, &SUITES[0], b"", &Randoms::default())
    }

    fn public_key(group: Group) -> Vec<u8> {
        let exchange = KeyExchange::generate(group).expect("a key");
        exchange.public_key().to_vec()
    }

    /// The head of a SubjectPublicKeyInfo of X25519 and of P-256, up to the key itself.
    const X25519_INFO: &[u8] = &[
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x03, 0x21, 0x00,
    ];
    const P256_INFO: &[u8] = &[
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
        0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];

    #[test]
    fn a_peers_key_comes_in_the_form_of_the_wire_only() {
        for group in GROUPS {
            assert!(complete(group, &public_key(group)).is_ok());
            assert!(complete(group, &[]).is_err());
            assert!(complete(group, &public_key(group)[1..]).is_err());
        }
        // Forms that the backend takes: wrapped as in a certificate, compressed, hybrid.
        let x25519 = [X25519_INFO, &public_key(Group::X25519)].concat();
        assert!(complete(Group::X25519, &x25519).is_err());
        let p256 = public_key(Group::P256);
        assert!(complete(Group::P256, &[P256_INFO, &p256].concat()).is_err());
        let parity = p256[64] & 1;
        let compressed = [&[2 + parity], &p256[1..33]].concat();
        assert!(complete(Group::P256, &compressed).is_err());
        let hybrid = [&[6 + parity], &p256[1..]].concat();
        assert!(complete(Group::P256, &hybrid).is_err());
    }

    #[test]
    fn a_peers_key_that_would_fix_the_secret_is_refused() {
        // Points of small order, whose shared secret is zero whoever computes it.
        for first in [0, 1] {
            let mut point = [0; 32];
            point[0] = first;
            let result = complete(Group::X25519, &point);
            assert_eq!(result.err(), Some(Failure::BadPublicKey));
        }
        // A point that is not on the curve.
        let mut point = public_key(Group::P256);
        point[64] ^= 1;
        let result = complete(Group::P256, &point);
        assert_eq!(result.err(), Some(Failure::BadPublicKey));
    }
}
