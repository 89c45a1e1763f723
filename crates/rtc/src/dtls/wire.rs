//! The bytes of DTLS 1.2 handshake messages: a bounded reader, a writer for nested vectors, and
//! the messages that both roles read.
//!
//! Owns no state and decides nothing: a message that does not parse is `None`, and the caller says
//! what that means. RFC 6347 (DTLS 1.2), RFC 5246 (TLS 1.2), RFC 8422 (elliptic curves), RFC 5764
//! (`use_srtp`), RFC 7627 (extended master secret), RFC 5746 (renegotiation indication).

use str0m::crypto::dtls::SrtpProfile;

/// DTLS 1.2 as it is written on the wire.
pub(super) const VERSION: u16 = 0xfefd;

/// Length of a handshake message's header, fragment fields included.
pub(super) const HANDSHAKE_HEADER_LEN: usize = 12;

/// Record content types.
pub(super) mod content {
    pub(in super::super) const CHANGE_CIPHER_SPEC: u8 = 20;
    pub(in super::super) const ALERT: u8 = 21;
    pub(in super::super) const HANDSHAKE: u8 = 22;
    pub(in super::super) const APPLICATION_DATA: u8 = 23;
}

/// Handshake message types.
pub(super) mod message {
    pub(in super::super) const CLIENT_HELLO: u8 = 1;
    pub(in super::super) const SERVER_HELLO: u8 = 2;
    pub(in super::super) const HELLO_VERIFY_REQUEST: u8 = 3;
    pub(in super::super) const CERTIFICATE: u8 = 11;
    pub(in super::super) const SERVER_KEY_EXCHANGE: u8 = 12;
    pub(in super::super) const CERTIFICATE_REQUEST: u8 = 13;
    pub(in super::super) const SERVER_HELLO_DONE: u8 = 14;
    pub(in super::super) const CERTIFICATE_VERIFY: u8 = 15;
    pub(in super::super) const CLIENT_KEY_EXCHANGE: u8 = 16;
    pub(in super::super) const FINISHED: u8 = 20;
}

/// Hello extension numbers.
pub(super) mod extension {
    pub(in super::super) const SUPPORTED_GROUPS: u16 = 10;
    pub(in super::super) const EC_POINT_FORMATS: u16 = 11;
    pub(in super::super) const SIGNATURE_ALGORITHMS: u16 = 13;
    pub(in super::super) const USE_SRTP: u16 = 14;
    pub(in super::super) const EXTENDED_MASTER_SECRET: u16 = 23;
    pub(in super::super) const RENEGOTIATION_INFO: u16 = 0xff01;
}

/// The suite number by which a client signals secure renegotiation instead of the extension.
pub(super) const RENEGOTIATION_SCSV: u16 = 0x00ff;

/// A cursor over untrusted bytes; every read is checked, none panics.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(head)
    }

    fn uint(&mut self, len: usize) -> Option<u64> {
        let bytes = self.take(len)?;
        Some(
            bytes
                .iter()
                .fold(0, |value, byte| value << 8 | u64::from(*byte)),
        )
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.uint(1).map(|v| v as u8)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.uint(2).map(|v| v as u16)
    }

    pub(super) fn u24(&mut self) -> Option<usize> {
        self.uint(3).map(|v| v as usize)
    }

    pub(super) fn u48(&mut self) -> Option<u64> {
        self.uint(6)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// A vector whose length is written in `width` bytes before it.
    pub(super) fn vector(&mut self, width: usize) -> Option<&'a [u8]> {
        let len = usize::try_from(self.uint(width)?).ok()?;
        self.take(len)
    }
}

/// The 16-bit numbers in `bytes`.
pub(super) fn u16s(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    bytes
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}

pub(super) fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Writes a vector preceded by its length in `width` bytes (1 to 3).
pub(super) fn put_vector(out: &mut Vec<u8>, width: usize, fill: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.resize(at + width, 0);
    fill(out);
    let len = out.len() - at - width;
    debug_assert!(
        len < 1 << (8 * width),
        "what we write fits its length field"
    );
    let encoded = (len as u32).to_be_bytes();
    out[at..at + width].copy_from_slice(&encoded[4 - width..]);
}

pub(super) fn put_extension(out: &mut Vec<u8>, number: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    put_u16(out, number);
    put_vector(out, 2, fill);
}

