//! Drives a sender with chosen feedback, for the fuzz target `rtcp`.
//!
//! Beyond the absence of panics it holds: a report asks for no more retransmissions than are kept,
//! each of them answers a number that it names, events name tracks that exist, and what waits is
//! bounded.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use inver_media::{Extensions, Kind};
use str0m::crypto::dtls::SrtpProfile;

use super::rtcp::{self, Feedback};
use super::{Burst, Ids, Keys, MAX_EVENTS, MAX_RESENT, Sender, Stream};
use crate::{Event, Statistics, TrackId, Write};

/// Packets of picture that are kept before the first report.
const KEPT: u64 = 40;

/// Sources of the two streams and of what is sent again.
const SOUND: u32 = 0x0101_0101;
const PICTURE: u32 = 0x0202_0202;
const REPAIR: u32 = 0x0303_0303;

#[expect(
    clippy::disallowed_methods,
    reason = "the one look at the clock that virtual time needs"
)]
fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

fn sender(now: Instant) -> Sender {
    let keys = Keys {
        material: vec![7; 56],
        profile: SrtpProfile::AEAD_AES_128_GCM,
        client: false,
    };
    let ids = Ids {
        transport: Some(3),
        ..Ids::default()
    };
    let repair = Some((REPAIR, vec![(96, 97)]));
    let streams = vec![
        Some(Stream::new(Kind::Audio, SOUND, "0".to_owned(), ids, None)),
        None,
        Some(Stream::new(
            Kind::Video,
            PICTURE,
            "2".to_owned(),
            ids,
            repair,
        )),
    ];
    let wallclock = (now, SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000));
    let name = "inver".to_owned();
    Sender::new(&keys, streams, name, Some(1_000_000), wallclock, now)
        .expect("56 bytes are keys and salts of both directions")
}

fn write(sender: &mut Sender, sequence: u64, now: Instant) {
    let mut burst = Burst::default();
    for (track, payload_type) in [(0, 111), (2, 96)] {
        let write = Write {
            payload_type,
            sequence,
            timestamp: (sequence * 3000) as u32,
            wallclock: now,
            marker: true,
            nackable: true,
            payload: vec![sequence as u8; 200].into(),
            padding: 0,
            extensions: Extensions::default(),
        };
        sender.write(TrackId(track), write, now, &mut burst);
    }
    sender.finish(now, &mut burst);
}

/// Feeds `data` to a sender. Each round begins with three bytes: packets that leave, milliseconds
/// that pass, and the length, in words, of the compound packet that follows.
///
/// # Panics
/// When a promise of this module does not hold, which is what the fuzzer looks for.
#[doc(hidden)]
pub fn fuzz_rtcp(data: &[u8]) {
    let mut now = start();
    let mut sender = sender(now);
    let mut sequence = 65_500;
    for _ in 0..KEPT {
        write(&mut sender, sequence, now);
        sequence += 1;
    }
    let mut rest = data;
    while let Some((&[packets, wait, words], tail)) = rest.split_first_chunk::<3>() {
        for _ in 0..packets % 8 {
            write(&mut sender, sequence, now);
            sequence += 1;
        }
        now += Duration::from_millis(wait.into());
        let (compound, tail) = tail.split_at((usize::from(words) * 4).min(tail.len()));
        rest = tail;
        let mut asked = Vec::new();
        let mut pieces = 0;
        rtcp::each(compound, |feedback| {
            pieces += 1;
            if let Feedback::Nack(ssrc, pairs) = feedback {
                let numbers: Vec<u16> = rtcp::nacked(pairs).collect();
                assert!(numbers.len() <= pairs.len() / 4 * 17);
                if ssrc == PICTURE {
                    asked.extend(numbers);
                }
            }
            sender.feedback(&feedback, now);
        });
        assert!(pieces * 4 <= compound.len(), "{pieces} pieces of feedback");
        let mut sent = 0;
        while let Some(datagram) = sender.poll_transmit() {
            sent += 1;
            assert_eq!(datagram[8..12], REPAIR.to_be_bytes());
            assert!(datagram.len() < 300);
        }
        assert!(
            sent <= asked.len().min(MAX_RESENT),
            "{sent} of {}",
            asked.len()
        );
        sender.tell_estimate();
        // Nobody without the keys is heard.
        sender.handle_datagram(compound, now);
        sender.handle_timeout(now);
        while sender.poll_transmit().is_some() {}
        events(&mut sender);
    }
}

fn events(sender: &mut Sender) {
    let mut count = 0;
    while let Some(event) = sender.poll_event() {
        count += 1;
        match event {
            Event::KeyframeRequested(track) | Event::Statistics(Statistics::Sent(track, _)) => {
                assert!(matches!(track, TrackId(0 | 2)), "{track:?} is not sent");
            }
            Event::Estimated(_) => {}
            other => panic!("feedback causes {other:?}"),
        }
    }
    assert!(count <= MAX_EVENTS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_feedback_of_known_kinds_breaks_nothing() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let mut data = Vec::new();
            for _ in 0..10 {
                let words = random.u8(3..40);
                data.extend([random.u8(..), random.u8(..), words]);
                let (kind, count) = [(201, 1), (205, 1), (205, 15), (206, 1), (206, 4), (206, 15)]
                    [random.usize(..6)];
                data.extend([0x80 | count, kind, 0, words - 1]);
                data.extend([0, 0, 0, 1]);
                data.extend(PICTURE.to_be_bytes());
                let rest = usize::from(words) * 4 - 12;
                data.extend(std::iter::repeat_with(|| random.u8(..)).take(rest));
            }
            fuzz_rtcp(&data);
        }
    }
}
