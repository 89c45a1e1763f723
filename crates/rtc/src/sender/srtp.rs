//! SRTP and SRTCP for what we send and for the reports that come back.
//!
//! Owns keys and packet indices; never chooses what is sent. Profiles: AEAD_AES_256_GCM and
//! AEAD_AES_128_GCM (RFC 7714), and AES_CM_128_HMAC_SHA1_80 (RFC 3711) for clients that know
//! nothing newer. A packet is sealed in place, where it leaves from.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use str0m::crypto::dtls::SrtpProfile;

/// Authentication tag of the GCM profiles.
const GCM_TAG: usize = 16;

/// Authentication tag of the HMAC profile: 80 bits.
const HMAC_TAG: usize = 10;

/// The E flag and index that end an SRTCP packet.
const INDEX: usize = 4;

/// Head of an RTCP packet that stays readable: the first header with its sender.
const RTCP_HEAD: usize = 8;

/// Most that sealing adds to a packet.
pub(crate) const MAX_OVERHEAD: usize = GCM_TAG + INDEX;

/// Master keys of one direction.
struct Master<'a> {
    key: &'a [u8],
    salt: &'a [u8],
}

/// What the DTLS handshake exported, split by direction (RFC 5764, 4.2).
fn split(material: &[u8], profile: SrtpProfile, client: bool) -> Option<Master<'_>> {
    let (key, salt) = match profile {
        SrtpProfile::AEAD_AES_256_GCM => (32, 12),
        SrtpProfile::AEAD_AES_128_GCM => (16, 12),
        SrtpProfile::AES128_CM_SHA1_80 => (16, 14),
        _ => return None,
    };
    let second = usize::from(!client);
    Some(Master {
        key: material.get(second * key..(second + 1) * key)?,
        salt: material.get(2 * key + second * salt..2 * key + (second + 1) * salt)?,
    })
}

/// AES in counter mode over zeros: the key derivation function of RFC 3711, 4.3.3.
fn derive(master: &Master<'_>, label: u8, out: &mut [u8]) -> Option<()> {
    let algorithm = if master.key.len() == 32 {
        &AES_256
    } else {
        &AES_128
    };
    let key = EncryptingKey::ctr(UnboundCipherKey::new(algorithm, master.key).ok()?).ok()?;
    let mut iv = [0; 16];
    iv[..master.salt.len()].copy_from_slice(master.salt);
    iv[7] ^= label;
    out.fill(0);
    key.less_safe_encrypt(out, EncryptionContext::Iv128(FixedLength::from(iv)))
        .ok()?;
    Some(())
}

enum Cipher {
    Gcm { key: LessSafeKey, salt: [u8; 12] },
    Counter(Box<Counter>),
}

/// Keys of the counter mode profile.
struct Counter {
    key: EncryptingKey,
    salt: [u8; 14],
    auth: hmac::Key,
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher")
    }
}

impl Cipher {
    /// Session keys of RTP (`first_label` 0) or RTCP (3).
    fn new(master: &Master<'_>, profile: SrtpProfile, first_label: u8) -> Option<Self> {
        let mut key = [0; 32];
        let key = &mut key[..master.key.len()];
        derive(master, first_label, key)?;
        let mut salt = [0; 14];
        derive(master, first_label + 2, &mut salt[..master.salt.len()])?;
        if profile == SrtpProfile::AES128_CM_SHA1_80 {
            let mut auth = [0; 20];
            derive(master, first_label + 1, &mut auth)?;
            return Some(Self::Counter(Box::new(Counter {
                key: EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, key).ok()?).ok()?,
                salt,
                auth: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &auth),
            })));
        }
        let algorithm = if key.len() == 32 {
            &AES_256_GCM
        } else {
            &AES_128_GCM
        };
        Some(Self::Gcm {
            key: LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?),
            salt: salt[..12].try_into().expect("12 of 14 bytes"),
        })
    }
}

/// Nonce of a GCM profile from the packet's source and its index, which stands in the last six
/// bytes (RFC 7714, 8.1 and 9.1).
fn nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[2..6].copy_from_slice(&ssrc.to_be_bytes());
    bytes[6..].copy_from_slice(&index.to_be_bytes()[2..]);
    for (byte, salt) in bytes.iter_mut().zip(salt) {
        *byte ^= salt;
    }
    Nonce::assume_unique_for_key(bytes)
}