/// A handshake message's header, for a message or for one fragment of it.
pub(super) fn put_handshake_header(
    out: &mut Vec<u8>,
    kind: u8,
    sequence: u16,
    len: usize,
    fragment: std::ops::Range<usize>,
) {
    let u24 = |value: usize| -> [u8; 3] {
        let [_, a, b, c] = (value as u32).to_be_bytes();
        [a, b, c]
    };
    out.push(kind);
    out.extend_from_slice(&u24(len));
    put_u16(out, sequence);
    out.extend_from_slice(&u24(fragment.start));
    out.extend_from_slice(&u24(fragment.len()));
}

/// What of a hello's extensions matters here; everything else is skipped.
#[derive(Debug, Default)]
pub(super) struct Extensions<'a> {
    /// Key exchange groups, 16 bits each.
    pub(super) groups: Option<&'a [u8]>,
    /// Signature schemes, 16 bits each.
    pub(super) schemes: Option<&'a [u8]>,
    /// SRTP profiles, 16 bits each.
    pub(super) srtp: Option<&'a [u8]>,
    /// The identifier that every SRTP packet would carry; empty when there is none.
    pub(super) srtp_mki: &'a [u8],
    pub(super) extended_master_secret: bool,
    pub(super) renegotiation_info: bool,
    pub(super) point_formats: bool,
}

impl<'a> Extensions<'a> {
    fn parse(reader: &mut Reader<'a>) -> Option<Self> {
        let mut found = Self::default();
        if reader.is_empty() {
            return Some(found);
        }
        let mut list = Reader::new(reader.vector(2)?);
        while !list.is_empty() {
            let number = list.u16()?;
            let mut body = Reader::new(list.vector(2)?);
            match number {
                extension::SUPPORTED_GROUPS => found.groups = Some(body.vector(2)?),
                extension::SIGNATURE_ALGORITHMS => found.schemes = Some(body.vector(2)?),
                extension::USE_SRTP => {
                    found.srtp = Some(body.vector(2)?);
                    found.srtp_mki = body.vector(1)?;
                }
                extension::EXTENDED_MASTER_SECRET => found.extended_master_secret = true,
                // In a first handshake there is nothing to renegotiate: the value is empty.
                extension::RENEGOTIATION_INFO => {
                    if !body.vector(1)?.is_empty() {
                        return None;
                    }
                    found.renegotiation_info = true;
                }
                extension::EC_POINT_FORMATS => found.point_formats = true,
                _ => {}
            }
        }
        Some(found)
    }
}

#[derive(Debug)]
pub(super) struct ClientHello<'a> {
    pub(super) version: u16,
    pub(super) random: [u8; 32],
    /// Cipher suites, 16 bits each.
    pub(super) suites: &'a [u8],
    pub(super) offers_null_compression: bool,
    pub(super) extensions: Extensions<'a>,
}

impl<'a> ClientHello<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let version = reader.u16()?;
        let random = reader.array()?;
        let _session = reader.vector(1)?;
        let _cookie = reader.vector(1)?;
        let suites = reader.vector(2)?;
        let compressions = reader.vector(1)?;
        let extensions = Extensions::parse(&mut reader)?;
        reader.is_empty().then_some(Self {
            version,
            random,
            suites,
            offers_null_compression: compressions.contains(&0),
            extensions,
        })
    }
}

#[derive(Debug)]
pub(super) struct ServerHello<'a> {
    pub(super) version: u16,
    pub(super) random: [u8; 32],
    pub(super) suite: u16,
    pub(super) compression: u8,
    pub(super) extensions: Extensions<'a>,
}

impl<'a> ServerHello<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let version = reader.u16()?;
        let random = reader.array()?;
        let _session = reader.vector(1)?;
        let suite = reader.u16()?;
        let compression = reader.u8()?;
        let extensions = Extensions::parse(&mut reader)?;
        reader.is_empty().then_some(Self {
            version,
            random,
            suite,
            compression,
            extensions,
        })
    }
}

/// The cookie of a HelloVerifyRequest.
pub(super) fn parse_hello_verify_request(body: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(body);
    let _version = reader.u16()?;
    let cookie = reader.vector(1)?;
    reader.is_empty().then_some(cookie)
}

