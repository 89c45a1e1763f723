//! Frames into the RTP packets of two tracks, on one clock.

use std::sync::Arc;
use std::time::Duration;

use inver_media::payload::{MAX_PAYLOAD, Packetizer, Payload};
use inver_media::{Config, Frame, MediaTime};
use inver_protocols::rtsp::Started;
use inver_protocols::rtsp::rtp::Sender;
use inver_protocols::rtsp::sdp::{self, Format, PAYLOAD_TYPE};

/// How often a track's clock is told (RFC 3550, 6.2).
const REPORT: Duration = Duration::from_secs(5);

/// A packet for a reader.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) track: usize,
    /// Whether it is RTCP.
    pub(super) report: bool,
    pub(super) data: Vec<u8>,
}

/// The sound is configured anew, which a description that was given cannot tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the publisher changed its codecs; connect again")]
pub(super) struct Changed;

#[derive(Debug)]
struct Track {
    format: Format,
    packetizer: Packetizer,
    sender: Sender,
    /// What is added to a timestamp.
    offset: u32,
    /// When its clock was told last.
    told: Option<MediaTime>,
}

/// Turns the frames of one publication into packets for one reader.
#[derive(Debug)]
pub(super) struct FromFrames {
    tracks: Vec<Track>,
    /// NTP time (Q32.32) of the first frame, and its time.
    begun: Option<(u64, MediaTime)>,
    payloads: Vec<Payload>,
}

impl FromFrames {
    /// For tracks of these configurations; `seed` makes numbers that nobody can guess.
    pub(super) fn new(configs: &[&Arc<Config>], seed: [u8; 16]) -> Self {
        let word = |at: usize| {
            let bytes = seed.get(at..).and_then(|rest| rest.first_chunk());
            bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
        };
        let tracks = (0_u8..).zip(configs).map(|(index, config)| {
            let number = u32::from(index);
            let [_, _, high, low] = word(8).to_be_bytes();
            Track {
                format: sdp::format_of(config, PAYLOAD_TYPE + index),
                packetizer: Packetizer::new(config.codec(), MAX_PAYLOAD, 0),
                sender: Sender::new(
                    PAYLOAD_TYPE + index,
                    word(0).wrapping_add(number),
                    u16::from_be_bytes([high, low]),
                ),
                offset: word(4).wrapping_add(number << 16),
                told: None,
            }
        });
        Self {
            tracks: tracks.collect(),
            begun: None,
            payloads: Vec::new(),
        }
    }

    /// The description that readers get.
    pub(super) fn description(&self, id: u64) -> (String, usize) {
        let formats: Vec<Format> = self
            .tracks
            .iter()
            .map(|track| track.format.clone())
            .collect();
        (sdp::write(&formats, id), formats.len())
    }

    /// Where each track will begin, if `first` is the first frame.
    pub(super) fn started(&self, first: MediaTime) -> Vec<Started> {
        let tracks = self.tracks.iter().enumerate();
        tracks
            .map(|(index, track)| Started {
                track: index,
                sequence: track.sender.sequence(),
                timestamp: track.timestamp(first),
            })
            .collect()
    }

    /// Takes a frame and appends its packets. `ntp` is the present as Q32.32.
    pub(super) fn write(
        &mut self,
        frame: &Frame,
        ntp: u64,
        packets: &mut Vec<Packet>,
    ) -> Result<(), Changed> {
        let kind = frame.codec().kind();
        let mut tracks = self.tracks.iter_mut().enumerate();
        let Some((index, track)) =
            tracks.find(|(_, track)| track.format.config.codec().kind() == kind)
        else {
            // It began after the description was given.
            return Ok(());
        };
        if !track.fits(&frame.config) {
            return Err(Changed);
        }
        let (begun, first) = *self.begun.get_or_insert((ntp, frame.pts));
        let timestamp = track.timestamp(frame.pts);
        let due = track
            .told
            .is_none_or(|told| frame.pts.since(told) >= REPORT);
        self.payloads.clear();
        if let Err(error) = track.packetizer.packetize(frame, &mut self.payloads) {
            tracing::debug!(%error, "a frame was dropped");
            return Ok(());
        }
        if due {
            track.told = Some(frame.pts);
            let since = i128::from(frame.pts.0.saturating_sub(first.0)) * (1 << 32) / 1_000_000_000;
            let at = u64::try_from(i128::from(begun) + since).unwrap_or(begun);
            packets.push(Packet {
                track: index,
                report: true,
                data: track.sender.report(at, timestamp),
            });
        }
        packets.extend(self.payloads.iter().map(|payload| {
            Packet {
                track: index,
                report: false,
                data: track
                    .sender
                    .packet(&payload.bytes, payload.marker, timestamp),
            }
        }));
        Ok(())
    }
}

