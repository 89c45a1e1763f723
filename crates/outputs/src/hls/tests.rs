//! Streams on virtual time, held to the rules by the checker; and the checker held to break.

use std::sync::Arc;
use std::time::Duration;

use inver_media::{Config, Frame, MediaTime};
use time::OffsetDateTime;

use super::check::{Playlist, check, check_uneven};
use super::from_frames::{FromFrames, Name, Shape};
use super::past::{Disk, Writer};
use super::playlist::{Anchor, Wish, media, multivariant};
use super::rendition::{Place, Segment};

const SHAPE: Shape = Shape {
    segment: Duration::from_secs(2),
    part: Duration::from_millis(200),
    memory: Duration::from_secs(30),
    window: Duration::from_secs(30),
};

/// 640 by 360, constrained baseline.
const SPS: [u8; 22] = [
    0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80, 0xbf, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04,
    0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c,
];

fn picture() -> Arc<Config> {
    Arc::new(Config::H264 {
        sps: vec![SPS.to_vec()],
        pps: vec![vec![0x68, 0xce, 0x38, 0x80]],
    })
}

fn aac() -> Arc<Config> {
    Arc::new(Config::Aac {
        asc: vec![0x11, 0x90],
    })
}

/// A publisher whose frames come in order of their times.
struct World {
    stream: FromFrames,
    picture: Arc<Config>,
    sound: Arc<Config>,
    /// Nanoseconds between pictures.
    interval: i64,
    /// Pictures between keyframes.
    keyframes: i64,
    b_frames: bool,
    /// Whether times are whole milliseconds, as RTMP has them.
    rounded: bool,
    /// Most milliseconds by which a picture comes sooner or later than it should.
    jitter: i64,
    /// Pictures and pieces of sound so far.
    pictures: i64,
    sounds: i64,
    /// Time of the encoder's clock at the first frame.
    offset: i64,
    /// Time that had passed when the clock began.
    began: Duration,
    /// Whether playlists are looked at after each frame, and not only when `run` ends.
    closely: bool,
    seen: Option<Playlist>,
}

const SOUND: i64 = 21_333_333;

impl World {
    fn new(rate: f64, keyframes: i64) -> Self {
        Self {
            stream: FromFrames::new(SHAPE, 100),
            picture: picture(),
            sound: aac(),
            interval: (1e9 / rate) as i64,
            keyframes,
            b_frames: false,
            rounded: false,
            jitter: 0,
            pictures: 0,
            sounds: 0,
            offset: 50_000_000,
            began: Duration::ZERO,
            closely: true,
            seen: None,
        }
    }

    fn time(&self, nanos: i64) -> MediaTime {
        let at = self.offset + nanos;
        MediaTime(if self.rounded {
            at / 1_000_000 * 1_000_000
        } else {
            at
        })
    }

    fn since(&self, nanos: i64) -> Duration {
        self.began + Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
    }

    /// Gives frames until the encoder's clock has gone on to `until` seconds; checks after each.
    fn run(&mut self, until: f64, video: bool, audio: bool) {
        let until = (until * 1e9) as i64;
        loop {
            let (picture, sound) = (self.pictures * self.interval, self.sounds * SOUND);
            if picture.min(sound) >= until {
                self.look();
                return;
            }
            if picture <= sound {
                self.pictures += 1;
                if video {
                    self.give_picture(picture);
                }
            } else {
                self.sounds += 1;
                if audio {
                    let frame = self.frame(&self.sound, sound, 0, true);
                    self.stream.audio(frame, self.since(sound));
                }
            }
            if self.closely {
                self.look();
            }
        }
    }

    fn give_picture(&mut self, at: i64) {
        let number = self.pictures - 1;
        let keyframe = number % self.keyframes == 0;
        // I b b P b b P: what is referred to comes first.
        let later = match (self.b_frames, number % 3) {
            (false, _) | (true, 2) => 0,
            (true, 0) => 2,
            (true, _) => 0,
        };
        let off = number * 7919 % (2 * self.jitter + 1) - self.jitter;
        let at = at + off * 1_000_000;
        let frame = self.frame(&self.picture, at, later, keyframe);
        self.stream.video(0, frame, self.since(at));
    }

