//! A sender that owns an estimator, a bottleneck with a queue, and a receiver, on virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::super::Estimator;
use super::encoder::encode;

const STEP: u64 = 1_000;

/// What the sender sends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// As much as the estimate says, up to this.
    Estimate(u64),
    /// This, whatever the estimate says.
    Fixed(u64),
    /// The highest of these rates that the estimate allows; the next one is wanted.
    Layers(&'static [u64]),
}

/// The path.
#[derive(Debug, Clone)]
pub(super) struct Path {
    /// Bits per second of the bottleneck.
    pub(super) rate: u64,
    /// One way, microseconds.
    pub(super) propagation: u64,
    /// What the queue holds, in microseconds of the bottleneck's time.
    pub(super) queue: u64,
    /// The share of packets that is lost at random.
    pub(super) loss: f64,
    /// Packets are late by up to this, keeping their order.
    pub(super) jitter: u64,
    /// Between two feedbacks; 0 for none.
    pub(super) feedback_every: u64,
    /// The share of feedback that is lost, and of feedback that comes twice.
    pub(super) feedback_loss: f64,
}

impl Path {
    pub(super) fn of(rate: u64) -> Self {
        Self {
            rate,
            propagation: 20_000,
            queue: 400_000,
            loss: 0.0,
            jitter: 0,
            feedback_every: 60_000,
            feedback_loss: 0.0,
        }
    }
}

/// One run.
pub(super) struct Run {
    pub(super) estimator: Estimator,
    pub(super) path: Path,
    pub(super) source: Source,
    /// Every so many frames one is a keyframe; 0 for none.
    pub(super) keyframe_every: u64,
    frames: u64,
    pub(super) layer: u64,
    pub(super) switches: u64,
    pub(super) wanted: u64,
    pub(super) now: u64,
    origin: Instant,
    random: fastrand::Rng,
    /// When the bottleneck has sent all that it has.
    busy_until: u64,
    last_arrival: u64,
    next_frame: u64,
    frame_rest: f64,
    flying: VecDeque<(u64, u64)>,
    sent: u64,
    /// Arrivals that no feedback has told yet.
    arrived: BTreeMap<u64, u64>,
    reported: u64,
    next_feedback: u64,
    feedbacks: u8,
    coming: VecDeque<(u64, Vec<u8>)>,
    padding_asked: u64,
    pub(super) receiver_clock: i64,
    pub(super) media_bytes: u64,
    pub(super) padding_bytes: u64,
    pub(super) dropped: u64,
    pub(super) wakes: Vec<u64>,
    /// The longest wait in the queue since this was last set to 0.
    pub(super) longest_queue: u64,
    /// The estimate at each 100 ms.
    pub(super) estimates: Vec<u64>,
}

impl Run {
    pub(super) fn new(start: u64, source: Source, path: Path, seed: u64) -> Self {
        let origin = super::start();
        Self {
            estimator: Estimator::new(start, origin),
            path,
            source,
            keyframe_every: 0,
            frames: 0,
            layer: 0,
            switches: 0,
            wanted: 0,
            now: 0,
            origin,
            random: fastrand::Rng::with_seed(seed),
            busy_until: 0,
            last_arrival: 0,
            next_frame: 0,
            frame_rest: 0.0,
            flying: VecDeque::new(),
            sent: 0,
            arrived: BTreeMap::new(),
            reported: 0,
            next_feedback: 0,
            feedbacks: 0,
            coming: VecDeque::new(),
            padding_asked: 0,
            receiver_clock: 987_654_321,
            media_bytes: 0,
            padding_bytes: 0,
            dropped: 0,
            wakes: Vec::new(),
            longest_queue: 0,
            estimates: Vec::new(),
        }
    }

    pub(super) fn wanting(mut self, wanted: u64) -> Self {
        self.wanted = wanted;
        self
    }

    fn at(&self, micros: u64) -> Instant {
        self.origin + Duration::from_micros(micros)
    }

    /// Runs for so many seconds.
    pub(super) fn run(&mut self, seconds: f64) {
        let end = self.now + (seconds * 1e6) as u64;
        while self.now < end {
            self.step();
            self.now += STEP;
        }
    }

    /// Runs until the estimate reaches `rate`; gives the seconds it took.
    pub(super) fn run_until(&mut self, rate: u64, at_most: f64) -> f64 {
        let began = self.now;
        while self.estimator.bitrate() < rate {
            let took = (self.now - began) as f64 / 1e6;
            assert!(
                took < at_most,
                "{} after {took} s",
                self.estimator.bitrate()
            );
            self.step();
            self.now += STEP;
        }
        (self.now - began) as f64 / 1e6
    }