/// Counter block of the counter mode profile (RFC 3711, 4.1.1).
fn counter(salt: &[u8; 14], ssrc: u32, index: u64) -> EncryptionContext {
    let mut bytes = [0; 16];
    bytes[4..8].copy_from_slice(&ssrc.to_be_bytes());
    bytes[8..14].copy_from_slice(&index.to_be_bytes()[2..]);
    for (byte, salt) in bytes.iter_mut().zip(salt) {
        *byte ^= salt;
    }
    EncryptionContext::Iv128(FixedLength::from(bytes))
}

/// Seals what we send.
#[derive(Debug)]
pub(crate) struct Sealer {
    rtp: Cipher,
    rtcp: Cipher,
    rtcp_index: u32,
}

impl Sealer {
    /// Keys of our direction; `client`: we were the DTLS client. `None`: the material does not fit
    /// the profile.
    pub(crate) fn new(material: &[u8], profile: SrtpProfile, client: bool) -> Option<Self> {
        let master = split(material, profile, client)?;
        Some(Self {
            rtp: Cipher::new(&master, profile, 0)?,
            rtcp: Cipher::new(&master, profile, 3)?,
            rtcp_index: 0,
        })
    }

    /// Seals the RTP packet that begins at `start` of `buffer` with a header of `header` bytes.
    ///
    /// `sequence` is extended: what exceeds 16 bits is the rollover counter. The same one must
    /// never stand for two different packets of one source.
    pub(crate) fn rtp(
        &self,
        buffer: &mut Vec<u8>,
        start: usize,
        header: usize,
        ssrc: u32,
        sequence: u64,
    ) {
        match &self.rtp {
            Cipher::Gcm { key, salt } => {
                let (head, body) = buffer[start..].split_at_mut(header);
                let tag = key
                    .seal_in_place_separate_tag(
                        nonce(salt, ssrc, sequence),
                        Aad::from(&*head),
                        body,
                    )
                    .expect("packets are far below the cipher's limit of length");
                buffer.extend_from_slice(tag.as_ref());
            }
            Cipher::Counter(counted) => {
                let Counter { key, salt, auth } = &**counted;
                let body = &mut buffer[start + header..];
                key.less_safe_encrypt(body, counter(salt, ssrc, sequence))
                    .expect("counter mode takes any length");
                let mut context = hmac::Context::with_key(auth);
                context.update(&buffer[start..]);
                context.update(&((sequence >> 16) as u32).to_be_bytes());
                buffer.extend_from_slice(&context.sign().as_ref()[..HMAC_TAG]);
            }
        }
    }

    /// Seals the compound RTCP packet that begins at `start` of `buffer`.
    pub(crate) fn rtcp(&mut self, buffer: &mut Vec<u8>, start: usize) {
        let Some(ssrc) = sender_of(&buffer[start..]) else {
            buffer.truncate(start);
            return;
        };
        let index = self.rtcp_index;
        self.rtcp_index = (self.rtcp_index + 1) & 0x7fff_ffff;
        let trailer = (index | 1 << 31).to_be_bytes();
        match &self.rtcp {
            Cipher::Gcm { key, salt } => {
                let (head, body) = buffer[start..].split_at_mut(RTCP_HEAD);
                let mut aad = [0; RTCP_HEAD + INDEX];
                aad[..RTCP_HEAD].copy_from_slice(head);
                aad[RTCP_HEAD..].copy_from_slice(&trailer);
                let nonce = nonce(salt, ssrc, u64::from(index));
                let tag = key
                    .seal_in_place_separate_tag(nonce, Aad::from(aad), body)
                    .expect("packets are far below the cipher's limit of length");
                buffer.extend_from_slice(tag.as_ref());
                buffer.extend_from_slice(&trailer);
            }
            Cipher::Counter(counted) => {
                let Counter { key, salt, auth } = &**counted;
                let body = &mut buffer[start + RTCP_HEAD..];
                key.less_safe_encrypt(body, counter(salt, ssrc, u64::from(index)))
                    .expect("counter mode takes any length");
                buffer.extend_from_slice(&trailer);
                let tag = hmac::sign(auth, &buffer[start..]);
                buffer.extend_from_slice(&tag.as_ref()[..HMAC_TAG]);
            }
        }
    }
}

