//! The first look at a datagram on the media port: STUN for whom, DTLS, RTP, or nothing of ours.
#![cfg_attr(fuzzing, no_main)]

inver_fuzz::target!(run);

fn run(data: &[u8]) {
    let request = inver_shard::fuzz_classify(data);
    assert!(
        !request || data.starts_with(&[0, 1]),
        "only a STUN binding request names a user"
    );
}
