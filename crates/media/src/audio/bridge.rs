//! What both bridges are: units of one codec in, frames of the other out, each with its time.
//!
//! Each bridge serves one track and is driven by it alone: what is pushed is all that it knows
//! of time. It holds less than two units of sound; nothing is queued.

use std::sync::Arc;
use std::time::Duration;

use super::guard::guarded;
use super::resampler::{RATES, Resampler};
use super::seam::Seam;
use super::timeline::{Placement, Timeline};
use super::{Decoder, Encoder, Error, Fault, RATE, Stereo, decoder_for};
use crate::{Config, Frame, MediaTime};

/// Corrupt units in a row after which the caller is told: about a second. Fewer, and a burst of
/// loss would be reported as a broken source; more, and a listener waits in silence for longer
/// before anybody knows.
const CORRUPT_UNITS: u32 = 50;

/// What a bridge did so far.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stats {
    /// Units that were decoded.
    pub decoded: u64,
    /// Units that could not be.
    pub corrupt: u64,
    /// Sound made up in place of corrupt and missing units.
    pub concealed: Duration,
    /// Sound dropped because what was heard before reached past its time.
    pub dropped: Duration,
    /// How often the timeline began anew after a jump.
    pub restarts: u64,
    /// By how many millionths the source is stretched now, because its clock of samples and its
    /// timestamps disagree. Positive where samples come too slowly.
    pub correction_ppm: f64,
}

/// The decoder in use.
struct Source {
    config: Arc<Config>,
    decoder: Box<dyn Decoder>,
}

/// The way from one codec to another.
pub(super) struct Bridge {
    encoder: Box<dyn Encoder>,
    source: Option<Source>,
    timeline: Timeline,
    resampler: Option<Resampler>,
    seam: Seam,
    /// Whether the next sound does not continue the last, so that they have to be joined.
    rough: bool,
    /// Samples of the last unit that was decoded; 0 before the first.
    unit_len: usize,
    /// Sound at [`RATE`] that is not encoded yet, less than a unit between two calls.
    queue: Stereo,
    /// The tick of the first sample in `queue`.
    tick: i64,
    /// Samples to drop of what the resampler gives next: a new one begins with its delay.
    skip: usize,
    corrupt_in_row: u32,
    stats: Stats,
    /// Frames made by a call that then failed, for the next one: losing them would tear a hole
    /// into the output. What fails makes at most what fills 200 ms before it does.
    kept: Vec<Frame>,
    /// Memory for the next unit's sound.
    spare: Stereo,
    ended: bool,
}

impl Bridge {
    pub(super) fn new(encoder: Box<dyn Encoder>) -> Self {
        Self {
            encoder,
            source: None,
            timeline: Timeline::new(RATE),
            resampler: None,
            seam: Seam::default(),
            rough: false,
            unit_len: 0,
            queue: Stereo {
                rate: RATE,
                ..Stereo::default()
            },
            tick: 0,
            skip: 0,
            corrupt_in_row: 0,
            stats: Stats::default(),
            kept: Vec::new(),
            spare: Stereo::default(),
            ended: false,
        }
    }