/// Opens the reports that the other side sends.
#[derive(Debug)]
pub(crate) struct Opener {
    rtcp: Cipher,
    /// Highest index so far, and which of the 64 below it came (RFC 3711, 3.3.2).
    highest: Option<u32>,
    seen: u64,
}

impl Opener {
    /// Keys of the other direction; `client`: we were the DTLS client.
    pub(crate) fn new(material: &[u8], profile: SrtpProfile, client: bool) -> Option<Self> {
        let master = split(material, profile, !client)?;
        Some(Self {
            rtcp: Cipher::new(&master, profile, 3)?,
            highest: None,
            seen: 0,
        })
    }

    /// The compound packet inside an SRTCP packet, written into `plain`. `false`: it is forged,
    /// damaged or came before.
    pub(crate) fn rtcp(&mut self, packet: &[u8], plain: &mut Vec<u8>) -> bool {
        plain.clear();
        let tag = match self.rtcp {
            Cipher::Gcm { .. } => GCM_TAG,
            Cipher::Counter(_) => HMAC_TAG,
        };
        if packet.len() < RTCP_HEAD + INDEX + tag {
            return false;
        }
        let Some(ssrc) = sender_of(packet) else {
            return false;
        };
        let index_at = match self.rtcp {
            Cipher::Gcm { .. } => packet.len() - INDEX,
            Cipher::Counter(_) => packet.len() - INDEX - HMAC_TAG,
        };
        let trailer: [u8; INDEX] = packet[index_at..index_at + INDEX]
            .try_into()
            .expect("four bytes were cut out");
        let word = u32::from_be_bytes(trailer);
        let (encrypted, index) = (word >> 31 == 1, word & 0x7fff_ffff);
        if !self.is_new(index) {
            return false;
        }
        let opened = match &self.rtcp {
            Cipher::Gcm { key, salt } => {
                // Reports are always encrypted here; one that is not was not made by a browser.
                encrypted && {
                    let mut aad = [0; RTCP_HEAD + INDEX];
                    aad[..RTCP_HEAD].copy_from_slice(&packet[..RTCP_HEAD]);
                    aad[RTCP_HEAD..].copy_from_slice(&trailer);
                    plain.extend_from_slice(&packet[..index_at]);
                    let nonce = nonce(salt, ssrc, u64::from(index));
                    let body = &mut plain[RTCP_HEAD..];
                    let length = key.open_in_place(nonce, Aad::from(aad), body);
                    let length = length.map(|body| body.len());
                    length.is_ok_and(|length| {
                        plain.truncate(RTCP_HEAD + length);
                        true
                    })
                }
            }
            Cipher::Counter(counted) => {
                let Counter { key, salt, auth } = &**counted;
                let (signed, tag) = packet.split_at(packet.len() - HMAC_TAG);
                let expected = hmac::sign(auth, signed);
                let same = aws_lc_rs::constant_time::verify_slices_are_equal(
                    &expected.as_ref()[..HMAC_TAG],
                    tag,
                );
                same.is_ok() && {
                    plain.extend_from_slice(&packet[..index_at]);
                    !encrypted
                        || key
                            .less_safe_encrypt(
                                &mut plain[RTCP_HEAD..],
                                counter(salt, ssrc, u64::from(index)),
                            )
                            .is_ok()
                }
            }
        };
        if opened {
            self.note(index);
        }
        opened
    }

    fn is_new(&self, index: u32) -> bool {
        self.highest.is_none_or(|highest| {
            index > highest
                || highest
                    .checked_sub(index)
                    .is_some_and(|behind| behind < 64 && self.seen & (1 << behind) == 0)
        })
    }

    fn note(&mut self, index: u32) {
        let highest = self.highest.unwrap_or(index);
        if index >= highest {
            let ahead = index - highest;
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = Some(index);
        } else {
            self.seen |= 1 << (highest - index);
        }
    }
}