    /// The mean of the estimates over the latest seconds.
    pub(super) fn mean(&self, seconds: usize) -> u64 {
        let latest = &self.estimates[self.estimates.len() - seconds * 10..];
        latest.iter().sum::<u64>() / latest.len() as u64
    }

    fn step(&mut self) {
        let now = self.at(self.now);
        while self.flying.front().is_some_and(|(at, _)| *at <= self.now) {
            let (at, number) = self.flying.pop_front().expect("there is one");
            self.arrived.insert(number, at);
        }
        if self.path.feedback_every > 0 && self.now >= self.next_feedback {
            self.next_feedback = self.now + self.path.feedback_every;
            self.report();
        }
        while self.coming.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, body) = self.coming.pop_front().expect("there is one");
            self.estimator.feedback(&body, now).expect("well formed");
        }
        if self.estimator.poll_timeout().is_some_and(|due| due <= now) {
            self.wakes.push(self.now);
            self.estimator.handle_timeout(now);
        }
        self.pad();
        if self.now >= self.next_frame {
            self.next_frame += 33_333;
            let rate = self.layer();
            self.estimator.set_wanted(rate, self.wanted);
            // Frames differ in size, as encoders' do.
            self.frame_rest += rate as f64 / 8.0 / 30.0;
            self.frames += 1;
            let key = self.keyframe_every > 0 && self.frames.is_multiple_of(self.keyframe_every);
            // A keyframe is eight frames large, and the next ones are paid for it.
            let weight = if key {
                8.0
            } else {
                0.7 + 0.6 * self.random.f64()
            };
            let size = (self.frame_rest * weight).max(100.0);
            self.frame_rest -= size;
            self.frame_rest = self.frame_rest.max(-(rate as f64));
            let mut rest = size as u64;
            while rest > 0 {
                let bytes = rest.min(1_200);
                self.media_bytes += bytes;
                self.send(bytes);
                rest -= bytes;
            }
        }
        if self.now.is_multiple_of(100_000) {
            self.estimates.push(self.estimator.bitrate());
        }
    }

    /// What the source sends now.
    fn layer(&mut self) -> u64 {
        let estimate = self.estimator.bitrate();
        match self.source {
            Source::Estimate(most) => estimate.min(most),
            Source::Fixed(rate) => rate,
            Source::Layers(layers) => {
                let fits = layers.iter().rev().find(|layer| **layer <= estimate);
                let layer = *fits.unwrap_or(&layers[0]);
                self.switches += u64::from(self.layer != layer);
                self.layer = layer;
                self.wanted = *layers.iter().find(|next| **next > layer).unwrap_or(&layer);
                layer
            }
        }
    }

    fn pad(&mut self) {
        let mut rest = self.estimator.padding(self.at(self.now)) as u64;
        self.padding_asked += rest;
        while rest > 0 {
            let bytes = rest.min(1_000);
            self.padding_bytes += bytes;
            self.send(bytes);
            rest -= bytes;
        }
        assert_eq!(self.padding_asked, self.padding_bytes);
    }

    fn send(&mut self, bytes: u64) {
        let number = self.sent;
        self.sent += 1;
        assert_eq!(
            self.estimator.sent(bytes as usize, self.at(self.now)),
            number as u16
        );
        let wait = self.busy_until.saturating_sub(self.now);
        if wait > self.path.queue {
            self.dropped += 1;
            return;
        }
        self.longest_queue = self.longest_queue.max(wait);
        self.busy_until = self.now.max(self.busy_until) + bytes * 8_000_000 / self.path.rate;
        if self.random.f64() < self.path.loss {
            return;
        }
        let late = self.random.u64(0..=self.path.jitter);
        let at = (self.busy_until + self.path.propagation + late).max(self.last_arrival);
        self.last_arrival = at;
        self.flying.push_back((at, number));
    }

    fn report(&mut self) {
        let Some((newest, _)) = self.arrived.last_key_value() else {
            return;
        };
        let first = self
            .reported
            .min(*self.arrived.first_key_value().expect("not empty").0);
        let arrivals: Vec<Option<i64>> = (first..=*newest)
            .map(|number| {
                self.arrived
                    .get(&number)
                    .map(|at| self.receiver_clock + at.cast_signed())
            })
            .collect();
        self.reported = newest + 1;
        self.feedbacks = self.feedbacks.wrapping_add(1);
        let body = encode(first as u16, &arrivals, self.feedbacks);
        self.arrived.clear();
        if self.random.f64() < self.path.feedback_loss {
            return;
        }
        let at = self.now + self.path.propagation;
        if self.random.f64() < self.path.feedback_loss {
            self.coming.push_back((at, body.clone()));
        }
        self.coming.push_back((at, body));
    }
}