    pub(super) fn config(&self) -> &Arc<Config> {
        self.encoder.config()
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            correction_ppm: self.timeline.correction_ppm(),
            ..self.stats
        }
    }

    pub(super) fn push(&mut self, frame: &Frame) -> Result<Vec<Frame>, Error> {
        self.guarded(|bridge, out| bridge.take(frame, out))
    }

    pub(super) fn finish(&mut self) -> Result<Vec<Frame>, Error> {
        self.guarded(|bridge, out| {
            let drained = bridge.drain(out);
            bridge.timeline = Timeline::new(RATE);
            bridge.resampler = None;
            drained.map(|_| ())
        })
    }

    fn guarded(
        &mut self,
        work: impl FnOnce(&mut Self, &mut Vec<Frame>) -> Result<(), Error>,
    ) -> Result<Vec<Frame>, Error> {
        if self.ended {
            return Err(Error::Ended);
        }
        let mut out = std::mem::take(&mut self.kept);
        match guarded(|| work(self, &mut out)) {
            Ok(Ok(())) => Ok(out),
            Ok(Err(error)) => {
                self.kept = out;
                Err(error)
            }
            Err(panicked) => {
                self.ended = true;
                Err(panicked)
            }
        }
    }

    fn take(&mut self, frame: &Frame, out: &mut Vec<Frame>) -> Result<(), Error> {
        self.prepare(&frame.config)?;
        // Placed before it is decoded, because a decoder has to make up for what is missing
        // before it reads what follows; so it is judged by the length of the one before.
        let placement = self.timeline.place(frame.pts, self.unit_len);
        if let Placement::Missing(ticks) = placement {
            self.fill(ticks, out)?;
        }
        let Some(mut sound) = self.decode(frame)? else {
            if self.resampler.is_none() {
                self.timeline = Timeline::new(RATE);
            }
            return Ok(());
        };
        let rate = sound.rate;
        match placement {
            Placement::Begin => self.begin(rate, out)?,
            Placement::Overlap(ticks) => {
                self.change_rate(rate)?;
                let samples = (ticks / self.timeline.ratio()).round() as usize;
                let samples = samples.min(sound.len());
                sound.left.drain(..samples);
                sound.right.drain(..samples);
                self.stats.dropped += duration(samples, rate);
                self.rough = true;
            }
            Placement::Follow | Placement::Missing(_) => self.change_rate(rate)?,
        }
        let delivered = if sound.is_empty() {
            Ok(())
        } else {
            if std::mem::take(&mut self.rough) {
                self.seam.join(&mut sound);
            }
            self.deliver(&sound, out)
        };
        self.spare = sound;
        delivered
    }

    /// Makes sure that the decoder is that of `config`.
    fn prepare(&mut self, config: &Arc<Config>) -> Result<(), Error> {
        if let Some(source) = &self.source
            && (Arc::ptr_eq(&source.config, config) || source.config == *config)
        {
            return Ok(());
        }
        self.rough = self.resampler.is_some();
        self.source = None;
        let decoder = decoder_for(config)?;
        self.source = Some(Source {
            config: Arc::clone(config),
            decoder,
        });
        Ok(())
    }

    /// Decodes `frame`, or makes up for it; `None` while nobody knows how long it would be.
    fn decode(&mut self, frame: &Frame) -> Result<Option<Stereo>, Error> {
        let Some(source) = &mut self.source else {
            return Ok(None);
        };
        let mut sound = std::mem::take(&mut self.spare);
        let decoded = source
            .decoder
            .decode(&frame.data, &mut sound)
            .and_then(|()| {
                if RATES.contains(&sound.rate) {
                    return Ok(());
                }
                let (low, high) = (RATES.start(), RATES.end());
                Err(Fault::new(format!(
                    "sound of {} Hz, where {low} to {high} are read",
                    sound.rate
                )))
            });
        match decoded {
            Ok(()) => {
                self.corrupt_in_row = 0;
                self.stats.decoded += 1;
                self.unit_len = sound.len();
                Ok(Some(sound))
            }
            Err(cause) => {
                self.stats.corrupt += 1;
                self.corrupt_in_row += 1;
                if self.corrupt_in_row >= CORRUPT_UNITS {
                    let units = std::mem::take(&mut self.corrupt_in_row);
                    return Err(Error::Corrupt {
                        codec: frame.codec(),
                        units,
                        cause,
                    });
                }
                Ok(self.conceal(self.unit_len))
            }
        }
    }

    /// Sound in place of `samples` samples at the last rate; `None` before there is one.
    fn conceal(&mut self, samples: usize) -> Option<Stereo> {
        let rate = self.resampler.as_ref()?.rate();
        let mut sound = Stereo::default();
        let made_up = self.source.as_mut().is_some_and(|source| {
            source.decoder.conceal(samples, &mut sound) && sound.rate == rate
        });
        if !made_up {
            sound.rate = rate;
            sound.silence(samples);
            self.seam.join(&mut sound);
            self.rough = true;
        }
        self.stats.concealed += duration(samples, rate);
        Some(sound)
    }

    fn fill(&mut self, ticks: f64, out: &mut Vec<Frame>) -> Result<(), Error> {
        let samples = (ticks / self.timeline.ratio()).round() as usize;
        match self.conceal(samples) {
            Some(sound) => self.deliver(&sound, out),
            None => Ok(()),
        }
    }

    /// Begins output at the timeline's new place, after the rest of what was heard before.
    fn begin(&mut self, rate: u32, out: &mut Vec<Frame>) -> Result<(), Error> {
        let old = if self.resampler.is_some() {
            self.stats.restarts += 1;
            self.rough = true;
            self.drain(out)?
        } else {
            None
        };
        self.timeline.set_rate(rate);
        // To set a filter up takes a millisecond, which a source that jumps all the time is not
        // to have for each unit.
        let resampler = match old.filter(|old| old.rate() == rate) {
            Some(mut old) => {
                old.reset();
                old
            }
            None => Resampler::new(rate).map_err(|cause| self.encoder_error(cause))?,
        };
        let (tick, after) = self.timeline.next();
        let delay = (resampler.delay() * self.timeline.ratio() - after).round();
        self.resampler = Some(resampler);
        self.tick = tick.saturating_sub(delay as i64);
        Ok(())
    }

    /// Goes on with sound of another rate at the place where the last ended.
    fn change_rate(&mut self, rate: u32) -> Result<(), Error> {
        let Some(old) = &self.resampler else {
            return Ok(());
        };
        if old.rate() == rate {
            return Ok(());
        }
        self.flush_resampler()?;
        let (tick, after) = self.timeline.next();
        let end = usize::try_from(tick.saturating_sub(self.tick))
            .unwrap_or(0)
            .min(self.queue.len());
        self.queue.left.truncate(end);
        self.queue.right.truncate(end);
        self.timeline.set_rate(rate);
        let resampler = Resampler::new(rate).map_err(|cause| self.encoder_error(cause))?;
        self.skip = (resampler.delay() * self.timeline.ratio() - after).round() as usize;
        self.resampler = Some(resampler);
        self.rough = true;
        Ok(())
    }

    /// Gets out of the resampler what is still inside, with the end faded out.
    fn flush_resampler(&mut self) -> Result<(), Error> {
        let Some(resampler) = &mut self.resampler else {
            return Ok(());
        };
        let mut tail = Stereo {
            rate: resampler.rate(),
            ..Stereo::default()
        };
        // Twice the delay and some: more than the filter is long, and than the fading takes.
        tail.silence(4 * resampler.delay().max(0.0) as usize + tail.rate as usize / 100);
        self.seam.join(&mut tail);
        let pushed = resampler.push(
            [&tail.left, &tail.right],
            &mut self.queue.left,
            &mut self.queue.right,
        );
        pushed.map_err(|cause| self.encoder_error(cause))
    }

    /// Encodes everything that is still inside and forgets what was heard; gives the resampler,
    /// which is to be reset before it is used again.
    fn drain(&mut self, out: &mut Vec<Frame>) -> Result<Option<Resampler>, Error> {
        if self.resampler.is_none() {
            return Ok(None);
        }
        self.flush_resampler()?;
        let unit = self.encoder.unit_len();
        let length = (self.queue.len() + self.encoder.delay()).next_multiple_of(unit.max(1));
        self.queue.left.resize(length, 0.0);
        self.queue.right.resize(length, 0.0);
        let encoded = self.encode(out);
        self.queue.clear();
        self.seam = Seam::default();
        self.skip = 0;
        encoded.map(|()| self.resampler.take())
    }

    /// Sends `sound`, which is heard where the last ended, on its way.
    fn deliver(&mut self, sound: &Stereo, out: &mut Vec<Frame>) -> Result<(), Error> {
        let Some(resampler) = &mut self.resampler else {
            return Ok(());
        };
        let before = self.queue.len();
        let pushed = resampler.set_ratio(self.timeline.ratio()).and_then(|()| {
            let input = [sound.left.as_slice(), sound.right.as_slice()];
            resampler.push(input, &mut self.queue.left, &mut self.queue.right)
        });
        pushed.map_err(|cause| self.encoder_error(cause))?;
        let skipped = self.skip.min(self.queue.len() - before);
        self.skip -= skipped;
        self.queue.left.drain(before..before + skipped);
        self.queue.right.drain(before..before + skipped);
        self.seam.heard(sound);
        self.timeline.advance(sound.len());
        self.encode(out)
    }

    /// Encodes the whole units in the queue.
    fn encode(&mut self, out: &mut Vec<Frame>) -> Result<(), Error> {
        let unit = self.encoder.unit_len().max(1);
        // Decoders and the filter overshoot, and encoders refuse what is beyond full level.
        self.queue.clamp();
        let delay = i64::try_from(self.encoder.delay()).unwrap_or(0);
        let mut failed = None;
        let mut done = 0;
        let units = self
            .queue
            .left
            .chunks_exact(unit)
            .zip(self.queue.right.chunks_exact(unit));
        for (left, right) in units {
            let tick = self.tick.saturating_add(i64::try_from(done).unwrap_or(0));
            done += unit;
            let pts = MediaTime::from_ticks(tick.saturating_sub(delay), RATE);
            match self.encoder.encode(left, right) {
                Ok(data) => out.push(Frame {
                    config: Arc::clone(self.encoder.config()),
                    pts,
                    dts: pts,
                    keyframe: true,
                    data,
                }),
                Err(cause) => failed = Some(cause),
            }
        }
        self.queue.left.drain(..done);
        self.queue.right.drain(..done);
        self.tick = self.tick.saturating_add(i64::try_from(done).unwrap_or(0));
        failed.map_or(Ok(()), |cause| Err(self.encoder_error(cause)))
    }

    fn encoder_error(&self, cause: Fault) -> Error {
        Error::Encoder {
            codec: self.encoder.config().codec(),
            cause,
        }
    }
}

/// How long `samples` samples at `rate` are.
fn duration(samples: usize, rate: u32) -> Duration {
    Duration::from_nanos(samples as u64 * 1_000_000_000 / u64::from(rate.max(1)))
}
