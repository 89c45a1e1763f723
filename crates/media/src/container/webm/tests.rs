//! What is written, read back element by element.

use std::sync::Arc;

use super::*;
use crate::Frame;

/// A VP8 keyframe's first bytes tell 640x480.
const KEY: [u8; 12] = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01, 7, 7];

fn frame(config: Config, at_ms: i64, keyframe: bool, data: &[u8]) -> Frame {
    Frame {
        config: Arc::new(config),
        pts: MediaTime(at_ms * 1_000_000),
        dts: MediaTime(at_ms * 1_000_000),
        keyframe,
        data: Arc::from(data),
    }
}

fn opus(at_ms: i64) -> Frame {
    let config = Config::Opus {
        channels: 2,
        pre_skip: 312,
    };
    frame(config, at_ms, true, &[1, 2, 3])
}

fn picture(at_ms: i64, keyframe: bool) -> Frame {
    frame(
        Config::Vp8,
        at_ms,
        keyframe,
        if keyframe { &KEY } else { &[0x11, 0] },
    )
}

fn tracks() -> [Track; 2] {
    [Track::of(1, &picture(0, true)), Track::of(2, &opus(0))]
}

/// A cluster of a second, the `number`th.
fn second(number: i64) -> Vec<u8> {
    let [video, audio] = tracks();
    let begin = number * 1_000;
    let pictures = (0..25).map(|n| Sample::of(&video, &picture(begin + n * 40, n == 0), 3_600));
    let pictures: Vec<Sample> = pictures.collect();
    let sound = (0..50).map(|n| Sample::of(&audio, &opus(begin + n * 20), 960));
    let sound: Vec<Sample> = sound.collect();
    cluster(&[(&video, &pictures), (&audio, &sound)])
}

/// Looks at a cluster as a reader of files does; gives its times.
fn visit(index: &mut Index, at: u64, cluster: &[u8]) -> Vec<(u8, i64)> {
    let mut visited = index.cluster(at, cluster).expect("a cluster");
    let whole = head(cluster).expect("a cluster");
    let mut rest = &cluster[usize::try_from(whole.len).expect("small")..];
    let (mut begins, mut times) = (0, Vec::new());
    while let Some(one) = head(rest) {
        let begin = usize::try_from(one.len).expect("small");
        let end = begin + usize::try_from(one.inside.expect("told")).expect("small");
        let body = &rest[begin..end];
        index.inside(&mut visited, one.id, body).expect("ours");
        if one.id == id::TIMESTAMP {
            begins = body.iter().fold(0, |sum, byte| sum << 8 | i64::from(*byte));
        } else {
            let after = i16::from_be_bytes([body[1], body[2]]);
            times.push((body[0] & 0x7f, begins + i64::from(after)));
        }
        rest = &rest[end..];
    }
    times
}

#[test]
fn a_file_is_found_again_and_finished_in_place() {
    let mut file = file_header(&tracks()).expect("carried");
    let header = file.len() as u64;
    let mut index = Index::begin(&file).expect("ours");
    assert_eq!(index.first(), header);
    assert!(index.is_empty());
    for number in 0..3 {
        let cluster = second(number);
        let times = visit(&mut index, file.len() as u64, &cluster);
        assert_eq!(times.len(), 75);
        assert!(times.is_sorted_by_key(|(_, at)| *at), "{times:?}");
        // Players take the delay of Opus off again: 312 of 48 000 samples.
        let sound = times.iter().find(|(track, _)| *track == 2);
        assert_eq!(sound, Some(&(2, number * 1_000 + 7)));
        file.extend_from_slice(&cluster);
    }
    assert_eq!(index.lasts_ms(), 3_007);
    assert!(!index.is_finished(file.len() as u64));
    let end = file.len() as u64;
    let cues = index.cues();
    file.extend_from_slice(&cues);
    let front = index.front(end, cues.len() as u64);
    // Up to the tracks, and not a byte of them.
    let at = front.len();
    assert_eq!(head(&file[at..]).map(|head| head.id), Some(id::TRACKS));
    file[..at].copy_from_slice(&front);
    let again = Index::begin(&file).expect("still ours");
    assert!(again.is_finished(file.len() as u64));
    assert!(!again.is_finished(file.len() as u64 - 1));
    // The seek head leads to the cues, and the cues to clusters.
    let position = file.windows(2).filter(|two| two == b"\x53\xac").count();
    assert_eq!(position, 3);
    let cues_at = usize::try_from(end).expect("small");
    assert_eq!(head(&file[cues_at..]).map(|head| head.id), Some(id::CUES));
    let duration = file.windows(3).position(|three| three == b"\x44\x89\x88");
    let duration = duration.expect("a duration") + 3;
    let duration: [u8; 8] = file[duration..duration + 8].try_into().expect("eight");
    assert_eq!(f64::from_be_bytes(duration), 3_007.0);
}

#[test]
fn what_is_not_webms_is_refused() {
    let aac = frame(
        Config::Aac {
            asc: vec![0x11, 0x90],
        },
        0,
        true,
        &[0],
    );
    assert!(file_header(&[Track::of(1, &aac)]).is_err());
    // A picture whose size nobody knows.
    assert!(file_header(&[Track::of(1, &picture(0, false))]).is_err());
}

#[test]
fn no_bytes_confuse_the_reader() {
    let whole = file_header(&tracks()).expect("carried");
    for end in 0..whole.len() {
        assert!(Index::begin(&whole[..end]).is_none(), "{end}");
    }
    let mut index = Index::begin(&whole).expect("ours");
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..20_000 {
        let len = random.usize(..24);
        let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(len).collect();
        let _ = head(&bytes);
        let cluster = id::CLUSTER.to_be_bytes();
        let cluster = [&cluster[..], &[0x80]].concat();
        let at = random.u64(BEFORE as u64..);
        assert!(index.cluster(at, &bytes).is_none());
        let mut visited = index.cluster(at, &cluster).expect("one");
        for name in [id::TIMESTAMP, id::SIMPLE_BLOCK, id::CUES] {
            let _ = index.inside(&mut visited, name, &bytes);
        }
        let mut spoilt = whole.clone();
        for byte in bytes {
            let at = random.usize(..spoilt.len());
            spoilt[at] = byte;
        }
        let _ = Index::begin(&spoilt);
    }
    let _ = (index.cues(), index.lasts_ms());
}