    fn frame(&self, config: &Arc<Config>, at: i64, later: i64, keyframe: bool) -> Arc<Frame> {
        Arc::new(Frame {
            config: Arc::clone(config),
            pts: self.time(at + later * self.interval),
            dts: self.time(at),
            keyframe,
            data: Arc::from([0, 0, 0, 1, 0x65]),
        })
    }

    fn playlist(&self, name: Name) -> Option<String> {
        let anchor = Anchor {
            wall: OffsetDateTime::UNIX_EPOCH,
            at: FromFrames::origin(),
        };
        media(&self.stream, name, anchor, Wish::default())
    }

    fn look(&mut self) {
        for name in [Name::Video(0), Name::Audio] {
            let Some(text) = self.playlist(name) else {
                continue;
            };
            let playlist = check(&text).unwrap_or_else(|rule| panic!("{rule}\n{text}"));
            if name == Name::Video(0) {
                if let Some(seen) = &self.seen {
                    let follows = playlist.follows(seen);
                    follows.unwrap_or_else(|rule| panic!("{rule}\n{text}"));
                }
                self.seen = Some(playlist);
            }
        }
    }

    fn marks(&self) -> (usize, usize) {
        self.seen.as_ref().map_or((0, 0), Playlist::marks)
    }
}

#[test]
fn the_rules_hold_at_all_frame_rates() {
    for rate in [
        24.0,
        25.0,
        30_000.0 / 1001.0,
        30.0,
        50.0,
        60_000.0 / 1001.0,
        60.0,
    ] {
        for rounded in [false, true] {
            let mut world = World::new(rate, (rate * 2.0).round() as i64);
            world.rounded = rounded;
            world.run(45.0, true, true);
            let seen = world.seen.expect("a playlist");
            assert!(seen.whole() >= 14, "{rate}: {}", seen.whole());
            assert_eq!(seen.marks(), (0, 0), "{rate}");
        }
    }
}

#[test]
fn the_rules_hold_where_frames_come_unevenly() {
    for (rate, jitter) in [(30.0, 2), (30.0, 8), (60.0, 4), (24.0, 12), (10.0, 6)] {
        let mut world = World::new(rate, (rate * 2.0).round() as i64);
        world.jitter = jitter;
        world.run(30.0, true, true);
        let seen = world.seen.expect("a playlist");
        assert!(seen.whole() >= 12, "{rate}: {}", seen.whole());
        assert_eq!(seen.marks(), (0, 0), "{rate}");
    }
}

#[test]
fn b_frames_are_no_discontinuity() {
    let mut world = World::new(30.0, 60);
    world.b_frames = true;
    world.run(20.0, true, true);
    assert_eq!(world.marks(), (0, 0));
    let text = multivariant(&world.stream).expect("known");
    assert!(text.contains("RESOLUTION=640x360"), "{text}");
    assert!(text.contains("avc1.42c01e,mp4a.40.2"), "{text}");
}

#[test]
fn keyframes_far_apart_do_not_make_long_segments() {
    let mut world = World::new(30.0, 300);
    world.run(40.0, true, true);
    assert!(world.seen.as_ref().expect("a playlist").whole() >= 7);
    assert_eq!(world.marks(), (0, 0));
}

#[test]
fn sound_alone_is_cut_by_time() {
    let mut world = World::new(30.0, 60);
    world.run(20.0, false, true);
    assert!(world.playlist(Name::Video(0)).is_none());
    let sound = check(&world.playlist(Name::Audio).expect("a playlist")).expect("sound");
    assert!(sound.whole() >= 9);
}

#[test]
fn a_picture_that_stops_leaves_a_gap_and_comes_back() {
    let mut world = World::new(30.0, 60);
    world.run(10.0, true, true);
    world.run(27.0, false, true);
    let gaps = check(&world.playlist(Name::Video(0)).expect("a playlist")).expect("good");
    let text = world.playlist(Name::Video(0)).expect("a playlist");
    assert!(gaps.marks().0 >= 1, "what is missing is said to be: {text}");
    world.run(36.0, true, true);
    assert!(world.seen.expect("a playlist").whole() >= 8);
}

