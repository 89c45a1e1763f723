//! The writer on virtual time.

use std::sync::Arc;
use std::time::Duration;

use inver_media::{Config, Frame, MediaTime};

use super::{Container, Output, Split, Writer};

/// From one picture to the next, in milliseconds.
const STEP: u64 = 40;

/// When scenarios begin, in milliseconds: a burst may be older.
const BEGIN: u64 = 10_000;

/// What came of a scenario, in order.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Open(Vec<String>, u64),
    Append(u64),
    Sync,
    Close,
    Refused,
}

struct Scenario {
    writer: Writer,
    now: u64,
    picture: Arc<Config>,
    sound: Arc<Config>,
    /// What the encoder's clock shows at the scenario's zero, in milliseconds.
    origin: i64,
    said: Vec<Said>,
}

fn h264(profile: u8) -> Arc<Config> {
    // 1280x720 in High profile; the last byte of the other set may differ.
    let sps = vec![
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03,
        0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60, 0x00, 0x00,
    ];
    let pps = vec![0x68, 0xcb, 0x83, profile];
    Arc::new(Config::H264 {
        sps: vec![sps],
        pps: vec![pps],
    })
}

fn scenario(split: Split) -> Scenario {
    Scenario {
        writer: Writer::new(split),
        now: BEGIN,
        picture: h264(0xcb),
        sound: Arc::new(Config::Opus {
            channels: 2,
            pre_skip: 312,
        }),
        origin: 5_000,
        said: Vec::new(),
    }
}

impl Scenario {
    fn take(&mut self) {
        while let Some(output) = self.writer.poll_output() {
            let said = match output {
                Output::Open(opening) => Said::Open(opening.codecs, millis(opening.at)),
                Output::Append { lasts, .. } => Said::Append(millis(lasts)),
                Output::Sync => Said::Sync,
                Output::Close => Said::Close,
                Output::Refused(_) => Said::Refused,
            };
            self.said.push(said);
        }
    }

    fn frame(&mut self, config: &Arc<Config>, keyframe: bool) {
        let at = MediaTime((i64::try_from(self.now).expect("small") + self.origin) * 1_000_000);
        let frame = Frame {
            config: Arc::clone(config),
            pts: at,
            dts: at,
            keyframe,
            data: Arc::from([0, 0, 0, 1, 0x65]),
        };
        self.writer
            .frame(&Arc::new(frame), Duration::from_millis(self.now));
        self.take();
    }

    /// Pictures and sound until then, with a keyframe every second.
    fn media(&mut self, until: u64) {
        while self.now < until {
            let (picture, sound) = (Arc::clone(&self.picture), Arc::clone(&self.sound));
            self.frame(&picture, self.now.is_multiple_of(1000));
            self.frame(&sound, true);
            self.now += STEP;
            self.writer.tick(Duration::from_millis(self.now));
            self.take();
        }
    }

    fn opened(&self) -> Vec<u64> {
        let opened = self.said.iter().filter_map(|said| match said {
            Said::Open(_, at) => Some(*at),
            Said::Append(_) | Said::Sync | Said::Close | Said::Refused => None,
        });
        opened.collect()
    }
}

fn millis(at: Duration) -> u64 {
    u64::try_from(at.as_millis()).expect("a test is short")
}

#[test]
fn fragments_are_short_and_synced_in_time() {
    let mut scenario = scenario(Split::default());
    scenario.media(20_000);
    scenario.writer.idle(Duration::from_secs(20));
    scenario.take();
    let both = vec!["H264".to_owned(), "Opus".to_owned()];
    assert_eq!(scenario.said[0], Said::Open(both, BEGIN));
    assert_eq!(scenario.said.last(), Some(&Said::Close));
    let mut last = 0;
    for said in &scenario.said {
        if let Said::Append(lasts) = said {
            assert!(lasts - last <= 1_000, "{:?}", scenario.said);
            last = *lasts;
        }
    }
    assert_eq!(last, 10_000);
    let syncs = scenario.said.iter().filter(|said| **said == Said::Sync);
    assert_eq!(syncs.count(), 2);
}

#[test]
fn a_burst_at_the_start_does_not_place_the_file_too_late() {
    let mut scenario = scenario(Split::default());
    // A second of pictures that are there already, at one moment.
    let picture = Arc::clone(&scenario.picture);
    for back in (0..25).rev() {
        scenario.origin = 5_000 - back * 40;
        scenario.frame(&picture, back == 24);
    }
    scenario.now += STEP;
    scenario.media(12_000);
    assert_eq!(scenario.opened(), [BEGIN - 24 * STEP]);
    scenario.writer.idle(Duration::from_secs(12));
    scenario.take();
    let lasts = scenario.said.iter().rev().find_map(|said| match said {
        Said::Append(lasts) => Some(*lasts),
        Said::Open(..) | Said::Sync | Said::Close | Said::Refused => None,
    });
    assert_eq!(lasts, Some(24 * STEP + 2_000));
}

#[test]
fn a_split_waits_for_a_keyframe_and_loses_nothing() {
    let duration = Duration::from_millis(1_500);
    let mut scenario = scenario(Split { duration, bytes: 0 });
    scenario.media(15_000);
    assert_eq!(scenario.opened(), [BEGIN, 12_000, 14_000]);
}

#[test]
fn another_codec_and_a_publishers_return_begin_new_files() {
    let mut scenario = scenario(Split::default());
    scenario.media(12_000);
    scenario.picture = h264(0xcc);
    scenario.media(14_000);
    assert_eq!(scenario.opened(), [BEGIN, 12_000]);
    scenario.writer.idle(Duration::from_secs(14));
    scenario.take();
    scenario.now = 19_000;
    // An encoder that begins anew counts from anywhere.
    scenario.origin = -19_000;
    scenario.media(21_000);
    assert_eq!(scenario.opened(), [BEGIN, 12_000, 19_000]);
}

#[test]
fn vp8_with_opus_goes_into_webm() {
    let mut writer = Writer::new(Split::default());
    let frame = |config, data: &[u8]| {
        Arc::new(Frame {
            config: Arc::new(config),
            pts: MediaTime::ZERO,
            dts: MediaTime::ZERO,
            keyframe: true,
            data: Arc::from(data),
        })
    };
    let picture = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01];
    let now = Duration::from_millis(BEGIN);
    writer.frame(&frame(Config::Vp8, &picture), now);
    let opus = Config::Opus {
        channels: 2,
        pre_skip: 312,
    };
    writer.frame(&frame(opus, &[0; 3]), now);
    writer.tick(now + Duration::from_secs(1));
    let Some(Output::Open(opening)) = writer.poll_output() else {
        panic!("a file begins");
    };
    assert_eq!(opening.container, Container::Webm);
    assert_eq!(opening.codecs, ["VP8", "Opus"]);
    assert_eq!(opening.header[..4], [0x1a, 0x45, 0xdf, 0xa3]);
}

#[test]
fn a_codec_without_a_place_is_named_once() {
    let mut scenario = scenario(Split::default());
    scenario.picture = Arc::new(Config::Vp8);
    scenario.sound = Arc::new(Config::Aac {
        asc: vec![0x11, 0x90],
    });
    scenario.media(13_000);
    let refused = scenario.said.iter().filter(|said| **said == Said::Refused);
    assert_eq!(refused.count(), 1);
}
