//! One outgoing RTP stream with its retransmissions.

use std::time::{Duration, Instant};

use inver_media::{Extensions, Kind};

use super::header::{Header, Ids};
use super::history::{History, Sent};
use super::rtcp::{ReceptionReport, SenderReport, round_trip};
use super::srtp::{MAX_OVERHEAD, Sealer};
use crate::estimate::Estimator;
use crate::{TrackStatistics, Write};

/// A packet is sent again at most this often, or once per round trip where that is longer: a
/// receiver that asks twice before the first answer can have come gets one.
const RESEND_INTERVAL: Duration = Duration::from_millis(20);

/// Whatever the round trip is said to be: a report that was held up, or one that lies, must not
/// keep a receiver waiting that asks again because the first answer was lost.
const LONGEST_RESEND_INTERVAL: Duration = Duration::from_millis(60);

/// Retransmissions that are remembered against asking twice.
const REMEMBERED: usize = 64;

/// Room for headers and tags in a datagram that is built alone.
const HEADROOM: usize = 64 + MAX_OVERHEAD;

/// How a stream's lost packets are sent again (RFC 4588).
#[derive(Debug)]
struct Retransmission {
    ssrc: u32,
    /// Payload type of retransmissions for each payload type.
    payload_types: Vec<(u8, u8)>,
    sequence: u64,
}

/// One outgoing stream.
#[derive(Debug)]
pub(crate) struct Stream {
    ssrc: u32,
    rate: u32,
    mid: String,
    ids: Ids,
    retransmission: Option<Retransmission>,
    keeps: bool,
    /// Timestamp of the latest packet and the moment that it stands for.
    last: Option<(u32, Instant)>,
    history: History,
    /// The latest retransmissions, oldest first.
    again: std::collections::VecDeque<(u16, Instant)>,
    /// A report about it came: the receiver knows which track the stream belongs to.
    known: bool,
    packets: u64,
    bytes: u64,
    nacks: u64,
    keyframe_requests: u64,
    round_trip: Option<Duration>,
}

impl Stream {
    /// A stream of a track. `retransmission`: source and payload types, where negotiated.
    pub(crate) fn new(
        kind: Kind,
        ssrc: u32,
        mid: String,
        ids: Ids,
        retransmission: Option<(u32, Vec<(u8, u8)>)>,
    ) -> Self {
        let retransmission = retransmission.filter(|(_, types)| !types.is_empty());
        Self {
            ssrc,
            rate: match kind {
                Kind::Audio => 48_000,
                Kind::Video => 90_000,
            },
            mid,
            ids: Ids {
                // A packet that is sent again as it was cannot have another number.
                transport: ids
                    .transport
                    .filter(|_| kind == Kind::Audio || retransmission.is_some()),
                ..ids
            },
            retransmission: retransmission.map(|(ssrc, payload_types)| Retransmission {
                ssrc,
                payload_types,
                // Anywhere in the first half: no rollover before a receiver is in step.
                sequence: u64::from(ssrc & 0x7fff),
            }),
            keeps: kind == Kind::Video,
            last: None,
            history: History::default(),
            again: std::collections::VecDeque::new(),
            known: false,
            packets: 0,
            bytes: 0,
            nacks: 0,
            keyframe_requests: 0,
            round_trip: None,
        }
    }