#[test]
fn a_publisher_that_comes_back_goes_on_with_a_discontinuity() {
    let mut world = World::new(30.0, 60);
    world.run(10.0, true, true);
    world.stream.break_off();
    // Its clock begins anew, six seconds later.
    world.offset = 7_000_000_000_000;
    world.began = Duration::from_secs(16);
    (world.pictures, world.sounds) = (0, 0);
    world.run(10.0, true, true);
    assert_eq!(world.marks().1, 1);
    let sound = check(&world.playlist(Name::Audio).expect("a playlist")).expect("good");
    assert_eq!(
        sound.marks().1,
        1,
        "all renditions are cut at the same places"
    );
}

#[test]
fn a_codec_that_is_not_carried_is_forgotten_with_its_publisher() {
    let mut world = World::new(30.0, 60);
    world.picture = Arc::new(Config::Vp8);
    world.run(1.0, true, true);
    assert_eq!(world.stream.unsupported, Some(inver_media::Codec::Vp8));
    world.stream.break_off();
    world.picture = picture();
    world.offset = 7_000_000_000_000;
    world.began = Duration::from_secs(5);
    (world.pictures, world.sounds) = (0, 0);
    world.run(5.0, true, true);
    assert_eq!(world.stream.unsupported, None);
    assert!(
        world.playlist(Name::Video(0)).is_some(),
        "the next one plays"
    );
}

#[test]
fn another_picture_size_is_a_discontinuity_with_a_map() {
    let mut world = World::new(30.0, 60);
    world.run(9.0, true, true);
    world.picture = Arc::new(Config::H264 {
        sps: vec![SPS.to_vec()],
        pps: vec![vec![0x68, 0xce, 0x3c, 0x80]],
    });
    world.run(20.0, true, true);
    assert_eq!(world.marks().1, 1);
    let text = world.playlist(Name::Video(0)).expect("a playlist");
    assert_eq!(text.matches("#EXT-X-MAP").count(), 2, "{text}");
}

#[test]
fn opus_is_offered_with_aac_beside_it() {
    let mut world = World::new(30.0, 60);
    world.sound = Arc::new(Config::Opus {
        channels: 2,
        pre_skip: 312,
    });
    world.run(5.0, true, true);
    let text = multivariant(&world.stream).expect("known");
    assert!(
        text.contains("AUDIO=\"opus\"") && text.contains("AUDIO=\"aac\""),
        "{text}"
    );
    assert!(
        text.contains("URI=\"aac.m3u8\"") && text.contains("URI=\"a.m3u8\""),
        "{text}"
    );
}

#[test]
fn delta_updates_leave_out_what_is_old() {
    let mut world = World::new(30.0, 60);
    let long = Shape {
        memory: Duration::from_secs(90),
        window: Duration::from_secs(90),
        ..SHAPE
    };
    world.stream = FromFrames::new(long, 100);
    world.run(80.0, true, true);
    let anchor = Anchor {
        wall: OffsetDateTime::UNIX_EPOCH,
        at: FromFrames::origin(),
    };
    let text = media(&world.stream, Name::Video(0), anchor, Wish { skip: true });
    let text = text.expect("a playlist");
    assert!(text.contains("#EXT-X-SKIP:SKIPPED-SEGMENTS="), "{text}");
    check(&text).expect("good");
}

/// Gives pictures of three layers for so many seconds, the smallest first, as browsers send them;
/// keyframes of the two smaller ones come `late` pictures after those of the best.
fn ladder(late: i64) -> World {
    let mut world = World::new(30.0, 60);
    for number in 0..600 {
        let at = number * world.interval;
        for layer in [2, 1, 0] {
            let late = if layer == 0 { 0 } else { late };
            let keyframe = number == 0 || (number - late) % 60 == 0;
            // Their clocks are not quite the same.
            let off = at - 1_000_000 * i64::from(layer);
            let frame = world.frame(&world.picture, off, 0, keyframe);
            world.stream.video(layer, frame, world.since(at));
        }
        for layer in [0, 1, 2] {
            if let Some(text) = world.playlist(Name::Video(layer)) {
                check_uneven(&text).unwrap_or_else(|rule| panic!("{rule}\n{text}"));
            }
        }
    }
    world
}