impl Track {
    fn timestamp(&self, time: MediaTime) -> u32 {
        let ticks = time.ticks(self.format.rate);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "timestamps wrap at 32 bits"
        )]
        let low = ticks as u32;
        low.wrapping_add(self.offset)
    }

    /// Whether the description still tells what its decoder needs. Pictures tell it themselves.
    fn fits(&self, config: &Arc<Config>) -> bool {
        let told = &self.format.config;
        if Arc::ptr_eq(told, config) {
            return true;
        }
        match (&**told, &**config) {
            (Config::Aac { asc: told }, Config::Aac { asc }) => told == asc,
            (told, config) => told.codec() == config.codec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use inver_protocols::rtsp::rtp::{packet, sender_report};

    use super::*;

    fn frame(config: &Arc<Config>, ms: i64) -> Frame {
        let at = MediaTime(ms * 1_000_000);
        Frame {
            config: config.clone(),
            pts: at,
            dts: at,
            keyframe: true,
            data: Arc::from([1, 2, 3]),
        }
    }

    #[test]
    fn both_tracks_tell_the_same_clock() {
        let (video, audio) = (
            Arc::new(Config::Vp8),
            // AAC-LC, 44.1 kHz, stereo.
            Arc::new(Config::Aac {
                asc: vec![0x12, 0x10],
            }),
        );
        let mut frames = FromFrames::new(&[&video, &audio], [7; 16]);
        let ntp = 3_900_000_000 << 32;
        let mut packets = Vec::new();
        for (config, ms) in [(&video, 5000), (&audio, 5500), (&video, 6000)] {
            let written = frames.write(&frame(config, ms), ntp, &mut packets);
            written.expect("the codecs that were described");
        }
        let kinds: Vec<_> = packets
            .iter()
            .map(|packet| (packet.track, packet.report))
            .collect();
        assert_eq!(
            kinds,
            [(0, true), (0, false), (1, true), (1, false), (0, false)]
        );
        let report = |index: usize| sender_report(&packets[index].data).expect("a report");
        assert_eq!(report(0).ntp, ntp);
        assert_eq!(report(2).ntp, ntp + (1 << 31));
        let first = packet(&packets[1].data).expect("RTP");
        let last = packet(&packets[4].data).expect("RTP");
        assert_eq!(first.timestamp, report(0).timestamp);
        assert_eq!(last.timestamp.wrapping_sub(first.timestamp), 90_000);
        assert_eq!(last.sequence, first.sequence.wrapping_add(1));
        let started = frames.started(MediaTime(5_000_000_000));
        assert_eq!(started[0].timestamp, first.timestamp);
    }

    #[test]
    fn sound_of_another_configuration_ends_the_session() {
        let told = Arc::new(Config::Aac {
            asc: vec![0x12, 0x10],
        });
        let other = Arc::new(Config::Aac {
            asc: vec![0x11, 0x90],
        });
        let mut frames = FromFrames::new(&[&told], [0; 16]);
        let mut packets = Vec::new();
        assert_eq!(frames.write(&frame(&told, 0), 0, &mut packets), Ok(()));
        assert_eq!(
            frames.write(&frame(&other, 20), 0, &mut packets),
            Err(Changed)
        );
    }
}
