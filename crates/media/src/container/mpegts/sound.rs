//! Access units of AAC and Opus cut out of PES packets, with times that are exact to the sample.

use std::sync::Arc;

use super::{Loss, opus};
use crate::codec::aac::{adts, latm};
use crate::{Config, MediaTime};

/// Nanoseconds by which a told time may differ from the counted one and still be the same: a tick
/// of 90 kHz, to which senders round.
const TOLERANCE: u64 = 12_000;

/// What comes out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard<'a> {
    Unit {
        config: &'a Arc<Config>,
        pts: MediaTime,
        data: &'a [u8],
    },
    /// A unit came before any time.
    NoTime,
    Lost(Loss),
    /// What is not understood, in words.
    Bad(String),
}

#[derive(Debug)]
enum Framing {
    Adts,
    Latm(latm::Reader),
    Opus { channels: u8 },
}

/// Cuts one track.
#[derive(Debug)]
pub(super) struct Sound {
    framing: Framing,
    /// The beginning of a unit whose rest is in the next packet; less than one unit.
    carried: Vec<u8>,
    /// What was told of that unit.
    carried_told: Option<MediaTime>,
    /// Whether the last unit ended where the next has to begin.
    synced: bool,
    config: Option<Arc<Config>>,
    counter: Counter,
}

impl Sound {
    fn new(framing: Framing) -> Self {
        Self {
            framing,
            carried: Vec::new(),
            carried_told: None,
            synced: false,
            config: None,
            counter: Counter::default(),
        }
    }

    pub(super) fn adts() -> Self {
        Self::new(Framing::Adts)
    }

    pub(super) fn latm() -> Self {
        Self::new(Framing::Latm(latm::Reader::default()))
    }

    /// With 1 or 2 channels.
    pub(super) fn opus(channels: u8) -> Self {
        Self::new(Framing::Opus { channels })
    }

    /// Something is missing: drops the unit under way and does not count on.
    pub(super) fn abandon(&mut self) {
        self.synced = false;
        self.counter = Counter::default();
        self.carried.clear();
        self.carried_told = None;
    }

