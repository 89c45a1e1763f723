//! RTP packets of a publisher's or a camera's tracks into frames.

use std::time::{Duration, Instant};

use inver_media::codec::records;
use inver_media::payload::{Depacketized, Depacketizer, PayloadPacket};
use inver_media::{Frame, Kind};
use inver_protocols::rtsp::rtp::{
    Receiver, Reception, SenderReport, Settings, packet, sender_report,
};
use inver_protocols::rtsp::sdp::{Announced, Format};

use crate::clock::Clock;
use crate::order::Order;

/// How long a lost packet of pictures is waited for. Nobody can be asked for it again; it may only
/// have been overtaken.
const VIDEO: Settings = Settings {
    asks: false,
    patience: Duration::from_millis(100),
};

/// What names us in reports: nobody sends media to a publisher, so it cannot be mistaken.
const OWN: u32 = 0x496e_7665;

/// How often senders are told what came of their packets (RFC 3550, 6.2).
const REPORT: Duration = Duration::from_secs(5);

/// One track.
#[derive(Debug)]
struct Track {
    kind: Kind,
    rate: u32,
    payload_type: u8,
    receiver: Receiver,
    reception: Reception,
    depacketizer: Depacketizer,
    /// The last extended timestamp, at `rate`; 0 before the first packet.
    last: u64,
    /// A report that was not looked at: some publishers send it before the first packet.
    report: Option<SenderReport>,
    order: Order,
    out_of_order: bool,
}

/// Turns the packets of one publisher into frames: the first picture and the first sound.
#[derive(Debug)]
pub(crate) struct ToFrames {
    /// In the order of the description; `None` for what is not taken.
    tracks: Vec<Option<Track>>,
    clock: Clock,
    /// What is not taken, and why, for people.
    pub(crate) dropped: Vec<String>,
    /// When senders are told next.
    report_at: Instant,
}

impl ToFrames {
    /// For what a publisher announced. `None`: nothing of it is taken.
    pub(crate) fn new(announced: &[Announced], now: Instant) -> Self {
        let mut dropped = Vec::new();
        let mut taken = [false; 2];
        let tracks = announced.iter().map(|announced| {
            let format = match &announced.format {
                Ok(format) => format,
                Err(why) => {
                    dropped.push(why.clone());
                    return None;
                }
            };
            let kind = format.config.codec().kind();
            let place = &mut taken[usize::from(kind == Kind::Audio)];
            if std::mem::replace(place, true) {
                dropped.push(format!(
                    "more than one track of {kind} came; the first is taken"
                ));
                return None;
            }
            Some(Track::new(kind, format))
        });
        Self {
            tracks: tracks.collect(),
            clock: Clock::new(now),
            dropped,
            report_at: now + REPORT,
        }
    }

    /// Whether nothing of what was announced is taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.tracks.iter().all(Option::is_none)
    }

    /// Which tracks of what was announced are taken.
    pub(crate) fn taken(&self) -> impl Iterator<Item = bool> {
        self.tracks.iter().map(Option::is_some)
    }

    /// Takes an RTCP packet of a track.
    pub(crate) fn report(&mut self, track: usize, data: &[u8], now: Instant) {
        let Some(Some(track)) = self.tracks.get_mut(track) else {
            return;
        };
        let Some(report) = sender_report(data) else {
            return;
        };
        track.reception.sender(&report, now);
        track.report = Some(report);
        track.place(&mut self.clock);
    }

    /// Takes an RTP packet of a track and appends the frames that it completes.
    pub(crate) fn packet(
        &mut self,
        track: usize,
        data: &[u8],
        now: Instant,
        frames: &mut Vec<Frame>,
    ) {
        let Some(Some(of)) = self.tracks.get_mut(track) else {
            return;
        };
        if let Some(rtp) = packet(data)
            && rtp.payload_type == of.payload_type
        {
            of.reception.packet(&rtp, now);
            of.receiver.receive(&rtp, now);
        }
        self.drain(track, frames);
    }

    /// Gives up what is missing for too long.
    pub(crate) fn handle_timeout(&mut self, now: Instant, frames: &mut Vec<Frame>) {
        for index in 0..self.tracks.len() {
            if let Some(Some(track)) = self.tracks.get_mut(index) {
                track.receiver.handle_timeout(now);
            }
            self.drain(index, frames);
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let tracks = self.tracks.iter().flatten();
        tracks
            .filter_map(|track| track.receiver.poll_timeout())
            .min()
    }

    /// Reports to the senders of tracks, where they are due; none while packets of none came.
    pub(crate) fn reports(&mut self, now: Instant) -> Vec<(usize, Vec<u8>)> {
        if now < self.report_at {
            return Vec::new();
        }
        self.report_at = now + REPORT;
        let tracks = self.tracks.iter_mut().enumerate();
        let due = tracks.filter_map(|(index, track)| {
            let track = track.as_mut()?;
            Some((index, track.reception.report(now)))
        });
        due.collect()
    }

    /// The share of packets that were lost, where any came.
    pub(crate) fn loss(&self) -> Option<f32> {
        let counters = self
            .tracks
            .iter()
            .flatten()
            .map(|track| track.receiver.counters());
        let (lost, received) = counters.fold((0, 0), |(lost, received), counters| {
            (lost + counters.lost, received + counters.received)
        });
        #[expect(
            clippy::cast_precision_loss,
            reason = "a share needs no more than 24 bits"
        )]
        (received > 0).then(|| lost as f32 / (lost + received) as f32)
    }

    fn drain(&mut self, index: usize, frames: &mut Vec<Frame>) {
        let Some(Some(track)) = self.tracks.get_mut(index) else {
            return;
        };
        let mut done = Vec::new();
        while let Some(packet) = track.receiver.poll_packet() {
            track.last = packet.timestamp;
            let timestamp = track.scaled(packet.timestamp);
            self.clock.packet(track.kind, timestamp, packet.arrival);
            track.place(&mut self.clock);
            let payload = PayloadPacket {
                payload: &packet.payload,
                marker: packet.marker,
                timestamp,
                gap: packet.gap,
            };
            track.depacketizer.push(payload, &mut done);
        }
        for done in done {
            let unit = match done {
                Depacketized::Frame(unit) if unit.decodable => unit,
                Depacketized::Frame(_) => continue,
                Depacketized::Damaged { timestamp } => {
                    tracing::debug!(kind = %track.kind, timestamp, "a frame is lost");
                    continue;
                }
            };
            let pts = self.clock.time(track.kind, unit.timestamp);
            let dts = if track.kind == Kind::Video {
                track.out_of_order |= unit.reordered;
                let depth = records::reorder_depth(&unit.config).unwrap_or(0);
                let depth = usize::try_from(depth).unwrap_or(0);
                // Found without being declared: two is what encoders use. Where it is declared that
                // holds, or times would have to bend once the first such picture comes.
                let depth = match depth {
                    0 if track.out_of_order => 2,
                    declared => declared,
                };
                track.order.decoded_at(pts, unit.keyframe, depth)
            } else {
                pts
            };
            frames.push(Frame {
                config: unit.config,
                pts,
                dts,
                keyframe: unit.keyframe,
                data: unit.data,
            });
        }
    }
}

