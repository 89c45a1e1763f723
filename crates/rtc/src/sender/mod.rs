//! The way of media to a receiver: RTP headers, SRTP, retransmission, reports, estimation.
//!
//! The engine keeps ICE, DTLS and data channels of a connection that only sends; everything that
//! is done per packet is done here, once, in the buffer that leaves. It never chooses what is
//! sent and never opens a socket. RFC 3550, RFC 3711, RFC 4585, RFC 4588, RFC 7714.

mod burst;
mod fuzz;
mod header;
mod history;
mod rtcp;
mod srtp;
mod stream;

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use str0m::crypto::dtls::SrtpProfile;

use crate::estimate::Estimator;
use crate::{Event, TrackId, Write};

pub use burst::Burst;
#[doc(hidden)]
pub use fuzz::fuzz_rtcp;
pub(crate) use header::Ids;
use rtcp::{Feedback, SenderReport};
use srtp::{Opener, Sealer};
pub(crate) use stream::Stream;

/// Time between sender reports. More often lets a player find the step of sound and picture
/// sooner, at the cost of a packet each.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Retransmissions that wait to be polled at most: what one NACK of a browser asks for. More
/// would let a small report cause a large burst.
const MAX_RESENT: usize = 256;

/// Events that wait to be polled at most. A report causes fewer than ten.
const MAX_EVENTS: usize = 64;

/// Bytes of one packet of padding at most.
const MAX_PADDING: usize = 1200;

/// An estimate is told when it has changed by more than this share (of 100).
const TELLING_CHANGE: u64 = 3;

/// What a handshake exports for SRTP (RFC 5764, 4.2).
pub(crate) struct Keys {
    pub(crate) material: Vec<u8>,
    pub(crate) profile: SrtpProfile,
    /// Whether we were the DTLS client.
    pub(crate) client: bool,
}

/// The sending side of a connection that only sends.
#[derive(Debug)]
pub(crate) struct Sender {
    sealer: Sealer,
    opener: Opener,
    streams: Vec<Option<Stream>>,
    name: String,
    estimator: Option<Estimator>,
    told_estimate: u64,
    /// A moment on both clocks, for the NTP times in reports.
    wallclock: (Instant, SystemTime),
    report_at: Option<Instant>,
    events: VecDeque<Event>,
    resent: VecDeque<Vec<u8>>,
    /// A report while it is read.
    plain: Vec<u8>,
}

impl Sender {
    /// `streams` in the order of the tracks, `None` for those that are not sent. `None`: the keys
    /// do not fit their profile.
    pub(crate) fn new(
        keys: &Keys,
        streams: Vec<Option<Stream>>,
        name: String,
        estimate: Option<u64>,
        wallclock: (Instant, SystemTime),
        now: Instant,
    ) -> Option<Self> {
        Some(Self {
            sealer: Sealer::new(&keys.material, keys.profile, keys.client)?,
            opener: Opener::new(&keys.material, keys.profile, keys.client)?,
            streams,
            name,
            estimator: estimate.map(|start| Estimator::new(start, now)),
            told_estimate: 0,
            wallclock,
            report_at: None,
            events: VecDeque::new(),
            resent: VecDeque::new(),
            plain: Vec::new(),
        })
    }

    /// Appends a packet to `burst`.
    pub(crate) fn write(&mut self, track: TrackId, write: Write, now: Instant, burst: &mut Burst) {
        let Some(Some(stream)) = self.streams.get_mut(usize::from(track.0)) else {
            return;
        };
        stream.write(
            &self.sealer,
            self.estimator.as_mut(),
            write,
            now,
            &mut burst.bytes,
        );
        burst.close();
        // The first report goes with the first packet, so that a player knows the step at once.
        self.report_at.get_or_insert(now);
    }

    /// Appends what is due beside the packets.
    pub(crate) fn finish(&mut self, now: Instant, burst: &mut Burst) {
        if self.report_at.is_none_or(|at| at > now) {
            return;
        }
        // Two tracks begin at different moments: their first reports come sooner.
        let complete = self.streams.iter().flatten().all(Stream::has_begun);
        let wait = if complete {
            REPORT_INTERVAL
        } else {
            REPORT_INTERVAL / 4
        };
        self.report_at = Some(now + wait);
        let ntp = self.ntp(now);
        let reports: Vec<SenderReport> = self
            .streams
            .iter()
            .flatten()
            .filter_map(|stream| stream.report(ntp, now))
            .collect();
        let start = burst.bytes.len();
        rtcp::write_reports(&mut burst.bytes, &reports, &self.name);
        self.sealer.rtcp(&mut burst.bytes, start);
        burst.close();
    }

