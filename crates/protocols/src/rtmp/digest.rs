//! The digests that Flash and its kin put into their handshake and look for in the answer.
//!
//! They authenticate nobody, since both keys are public; but such clients play and publish some
//! codecs only with a server that knows them.

use aws_lc_rs::hmac;

use super::handshake::RANDOM;

const CLIENT_NAME: &[u8; 30] = b"Genuine Adobe Flash Player 001";
const SERVER_NAME: &[u8; 36] = b"Genuine Adobe Flash Media Server 001";
const SECRET: [u8; 32] = [
    0xf0, 0xee, 0xc2, 0x4a, 0x80, 0x68, 0xbe, 0xe8, 0x2e, 0x00, 0xd0, 0xd1, 0x02, 0x9e, 0x7e, 0x57,
    0x6e, 0xec, 0x5d, 0x2d, 0x29, 0x80, 0x6f, 0xab, 0x93, 0xb8, 0xe6, 0x36, 0xcf, 0xeb, 0x31, 0xae,
];
const LEN: usize = 32;

/// A digest stands at one of 728 places behind four bytes whose sum says which; those four stand
/// in one of two places.
const SCHEMES: [usize; 2] = [772, 8];

/// The digest of a client's block, with the place of the four bytes; `None` where there is none.
pub(super) fn of_client(block: &[u8; RANDOM]) -> Option<([u8; LEN], usize)> {
    SCHEMES.into_iter().find_map(|scheme| {
        let at = place(block, scheme)?;
        let digest = block_digest(CLIENT_NAME, block, at)?;
        let found = block.get(at..at + LEN)?;
        (digest == found).then_some((digest, scheme))
    })
}

/// Puts our digest into our block, by the client's scheme.
pub(super) fn sign_block(block: &mut [u8; RANDOM], scheme: usize) {
    if let Some(at) = place(block, scheme)
        && let Some(digest) = block_digest(SERVER_NAME, block, at)
        && let Some(slot) = block.get_mut(at..at + LEN)
    {
        slot.copy_from_slice(&digest);
    }
}

/// Ends the block that answers the client's with a proof that its digest was seen.
pub(super) fn sign_answer(answer: &mut [u8; RANDOM], client_digest: &[u8; LEN]) {
    let key = [&SERVER_NAME[..], &SECRET].concat();
    let key = hmac256(&key, &[client_digest]);
    if let Some((body, slot)) = answer.split_last_chunk_mut::<LEN>() {
        *slot = hmac256(&key, &[body]);
    }
}

fn place(block: &[u8; RANDOM], scheme: usize) -> Option<usize> {
    let sum: usize = block
        .get(scheme..scheme + 4)?
        .iter()
        .map(|&byte| usize::from(byte))
        .sum();
    Some(sum % 728 + scheme + 4)
}

/// The digest of everything but the place where the digest itself stands.
fn block_digest(key: &[u8], block: &[u8; RANDOM], at: usize) -> Option<[u8; LEN]> {
    Some(hmac256(key, &[block.get(..at)?, block.get(at + LEN..)?]))
}

fn hmac256(key: &[u8], parts: &[&[u8]]) -> [u8; LEN] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut context = hmac::Context::with_key(&key);
    for part in parts {
        context.update(part);
    }
    let mut digest = [0; LEN];
    digest.copy_from_slice(context.sign().as_ref());
    digest
}

/// A client's block with a digest, for tests.
#[cfg(test)]
pub(super) fn client_block(seed: u64, scheme: usize) -> [u8; RANDOM] {
    let mut block = [0; RANDOM];
    fastrand::Rng::with_seed(seed).fill(&mut block);
    block[4..8].copy_from_slice(&[9, 0, 124, 2]);
    let at = place(&block, scheme).expect("inside the block");
    let digest = block_digest(CLIENT_NAME, &block, at).expect("inside the block");
    block[at..at + LEN].copy_from_slice(&digest);
    block
}

/// Whether a server's two blocks answer a client's digest, as such a client looks, for tests.
#[cfg(test)]
pub(super) fn answered(client: &[u8; RANDOM], s1: &[u8; RANDOM], s2: &[u8; RANDOM]) -> bool {
    let Some((digest, scheme)) = of_client(client) else {
        return false;
    };
    let at = place(s1, scheme).expect("inside the block");
    let mut expected = *s2;
    sign_answer(&mut expected, &digest);
    block_digest(SERVER_NAME, s1, at).as_ref().map(|d| &d[..]) == s1.get(at..at + LEN)
        && expected == *s2
}
