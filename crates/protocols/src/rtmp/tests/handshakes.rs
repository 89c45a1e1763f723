//! Simple handshakes, handshakes with digests, and those of other protocols.

use super::super::digest;
use super::super::error::Error;
use super::super::handshake::{Handshake, RANDOM};

/// What the server answers to a first block, and what is left behind the handshake.
fn answer(block: &[u8; RANDOM], piece: usize) -> ([u8; RANDOM], [u8; RANDOM], Vec<u8>) {
    let mut input = vec![3];
    input.extend_from_slice(block);
    input.extend_from_slice(&[0xee; RANDOM]);
    input.extend_from_slice(b"rest");
    let mut server = Handshake::server();
    let (mut out, mut rest, mut done) = (Vec::new(), Vec::new(), false);
    for mut bytes in input.chunks(piece) {
        if !done {
            done = server.take(&mut bytes, &mut out).expect("a handshake");
        }
        rest.extend_from_slice(bytes);
    }
    assert!(done);
    assert_eq!(out.len(), 1 + 2 * RANDOM);
    assert_eq!(out[0], 3);
    let s1 = *out[1..].first_chunk().expect("a block");
    let s2 = *out[1 + RANDOM..].first_chunk().expect("a block");
    (s1, s2, rest)
}

#[test]
fn a_simple_client_gets_its_block_back() {
    let mut block = [5; RANDOM];
    block[4..8].fill(0);
    for piece in [1, 1000, 10_000] {
        let (s1, s2, rest) = answer(&block, piece);
        assert_eq!(s2, block);
        assert_eq!(s1[4..8], [0; 4], "no version: no digest");
        assert_ne!(s1[8..40], [0; 32], "random bytes");
        assert_eq!(rest, b"rest");
    }
}

#[test]
fn a_client_with_a_digest_gets_one_in_either_place() {
    for scheme in [8, 772] {
        for seed in 0..50 {
            let block = digest::client_block(seed, scheme);
            let (s1, s2, _) = answer(&block, 5000);
            assert!(digest::answered(&block, &s1, &s2), "{scheme} {seed}");
        }
    }
}

#[test]
fn a_wrong_digest_is_no_digest() {
    let mut block = digest::client_block(1, 8);
    block[1535] ^= 1;
    let (_, s2, _) = answer(&block, 5000);
    assert_eq!(s2, block);
}

#[test]
fn other_protocols_are_named_at_their_first_byte() {
    for (first, expected) in [
        (0x16, "TLS"),
        (b'G', "HTTP"),
        (6, "version 6"),
        (0xff, "version 255"),
    ] {
        let error = Handshake::server()
            .take(&mut &[first][..], &mut Vec::new())
            .expect_err("not RTMP");
        assert!(error.to_string().contains(expected), "{error}");
    }
    let error = Handshake::server().take(&mut &[0x16][..], &mut Vec::new());
    assert!(matches!(error, Err(Error::NotRtmp(_))));
}
