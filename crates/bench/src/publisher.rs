//! The sending side: frames and sound at their times.

use std::sync::Arc;
use std::time::{Duration, Instant};

use inver_media::{Codec, Extensions, Format, Kind};
use inver_rtc::{PeerConnection, TrackId, Write};

use crate::clock::Clock;
use crate::h264;
use crate::packetizer::Packetizer;
use crate::synthetic::Encoder;

/// Time of sound in one packet.
const SOUND: Duration = Duration::from_millis(20);

/// A publisher that is this much behind leaves frames out instead of sending them in a burst.
const BEHIND: Duration = Duration::from_millis(500);

/// What was published.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Published {
    pub(crate) frames: u64,
    pub(crate) keyframes: u64,
    pub(crate) packets: u64,
    /// RTP payload bytes.
    pub(crate) bytes: u64,
    pub(crate) keyframe_requests: u64,
    /// Frames that were left out because the generator had no time for them.
    pub(crate) skipped: u64,
}

/// One track on its way out.
#[derive(Debug)]
struct Track {
    id: TrackId,
    payload_type: u8,
    sequence: u64,
    first_timestamp: u32,
}

/// One publication.
#[derive(Debug)]
pub(crate) struct Publisher {
    encoder: Encoder,
    packetizer: Packetizer,
    codec: Codec,
    fps: u32,
    video: Option<Track>,
    audio: Option<Track>,
    began: Option<Instant>,
    /// Frames and sound packets whose time has come so far.
    frames: u64,
    sounds: u64,
    quiet: bool,
    pub(crate) published: Published,
}

impl Publisher {
    pub(crate) fn new(encoder: Encoder, packetizer: Packetizer, codec: Codec, fps: u32) -> Self {
        Self {
            encoder,
            packetizer,
            codec,
            fps,
            video: None,
            audio: None,
            began: None,
            frames: 0,
            sounds: 0,
            quiet: false,
            published: Published::default(),
        }
    }

    /// Media may flow. `false`: the server takes none of the codecs.
    pub(crate) fn begin(&mut self, connection: &PeerConnection, now: Instant) -> bool {
        let mut rng = fastrand::Rng::new();
        let tracks: Vec<(TrackId, Kind)> = connection
            .tracks()
            .map(|(id, kind, ..)| (id, kind))
            .collect();
        for (id, kind) in tracks {
            let format = match (kind, self.codec) {
                (Kind::Audio, _) => Format::new(Codec::Opus),
                (Kind::Video, Codec::H264) => Format {
                    h264_profile_level: Some(h264::PROFILE_LEVEL),
                    ..Format::new(Codec::H264)
                },
                (Kind::Video, codec) => Format::new(codec),
            };
            let Some(payload_type) = connection.payload_type(id, &format) else {
                continue;
            };
            let track = Track {
                id,
                payload_type,
                sequence: u64::from(rng.u16(..0x7fff)),
                first_timestamp: rng.u32(..),
            };
            match kind {
                Kind::Audio => self.audio = Some(track),
                Kind::Video => self.video = Some(track),
            }
        }
        self.began = Some(now);
        self.video.is_some()
    }

    /// Sends nothing more.
    pub(crate) fn end(&mut self) {
        self.quiet = true;
    }

    pub(crate) fn keyframe_requested(&mut self) {
        self.published.keyframe_requests += 1;
        self.encoder.want_keyframe();
    }

    /// When the next media is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        let began = self.began.filter(|_| !self.quiet)?;
        let frame = began + frame_time(self.frames, self.fps);
        let sound = self.audio.as_ref().map(|_| began + sound_time(self.sounds));
        Some(sound.map_or(frame, |sound| sound.min(frame)))
    }

    /// Writes what is due. `true`: something was written.
    pub(crate) fn write(
        &mut self,
        connection: &mut PeerConnection,
        clock: &Clock,
        now: Instant,
    ) -> bool {
        let Some(began) = self.began.filter(|_| !self.quiet) else {
            return false;
        };
        let mut wrote = false;
        while self.audio.is_some() && began + sound_time(self.sounds) <= now {
            wrote |= self.sound(connection, clock, began, now);
        }
        while self.video.is_some() && began + frame_time(self.frames, self.fps) <= now {
            wrote |= self.frame(connection, clock, began, now);
        }
        wrote
    }

    fn sound(
        &mut self,
        connection: &mut PeerConnection,
        clock: &Clock,
        began: Instant,
        now: Instant,
    ) -> bool {
        let due = began + sound_time(self.sounds);
        let timestamp = (self.sounds * 960) as u32;
        self.sounds += 1;
        let Some(track) = &mut self.audio else {
            return false;
        };
        if due + BEHIND < now {
            return false;
        }
        let payload = self.packetizer.audio(clock.micros(Instant::now()));
        self.published.packets += 1;
        self.published.bytes += payload.len() as u64;
        send(
            connection,
            track,
            Kind::Audio,
            (timestamp, due),
            payload,
            false,
        );
        true
    }

    fn frame(
        &mut self,
        connection: &mut PeerConnection,
        clock: &Clock,
        began: Instant,
        now: Instant,
    ) -> bool {
        let due = began + frame_time(self.frames, self.fps);
        let timestamp = (self.frames * 90_000 / u64::from(self.fps)) as u32;
        self.frames += 1;
        let Some(track) = &mut self.video else {
            return false;
        };
        if due + BEHIND < now {
            self.published.skipped += 1;
            return false;
        }
        let frame = self.encoder.next_frame();
        self.published.frames += 1;
        self.published.keyframes += u64::from(frame.keyframe);
        let payloads = self.packetizer.video(frame, clock.micros(Instant::now()));
        let count = payloads.len();
        for (index, payload) in payloads.into_iter().enumerate() {
            self.published.packets += 1;
            self.published.bytes += payload.len() as u64;
            let marker = index + 1 == count;
            send(
                connection,
                track,
                Kind::Video,
                (timestamp, due),
                payload,
                marker,
            );
        }
        true
    }
}

fn send(
    connection: &mut PeerConnection,
    track: &mut Track,
    kind: Kind,
    (timestamp, due): (u32, Instant),
    payload: Arc<[u8]>,
    marker: bool,
) {
    let write = Write {
        payload_type: track.payload_type,
        sequence: track.sequence,
        timestamp: track.first_timestamp.wrapping_add(timestamp),
        wallclock: due,
        marker,
        nackable: kind == Kind::Video,
        payload,
        padding: 0,
        extensions: Extensions::default(),
    };
    track.sequence += 1;
    connection.write(track.id, write);
}

pub(crate) fn frame_time(frames: u64, fps: u32) -> Duration {
    Duration::from_nanos(frames * 1_000_000_000 / u64::from(fps))
}

pub(crate) fn sound_time(sounds: u64) -> Duration {
    Duration::from_nanos(sounds * SOUND.as_nanos() as u64)
}