#[test]
fn layers_become_variants_whose_segments_begin_together_with_keyframes() {
    for late in [0, 3] {
        let world = ladder(late);
        let segments = |layer| {
            let rendition = &world.stream.renditions[&Name::Video(layer)];
            let whole = rendition.segments.iter().filter(|one| one.whole);
            whole.collect::<Vec<_>>()
        };
        let best = segments(0);
        assert!(best.len() >= 8, "{}", best.len());
        for layer in [1, 2] {
            let segments = segments(layer);
            assert_eq!(segments.len(), best.len());
            for (index, (one, best)) in segments.iter().zip(&best).enumerate() {
                assert_eq!(one.msn, best.msn);
                assert!(one.parts[0].independent && best.parts[0].independent);
                // All begin with keyframes.
                let late = if index == 0 { 0 } else { late };
                let apart = one.start.0 - best.start.0 - late * 33_333_333;
                assert!(apart.abs() <= 2_000_000, "{apart}");
            }
        }
    }
    let text = multivariant(&ladder(0).stream).expect("known");
    assert_eq!(text.matches("#EXT-X-STREAM-INF").count(), 3, "{text}");
}

#[test]
fn a_layer_whose_keyframe_does_not_come_is_not_waited_for_long() {
    let world = ladder(20);
    let rendition = &world.stream.renditions[&Name::Video(1)];
    let (best, world_long) = (&world.stream.renditions[&Name::Video(0)], 400_000_000);
    for (one, best) in rendition.segments.iter().zip(&best.segments).skip(1) {
        assert_eq!(one.msn, best.msn);
        let apart = one.start.since(best.start).as_nanos();
        assert!(
            (world_long..world_long + 40_000_000).contains(&apart),
            "{apart}"
        );
    }
}

/// A stream with a past of two minutes, of which memory holds 30 seconds.
fn with_a_past() -> World {
    let mut world = World::new(30.0, 60);
    world.closely = false;
    let long = Shape {
        window: Duration::from_secs(120),
        ..SHAPE
    };
    world.stream = FromFrames::new(long, 100);
    world
}

/// The whole segments of a rendition, and how many of them are on the disk.
fn kept(world: &World, name: Name) -> (usize, usize) {
    let segments = &world.stream.renditions[&name].segments;
    let on_disk = segments
        .iter()
        .filter(|one| matches!(one.place, Place::Disk(_)));
    (
        segments.iter().filter(|one| one.whole).count(),
        on_disk.count(),
    )
}

#[test]
fn what_memory_does_not_hold_is_on_the_disk_and_told_as_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk {
        folder: folder.path().to_owned(),
        reserve: 0,
    };
    let mut writer = Writer::new(disk);
    let mut world = with_a_past();
    for second in 0..200 {
        // Each time a playlist is checked, also as the successor of the one before.
        world.run(f64::from(second), true, true);
        let written = writer.write(&world.stream.move_out());
        assert!(world.stream.settle(written).is_none());
    }
    for name in [Name::Video(0), Name::Audio] {
        let (whole, on_disk) = kept(&world, name);
        assert!((60..=62).contains(&whole), "{whole}");
        assert!((44..=46).contains(&on_disk), "{on_disk}");
    }
    let seen = world.seen.as_ref().expect("a playlist");
    assert!(seen.whole() >= 60 && seen.marks() == (0, 0));
    let video = &world.stream.renditions[&Name::Video(0)];
    let on_disk = |one: &&Segment| matches!(one.place, Place::Disk(_));
    let old = video.segments.iter().filter(on_disk);
    assert!(old.into_iter().all(|one| one.parts.is_empty()));
    let files = || std::fs::read_dir(folder.path()).expect("a folder").count();
    assert!((4..=8).contains(&files()), "{}", files());
    drop((world, writer));
    assert_eq!(files(), 0, "files are gone with what needs them");
}

