//! Certificates: the key inside a peer's, and our own with the key that signs for it.
//!
//! A certificate is never validated here beyond finding its key: peers are authenticated by the
//! fingerprint in their SDP (RFC 8827), which str0m compares. ECDSA and RSA keys are accepted,
//! because OpenSSL-based peers such as GStreamer present RSA. RFC 5280, RFC 5480, RFC 8017.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair as _, RsaKeyPair, VerificationAlgorithm};

use super::failure::Failure;
use super::secrets::is_uncompressed_point;
use super::wire::{self, Reader};

/// How a certificate's key signs, which decides the cipher suites it fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Authentication {
    Ecdsa,
    Rsa,
}

/// TLS signature schemes, RFC 8446 section 4.2.3. In DTLS 1.2 an ECDSA scheme names only the
/// hash; the curve is the certificate's.
pub(super) mod scheme {
    pub(in super::super) const ECDSA_SHA256: u16 = 0x0403;
    pub(in super::super) const ECDSA_SHA384: u16 = 0x0503;
    pub(in super::super) const ECDSA_SHA512: u16 = 0x0603;
    pub(in super::super) const RSA_PSS_SHA256: u16 = 0x0804;
    pub(in super::super) const RSA_PSS_SHA384: u16 = 0x0805;
    pub(in super::super) const RSA_PSS_SHA512: u16 = 0x0806;
    pub(in super::super) const RSA_PKCS1_SHA256: u16 = 0x0401;
    pub(in super::super) const RSA_PKCS1_SHA384: u16 = 0x0501;
    pub(in super::super) const RSA_PKCS1_SHA512: u16 = 0x0601;
}

/// Every scheme that [`PublicKey::verify`] knows, in the order we offer them.
pub(super) const SCHEMES: [u16; 9] = [
    scheme::ECDSA_SHA256,
    scheme::ECDSA_SHA384,
    scheme::ECDSA_SHA512,
    scheme::RSA_PSS_SHA256,
    scheme::RSA_PSS_SHA384,
    scheme::RSA_PSS_SHA512,
    scheme::RSA_PKCS1_SHA256,
    scheme::RSA_PKCS1_SHA384,
    scheme::RSA_PKCS1_SHA512,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyKind {
    P256,
    P384,
    P521,
    Rsa,
}

/// A peer's key, as its certificate carries it.
#[derive(Clone, Debug)]
pub(super) struct PublicKey {
    kind: KeyKind,
    /// An uncompressed point, or an RSAPublicKey in DER.
    bytes: Vec<u8>,
}

impl PublicKey {
    /// Finds the key in an X.509 certificate in DER.
    pub(super) fn from_certificate(der: &[u8]) -> Result<Self, Failure> {
        parse_key(der).ok_or(Failure::BadCertificate)
    }

    pub(super) fn authentication(&self) -> Authentication {
        match self.kind {
            KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => Authentication::Ecdsa,
            KeyKind::Rsa => Authentication::Rsa,
        }
    }

    /// Whether `signature` over `message` is this key's. False for a scheme that is not in
    /// [`SCHEMES`] or does not fit the key.
    pub(super) fn verify(&self, message: &[u8], signature: wire::Signature<'_>) -> bool {
        use KeyKind::{P256, P384, P521, Rsa};
        let algorithm: &'static dyn VerificationAlgorithm = match (self.kind, signature.scheme) {
            (P256, scheme::ECDSA_SHA256) => &signature::ECDSA_P256_SHA256_ASN1,
            (P256, scheme::ECDSA_SHA384) => &signature::ECDSA_P256_SHA384_ASN1,
            (P256, scheme::ECDSA_SHA512) => &signature::ECDSA_P256_SHA512_ASN1,
            (P384, scheme::ECDSA_SHA256) => &signature::ECDSA_P384_SHA256_ASN1,
            (P384, scheme::ECDSA_SHA384) => &signature::ECDSA_P384_SHA384_ASN1,
            (P384, scheme::ECDSA_SHA512) => &signature::ECDSA_P384_SHA512_ASN1,
            (P521, scheme::ECDSA_SHA256) => &signature::ECDSA_P521_SHA256_ASN1,
            (P521, scheme::ECDSA_SHA384) => &signature::ECDSA_P521_SHA384_ASN1,
            (P521, scheme::ECDSA_SHA512) => &signature::ECDSA_P521_SHA512_ASN1,
            (Rsa, scheme::RSA_PSS_SHA256) => &signature::RSA_PSS_2048_8192_SHA256,
            (Rsa, scheme::RSA_PSS_SHA384) => &signature::RSA_PSS_2048_8192_SHA384,
            (Rsa, scheme::RSA_PSS_SHA512) => &signature::RSA_PSS_2048_8192_SHA512,
            (Rsa, scheme::RSA_PKCS1_SHA256) => &signature::RSA_PKCS1_2048_8192_SHA256,
            (Rsa, scheme::RSA_PKCS1_SHA384) => &signature::RSA_PKCS1_2048_8192_SHA384,
            (Rsa, scheme::RSA_PKCS1_SHA512) => &signature::RSA_PKCS1_2048_8192_SHA512,
            _ => return false,
        };
        algorithm
            .verify_sig(&self.bytes, message, signature.bytes)
            .is_ok()
    }
}