    /// NTP time of `now` on the process's own steady clock: steps of the system's clock never
    /// reach a player.
    fn ntp(&self, now: Instant) -> u64 {
        let (at, time) = self.wallclock;
        let time = if now >= at {
            time + now.duration_since(at)
        } else {
            time - at.duration_since(now)
        };
        rtcp::ntp(time)
    }

    /// Takes an SRTP or SRTCP datagram. Media is not expected and passed over.
    pub(crate) fn handle_datagram(&mut self, datagram: &[u8], now: Instant) {
        // RFC 5761, 4: packet types 192 to 223 are RTCP.
        if !matches!(datagram.get(1), Some(192..=223)) {
            return;
        }
        let mut plain = std::mem::take(&mut self.plain);
        if self.opener.rtcp(datagram, &mut plain) {
            rtcp::each(&plain, |feedback| self.feedback(&feedback, now));
            self.tell_estimate();
        }
        self.plain = plain;
    }

    fn feedback(&mut self, feedback: &Feedback<'_>, now: Instant) {
        match feedback {
            Feedback::Report(report) => {
                let ntp = self.ntp(now);
                let position = self.position(report.ssrc);
                let Some((index, stream)) = position else {
                    return;
                };
                let statistics = stream.take_report(report, ntp);
                if let (Some(round_trip), Some(estimator)) =
                    (statistics.round_trip, self.estimator.as_mut())
                {
                    estimator.round_trip(round_trip);
                }
                self.push(Event::Statistics(crate::Statistics::Sent(
                    index, statistics,
                )));
            }
            Feedback::Nack(ssrc, pairs) => {
                let Some((index, _)) = self.position(*ssrc) else {
                    return;
                };
                let Some(Some(stream)) = self.streams.get_mut(usize::from(index.0)) else {
                    return;
                };
                for sequence in rtcp::nacked(pairs) {
                    stream.count_nack();
                    if self.resent.len() == MAX_RESENT {
                        continue;
                    }
                    let packet =
                        stream.resend(&self.sealer, self.estimator.as_mut(), sequence, now);
                    self.resent.extend(packet);
                }
            }
            Feedback::Keyframe(ssrc) => {
                if let Some((index, stream)) = self.position(*ssrc) {
                    stream.count_keyframe_request();
                    self.push(Event::KeyframeRequested(index));
                }
            }
            Feedback::Transport(body) => {
                if let Some(estimator) = &mut self.estimator
                    && let Err(error) = estimator.feedback(body, now)
                {
                    tracing::trace!(%error, "transport-wide feedback was not understood");
                }
            }
            Feedback::Remb(bits_per_second) => {
                if let Some(estimator) = &mut self.estimator {
                    estimator.remb(*bits_per_second);
                }
            }
        }
    }

    fn position(&mut self, ssrc: u32) -> Option<(TrackId, &mut Stream)> {
        let mut streams = self.streams.iter_mut().enumerate();
        streams.find_map(|(index, stream)| {
            let stream = stream.as_mut().filter(|stream| stream.ssrc() == ssrc)?;
            Some((TrackId(u8::try_from(index).ok()?), stream))
        })
    }

    fn push(&mut self, event: Event) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        }
    }

    fn tell_estimate(&mut self) {
        let Some(estimator) = &self.estimator else {
            return;
        };
        let estimate = estimator.bitrate();
        let step = self.told_estimate / 100 * TELLING_CHANGE;
        if estimate.abs_diff(self.told_estimate) > step {
            self.told_estimate = estimate;
            self.push(Event::Estimated(estimate));
        }
    }

    /// What is sent and what would be worth sending, in bits per second.
    pub(crate) fn set_wanted(&mut self, current: u64, wanted: u64) {
        if let Some(estimator) = &mut self.estimator {
            estimator.set_wanted(current, wanted);
        }
    }

    /// Moves time forward.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let Some(estimator) = &mut self.estimator else {
            return;
        };
        if estimator.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        estimator.handle_timeout(now);
        let mut padding = estimator.padding(now);
        // What probes the way is what was sent last, once more: it repairs losses for free.
        while padding > 0 && self.resent.len() < MAX_RESENT {
            let video = self.streams.iter_mut().flatten();
            let mut packets = video.filter_map(|stream| {
                stream.repeat(&self.sealer, self.estimator.as_mut(), MAX_PADDING, now)
            });
            let Some(packet) = packets.next() else {
                break;
            };
            padding = padding.saturating_sub(packet.len());
            self.resent.push_back(packet);
        }
        self.tell_estimate();
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.estimator.as_ref()?.poll_timeout()
    }

    /// The next event.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next datagram.
    pub(crate) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.resent.pop_front()
    }
}
