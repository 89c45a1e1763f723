//! What a shard counted, copied out once a second for the control API and the metrics.

use std::net::SocketAddr;
use std::time::Duration;

use inver_media::{Codec, Kind};
use inver_proto::{SessionId, SourceId};

/// Upper bounds of the forwarding delay histogram; the last bucket has none.
pub const DELAY_BUCKETS: [Duration; 10] = [
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(250),
];

/// Time from the arrival of a packet to the hand-over of its copies to the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DelayHistogram {
    /// Counts per bucket of [`DELAY_BUCKETS`], not cumulative; the last one counts what is above.
    pub counts: [u64; DELAY_BUCKETS.len() + 1],
    /// Sum of all delays.
    pub sum: Duration,
}

impl DelayHistogram {
    /// Counts one delay `times` times.
    pub fn record(&mut self, delay: Duration, times: u64) {
        let at = DELAY_BUCKETS.partition_point(|bound| *bound < delay);
        self.counts[at] += times;
        self.sum += delay * u32::try_from(times).unwrap_or(u32::MAX);
    }
}

/// Everything that only grows.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// RTP packets received from publishers.
    pub packets_received: u64,
    /// Bytes of UDP and TCP payload received.
    pub bytes_received: u64,
    /// RTP packets sent to viewers, retransmissions included.
    pub packets_sent: u64,
    /// Bytes of UDP and TCP payload sent.
    pub bytes_sent: u64,
    /// Packets that publishers sent and that never arrived, as far as RTP tells.
    pub packets_lost: u64,
    /// Packets that viewers asked for again (RFC 4585 generic NACK).
    pub nacks_received: u64,
    /// Packets that we asked publishers for again.
    pub nacks_sent: u64,
    /// PLI and FIR from viewers.
    pub keyframe_requests_received: u64,
    /// PLI and FIR to publishers, after coalescing.
    pub keyframe_requests_sent: u64,
    /// Datagrams of no known session.
    pub datagrams_unknown: u64,
    /// Datagrams that a known session could not use.
    pub datagrams_invalid: u64,
    /// Datagrams that the kernel did not take.
    pub send_errors: u64,
    /// Sends with segmentation offload, each of several datagrams.
    pub sends: u64,
    /// Delay from a packet's arrival to its copies' departure.
    pub forwarding_delay: DelayHistogram,
    /// CPU time of the shard's thread.
    pub cpu: Duration,
}

/// One session's live figures.
#[derive(Debug, Clone, Default)]
pub struct SessionStats {
    /// Round-trip time as RTCP and ICE see it.
    pub round_trip: Option<Duration>,
    /// Bits per second received over the last second or two.
    pub bitrate_in: u64,
    /// Bits per second sent.
    pub bitrate_out: u64,
    /// RTP packets received since the start.
    pub packets_received: u64,
    /// RTP packets sent since the start.
    pub packets_sent: u64,
    /// Share of packets lost on the media's way, 0 to 1.
    pub loss: f32,
    /// NACKed packets: asked by the viewer, or by us of a publisher.
    pub nacks: u64,
    /// PLI and FIR: received from a viewer, or sent to a publisher.
    pub keyframe_requests: u64,
    /// Bandwidth estimate towards a viewer, in bits per second, where estimation is on.
    pub estimate: Option<u64>,
    /// Address that media comes from or goes to.
    pub remote: Option<SocketAddr>,
    /// Whether media travels over ICE-TCP.
    pub tcp: bool,
    /// Simulcast id that a viewer receives now.
    pub rid: Option<String>,
    /// Highest spatial layer that a viewer receives now (SVC).
    pub spatial: Option<u8>,
    /// Highest temporal layer that a viewer receives now.
    pub temporal: Option<u8>,
    /// Time from the offer to the first media packet to or from the client.
    pub first_packet_after: Option<Duration>,
}

/// One layer of a publication.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LayerStats {
    /// Simulcast id; `None` without simulcast.
    pub rid: Option<String>,
    /// Picture width in pixels, once a keyframe told it.
    pub width: Option<u32>,
    /// Picture height in pixels.
    pub height: Option<u32>,
    /// Frames per second, for video.
    pub frames_per_second: f32,
    /// Bits per second.
    pub bitrate: u64,
    /// Time between the last two keyframes.
    pub keyframe_interval: Option<Duration>,
    /// Whether packets arrived within the last two seconds.
    pub active: bool,
    /// Number of spatial layers inside this stream (SVC), at least 1.
    pub spatial_layers: u8,
    /// Number of temporal layers, at least 1.
    pub temporal_layers: u8,
}

/// One track of a source.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackStats {
    /// Audio or video.
    pub kind: Kind,
    /// Codec, once a packet came.
    pub codec: Option<Codec>,
    /// Layers, lowest first.
    pub layers: Vec<LayerStats>,
    /// Share of packets lost on the way here over the last ten seconds, 0 to 1.
    pub loss: f32,
}

/// One source's live figures.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SourceStats {
    /// Tracks in the order of the offer.
    pub tracks: Vec<TrackStats>,
}

/// A shard's state at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Number of the shard.
    pub shard: usize,
    /// Counters since the start.
    pub totals: Totals,
    /// Sessions that live here.
    pub sessions: Vec<(SessionId, SessionStats)>,
    /// Sources whose publisher lives here.
    pub sources: Vec<(SourceId, SourceStats)>,
    /// Tracks received here.
    pub tracks_in: usize,
    /// Tracks sent from here.
    pub tracks_out: usize,
}
