//! The common currency inside Inver: one RTP payload with what travels beside it.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::Format;
use crate::codec::PayloadInfo;

/// A moment on the sender's own clock, from its RTCP sender report (RFC 3550, 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderClock {
    /// NTP time of the report.
    pub ntp: SystemTime,
    /// The RTP timestamp of the same moment, extended, in units of the codec's clock.
    pub rtp: u64,
}

/// When a frame was captured, as the `abs-capture-time` header extension says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaptureTime {
    /// NTP time of the capture on the capture system's clock.
    pub ntp: SystemTime,
    /// Sender's estimate of its clock's offset from the capture clock, NTP Q32.32.
    pub offset: Option<i64>,
}

/// RTP header extensions that are forwarded to viewers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extensions {
    /// Loudness in dBov, 0 (loudest) to -127 (RFC 6464).
    pub audio_level: Option<i8>,
    /// Whether the sender found speech in the packet (RFC 6464).
    pub voice_activity: Option<bool>,
    /// Clockwise quarter turns that a player must apply (3GPP TS 26.114): 0 to 3.
    pub rotation: Option<u8>,
    /// Capture time of the frame.
    pub capture_time: Option<CaptureTime>,
}

/// One RTP packet of a track, after decryption and inspection.
#[derive(Debug, Clone)]
pub struct Packet {
    /// RTP payload without the header; shared by all copies.
    pub payload: Arc<[u8]>,
    /// Sequence number, extended so that it never wraps.
    pub sequence: u64,
    /// RTP timestamp, extended so that it never wraps, in units of the codec's clock.
    pub timestamp: u64,
    /// Marker bit: last packet of a video frame, or the start of a talk spurt.
    pub marker: bool,
    /// When the packet reached us.
    pub arrival: Instant,
    /// Codec and parameters.
    pub format: Format,
    /// What the payload's first bytes tell.
    pub info: PayloadInfo,
    /// Header extensions worth forwarding.
    pub extensions: Extensions,
    /// The sender's latest report for this track.
    pub clock: Option<SenderClock>,
}