#[test]
fn a_disk_that_fills_up_makes_the_past_shorter_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = |reserve| Disk {
        folder: folder.path().to_owned(),
        reserve,
    };
    let mut writer = Writer::new(disk(0));
    let mut world = with_a_past();
    for second in 0..100 {
        world.run(f64::from(second), true, true);
        let written = writer.write(&world.stream.move_out());
        assert!(world.stream.settle(written).is_none());
    }
    let (before, _) = kept(&world, Name::Video(0));
    let mut full = Writer::new(disk(u64::MAX));
    let mut told = 0;
    for second in 100..130 {
        world.run(f64::from(second), true, true);
        let pieces = world.stream.move_out();
        if pieces.is_empty() {
            continue;
        }
        told += usize::from(world.stream.settle(full.write(&pieces)).is_some());
        let (whole, on_disk) = kept(&world, Name::Video(0));
        assert!(whole >= 14, "what memory holds stays: {whole}, {on_disk}");
    }
    assert!(told > 5, "{told}");
    let (after, _) = kept(&world, Name::Video(0));
    assert!(after < before, "{after} of {before}");
    // There is room again, and the past grows.
    for second in 130..200 {
        world.run(f64::from(second), true, true);
        let written = writer.write(&world.stream.move_out());
        assert!(world.stream.settle(written).is_none());
    }
    assert!(kept(&world, Name::Video(0)).0 > after);
    assert_eq!(world.marks(), (0, 0));
}

#[test]
fn a_disk_that_does_not_answer_costs_a_bounded_memory() {
    let mut world = with_a_past();
    world.stream = FromFrames::new(
        Shape {
            window: Duration::from_secs(3600),
            ..SHAPE
        },
        100,
    );
    let mut told = 0;
    for second in 0..300 {
        world.run(f64::from(second), true, true);
        let _never_written = world.stream.move_out();
        told += usize::from(world.stream.bound().is_some());
    }
    assert!(told > 0);
    let (whole, on_disk) = kept(&world, Name::Video(0));
    assert!(whole < 60 && on_disk == 0, "{whole}");
}

#[test]
fn the_checker_finds_what_is_wrong() {
    let mut world = World::new(30.0, 60);
    world.run(20.0, true, true);
    let good = world.playlist(Name::Video(0)).expect("a playlist");
    let playlist = check(&good).expect("good");
    for (from, to) in [
        ("#EXTM3U", "#EXTM4U"),
        ("#EXT-X-VERSION:9", "#EXT-X-VERSION:3"),
        ("TARGETDURATION:4", "TARGETDURATION:1"),
        ("HOLD-BACK=12.0", "HOLD-BACK=11.0"),
        ("PART-HOLD-BACK=0.648", "PART-HOLD-BACK=0.3"),
        ("CAN-SKIP-UNTIL=24.0", "CAN-SKIP-UNTIL=20.0"),
        ("PART-TARGET=0.216", "PART-TARGET=0.199"),
        ("PART-TARGET=0.216", "PART-TARGET=0.250"),
        ("#EXTINF:2.0", "#EXTINF:2.1"),
        ("#EXTINF:2.0", "#EXTINF:5.1"),
        ("#EXT-X-MAP", "#EXT-X-MOP"),
        (
            "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:02",
            "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:03",
        ),
    ] {
        assert!(good.contains(from), "{from}\n{good}");
        let bad = good.replacen(from, to, 1);
        assert!(check(&bad).is_err(), "{from} -> {to}");
    }
    for (from, to) in [
        ("MEDIA-SEQUENCE:100", "MEDIA-SEQUENCE:99"),
        ("DISCONTINUITY-SEQUENCE:0", "DISCONTINUITY-SEQUENCE:1"),
        ("v0-100.m4s", "v0-105.m4s"),
    ] {
        let bad = check(&good.replacen(from, to, 1)).expect("good by itself");
        assert!(bad.follows(&playlist).is_err(), "{from} -> {to}");
    }
}
