//! What the engine's events mean here.

use inver_media::{CaptureTime, Extensions, Format, Kind, SenderClock};
use str0m::IceConnectionState;
use str0m::media::{Pt, Rid};
use str0m::net::Protocol;
use str0m::rtp::{RtpPacket, Ssrc};

use super::{PeerConnection, track_id};
use crate::{ChannelId, Event, Layer, Received, Statistics, TrackId, TrackStatistics, codecs};

impl PeerConnection {
    pub(super) fn event(&mut self, event: str0m::Event) -> Option<Event> {
        use str0m::Event as E;
        match event {
            E::Connected => {
                self.connected = true;
                Some(Event::Connected)
            }
            E::IceConnectionStateChange(state) => match state {
                IceConnectionState::Disconnected => Some(Event::Disconnected),
                IceConnectionState::Connected | IceConnectionState::Completed if self.connected => {
                    Some(Event::Reconnected)
                }
                IceConnectionState::New
                | IceConnectionState::Checking
                | IceConnectionState::Connected
                | IceConnectionState::Completed => None,
            },
            E::RtpPacket(packet) => self.received(packet).map(Event::Received),
            E::KeyframeRequest(request) => {
                let index = self
                    .tracks
                    .iter()
                    .position(|track| track.mid == request.mid)?;
                Some(Event::KeyframeRequested(track_id(index)))
            }
            E::ChannelOpen(id, label) => Some(Event::ChannelOpened(ChannelId(id), label)),
            E::ChannelData(message) => Some(Event::ChannelMessage {
                channel: ChannelId(message.id),
                binary: message.binary,
                data: message.data,
            }),
            E::ChannelClose(id) => Some(Event::ChannelClosed(ChannelId(id))),
            E::PeerStats(stats) => {
                let pair = stats.selected_candidate_pair.as_ref();
                Some(Event::Statistics(Statistics::Transport {
                    round_trip: stats
                        .rtt
                        .or_else(|| pair.and_then(|pair| pair.current_round_trip_time)),
                    remote: pair.map(|pair| pair.remote.addr),
                    tcp: pair.is_some_and(|pair| pair.protocol != Protocol::Udp),
                }))
            }
            E::MediaEgressStats(stats) => {
                let index = self
                    .tracks
                    .iter()
                    .position(|track| track.mid == stats.mid)?;
                let statistics = TrackStatistics {
                    packets: stats.packets,
                    bytes: stats.bytes,
                    nacks: stats.nacks,
                    keyframe_requests: stats.plis + stats.firs,
                    loss: stats.loss,
                    round_trip: stats.rtt,
                };
                Some(Event::Statistics(Statistics::Sent(
                    track_id(index),
                    statistics,
                )))
            }
            E::MediaIngressStats(stats) => {
                let index = self
                    .tracks
                    .iter()
                    .position(|track| track.mid == stats.mid)?;
                let layer = self.layer_of(index, stats.rid);
                let statistics = TrackStatistics {
                    packets: stats.packets,
                    bytes: stats.bytes,
                    nacks: stats.nacks,
                    keyframe_requests: stats.plis + stats.firs,
                    loss: stats.loss,
                    round_trip: stats.rtt,
                };
                Some(Event::Statistics(Statistics::Received(
                    track_id(index),
                    layer,
                    statistics,
                )))
            }
            E::Closed => Some(Event::Closed),
            _ => None,
        }
    }

    fn layer_of(&self, index: usize, rid: Option<Rid>) -> Layer {
        let position = rid.and_then(|rid| {
            self.tracks[index]
                .rids
                .iter()
                .position(|known| *known == rid)
        });
        Layer(u8::try_from(position.unwrap_or(0)).unwrap_or(0))
    }

    fn received(&mut self, packet: RtpPacket) -> Option<Received> {
        // Padding that probes the way carries nothing to forward.
        if packet.payload.is_empty() {
            return None;
        }
        let (track, layer) = self.place(packet.header.ssrc)?;
        let format = self.format(packet.header.payload_type)?;
        let header = packet.header;
        let extensions = Extensions {
            audio_level: header.ext_vals.audio_level,
            voice_activity: header.ext_vals.voice_activity,
            rotation: header
                .ext_vals
                .video_orientation
                .map(|rotation| rotation as u8),
            capture_time: header.ext_vals.abs_capture_time.map(|time| CaptureTime {
                ntp: time.capture_time,
                offset: time.clock_offset,
            }),
        };
        Some(Received {
            track,
            layer,
            format,
            sequence: *packet.seq_no,
            timestamp: packet.time.numer(),
            marker: header.marker,
            payload: packet.payload,
            extensions,
            clock: packet.last_sender_info.map(|report| SenderClock {
                ntp: report.ntp_time,
                rtp: report.rtp_time.numer(),
            }),
            arrival: packet.timestamp,
        })
    }

    /// Where a stream belongs. A client's streams are few, so a list is faster than a map.
    fn place(&mut self, ssrc: Ssrc) -> Option<(TrackId, Layer)> {
        if let Some((_, track, layer)) = self.incoming.iter().find(|(known, ..)| *known == ssrc) {
            return Some((*track, *layer));
        }
        let (mid, rid) = {
            let mut api = self.rtc.direct_api();
            let stream = api.stream_rx(&ssrc)?;
            (stream.mid(), stream.rid())
        };
        let index = self.tracks.iter().position(|track| track.mid == mid)?;
        // The engine asks only senders that have RTX for lost packets. Others, OBS Studio among
        // them, send them again as they were (RFC 4585).
        if self.tracks[index].kind == Kind::Video
            && let Some(stream) = self.rtc.direct_api().stream_rx(&ssrc)
        {
            stream.suppress_nack(false);
        }
        let layer = self.layer_of(index, rid);
        let track = track_id(index);
        // A layer whose SSRC changed leaves its old entry behind; one per layer is enough.
        self.incoming
            .retain(|(_, of, on)| (*of, *on) != (track, layer));
        self.incoming.push((ssrc, track, layer));
        Some((track, layer))
    }

    fn format(&mut self, pt: Pt) -> Option<Format> {
        if let Some((_, format)) = self.formats.iter().find(|(known, _)| *known == pt) {
            return *format;
        }
        let format = self
            .rtc
            .codec_config()
            .find(|params| params.pt() == pt)
            .and_then(codecs::format_of);
        self.formats.push((pt, format));
        format
    }
}
