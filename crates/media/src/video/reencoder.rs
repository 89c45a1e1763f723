//! The whole way: frames in decode order to frames in presentation order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::encoding::{Encoding, Wanted};
use super::library::{Decoder, Picture};
use super::meter::Meter;
use super::source::{Refused, Sets, Source, Unit};
use super::{Error, Settings, Statistics};
use crate::{Codec, Config, Frame, MediaTime};

/// Pictures that wait in a decoder at most: what the specification lets be reordered. More times
/// than that without a picture mean that the decoder has lost one.
const MAX_WAITING: usize = 16;
/// How long a decoder is used at least before an IDR picture brings another. Pictures carry no
/// times through the decoder, they are matched by their order; emptying it where nothing refers
/// back corrects a match that a lost picture has put wrong. More often would cost streams of
/// nothing but IDR pictures a decoder each.
const RENEW_AFTER: Duration = Duration::from_secs(1);
/// By how much the measured rate may be above the budget: clocks of a millisecond make a little
/// of it, and four pictures more than sixteen.
const SLACK: [(usize, f64); 2] = [(16, 1.05), (4, 1.3)];

/// Turns H.264 with known presentation times into H.264 in presentation order.
///
/// Give it every frame in decode order; what comes back is what could be shown by then, late by
/// as many pictures as the source codes ahead.
pub struct Reencoder {
    settings: Settings,
    source: Option<Source>,
    decoding: Option<Decoding>,
    encoding: Encoding,
    last_dts: Option<MediaTime>,
    meter: Meter,
    statistics: Statistics,
}

/// A decoder with what it has been given.
struct Decoding {
    decoder: Decoder,
    /// Presentation times of the pictures inside, the earliest first.
    waiting: Vec<MediaTime>,
    /// The frame with which it began.
    begin: MediaTime,
    /// The parameter sets that the decoder has yet to get.
    sets: Sets,
}

