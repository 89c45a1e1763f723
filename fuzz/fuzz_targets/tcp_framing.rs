//! Frames of ICE-TCP (RFC 4571) in a stream of bytes.
#![cfg_attr(fuzzing, no_main)]

inver_fuzz::target!(run);

fn run(data: &[u8]) {
    let frames = inver_shard::fuzz_frames(data);
    assert!(
        frames <= data.len() / 2,
        "a frame has a header of two bytes"
    );
}