mod der {
    pub(super) const INTEGER: u8 = 0x02;
    pub(super) const BIT_STRING: u8 = 0x03;
    pub(super) const OID: u8 = 0x06;
    pub(super) const SEQUENCE: u8 = 0x30;
    /// The explicit tag around a certificate's version.
    pub(super) const VERSION: u8 = 0xa0;
}

/// RSA keys that are neither weak nor a waste of our time.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

const OID_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const OID_EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const OID_P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const OID_P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const OID_P521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];

/// One DER element: its tag and its contents. Lengths above four bytes are refused.
fn element<'a>(reader: &mut Reader<'a>) -> Option<(u8, &'a [u8])> {
    let tag = reader.u8()?;
    let contents = match reader.u8()? {
        short @ 0..=0x7f => reader.take(usize::from(short))?,
        long @ 0x81..=0x84 => reader.vector(usize::from(long & 0x7f))?,
        _ => return None,
    };
    Some((tag, contents))
}

fn expect<'a>(reader: &mut Reader<'a>, wanted: u8) -> Option<&'a [u8]> {
    element(reader).and_then(|(tag, contents)| (tag == wanted).then_some(contents))
}

fn parse_key(der: &[u8]) -> Option<PublicKey> {
    let mut certificate = Reader::new(expect(&mut Reader::new(der), der::SEQUENCE)?);
    let mut body = Reader::new(expect(&mut certificate, der::SEQUENCE)?);
    let (tag, _) = element(&mut body)?;
    if tag == der::VERSION {
        expect(&mut body, der::INTEGER)?;
    }
    // Signature algorithm, issuer, validity, subject.
    for _ in 0..4 {
        expect(&mut body, der::SEQUENCE)?;
    }
    let mut info = Reader::new(expect(&mut body, der::SEQUENCE)?);
    let mut algorithm = Reader::new(expect(&mut info, der::SEQUENCE)?);
    let kind = match expect(&mut algorithm, der::OID)? {
        OID_RSA => KeyKind::Rsa,
        OID_EC => match expect(&mut algorithm, der::OID)? {
            OID_P256 => KeyKind::P256,
            OID_P384 => KeyKind::P384,
            OID_P521 => KeyKind::P521,
            _ => return None,
        },
        _ => return None,
    };
    // The first byte of a bit string counts the unused bits at its end: none in a key.
    let (0, bytes) = expect(&mut info, der::BIT_STRING)?.split_first()? else {
        return None;
    };
    // The backend reads more forms than these; a certificate has no use for them.
    let is_usable = match kind {
        KeyKind::P256 => is_uncompressed_point(bytes, 32),
        KeyKind::P384 => is_uncompressed_point(bytes, 48),
        KeyKind::P521 => is_uncompressed_point(bytes, 66),
        KeyKind::Rsa => RSA_BITS.contains(&rsa_bits(bytes)?),
    };
    is_usable.then_some(PublicKey {
        kind,
        bytes: bytes.to_vec(),
    })
}

/// The length of the modulus in an RSAPublicKey, in bits.
fn rsa_bits(der: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(der);
    let mut key = Reader::new(expect(&mut reader, der::SEQUENCE)?);
    let modulus = expect(&mut key, der::INTEGER)?;
    let _exponent = expect(&mut key, der::INTEGER)?;
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let first = modulus.get(zeros)?;
    let bits = 8 * (modulus.len() - zeros) - first.leading_zeros() as usize;
    (reader.is_empty() && key.is_empty()).then_some(bits)
}

enum SigningKey {
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// Our certificate and the key that signs for it.
pub(super) struct Identity {
    certificate: Vec<u8>,
    key: SigningKey,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("authentication", &self.authentication())
            .finish()
    }
}

impl Identity {
    /// Takes a certificate in DER and its key in PKCS#8, ECDSA P-256 or RSA. `None` when the key
    /// is neither, or is not the certificate's.
    pub(super) fn new(certificate: &[u8], private_key: &[u8]) -> Option<Self> {
        let p256 = &signature::ECDSA_P256_SHA256_ASN1_SIGNING;
        let (key, public) = if let Ok(key) = EcdsaKeyPair::from_pkcs8(p256, private_key) {
            let public = key.public_key().as_ref().to_vec();
            (SigningKey::P256(key), public)
        } else {
            let key = RsaKeyPair::from_pkcs8(private_key).ok()?;
            let public = key.public_key().as_ref().to_vec();
            (SigningKey::Rsa(key), public)
        };
        let certified = PublicKey::from_certificate(certificate).ok()?;
        (certified.bytes == public).then(|| Self {
            certificate: certificate.to_vec(),
            key,
        })
    }