    pub(crate) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.last.is_some()
    }

    pub(crate) fn count_nack(&mut self) {
        self.nacks += 1;
    }

    pub(crate) fn count_keyframe_request(&mut self) {
        self.keyframe_requests += 1;
    }

    /// Appends a packet.
    pub(crate) fn write(
        &mut self,
        sealer: &Sealer,
        estimator: Option<&mut Estimator>,
        write: Write,
        now: Instant,
        buffer: &mut Vec<u8>,
    ) {
        let sent = Sent {
            sequence: write.sequence,
            timestamp: write.timestamp,
            marker_and_type: u8::from(write.marker) << 7 | write.payload_type & 0x7f,
            padding: write.padding,
            rotation: write.extensions.rotation,
            at: now,
            payload: write.payload,
        };
        let mut extensions = write.extensions;
        if self.keeps && self.retransmission.is_none() {
            // Kept out of what may have to be repeated to the bit.
            extensions.capture_time = None;
        }
        self.packets += 1;
        self.bytes += sent.payload.len() as u64;
        self.last = Some((write.timestamp, write.wallclock));
        self.media(sealer, estimator, &sent, &extensions, now, buffer);
        if self.keeps && write.nackable {
            self.history.add(sent);
        }
    }

    fn media(
        &self,
        sealer: &Sealer,
        estimator: Option<&mut Estimator>,
        sent: &Sent,
        extensions: &Extensions,
        now: Instant,
        buffer: &mut Vec<u8>,
    ) {
        let start = buffer.len();
        let transport = self.number(estimator, sent.payload.len() + HEADROOM, now);
        let named = !self.known || self.retransmission.is_none() && self.keeps;
        Header {
            marker_and_type: sent.marker_and_type,
            sequence: sent.sequence as u16,
            timestamp: sent.timestamp,
            ssrc: self.ssrc,
            padded: sent.padding > 0,
            mid: named.then_some(self.mid.as_str()),
            transport,
            extensions,
        }
        .write(&self.ids, buffer);
        let header = buffer.len() - start;
        buffer.extend_from_slice(&sent.payload);
        if let Some(zeros) = sent.padding.checked_sub(1) {
            buffer.resize(buffer.len() + usize::from(zeros), 0);
            buffer.push(sent.padding);
        }
        sealer.rtp(buffer, start, header, self.ssrc, sent.sequence);
    }

    fn number(&self, estimator: Option<&mut Estimator>, bytes: usize, now: Instant) -> Option<u16> {
        self.ids.transport?;
        Some(estimator?.sent(bytes, now))
    }

    /// A packet once more, as it was asked for; `None` where it is gone or was just sent again.
    pub(crate) fn resend(
        &mut self,
        sealer: &Sealer,
        estimator: Option<&mut Estimator>,
        sequence: u16,
        now: Instant,
    ) -> Option<Vec<u8>> {
        let interval = self
            .round_trip
            .unwrap_or_default()
            .clamp(RESEND_INTERVAL, LONGEST_RESEND_INTERVAL);
        let repeated = self
            .again
            .iter()
            .rev()
            .any(|(of, at)| *of == sequence && now.saturating_duration_since(*at) < interval);
        if repeated {
            return None;
        }
        let sent = self.history.find(sequence, now)?.clone();
        if self.again.len() == REMEMBERED {
            self.again.pop_front();
        }
        self.again.push_back((sequence, now));
        self.again(sealer, estimator, &sent, now)
    }

    /// The latest packet once more, where it may be up to `limit` bytes long.
    pub(crate) fn repeat(
        &mut self,
        sealer: &Sealer,
        estimator: Option<&mut Estimator>,
        limit: usize,
        now: Instant,
    ) -> Option<Vec<u8>> {
        self.retransmission.as_ref()?;
        self.ids.transport?;
        let sent = self.history.latest()?.clone();
        if sent.payload.len() > limit {
            return None;
        }
        self.again(sealer, estimator, &sent, now)
    }

    fn again(
        &mut self,
        sealer: &Sealer,
        estimator: Option<&mut Estimator>,
        sent: &Sent,
        now: Instant,
    ) -> Option<Vec<u8>> {
        let mut datagram = Vec::with_capacity(sent.payload.len() + HEADROOM);
        let extensions = Extensions {
            rotation: sent.rotation,
            ..Extensions::default()
        };
        let payload_type = sent.marker_and_type & 0x7f;
        let Some(repair) = &self.retransmission else {
            // To the bit what was sent before, or one key stream would cover two packets.
            self.media(sealer, None, sent, &extensions, now, &mut datagram);
            return Some(datagram);
        };
        let mut types = repair.payload_types.iter();
        let payload_type = types
            .find(|(of, _)| *of == payload_type)
            .map(|(_, pt)| *pt)?;
        let transport = self.number(estimator, sent.payload.len() + HEADROOM, now);
        let repair = self.retransmission.as_mut()?;
        let sequence = repair.sequence;
        repair.sequence += 1;
        Header {
            marker_and_type: sent.marker_and_type & 0x80 | payload_type,
            sequence: sequence as u16,
            timestamp: sent.timestamp,
            ssrc: repair.ssrc,
            padded: false,
            mid: (!self.known).then_some(self.mid.as_str()),
            transport,
            extensions: &extensions,
        }
        .write(&self.ids, &mut datagram);
        let header = datagram.len();
        datagram.extend_from_slice(&(sent.sequence as u16).to_be_bytes());
        datagram.extend_from_slice(&sent.payload);
        sealer.rtp(&mut datagram, 0, header, repair.ssrc, sequence);
        self.packets += 1;
        self.bytes += sent.payload.len() as u64;
        Some(datagram)
    }

    /// What a report says of the stream now; `None` before its first packet.
    pub(crate) fn report(&self, ntp: u64, now: Instant) -> Option<SenderReport> {
        let (timestamp, moment) = self.last?;
        let ticks =
            |span: Duration| (span.as_nanos() * u128::from(self.rate) / 1_000_000_000) as u32;
        let timestamp = if now >= moment {
            timestamp.wrapping_add(ticks(now.duration_since(moment)))
        } else {
            timestamp.wrapping_sub(ticks(moment.duration_since(now)))
        };
        Some(SenderReport {
            ssrc: self.ssrc,
            ntp,
            timestamp,
            packets: self.packets as u32,
            bytes: self.bytes as u32,
        })
    }

    /// Takes a receiver's report; gives the statistics so far.
    pub(crate) fn take_report(&mut self, report: &ReceptionReport, ntp: u64) -> TrackStatistics {
        self.known = true;
        if let Some(measured) = round_trip(report, ntp) {
            self.round_trip = Some(measured);
        }
        TrackStatistics {
            packets: self.packets,
            bytes: self.bytes,
            nacks: self.nacks,
            keyframe_requests: self.keyframe_requests,
            loss: Some(f32::from(report.lost) / 256.0),
            round_trip: self.round_trip,
        }
    }
}
