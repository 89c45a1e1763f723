//! Streams with something missing, twisted or invented.

use std::collections::BTreeMap;

use super::*;
use crate::container::mpegts::{Loss, Warning};

const VIDEO: Pid = Pid(0x100);
const AUDIO: Pid = Pid(0x101);

fn stream() -> (Vec<Frame>, Vec<Frame>, Vec<u8>) {
    let video = video(&h264(), 900_000, 300, 25, true);
    let sound = sound(&aac(48_000), 900_000, 560, 1024, 48_000);
    let bytes = written(&[&video, &sound]);
    (video, sound, bytes)
}

/// Asserts that each frame read is one that was written, and gives how many there are.
fn only_good(read: &[Frame], wrote: &[Frame]) -> usize {
    let by_time: BTreeMap<_, _> = wrote
        .iter()
        .map(|frame| (frame.dts.ticks(90_000), frame))
        .collect();
    for frame in read {
        let wrote = by_time
            .get(&frame.dts.ticks(90_000))
            .expect("a time that was written");
        assert_eq!(frame.data, wrote.data, "at {:?}", frame.dts);
        assert_eq!(frame.pts.ticks(90_000), wrote.pts.ticks(90_000));
        assert_eq!(frame.keyframe, wrote.keyframe);
    }
    read.len()
}

#[test]
fn one_lost_packet_in_a_hundred_costs_the_frames_it_was_part_of() {
    let (video, sound, bytes) = stream();
    for seed in 0..20 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let kept: Vec<u8> = bytes
            .chunks(188)
            .filter(|_| rng.f32() >= 0.01)
            .flatten()
            .copied()
            .collect();
        let items = read(&kept, 1316);
        let seen = only_good(&frames(&items, VIDEO), &video);
        let heard = only_good(&frames(&items, AUDIO), &sound);
        // A picture has some 15 packets here, some keyframes 500, a frame of sound two or three;
        // pictures before the first keyframe that is whole do not count.
        assert!((170..285).contains(&seen), "{seen} with seed {seed}");
        assert!((520..560).contains(&heard), "{heard} with seed {seed}");
        let lost = Item::Lost {
            pid: Some(VIDEO),
            reason: Loss::Gap,
        };
        assert!(items.contains(&lost));
    }
}

/// Takes the lengths out of the video's PES packets, as most senders leave them.
fn open_ended(bytes: &mut [u8]) {
    for packet in bytes.chunks_mut(188) {
        let begins = packet[1] == 0x41 && packet[2] == 0;
        let payload = match packet[3] >> 4 & 3 {
            1 => 4,
            _ => 5 + usize::from(packet[4]),
        };
        if begins && payload + 6 <= 188 {
            packet[payload + 4..payload + 6].fill(0);
        }
    }
}

#[test]
fn pictures_of_unknown_length_come_out_with_their_last_packet_and_whole() {
    let (video, sound, mut bytes) = stream();
    open_ended(&mut bytes);
    let items = read(&bytes, 1316);
    assert_eq!(remarks(&items), Vec::<&Item>::new());
    assert_eq!(frames(&items, VIDEO), video);

    // Once the reader knows the sender, what is complete does not wait.
    let mut reader = Reader::default();
    let (mut packets, mut begun, mut read, mut late) = (0, 0, 0, 0);
    for packet in bytes.chunks(188) {
        let begins = packet[1] == 0x41 && packet[2] == 0;
        if begins && packets > bytes.len() / 188 / 2 {
            late += begun - read;
        }
        begun += usize::from(begins);
        reader.push(packet);
        packets += 1;
        while let Some(item) = reader.poll() {
            read += usize::from(matches!(item, Item::Frame { track, .. } if track == VIDEO));
        }
    }
    // Only where the last packet is full by chance nothing tells.
    assert!(late < 5, "{late}");

    for seed in 0..20 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let kept: Vec<u8> = bytes
            .chunks(188)
            .filter(|_| rng.f32() >= 0.01)
            .flatten()
            .copied()
            .collect();
        let items = self::read(&kept, 1316);
        let seen = only_good(&frames(&items, VIDEO), &video);
        assert!((160..285).contains(&seen), "{seen} with seed {seed}");
        assert!(only_good(&frames(&items, AUDIO), &sound) > 500);
    }
}

#[test]
fn a_reader_that_comes_in_the_middle_begins_with_what_is_whole() {
    let (video, sound, bytes) = stream();
    for from in [1, 5_000, 188 * 777, 188 * 777 + 100] {
        let items = read(&bytes[from..], 1316);
        let seen = frames(&items, VIDEO);
        assert!(only_good(&seen, &video) > 150);
        assert!(seen[0].keyframe, "parameter sets come with keyframes");
        assert!(only_good(&frames(&items, AUDIO), &sound) > 300);
        // What was whole to the end stays so.
        assert_eq!(seen.last(), video.last());
    }
}

