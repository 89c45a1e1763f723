//! Losses, wraps, late packets, clocks and layers, in virtual time.

use std::time::SystemTime;

use inver_media::codec::inspect;
use inver_media::{Extensions, Format, SenderClock};

use super::*;

const FRAME: Duration = Duration::from_millis(40);

fn vp8(keyframe: bool, size: (u16, u16)) -> Vec<u8> {
    let mut payload = vec![0x10, u8::from(!keyframe), 2, 0];
    if keyframe {
        payload.extend([0x9d, 0x01, 0x2a]);
        payload.extend(size.0.to_le_bytes());
        payload.extend(size.1.to_le_bytes());
    }
    payload.extend([7; 20]);
    payload
}

fn of(codec: Codec, sequence: u64, timestamp: u64, arrival: Instant, payload: Vec<u8>) -> Packet {
    Packet {
        info: inspect(codec, &payload),
        payload: payload.into(),
        sequence,
        timestamp,
        marker: true,
        arrival,
        format: Format::new(codec),
        extensions: Extensions::default(),
        clock: None,
    }
}

pub(in super::super) fn packet(sequence: u64, timestamp: u64, arrival: Instant) -> Packet {
    of(Codec::Opus, sequence, timestamp, arrival, vec![0xfc, 1])
}

fn picture(number: u64, keyframe: bool, arrival: Instant) -> Packet {
    let payload = vp8(keyframe, (320, 180));
    of(Codec::Vp8, number, number * 3600, arrival, payload)
}

fn batch(epoch: u64, layer: u8, packet: Packet) -> Batch {
    let kind = packet.format.codec.kind();
    let layer = Layer(layer);
    let packets = vec![Routed {
        kind,
        layer,
        packet,
    }];
    Batch { epoch, packets }
}

struct Stand {
    assembly: Assembly,
    start: Instant,
    now: Instant,
}

impl Stand {
    fn new() -> Self {
        let start = Instant::now();
        Self {
            assembly: Assembly::new(start),
            start,
            now: start,
        }
    }

    fn push(&mut self, epoch: u64, layer: u8, packet: Packet) -> Vec<Made> {
        let mut made = Vec::new();
        self.assembly
            .push(&batch(epoch, layer, packet), self.now, &mut made);
        made
    }

    /// Waits until something has to be done, and does it.
    fn wait(&mut self) -> Vec<Made> {
        self.now = self.assembly.poll_timeout().expect("something is awaited");
        let mut made = Vec::new();
        self.assembly.handle_timeout(self.now, &mut made);
        made
    }
}

fn times(made: &[Made]) -> Vec<(char, i64)> {
    made.iter()
        .filter_map(|made| match made {
            Made::Video(_, frame) => Some(('v', frame.pts.0 / 1_000_000)),
            Made::Audio(frame) => Some(('a', frame.pts.0 / 1_000_000)),
            _ => None,
        })
        .collect()
}

fn wants(made: &[Made]) -> bool {
    made.iter()
        .any(|made| matches!(made, Made::WantKeyframe(_)))
}

#[test]
fn nothing_is_given_before_a_keyframe_and_one_is_asked_for() {
    let mut stand = Stand::new();
    let made = stand.push(1, 0, picture(5, false, stand.now));
    assert!(wants(&made), "{made:?}");
    assert_eq!(times(&made), []);
    let made = stand.push(1, 0, picture(6, true, stand.now));
    assert_eq!(times(&made).len(), 1);
    let made = stand.push(1, 0, picture(7, false, stand.now));
    assert_eq!(times(&made).len(), 1);
    assert!(!wants(&made));
}

#[test]
fn a_loss_is_told_and_pictures_go_on_with_the_next_keyframe() {
    let mut stand = Stand::new();
    stand.push(1, 0, picture(1, true, stand.now));
    let made = stand.push(1, 0, picture(3, false, stand.now));
    assert_eq!(times(&made), [], "it is waited for");
    let made = stand.wait();
    assert!(made.contains(&Made::Lost), "{made:?}");
    assert!(wants(&made));
    assert_eq!(times(&made), []);
    assert_eq!(times(&stand.push(1, 0, picture(2, false, stand.now))), []);
    assert_eq!(times(&stand.push(1, 0, picture(4, false, stand.now))), []);
    let made = stand.push(1, 0, picture(5, true, stand.now));
    assert_eq!(times(&made), [('v', 160)]);
}

#[test]
fn a_late_retransmission_leaves_no_trace() {
    let mut stand = Stand::new();
    stand.push(1, 0, picture(1, true, stand.now));
    stand.push(1, 0, picture(3, false, stand.now));
    stand.now += Duration::from_millis(150);
    let made = stand.push(1, 0, picture(2, false, stand.now));
    assert_eq!(times(&made), [('v', 40), ('v', 80)]);
    assert!(!made.contains(&Made::Lost));
}

