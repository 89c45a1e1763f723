//! The media of one client: its streams, pings and clocks.

use std::time::{Duration, Instant};

use inver_media::Kind;

use super::attributes::{Attributes, Stream};
use super::datagram::{Datagram, SenderReport, classify};
use super::receiver::{Counters, Received, Receiver, Settings};

/// How long a client may send no media before it counts as silent.
const SILENCE: Duration = Duration::from_secs(15);

/// What to do with a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// Send it back to where it came from, as it is.
    Echo,
    /// Nothing; it was media of this client.
    Media,
    /// Nothing; it tells the sender's clock.
    Clock(Kind, SenderReport),
    /// Nothing; it is none of this client's.
    Ignore,
}

#[derive(Debug)]
struct Lane {
    kind: Kind,
    stream: Stream,
    receiver: Receiver,
}

/// The media of one client.
///
/// The caller finds the client by the datagram's address; after each call, drain
/// [`Self::poll_packet`] and [`Self::poll_nack`], then wait until [`Self::poll_timeout`].
#[derive(Debug)]
pub struct Media {
    lanes: Vec<Lane>,
    /// Sound before the first picture is a test of the line's speed.
    waits_for_picture: bool,
    heard: Instant,
}

impl Media {
    /// For what a client announced.
    pub fn new(attributes: &Attributes, now: Instant) -> Self {
        let lane = |kind, stream: Option<Stream>, settings| {
            stream.map(|stream| Lane {
                kind,
                stream,
                receiver: Receiver::new(stream.ssrc, settings),
            })
        };
        let video = lane(Kind::Video, attributes.video, Settings::VIDEO);
        let audio = lane(Kind::Audio, attributes.audio, Settings::AUDIO);
        Self {
            waits_for_picture: video.is_some(),
            lanes: video.into_iter().chain(audio).collect(),
            heard: now,
        }
    }

    /// Takes a datagram from the client's address.
    pub fn receive(&mut self, datagram: &[u8], now: Instant) -> Reaction {
        match classify(datagram) {
            None => Reaction::Ignore,
            Some(Datagram::Ping) => Reaction::Echo,
            Some(Datagram::SenderReport(report)) => self
                .lanes
                .iter()
                .find(|lane| lane.stream.ssrc == report.ssrc)
                .map_or(Reaction::Ignore, |lane| Reaction::Clock(lane.kind, report)),
            Some(Datagram::Rtp(rtp)) => {
                let Some(lane) = self.lanes.iter_mut().find(|lane| {
                    lane.stream.ssrc == rtp.ssrc && lane.stream.payload_type == rtp.payload_type
                }) else {
                    return Reaction::Ignore;
                };
                if lane.kind == Kind::Video {
                    self.waits_for_picture = false;
                } else if self.waits_for_picture {
                    return Reaction::Ignore;
                }
                self.heard = now;
                lane.receiver.receive(&rtp, now);
                Reaction::Media
            }
        }
    }

    /// Asks for lost packets and gives up those that are late.
    pub fn handle_timeout(&mut self, now: Instant) {
        for lane in &mut self.lanes {
            lane.receiver.handle_timeout(now);
        }
    }

    /// When [`Self::handle_timeout`] is due. While nothing is missing there is no such time.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.lanes
            .iter()
            .filter_map(|lane| lane.receiver.poll_timeout())
            .min()
    }

    /// When the client counts as silent unless media comes; refuse it then with
    /// [`super::Code::NoMediaTimeout`].
    pub fn silent_at(&self) -> Instant {
        self.heard + SILENCE
    }

    /// The next packet of a stream, in the stream's order.
    pub fn poll_packet(&mut self) -> Option<(Kind, Received)> {
        self.lanes
            .iter_mut()
            .find_map(|lane| Some((lane.kind, lane.receiver.poll_packet()?)))
    }

    /// A datagram for the client.
    pub fn poll_nack(&mut self) -> Option<Vec<u8>> {
        self.lanes
            .iter_mut()
            .find_map(|lane| lane.receiver.poll_nack())
    }

    /// What a stream has seen; `None` where the client has no such stream.
    pub fn counters(&self, kind: Kind) -> Option<Counters> {
        self.lanes
            .iter()
            .find(|lane| lane.kind == kind)
            .map(|lane| lane.receiver.counters())
    }
}