#[test]
fn missing_and_extra_bytes_are_got_over() {
    let (video, sound, bytes) = stream();
    for seed in 0..20 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut damaged = bytes.clone();
        for _ in 0..20 {
            let at = rng.usize(..damaged.len() - 2_000);
            if rng.bool() {
                damaged.drain(at..at + rng.usize(1..1_000));
            } else {
                let noise: Vec<u8> = (0..rng.usize(1..1_000)).map(|_| rng.u8(..)).collect();
                damaged.splice(at..at, noise);
            }
        }
        let items = read(&damaged, 5_000);
        // Noise may stand in a packet that nothing marks as damaged; most frames are good still.
        let good = |read: Vec<Frame>, wrote: &[Frame]| {
            read.iter().filter(|frame| wrote.contains(frame)).count()
        };
        assert!(good(frames(&items, VIDEO), &video) > 200, "seed {seed}");
        assert!(frames(&items, AUDIO).len() > sound.len() * 9 / 10);
        let lost = Item::Lost {
            pid: None,
            reason: Loss::Sync,
        };
        assert!(items.contains(&lost));
    }
}

#[test]
fn random_changes_and_noise_do_no_harm() {
    let video = video(&h264(), 900_000, 30, 10, true);
    let sound = sound(&aac(48_000), 900_000, 50, 1024, 48_000);
    let bytes = written(&[&video, &sound]);
    let mut rng = fastrand::Rng::with_seed(99);
    for round in 0..150 {
        let mut twisted = bytes.clone();
        // Headers and tables are few bytes among many, so they are aimed at.
        for _ in 0..rng.usize(1..200) {
            let packet = rng.usize(..twisted.len() / 188) * 188;
            let at = if rng.bool() {
                rng.usize(..24)
            } else {
                rng.usize(..188)
            };
            twisted[packet + at] = rng.u8(..);
        }
        let items = read(&twisted, 1 + round * 10);
        let mut last = BTreeMap::new();
        for item in items {
            if let Item::Frame { track, frame } = item {
                let before = last.insert(track, frame.dts);
                assert!(before.is_none_or(|before| before < frame.dts), "{round}");
            }
        }
    }
    for _ in 0..100 {
        let noise: Vec<u8> = (0..20_000)
            .map(|at| {
                if at % 188 == 0 {
                    0x47
                } else {
                    rng.u8(..) & rng.u8(..)
                }
            })
            .collect();
        read(&noise, 1316);
    }
}

#[test]
fn a_sender_that_starts_again_goes_on_behind_with_its_lips_in_sync() {
    let parts = |start| {
        let video = video(&h264(), start, 50, 25, true);
        let sound = sound(&aac(48_000), start + 1_000, 94, 1024, 48_000);
        (video, sound)
    };
    let (video, sound) = parts(9_000_000);
    let (video_again, sound_again) = parts(200_000);
    let mut bytes = written(&[&video, &sound]);
    bytes.extend(written(&[&video_again, &sound_again]));
    let items = read(&bytes, 1316);
    let (seen, heard) = (frames(&items, VIDEO), frames(&items, AUDIO));
    assert_eq!((seen.len(), heard.len()), (100, 188));
    let jumps = items
        .iter()
        .filter(|item| matches!(item, Item::Discontinuity { .. }));
    assert_eq!(jumps.count(), 1);
    let ticks = |frame: &Frame| frame.dts.ticks(90_000);
    assert!(ticks(&seen[50]) > ticks(&seen[49]) && ticks(&heard[94]) > ticks(&heard[93]));
    assert_eq!(ticks(&heard[94]) - ticks(&seen[50]), 1_000);
    assert!(
        ticks(&seen[50]) - ticks(&seen[49]) < 20_000,
        "no long pause"
    );
    for (read, wrote) in seen[50..].iter().zip(&video_again) {
        assert_eq!(ticks(read) - ticks(&seen[50]), ticks(wrote) - 200_000);
        assert_eq!(read.data, wrote.data);
    }
}

#[test]
fn scrambled_packets_and_missing_parameter_sets_are_named() {
    let mut bytes = written(&[&video(&h264(), 900_000, 10, 5, false)]);
    let (mut scrambled, items) = (bytes.clone(), read(&bytes, 1316));
    assert_eq!(frames(&items, VIDEO).len(), 10);
    for packet in scrambled.chunks_mut(188) {
        if packet[1] & 0x1f == 1 {
            packet[3] |= 0x80;
        }
    }
    let items = read(&scrambled, 1316);
    assert!(frames(&items, VIDEO).is_empty());
    assert!(items.contains(&Item::Warning(Warning::Scrambled(VIDEO))));

    // The names of the sets become those of filler.
    for at in 0..bytes.len() - 4 {
        if bytes[at..at + 3] == [0, 0, 1] && matches!(bytes[at + 3], 0x67 | 0x68) {
            bytes[at + 3] = 0x6c;
        }
    }
    let items = read(&bytes, 1316);
    assert!(frames(&items, VIDEO).is_empty());
    assert!(items.contains(&Item::Warning(Warning::NoParameterSets(VIDEO))));
}

#[test]
fn repeated_packets_count_once() {
    let (video, sound, bytes) = stream();
    let doubled: Vec<u8> = bytes
        .chunks(188)
        .flat_map(|packet| [packet, packet].concat())
        .collect();
    let items = read(&doubled, 1316);
    assert_eq!(frames(&items, VIDEO), video);
    assert_eq!(frames(&items, AUDIO).len(), sound.len());
    assert_eq!(remarks(&items), Vec::<&Item>::new());
}
