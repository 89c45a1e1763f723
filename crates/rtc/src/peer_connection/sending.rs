//! Connections that only send: their media goes past the engine.

use std::net::SocketAddr;
use std::time::Instant;

use inver_media::Kind;

use super::{PeerConnection, STREAM};
use crate::sender::{Ids, Keys, Sender, Stream};
use crate::{Burst, Direction, Error, Output, TrackId, Transmit, Transport, Write, dtls};

/// STUN: a binding request, a success response, and the attribute that nominates a pair
/// (RFC 8489, 5; RFC 8445, 7.1.2).
const REQUEST: [u8; 2] = [0x00, 0x01];
const SUCCESS: [u8; 2] = [0x01, 0x01];
const USE_CANDIDATE: [u8; 2] = [0x00, 0x25];

/// State beside the engine of a connection that only sends.
#[derive(Debug)]
pub(super) struct Sending {
    /// Exists as soon as the handshake has exported keys.
    sender: Option<Sender>,
    /// Where media goes: the pair that the client nominated last.
    destination: Option<(Transport, SocketAddr)>,
    /// The client's request for a pair, until the engine has found it valid.
    nominating: Option<(Transport, SocketAddr)>,
    estimate: Option<u64>,
}

impl Sending {
    pub(super) fn new(estimate: Option<u64>) -> Self {
        Self {
            sender: None,
            destination: None,
            nominating: None,
            estimate,
        }
    }

    /// Whether the datagram is media or a report, and so not the engine's.
    pub(super) fn takes(datagram: &[u8]) -> bool {
        matches!(datagram.first(), Some(128..=191))
    }

    pub(super) fn handle_datagram(&mut self, datagram: &[u8], now: Instant) {
        if let Some(sender) = &mut self.sender {
            sender.handle_datagram(datagram, now);
        }
    }

    /// Notes which pair a request for the engine nominates.
    pub(super) fn watch_in(&mut self, transport: Transport, source: SocketAddr, datagram: &[u8]) {
        if datagram.get(..2) == Some(&REQUEST) && nominates(datagram) {
            self.nominating = Some((transport, source));
        }
    }

    /// Learns from what the engine sends. `false`: it must not leave, for media and reports go
    /// past the engine under the same keys.
    pub(super) fn watch_out(&mut self, transmit: &Transmit) -> bool {
        let to = (transmit.transport, transmit.destination);
        match transmit.contents.first() {
            Some(20..=63) => {
                self.destination.get_or_insert(to);
                true
            }
            Some(128..=191) => false,
            _ => {
                if transmit.contents.get(..2) == Some(&SUCCESS) && self.nominating == Some(to) {
                    self.destination = Some(to);
                    self.nominating = None;
                }
                true
            }
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(sender) = &mut self.sender {
            sender.handle_timeout(now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.sender.as_ref()?.poll_timeout()
    }

    /// What waits beside the engine.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        let sender = self.sender.as_mut()?;
        if let Some(event) = sender.poll_event() {
            return Some(Output::Event(event));
        }
        let (transport, destination) = self.destination?;
        let contents = sender.poll_transmit()?;
        Some(Output::Transmit(Transmit {
            transport,
            destination,
            contents,
        }))
    }
}

/// Whether a STUN message carries `USE-CANDIDATE`.
fn nominates(datagram: &[u8]) -> bool {
    let mut rest = datagram.get(20..).unwrap_or_default();
    while let [t0, t1, l0, l1, tail @ ..] = rest {
        if [*t0, *t1] == USE_CANDIDATE {
            return true;
        }
        let length = usize::from(u16::from_be_bytes([*l0, *l1])).next_multiple_of(4);
        let Some(next) = tail.get(length..) else {
            return false;
        };
        rest = next;
    }
    false
}

impl PeerConnection {
    /// Runs the engine where its handshake may export keys, and takes them along.
    pub(super) fn with_keys<T>(
        &mut self,
        now: Instant,
        run: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let waits = self
            .sending
            .as_ref()
            .is_some_and(|sending| sending.sender.is_none());
        if !waits {
            return self.contain(run);
        }
        // Left behind by another connection that has no use for them.
        drop(dtls::take_exported());
        let result = self.contain(run);
        if let Some(keys) = dtls::take_exported() {
            self.begin_sending(&keys, now)?;
        }
        result
    }

    fn begin_sending(&mut self, keys: &Keys, now: Instant) -> Result<(), Error> {
        let streams = self.streams();
        let wallclock = self.wallclock;
        let Some(sending) = &mut self.sending else {
            return Ok(());
        };
        let sender = Sender::new(
            keys,
            streams,
            STREAM.to_owned(),
            sending.estimate,
            wallclock,
            now,
        );
        sending.sender = Some(sender.ok_or(Error::Broken)?);
        Ok(())
    }

    /// The outgoing streams as negotiated, by track.
    fn streams(&mut self) -> Vec<Option<Stream>> {
        let directions: Vec<Direction> = self
            .tracks()
            .map(|(_, _, _, direction)| direction)
            .collect();
        let mut streams = Vec::with_capacity(directions.len());
        for (index, direction) in directions.into_iter().enumerate() {
            let sends = matches!(direction, Direction::Send | Direction::Both);
            streams.push(if sends { self.stream(index) } else { None });
        }
        streams
    }

    fn stream(&mut self, index: usize) -> Option<Stream> {
        let (mid, kind) = (self.tracks[index].mid, self.tracks[index].kind);
        let (ssrc, repair) = {
            let mut api = self.rtc.direct_api();
            let stream = api.stream_tx_by_mid(mid, None)?;
            (*stream.ssrc(), stream.rtx().map(|ssrc| *ssrc))
        };
        let media = self.rtc.media(mid)?;
        let ids = Ids::negotiated(media.remote_extmap());
        let config = self.rtc.codec_config();
        let types = media.remote_pts().iter().filter_map(|pt| {
            let params = config.find(|params| params.pt() == *pt)?;
            Some((**pt, *params.resend()?))
        });
        let retransmission = repair
            .filter(|_| kind == Kind::Video)
            .map(|ssrc| (ssrc, types.collect()));
        Some(Stream::new(
            kind,
            ssrc,
            mid.to_string(),
            ids,
            retransmission,
        ))
    }

    /// Where [`Self::write_to`]'s datagrams go, once the connection is up. `None` too on a
    /// connection that does not send only.
    pub fn destination(&self) -> Option<(Transport, SocketAddr)> {
        let sending = self.sending.as_ref()?;
        sending.sender.as_ref()?;
        sending.destination
    }

    /// Appends an RTP packet to what leaves next. Nothing, where the connection is not up or does
    /// not send only.
    pub fn write_to(&mut self, burst: &mut Burst, track: TrackId, write: Write, now: Instant) {
        if let Some(sender) = self.sending.as_mut().and_then(|s| s.sender.as_mut()) {
            sender.write(track, write, now, burst);
        }
    }

    /// Appends what is due beside the packets of a burst: call it once behind them.
    pub fn finish_burst(&mut self, burst: &mut Burst, now: Instant) {
        if let Some(sender) = self.sending.as_mut().and_then(|s| s.sender.as_mut()) {
            sender.finish(now, burst);
        }
    }

    /// Tells bandwidth estimation what is sent and what would be worth sending, in bits per
    /// second: the way is probed for no more than that.
    pub fn set_wanted_bitrate(&mut self, current: u64, wanted: u64) {
        if let Some(sender) = self.sending.as_mut().and_then(|s| s.sender.as_mut()) {
            sender.set_wanted(current, wanted);
        }
    }
}