/// The sender of a compound RTCP packet.
fn sender_of(packet: &[u8]) -> Option<u32> {
    let bytes = packet.get(4..RTCP_HEAD)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILES: [SrtpProfile; 3] = [
        SrtpProfile::AEAD_AES_256_GCM,
        SrtpProfile::AEAD_AES_128_GCM,
        SrtpProfile::AES128_CM_SHA1_80,
    ];

    fn material() -> Vec<u8> {
        (0..=255).collect()
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| {
                u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("hex")
            })
            .collect()
    }

    #[test]
    fn keys_are_derived_as_the_example_of_rfc_3711_b_3_has_it() {
        let (key, salt) = (
            hex("E1F97A0D3E018BE0D64FA32C06DE4139"),
            hex("0EC675AD498AFEEBB6960B3AABE6"),
        );
        let master = Master {
            key: &key,
            salt: &salt,
        };
        let mut cipher = [0; 16];
        derive(&master, 0, &mut cipher).expect("derives");
        assert_eq!(cipher[..], hex("C61E7A93744F39EE10734AFE3FF7A087"));
        let mut salt = [0; 14];
        derive(&master, 2, &mut salt).expect("derives");
        assert_eq!(salt[..], hex("30CBBC08863D8C85D49DB34A9AE1"));
        let mut auth = [0; 20];
        derive(&master, 1, &mut auth).expect("derives");
        assert_eq!(auth[..], hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
    }

    #[test]
    fn a_packet_is_sealed_as_the_example_of_rfc_7714_16_1_1_has_it() {
        let key = hex("000102030405060708090a0b0c0d0e0f");
        let sealer = Sealer {
            rtp: Cipher::Gcm {
                key: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).expect("16 bytes")),
                salt: hex("517569642070726f2071756f")
                    .try_into()
                    .expect("12 bytes"),
            },
            rtcp: Cipher::Gcm {
                key: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).expect("16 bytes")),
                salt: [0; 12],
            },
            rtcp_index: 0,
        };
        let mut packet = hex("8040f17b8041f8d35501a0b2");
        packet.extend(hex(
            "47616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573",
        ));
        sealer.rtp(&mut packet, 0, 12, 0x5501_a0b2, 0xf17b);
        assert_eq!(
            packet,
            hex(
                "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd5\
                 0d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee439\
                 0cce"
            )
        );
    }

    #[test]
    fn the_other_side_opens_reports_once_and_no_forgery() {
        for profile in PROFILES {
            let mut sealer = Sealer::new(&material(), profile, true).expect("fits");
            let mut opener = Opener::new(&material(), profile, false).expect("fits");
            let mut plain = Vec::new();
            let mut earlier = Vec::new();
            for round in 0..100_u8 {
                let report = [0x80, 200, 0, 2, 1, 2, 3, 4, round, 6, 7, 8];
                let mut sealed = vec![9, 9];
                sealed.extend_from_slice(&report);
                sealer.rtcp(&mut sealed, 2);
                let sealed = &sealed[2..];
                assert_ne!(sealed[8..12], report[8..12], "encrypted");
                let mut forged = sealed.to_vec();
                let at = usize::from(round) % forged.len();
                forged[at] ^= 1;
                assert!(!opener.rtcp(&forged, &mut plain), "{profile:?} byte {at}");
                assert!(opener.rtcp(sealed, &mut plain), "{profile:?}");
                assert_eq!(plain, report);
                assert!(!opener.rtcp(sealed, &mut plain), "a replay");
                earlier.push(sealed.to_vec());
            }
            assert!(earlier.iter().all(|old| !opener.rtcp(old, &mut plain)));
            assert!(!opener.rtcp(&[0x80; 9], &mut plain));
        }
    }

    #[test]
    fn both_directions_differ_and_rollover_counts() {
        for profile in PROFILES {
            let ours = Sealer::new(&material(), profile, true).expect("fits");
            let theirs = Sealer::new(&material(), profile, false).expect("fits");
            let seal = |sealer: &Sealer, sequence| {
                let mut packet = vec![0x80; 40];
                sealer.rtp(&mut packet, 0, 12, 7, sequence);
                packet
            };
            assert_ne!(seal(&ours, 5), seal(&theirs, 5));
            assert_ne!(seal(&ours, 5), seal(&ours, 5 + (1 << 16)));
        }
        assert!(Sealer::new(&[0; 20], PROFILES[0], true).is_none());
    }
}