#[test]
fn lost_sound_is_left_out() {
    let mut stand = Stand::new();
    for sequence in [1, 2, 4] {
        stand.push(1, 0, packet(sequence, sequence * 960, stand.now));
    }
    assert_eq!(times(&stand.wait()), [('a', 60)]);
}

/// Sound comes 300 ms later than the picture that was captured with it.
#[test]
fn reports_bring_sound_and_picture_together() {
    let mut stand = Stand::new();
    let ntp = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let mut latest = (0, 0);
    for number in 0..100_u64 {
        let captured = FRAME * number as u32;
        let reported = number > 20;
        let clock = |rtp| reported.then_some(SenderClock { ntp, rtp });
        let mut picture = picture(number, number == 0, stand.start + captured);
        picture.clock = clock(0);
        let arrival = stand.start + captured + Duration::from_millis(300);
        let mut sound = packet(number, 777 + number * 1920, arrival);
        sound.clock = clock(777);
        for packet in [picture, sound] {
            for (kind, at) in times(&stand.push(1, 0, packet)) {
                let last = if kind == 'v' {
                    &mut latest.0
                } else {
                    &mut latest.1
                };
                assert!(at > *last || *last == 0, "{kind}: {at} after {last}");
                *last = at;
            }
        }
        let apart: i64 = latest.0 - latest.1;
        if number < 20 {
            assert_eq!(apart, -300, "by arrival");
        }
        if number > 30 {
            assert!(apart.abs() <= 10, "{apart} ms apart at {number}");
        }
        stand.now = arrival;
    }
}

#[test]
fn a_reader_that_comes_late_gets_both_in_step_at_once() {
    let mut stand = Stand::new();
    let ntp = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    // The reports are three seconds old, the sound half a second late.
    let mut picture = picture(75, true, stand.now);
    picture.clock = Some(SenderClock { ntp, rtp: 0 });
    let mut sound = packet(9, 777 + 48 * 3_000, stand.now + Duration::from_millis(500));
    sound.clock = Some(SenderClock { ntp, rtp: 777 });
    assert_eq!(times(&stand.push(1, 0, picture)), [('v', 0)]);
    assert_eq!(times(&stand.push(1, 0, sound)), [('a', 0)]);
}

#[test]
fn a_clock_that_was_set_is_not_followed() {
    let mut stand = Stand::new();
    let ntp = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let mut first = picture(1, true, stand.now);
    first.clock = Some(SenderClock { ntp, rtp: 3600 });
    stand.push(1, 0, first);
    stand.now += FRAME;
    let mut second = picture(2, false, stand.now);
    let ntp = ntp + Duration::from_secs(3600);
    second.clock = Some(SenderClock { ntp, rtp: 7200 });
    assert_eq!(times(&stand.push(1, 0, second)), [('v', 40)]);
}

#[test]
fn a_publisher_that_comes_back_goes_on_later_with_its_new_codec() {
    let mut stand = Stand::new();
    stand.push(1, 0, picture(1000, true, stand.now));
    stand.now += Duration::from_millis(500);
    let payload = vec![0x65, 0x88, 0x84, 0x00, 0x10];
    let sps = vec![0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x47, 0xfe, 0xc8];
    let pps = vec![0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
    let mut made = Vec::new();
    for (sequence, payload) in [sps, pps, payload].into_iter().enumerate() {
        let mut packet = of(Codec::H264, sequence as u64, 5, stand.now, payload);
        packet.marker = sequence == 2;
        made.extend(stand.push(2, 0, packet));
    }
    assert_eq!(made[0], Made::Idle);
    assert_eq!(times(&made), [('v', 500)]);
    let configured = made.iter().any(|made| match made {
        Made::Video(0, frame) => frame.codec() == Codec::H264,
        _ => false,
    });
    assert!(configured, "{made:?}");
}

#[test]
fn silence_is_told_once() {
    let mut stand = Stand::new();
    stand.push(1, 0, picture(1, true, stand.now));
    let made = stand.wait();
    assert!(made.contains(&Made::Idle), "{made:?}");
    assert_eq!(stand.assembly.poll_timeout(), None);
}

#[test]
fn the_largest_layer_is_the_first_whatever_the_order_of_the_offer() {
    let mut stand = Stand::new();
    let keyframe = |size, arrival| {
        let mut packet = picture(1, true, arrival);
        packet.payload = vp8(true, size).into();
        packet.info = inspect(Codec::Vp8, &packet.payload);
        packet
    };
    stand.push(1, 0, keyframe((320, 180), stand.now));
    let made = stand.push(1, 2, keyframe((1280, 720), stand.now));
    assert!(made.contains(&Made::Layers(vec![2, 0])), "{made:?}");
    assert!(made.contains(&Made::Lost), "layer 0 is another one now");
    // The large one is paused: the small one is the best then.
    stand.now += Duration::from_secs(3);
    let made = stand.push(1, 0, picture(2, true, stand.now));
    assert!(made.contains(&Made::Layers(vec![0])), "{made:?}");
    assert_eq!(times(&made).len(), 1);
}