impl Reencoder {
    /// Nothing is decoded yet. Refuses settings that are out of range.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        settings.check()?;
        Ok(Self {
            settings,
            source: None,
            decoding: None,
            encoding: Encoding::new(),
            last_dts: None,
            meter: Meter::default(),
            statistics: Statistics::default(),
        })
    }

    /// Takes a frame, the next in decode order (its data as [`Frame`] has it, the parameter sets
    /// in its configuration); gives pictures in presentation order, as Constrained Baseline with
    /// parameter sets of their own, decoded when they are shown.
    ///
    /// Begins at a keyframe. Damage is no error: it is counted, and decoding begins again at the
    /// next keyframe. So it does where decode times go backwards.
    pub fn push(&mut self, frame: &Frame) -> Result<Vec<Frame>, Error> {
        let before = self.statistics;
        self.statistics.pictures_in += 1;
        let mut out = Vec::new();
        let result = self.take(frame, &mut out);
        if result.is_err() {
            // What waited for it is given up, too: the stream will not go on.
            self.statistics.dropped += 1 + self.abandon() + out.len() as u64;
            self.statistics.pictures_out = before.pictures_out;
            self.statistics.keyframes_out = before.keyframes_out;
        }
        self.statistics.source_bitrate = self.meter.bitrate().unwrap_or(0);
        self.statistics.bitrate = self.encoding.bitrate().unwrap_or(0);
        result.map(|()| out)
    }

    /// Makes the next picture a keyframe.
    pub fn request_keyframe(&mut self) {
        self.encoding.request_keyframe();
    }

    /// What has been done so far.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    fn take(&mut self, frame: &Frame, out: &mut Vec<Frame>) -> Result<(), Error> {
        if frame.codec() != Codec::H264 {
            return Err(Error::NotH264(frame.codec()));
        }
        if self.last_dts.is_some_and(|last| frame.dts < last) {
            self.finish(out)?;
            self.encoding.restart();
            self.meter = Meter::default();
        }
        self.last_dts = Some(frame.dts);
        self.meter.picture(frame.dts, frame.data.len());
        self.configure(&frame.config, out)?;
        self.within_budget()?;
        let Some(source) = &mut self.source else {
            self.statistics.dropped += 1;
            return Ok(());
        };
        if self.decoding.is_none() && !frame.keyframe {
            self.statistics.dropped += 1;
            return Ok(());
        }
        let sets = match &self.decoding {
            Some(decoding) if !frame.keyframe => decoding.sets,
            _ => Sets::All,
        };
        match source.unit(frame, sets, self.decoding.is_none()) {
            Ok(unit) => self.decode(frame, &unit, out),
            Err(Refused::Corrupt) => self.corrupt(out),
            Err(Refused::Unsupported(error)) => Err(error),
        }
    }

    /// Follows the stream's configuration.
    fn configure(&mut self, config: &Arc<Config>, out: &mut Vec<Frame>) -> Result<(), Error> {
        if self
            .source
            .as_ref()
            .is_some_and(|known| known.is_of(config))
        {
            return Ok(());
        }
        let mut source = Source::new(config)?;
        let continues = match (&self.source, &mut source) {
            (Some(old), Some(new)) => new.continues(old),
            _ => false,
        };
        if continues {
            if let Some(decoding) = &mut self.decoding {
                decoding.sets = Sets::Pictures;
            }
        } else {
            self.finish(out)?;
        }
        self.source = source;
        Ok(())
    }

    fn within_budget(&self) -> Result<(), Error> {
        let (Some(source), Some((rate, count))) = (&self.source, self.meter.rate()) else {
            return Ok(());
        };
        let (width, height) = source.sps().size;
        let pixels = f64::from(width) * f64::from(height) * rate;
        let slack = SLACK
            .iter()
            .find(|(least, _)| count >= *least)
            .map_or(1.0, |(_, slack)| *slack);
        if pixels <= self.settings.budget as f64 * slack {
            return Ok(());
        }
        Err(Error::TooLarge {
            width,
            height,
            rate: rate.round() as u32,
            budget: self.settings.budget,
        })
    }

    fn decode(&mut self, frame: &Frame, unit: &Unit, out: &mut Vec<Frame>) -> Result<(), Error> {
        if unit.bytes.is_empty() {
            self.statistics.dropped += 1;
            return Ok(());
        }
        let old = self
            .decoding
            .as_ref()
            .is_some_and(|one| frame.pts.since(one.begin) >= RENEW_AFTER);
        if unit.idr && old {
            self.finish(out)?;
        }
        let decoding = match &mut self.decoding {
            Some(decoding) => decoding,
            none => none.insert(Decoding {
                decoder: Decoder::new().map_err(Error::Library)?,
                waiting: Vec::with_capacity(MAX_WAITING + 1),
                begin: frame.pts,
                sets: Sets::None,
            }),
        };
        // Pictures that are shown before the keyframe refer to what came before it.
        if frame.pts < decoding.begin {
            self.statistics.dropped += 1;
            return Ok(());
        }
        decoding.sets = Sets::None;
        let at = decoding.waiting.partition_point(|pts| *pts <= frame.pts);
        decoding.waiting.insert(at, frame.pts);
        let begun = self.settings.clock.map(|clock| clock());
        let decoded = decoding.decoder.decode(&unit.bytes);
        self.statistics.decode_time += passed(&self.settings, begun);
        let Ok(picture) = decoded else {
            decoding.waiting.remove(at);
            return self.corrupt(out);
        };
        if let Some(picture) = picture
            && !decoding.waiting.is_empty()
        {
            let pts = decoding.waiting.remove(0);
            let mut present = Present {
                encoding: &mut self.encoding,
                source: self.source.as_ref(),
                meter: &self.meter,
                settings: &self.settings,
                statistics: &mut self.statistics,
            };
            present.picture(&picture, pts, out)?;
        }
        if decoding.waiting.len() > MAX_WAITING {
            decoding.waiting.pop();
            return self.corrupt(out);
        }
        Ok(())
    }

    /// Counts the frame at hand as corrupt, and waits for the next keyframe.
    fn corrupt(&mut self, out: &mut Vec<Frame>) -> Result<(), Error> {
        self.statistics.corrupt += 1;
        self.statistics.dropped += 1;
        if let Some(source) = &mut self.source {
            source.forget();
        }
        self.finish(out)
    }

    /// Brings out what waits in the decoder, and ends it.
    fn finish(&mut self, out: &mut Vec<Frame>) -> Result<(), Error> {
        let Some(decoding) = self.decoding.take() else {
            return Ok(());
        };
        let mut waiting = decoding.waiting.into_iter();
        let mut result = Ok(());
        let mut present = Present {
            encoding: &mut self.encoding,
            source: self.source.as_ref(),
            meter: &self.meter,
            settings: &self.settings,
            statistics: &mut self.statistics,
        };
        decoding.decoder.finish(|picture| {
            if let (Ok(()), Some(pts)) = (&result, waiting.next()) {
                result = present.picture(picture, pts, out);
            }
        });
        self.statistics.dropped += waiting.len() as u64;
        result
    }

    /// Ends the decoder; tells how many pictures that loses.
    fn abandon(&mut self) -> u64 {
        self.decoding
            .take()
            .map_or(0, |decoding| decoding.waiting.len() as u64)
    }
}

/// What it takes to encode a picture while the decoder lends it.
struct Present<'a> {
    encoding: &'a mut Encoding,
    source: Option<&'a Source>,
    meter: &'a Meter,
    settings: &'a Settings,
    statistics: &'a mut Statistics,
}

impl Present<'_> {
    fn picture(
        &mut self,
        picture: &Picture<'_>,
        pts: MediaTime,
        out: &mut Vec<Frame>,
    ) -> Result<(), Error> {
        let size = picture.size();
        // The encoder is made for what the parameter set says.
        if self.source.is_none_or(|source| source.sps().size != size) {
            self.statistics.dropped += 1;
            return Ok(());
        }
        let wanted = Wanted {
            rate: self.meter.rate().map(|(rate, _)| rate),
            bitrate: self.meter.bitrate(),
            colour: self.source.and_then(|source| source.sps().colour),
        };
        let begun = self.settings.clock.map(|clock| clock());
        let frame = self.encoding.picture(picture, pts, &wanted, self.settings);
        self.statistics.encode_time += passed(self.settings, begun);
        let Some(frame) = frame? else {
            self.statistics.dropped += 1;
            return Ok(());
        };
        self.statistics.pictures_out += 1;
        self.statistics.keyframes_out += u64::from(frame.keyframe);
        self.statistics.size = Some(size);
        out.push(frame);
        Ok(())
    }
}

fn passed(settings: &Settings, begun: Option<Instant>) -> Duration {
    match (settings.clock, begun) {
        (Some(clock), Some(begun)) => clock().saturating_duration_since(begun),
        _ => Duration::ZERO,
    }
}