    /// The certificate in DER.
    pub(super) fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    pub(super) fn authentication(&self) -> Authentication {
        match self.key {
            SigningKey::P256(_) => Authentication::Ecdsa,
            SigningKey::Rsa(_) => Authentication::Rsa,
        }
    }

    /// The scheme to sign with for a peer that accepts `accepted` (16 bits each); a peer that
    /// says nothing gets our first choice.
    pub(super) fn scheme(&self, accepted: Option<&[u8]>) -> Option<u16> {
        let ours: &[u16] = match self.key {
            SigningKey::P256(_) => &[scheme::ECDSA_SHA256],
            SigningKey::Rsa(_) => &[scheme::RSA_PSS_SHA256, scheme::RSA_PKCS1_SHA256],
        };
        let is_accepted = |scheme: &u16| {
            accepted.is_none_or(|list| wire::u16s(list).any(|offered| offered == *scheme))
        };
        ours.iter().copied().find(is_accepted)
    }

    /// Signs `message` by a scheme that [`Identity::scheme`] gave.
    pub(super) fn sign(&self, scheme: u16, message: &[u8]) -> Result<Vec<u8>, Failure> {
        let failed = |_| Failure::Crypto("signing");
        match &self.key {
            SigningKey::P256(key) => {
                let signed = key.sign(&SystemRandom::new(), message).map_err(failed)?;
                Ok(signed.as_ref().to_vec())
            }
            SigningKey::Rsa(key) => {
                let padding = match scheme {
                    scheme::RSA_PKCS1_SHA256 => &signature::RSA_PKCS1_SHA256,
                    _ => &signature::RSA_PSS_SHA256,
                };
                let mut signed = vec![0; key.public_modulus_len()];
                key.sign(padding, &SystemRandom::new(), message, &mut signed)
                    .map_err(failed)?;
                Ok(signed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let contents = parts.concat();
        let [high, low] = (contents.len() as u16).to_be_bytes();
        [&[tag, 0x82, high, low][..], &contents].concat()
    }

    /// A certificate with nothing in it but its key, of an algorithm with these object ids.
    fn certificate(algorithm: &[&[u8]], key: &[u8]) -> Vec<u8> {
        let ids: Vec<Vec<u8>> = algorithm.iter().map(|id| tlv(der::OID, &[id])).collect();
        let ids: Vec<&[u8]> = ids.iter().map(Vec::as_slice).collect();
        let info = tlv(
            der::SEQUENCE,
            &[
                &tlv(der::SEQUENCE, &ids),
                &tlv(der::BIT_STRING, &[&[0], key]),
            ],
        );
        let empty = tlv(der::SEQUENCE, &[]);
        let serial = tlv(der::INTEGER, &[&[1]]);
        let body = [&serial[..], &empty, &empty, &empty, &empty, &info];
        tlv(der::SEQUENCE, &[&tlv(der::SEQUENCE, &body)])
    }

    fn rsa_key(bits: usize) -> Vec<u8> {
        let mut modulus = vec![0; bits.div_ceil(8)];
        modulus[0] = 1 << ((bits - 1) % 8);
        let modulus = tlv(der::INTEGER, &[&[0], &modulus]);
        tlv(
            der::SEQUENCE,
            &[&modulus, &tlv(der::INTEGER, &[&[1, 0, 1]])],
        )
    }

    #[test]
    fn rsa_keys_that_are_weak_or_huge_are_no_keys() {
        let parse = |bits| PublicKey::from_certificate(&certificate(&[OID_RSA], &rsa_key(bits)));
        for bits in [2048, 3072, 4096, 8192] {
            assert!(parse(bits).is_ok(), "{bits}");
        }
        for bits in [1, 512, 1024, 2047, 8193, 16384] {
            assert_eq!(parse(bits).err(), Some(Failure::BadCertificate), "{bits}");
        }
    }

    #[test]
    fn keys_come_in_one_form() {
        let parse = |algorithm: &[&[u8]], key: &[u8]| {
            PublicKey::from_certificate(&certificate(algorithm, key)).is_ok()
        };
        let p256 = |first: u8, len: usize| {
            let key = [&[first][..], &vec![7; len]].concat();
            parse(&[OID_EC, OID_P256], &key)
        };
        assert!(p256(4, 64));
        assert!(!p256(2, 32) && !p256(6, 64) && !p256(4, 63) && !p256(4, 96));
        assert!(parse(&[OID_EC, OID_P521], &[4; 133]));
        assert!(!parse(&[OID_EC], &[4; 65]), "a curve without a name");
        // An RSA key wrapped once more, as a whole SubjectPublicKeyInfo.
        let key = rsa_key(2048);
        let wrapped = tlv(
            der::SEQUENCE,
            &[
                &tlv(der::SEQUENCE, &[&tlv(der::OID, &[OID_RSA])]),
                &tlv(der::BIT_STRING, &[&[0], &key]),
            ],
        );
        assert!(!parse(&[OID_RSA], &wrapped));
        assert!(!parse(&[OID_RSA], &[&key[..], &[0]].concat()), "a tail");
    }
}