impl Track {
    fn new(kind: Kind, format: &Format) -> Self {
        let settings = match kind {
            Kind::Video => VIDEO,
            Kind::Audio => Settings::AUDIO,
        };
        Self {
            kind,
            rate: format.rate.max(1),
            payload_type: format.payload_type,
            receiver: Receiver::new(0, settings),
            reception: Reception::new(OWN, format.rate.max(1)),
            depacketizer: Depacketizer::with_config(format.config.clone()),
            last: 0,
            report: None,
            order: Order::default(),
            out_of_order: false,
        }
    }

    /// Tells the clock of a report, once there is a timestamp to extend the report's by.
    fn place(&mut self, clock: &mut Clock) {
        if self.last == 0 {
            return;
        }
        let Some(report) = self.report.take() else {
            return;
        };
        let low = u32::try_from(self.last & u64::from(u32::MAX)).unwrap_or(0);
        #[expect(
            clippy::cast_possible_wrap,
            reason = "the upper half of the ring is the past"
        )]
        let step = i64::from(report.timestamp.wrapping_sub(low) as i32);
        if let Some(timestamp) = self.last.checked_add_signed(step) {
            clock.mark(self.kind, report.ntp, self.scaled(timestamp));
        }
    }

    /// A timestamp in ticks of the codec's clock, which sound need not have on the wire.
    fn scaled(&self, timestamp: u64) -> u64 {
        let clock = u128::from(self.depacketizer.codec().clock_rate());
        let scaled = u128::from(timestamp) * clock / u128::from(self.rate);
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use inver_media::MediaTime;
    use inver_protocols::rtsp::rtp::Sender;
    use inver_protocols::rtsp::sdp::parse;

    use super::*;

    const ANNOUNCED: &str = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n\
        m=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/44100/2\r\n\
        a=fmtp:97 sizelength=13;indexlength=3;indexdeltalength=3;config=1210\r\n\
        m=audio 0 RTP/AVP 0\r\n";

    /// A VP8 keyframe and an AAC unit, whole in one packet each.
    const PICTURE: [u8; 12] = [0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 16, 0, 16, 0, 0];
    const SOUND: [u8; 6] = [0, 16, 0, 16, 0x21, 0x22];

    #[test]
    fn reports_before_the_first_packets_place_both_tracks() {
        let start = Instant::now();
        let later = start + Duration::from_millis(300);
        let announced = parse(ANNOUNCED.as_bytes()).expect("a description");
        let mut frames = ToFrames::new(&announced, start);
        assert_eq!(frames.dropped.len(), 1, "{:?}", frames.dropped);
        let (mut video, mut audio) = (Sender::new(96, 1, 7), Sender::new(97, 2, 9));
        // Both timestamps belong to the same moment; the sound arrives 300 ms late.
        let ntp = 3_900_000_000 << 32;
        frames.report(0, &video.report(ntp, 90_000), start);
        frames.report(1, &audio.report(ntp, 44_100), start);
        let mut out = Vec::new();
        frames.packet(0, &video.packet(&PICTURE, true, 90_000), start, &mut out);
        frames.packet(1, &audio.packet(&SOUND, true, 44_100), later, &mut out);
        let due = frames.poll_timeout().expect("the first packets wait");
        frames.handle_timeout(due.max(later + Duration::from_millis(20)), &mut out);
        let times: Vec<(Kind, MediaTime)> = out
            .iter()
            .map(|frame| (frame.codec().kind(), frame.pts))
            .collect();
        let zero = MediaTime::ZERO;
        assert_eq!(times, [(Kind::Video, zero), (Kind::Audio, zero)]);
    }

    #[test]
    fn strangers_packets_and_garbage_are_nothing() {
        let announced = parse(ANNOUNCED.as_bytes()).expect("a description");
        let now = Instant::now();
        let mut frames = ToFrames::new(&announced, now);
        let mut out = Vec::new();
        for data in [
            &[][..],
            &[0x80],
            &[0x80, 96],
            &[0xff; 40],
            &[0x80, 200, 0, 1],
        ] {
            for track in 0..4 {
                frames.packet(track, data, now, &mut out);
                frames.report(track, data, now);
            }
        }
        assert!(out.is_empty());
        assert_eq!(frames.loss(), None);
    }
}
