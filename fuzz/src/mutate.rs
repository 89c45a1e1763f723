//! Makes new inputs out of seeds: bytes, lines and numbers are changed, cut, doubled and joined.

use fastrand::Rng;

/// Longest input that is made.
const LONGEST: usize = 16 * 1024;

/// Numbers at which counters, lengths and bounds break.
const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1",
    "127",
    "128",
    "255",
    "256",
    "65535",
    "65536",
    "4294967296",
    "9223372036854775808",
    "99999999999999999999999",
];

/// A changed copy of one of `seeds`, which are not empty.
pub(crate) fn mutate(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut data = seeds[rng.usize(..seeds.len())].clone();
    for _ in 0..rng.usize(1..=6) {
        let text = std::str::from_utf8(&data).is_ok_and(|text| text.contains('\n'));
        match rng.u8(..if text { 10 } else { 7 }) {
            0 => set(rng, &mut data, |rng, byte| byte ^ (1 << rng.u8(..8))),
            1 => set(rng, &mut data, |rng, _| rng.u8(..)),
            2 => set(rng, &mut data, |rng, _| {
                [0, 1, 0x7f, 0x80, 0xff][rng.usize(..5)]
            }),
            3 => {
                let range = range(rng, data.len());
                data.drain(range);
            }
            4 => {
                let copy = data[range(rng, data.len())].to_vec();
                insert(rng, &mut data, copy);
            }
            5 => {
                let other = &seeds[rng.usize(..seeds.len())];
                let copy = other[range(rng, other.len())].to_vec();
                insert(rng, &mut data, copy);
            }
            6 => {
                let fresh = (0..rng.usize(1..=8)).map(|_| rng.u8(..)).collect();
                insert(rng, &mut data, fresh);
            }
            7 => lines(rng, &mut data),
            _ => number(rng, &mut data),
        }
    }
    data.truncate(LONGEST);
    data
}

fn set(rng: &mut Rng, data: &mut [u8], change: impl Fn(&mut Rng, u8) -> u8) {
    if !data.is_empty() {
        let at = rng.usize(..data.len());
        data[at] = change(rng, data[at]);
    }
}

fn range(rng: &mut Rng, len: usize) -> std::ops::Range<usize> {
    let start = rng.usize(..=len);
    start..start + rng.usize(..=(len - start).min(64))
}

fn insert(rng: &mut Rng, data: &mut Vec<u8>, piece: Vec<u8>) {
    let at = rng.usize(..=data.len());
    data.splice(at..at, piece);
}

/// Removes, doubles or swaps a line.
fn lines(rng: &mut Rng, data: &mut Vec<u8>) {
    let mut lines: Vec<&[u8]> = data.split_inclusive(|byte| *byte == b'\n').collect();
    let (one, other) = (rng.usize(..lines.len()), rng.usize(..lines.len()));
    match rng.u8(..3) {
        0 => {
            lines.remove(one);
        }
        1 => lines.insert(one, lines[other]),
        _ => lines.swap(one, other),
    }
    *data = lines.concat();
}

/// Replaces a run of digits.
fn number(rng: &mut Rng, data: &mut Vec<u8>) {
    let starts: Vec<usize> = (0..data.len())
        .filter(|at| data[*at].is_ascii_digit() && (*at == 0 || !data[at - 1].is_ascii_digit()))
        .collect();
    if starts.is_empty() {
        return;
    }
    let start = starts[rng.usize(..starts.len())];
    let digits = data[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let number = NUMBERS[rng.usize(..NUMBERS.len())].bytes();
    data.splice(start..start + digits, number);
}