/// The leaf of a Certificate message: `Some(None)` when the list is empty.
pub(super) fn parse_certificate(body: &[u8]) -> Option<Option<&[u8]>> {
    let mut reader = Reader::new(body);
    let mut list = Reader::new(reader.vector(3)?);
    if !reader.is_empty() {
        return None;
    }
    let mut leaf = None;
    while !list.is_empty() {
        let certificate = list.vector(3)?;
        leaf = leaf.or(Some(certificate));
    }
    Some(leaf)
}

/// An ephemeral key signed by the server.
#[derive(Debug)]
pub(super) struct ServerKeyExchange<'a> {
    pub(super) group: u16,
    pub(super) public_key: &'a [u8],
    /// The part of the message that the signature covers.
    pub(super) parameters: &'a [u8],
    pub(super) signature: Signature<'a>,
}

impl<'a> ServerKeyExchange<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        if reader.u8()? != NAMED_CURVE {
            return None;
        }
        let group = reader.u16()?;
        let public_key = reader.vector(1)?;
        let parameters = body.get(..4 + public_key.len())?;
        let signature = Signature::read(&mut reader)?;
        reader.is_empty().then_some(Self {
            group,
            public_key,
            parameters,
            signature,
        })
    }
}

const NAMED_CURVE: u8 = 3;

/// The parameters that a server signs: its ephemeral key and the group it is in.
pub(super) fn put_key_exchange_parameters(out: &mut Vec<u8>, group: u16, public_key: &[u8]) {
    out.push(NAMED_CURVE);
    put_u16(out, group);
    put_vector(out, 1, |out| out.extend_from_slice(public_key));
}

/// A signature with the scheme it was made by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signature<'a> {
    pub(super) scheme: u16,
    pub(super) bytes: &'a [u8],
}

impl<'a> Signature<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        Some(Self {
            scheme: reader.u16()?,
            bytes: reader.vector(2)?,
        })
    }

    /// The body of a CertificateVerify.
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let signature = Self::read(&mut reader)?;
        reader.is_empty().then_some(signature)
    }
}

pub(super) fn put_signature(out: &mut Vec<u8>, scheme: u16, signature: &[u8]) {
    put_u16(out, scheme);
    put_vector(out, 2, |out| out.extend_from_slice(signature));
}

/// The signature schemes that a CertificateRequest accepts, 16 bits each.
pub(super) fn parse_certificate_request(body: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(body);
    let _kinds = reader.vector(1)?;
    let schemes = reader.vector(2)?;
    let _authorities = reader.vector(2)?;
    reader.is_empty().then_some(schemes)
}

/// The public key of a ClientKeyExchange.
pub(super) fn parse_client_key_exchange(body: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(body);
    let public_key = reader.vector(1)?;
    reader.is_empty().then_some(public_key)
}

/// SRTP profiles with their numbers, best first: AES-GCM costs a fifth of what AES-CM with
/// HMAC-SHA1 does, and every browser offers AES-256-GCM.
pub(super) const SRTP_PROFILES: [(u16, SrtpProfile); 3] = [
    (0x0008, SrtpProfile::AEAD_AES_256_GCM),
    (0x0007, SrtpProfile::AEAD_AES_128_GCM),
    (0x0001, SrtpProfile::AES128_CM_SHA1_80),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_nest_and_read_back() {
        let mut out = Vec::new();
        put_vector(&mut out, 3, |out| {
            put_vector(out, 1, |out| out.extend_from_slice(b"ab"));
            put_u16(out, 0x1234);
        });
        assert_eq!(out, [0, 0, 5, 2, b'a', b'b', 0x12, 0x34]);
        let mut reader = Reader::new(&out);
        let mut inner = Reader::new(reader.vector(3).expect("whole"));
        assert_eq!(inner.vector(1), Some(&b"ab"[..]));
        assert_eq!(inner.u16(), Some(0x1234));
        assert!(inner.is_empty() && reader.is_empty());
    }

    #[test]
    fn reads_past_the_end_are_refused() {
        assert_eq!(Reader::new(&[0, 5, 1]).vector(2), None);
        assert_eq!(Reader::new(&[1]).u16(), None);
        assert_eq!(Reader::new(&[0; 31]).array::<32>(), None);
        assert!(ClientHello::parse(&[0xfe, 0xfd]).is_none());
        assert!(ServerKeyExchange::parse(&[3, 0, 29, 32]).is_none());
        assert!(parse_certificate(&[0, 0, 3, 0, 0, 9]).is_none());
    }
}