    /// The payload of a whole PES packet; `told` is when the first unit that begins in it is
    /// heard, in ticks of 90 kHz.
    pub(super) fn push(
        &mut self,
        payload: &[u8],
        told: Option<i64>,
        out: &mut impl FnMut(Heard<'_>),
    ) {
        let mut told = told.map(|ticks| MediaTime::from_ticks(ticks, super::clock::RATE));
        if let Framing::Opus { channels } = self.framing {
            return self.opus_units(channels, payload, told, out);
        }
        let begins = self.carried.len();
        let mut told_before = self.carried_told.take();
        let mut joined = std::mem::take(&mut self.carried);
        joined.extend_from_slice(payload);
        let mut at = 0;
        while let Some(rest) = joined.get(at..)
            && !rest.is_empty()
        {
            let Some(len) = self.framed(rest) else {
                if rest.len() < adts::Header::LEN {
                    break;
                }
                if std::mem::take(&mut self.synced) {
                    out(Heard::Lost(Loss::Malformed));
                }
                at += 1;
                continue;
            };
            let Some(frame) = rest.get(..len) else {
                break;
            };
            let time = if at < begins {
                told_before.take()
            } else {
                told.take()
            };
            self.frame(frame, time, out);
            self.synced = true;
            at += len;
        }
        joined.drain(..at);
        if !joined.is_empty() {
            self.carried_told = if at < begins { told_before } else { told };
        }
        self.carried = joined;
    }

    /// Bytes of the frame at the front, where one begins there.
    fn framed(&self, bytes: &[u8]) -> Option<usize> {
        let begins = |bytes: &[u8]| match self.framing {
            Framing::Adts => adts::Header::parse(bytes).map(|header| header.frame_len),
            Framing::Latm(_) => latm::frame_len(bytes),
            Framing::Opus { .. } => None,
        };
        let len = begins(bytes)?;
        // Two bytes of sound may look like a beginning: then the next one tells.
        let next = bytes.get(len..).unwrap_or_default();
        let next_too = next.len() < adts::Header::LEN || begins(next).is_some();
        (self.synced || next_too).then_some(len)
    }

    fn frame(&mut self, frame: &[u8], told: Option<MediaTime>, out: &mut impl FnMut(Heard<'_>)) {
        match &mut self.framing {
            Framing::Adts => {
                let Some(header) = adts::Header::parse(frame) else {
                    return;
                };
                if header.units != 1 {
                    out(Heard::Bad("ADTS with several units in a frame".to_owned()));
                    return;
                }
                let config = match header.config() {
                    Ok(config) => config,
                    Err(error) => return out(Heard::Bad(error.to_string())),
                };
                let Ok(asc) = config.write() else { return };
                keep(&mut self.config, Config::Aac { asc });
                let (samples, rate) = (config.samples_per_unit(), config.sample_rate);
                let pts = self.counter.next(told, samples, rate);
                let data = frame.get(header.header_len..).unwrap_or_default();
                give(&self.config, pts, data, out);
            }
            Framing::Latm(reader) => {
                let units = match reader.element(frame.get(3..).unwrap_or_default()) {
                    Ok(units) => units,
                    Err(error) => return out(Heard::Bad(error.to_string())),
                };
                let Some((config, asc)) = reader.config() else {
                    return;
                };
                let asc = asc.to_vec();
                keep(&mut self.config, Config::Aac { asc });
                let mut told = told;
                for unit in units {
                    let samples = config.samples_per_unit();
                    let pts = self.counter.next(told.take(), samples, config.sample_rate);
                    give(&self.config, pts, &unit, out);
                }
            }
            Framing::Opus { .. } => {}
        }
    }

    fn opus_units(
        &mut self,
        channels: u8,
        payload: &[u8],
        mut told: Option<MediaTime>,
        out: &mut impl FnMut(Heard<'_>),
    ) {
        let mut rest = payload;
        while !rest.is_empty() {
            let unit = opus::Unit::parse(rest)
                .and_then(|unit| opus::samples(unit.packet).map(|samples| (unit, samples)));
            let Some((unit, samples)) = unit else {
                self.counter = Counter::default();
                return out(Heard::Lost(Loss::Malformed));
            };
            rest = unit.rest;
            // What is trimmed at the very start is what a player skips; later it is a seam.
            self.config.get_or_insert_with(|| {
                Arc::new(Config::Opus {
                    channels,
                    pre_skip: unit.start_trim,
                })
            });
            let pts = self.counter.next(told.take(), samples, 48_000);
            give(&self.config, pts, unit.packet, out);
        }
    }
}

fn give(
    config: &Option<Arc<Config>>,
    pts: Option<MediaTime>,
    data: &[u8],
    out: &mut impl FnMut(Heard<'_>),
) {
    match (config, pts) {
        (Some(config), Some(pts)) => out(Heard::Unit { config, pts, data }),
        _ => out(Heard::NoTime),
    }
}

/// Keeps the old value while it is equal.
fn keep(slot: &mut Option<Arc<Config>>, config: Config) {
    if slot.as_deref() != Some(&config) {
        *slot = Some(Arc::new(config));
    }
}

/// Counts samples from a told time on, so that no rounding adds up.
#[derive(Debug, Default)]
struct Counter {
    since: Option<MediaTime>,
    samples: i64,
    rate: u32,
}

impl Counter {
    /// The time of the next unit, which has `samples` at `rate` hertz.
    fn next(&mut self, told: Option<MediaTime>, samples: u32, rate: u32) -> Option<MediaTime> {
        let counted = self
            .since
            .map(|since| since.shifted(MediaTime::from_ticks(self.samples, self.rate).0));
        let time = match (counted, told) {
            (Some(counted), Some(told)) if counted.0.abs_diff(told.0) <= TOLERANCE => counted,
            (_, Some(told)) => told,
            (counted, None) => counted?,
        };
        if counted != Some(time) || self.rate != rate {
            self.since = Some(time);
            self.samples = 0;
            self.rate = rate;
        }
        self.samples = self.samples.saturating_add(i64::from(samples));
        Some(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::aac::AudioSpecificConfig;

    fn heard(sound: &mut Sound, payload: &[u8], told: Option<i64>) -> Vec<(i64, Vec<u8>)> {
        let mut out = Vec::new();
        sound.push(payload, told, &mut |heard| match heard {
            Heard::Unit { pts, data, .. } => out.push((pts.0, data.to_vec())),
            Heard::NoTime | Heard::Lost(_) | Heard::Bad(_) => out.push((-1, Vec::new())),
        });
        out
    }

    fn frames(count: u8) -> Vec<u8> {
        let config = AudioSpecificConfig::lc(44_100, 2).expect("valid");
        (0..count)
            .flat_map(|number| {
                let mut frame = adts::header(&config, 50).expect("fits").to_vec();
                frame.resize(57, number);
                frame
            })
            .collect()
    }

    #[test]
    fn units_of_one_packet_are_a_frame_apart() {
        let units = heard(&mut Sound::adts(), &frames(4), Some(90_000));
        let times: Vec<_> = units.iter().map(|(pts, _)| *pts).collect();
        // 1024 / 44100 s.
        let expected = [0, 23_219_954, 46_439_909, 69_659_863].map(|ns| 1_000_000_000 + ns);
        assert_eq!(times, expected);
        assert_eq!(units[3].1, [3; 50]);
    }

    #[test]
    fn units_across_packets_keep_the_time_of_where_they_begin() {
        let bytes = frames(4);
        for cut in 1..bytes.len() {
            let mut sound = Sound::adts();
            let mut units = heard(&mut sound, &bytes[..cut], Some(0));
            // Of the first unit that begins behind the cut, rounded as senders do.
            let begun = i64::try_from(cut.div_ceil(57)).expect("small");
            let told = MediaTime::from_ticks(begun * 1024, 44_100).ticks(90_000);
            units.extend(heard(&mut sound, &bytes[cut..], Some(told)));
            let times: Vec<_> = units.iter().map(|(pts, _)| *pts).collect();
            assert_eq!(times, [0, 23_219_954, 46_439_909, 69_659_863], "cut {cut}");
            assert!(
                units
                    .iter()
                    .enumerate()
                    .all(|(at, unit)| unit.1 == [at as u8; 50])
            );
        }
    }

    #[test]
    fn a_beginning_in_the_middle_of_a_unit_is_found_out() {
        let mut bytes = frames(3);
        bytes.splice(10..12, [0xff, 0xf1]);
        let units = heard(&mut Sound::adts(), &bytes[10..], Some(0));
        assert_eq!(units, [(0, vec![1; 50]), (23_219_954, vec![2; 50])]);
    }

    #[test]
    fn after_a_loss_times_are_told_again() {
        let mut sound = Sound::adts();
        heard(&mut sound, &frames(1), Some(0));
        sound.abandon();
        assert_eq!(heard(&mut sound, &frames(1), None), [(-1, vec![])]);
        let later = heard(&mut sound, &frames(1), Some(90_000));
        assert_eq!(later, [(1_000_000_000, vec![0; 50])]);
    }
}
