//! The peer connection itself.

mod events;
mod sending;

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime};

use inver_media::{Extensions, Format, Kind};
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::media::{Direction as EngineDirection, MediaKind, Mid, Pt, Rid};
use str0m::net::{Protocol, Receive, TcpType};
use str0m::rtp::{
    AbsCaptureTime, Extension, ExtensionValues, RtpWrite, SeqNo, Ssrc, VideoOrientation,
};
use str0m::{IceCreds, Input, Rtc, RtcConfig};

use crate::sdp::{
    Fragment, Offer, SdpError, reachable_only, restart_fragment, with_candidates, with_one_stream,
};
use crate::{
    Candidate, ChannelId, Direction, Error, Layer, OfferedMedia, Output, PendingAnswer, Settings,
    TrackId, Transmit, Transport, Unplayable, Write, codecs, dtls,
};
use sending::Sending;

/// How often statistics come.
const STATISTICS_INTERVAL: Duration = Duration::from_secs(1);

/// Packets kept for retransmission per track: at 2.5 Mbit/s about a second and a half, which
/// covers any round trip that interactive video survives. More costs memory per viewer.
const RTX_PACKETS: usize = 512;

/// Age after which a packet is not worth sending again.
const RTX_AGE: Duration = Duration::from_secs(2);

/// Id of the one stream that all our tracks belong to.
const STREAM: &str = "inver";

#[derive(Debug)]
struct Track {
    mid: Mid,
    kind: Kind,
    rids: Vec<Rid>,
    /// The outgoing stream, once looked up.
    ssrc: Option<Ssrc>,
}

/// One WebRTC peer connection.
#[derive(Debug)]
pub struct PeerConnection {
    rtc: Rtc,
    lite: bool,
    candidates: Vec<Candidate>,
    /// One candidate per transport and address family: the only ones that the engine knows.
    homes: Vec<Candidate>,
    /// The client's offer, kept for ICE restarts.
    offer: Option<Offer>,
    tracks: Vec<Track>,
    /// Incoming streams by SSRC.
    incoming: Vec<(Ssrc, TrackId, Layer)>,
    /// Format of each incoming payload type, looked up once.
    formats: Vec<(Pt, Option<Format>)>,
    connected: bool,
    /// Present where the connection only sends.
    sending: Option<Box<Sending>>,
    wallclock: (Instant, SystemTime),
    /// What the engine wants next, while nothing of it has changed.
    idle_until: Option<Instant>,
    /// The engine panicked: nothing of it is touched any more.
    broken: bool,
}

impl PeerConnection {
    fn new(settings: &Settings, now: Instant) -> Self {
        let mut config = RtcConfig::new()
            .set_crypto_provider(dtls::crypto_provider())
            .set_dtls_cert(dtls::certificate())
            .set_ice_lite(settings.lite)
            .set_rtp_mode(true)
            .set_stats_interval(Some(STATISTICS_INTERVAL))
            .set_local_ice_credentials(IceCreds::new())
            .set_extension(14, Extension::AbsoluteCaptureTime);
        codecs::configure(config.codec_config(), &settings.codecs);
        if !settings.transport_feedback {
            config = config.set_extension_map(codecs::quiet_extensions());
            codecs::without_feedback(config.codec_config());
        }
        let mut rtc = config.build(now);
        let homes = homes(&settings.candidates);
        for home in &homes {
            if let Some(candidate) = engine_candidate(home) {
                rtc.add_local_candidate(candidate);
            }
        }
        Self {
            rtc,
            lite: settings.lite,
            candidates: settings.candidates.clone(),
            homes,
            offer: None,
            tracks: Vec::new(),
            incoming: Vec::new(),
            formats: Vec::new(),
            connected: false,
            sending: settings
                .sends_only
                .then(|| Box::new(Sending::new(settings.estimate))),
            wallclock: settings.wallclock,
            idle_until: None,
            broken: false,
        }
    }

    /// Answers an offer.
    ///
    /// # Errors
    ///
    /// The offer is unusable, or shares no codec with [`Settings::codecs`] on a section.
    pub fn answer(
        settings: &Settings,
        offer: Offer,
        now: Instant,
    ) -> Result<(Self, String), Error> {
        let mut this = Self::new(settings, now);
        let answer = this.accept(&offer.text)?;
        this.adopt_tracks(&offer);
        let unplayable: Vec<Unplayable> = offer
            .media
            .iter()
            .zip(sections(&answer))
            .filter(|(section, line)| !section.disabled && line.formats.is_empty())
            .filter_map(|(section, _)| {
                let kind = section.kind?;
                let usable = settings
                    .codecs
                    .iter()
                    .copied()
                    .filter(|codec| codec.kind() == kind);
                Some(Unplayable {
                    kind,
                    offered: section.codecs.clone(),
                    usable: usable.collect(),
                })
            })
            .collect();
        if !unplayable.is_empty() {
            return Err(Error::NoCommonCodec(unplayable));
        }
        this.offer = Some(offer);
        let answer = this.finish(&answer);
        Ok((this, answer))
    }

    /// Makes an offer.
    ///
    /// # Errors
    ///
    /// `media` is empty.
    pub fn offer(
        settings: &Settings,
        media: &[OfferedMedia],
        data_channel: Option<&str>,
        now: Instant,
    ) -> Result<(Self, String, PendingAnswer), Error> {
        let mut this = Self::new(settings, now);
        let mut changes = this.rtc.sdp_api();
        let mut tracks = Vec::new();
        for wanted in media {
            let kind = match wanted.kind {
                Kind::Audio => MediaKind::Audio,
                Kind::Video => MediaKind::Video,
            };
            let direction = match wanted.direction {
                Direction::Send => EngineDirection::SendOnly,
                Direction::Receive => EngineDirection::RecvOnly,
                Direction::Both => EngineDirection::SendRecv,
                Direction::None => EngineDirection::Inactive,
            };
            let mid = changes.add_media(kind, direction, Some(STREAM.to_owned()), None, None);
            tracks.push(Track {
                mid,
                kind: wanted.kind,
                rids: Vec::new(),
                ssrc: None,
            });
        }
        if let Some(label) = data_channel {
            changes.add_channel(label.to_owned());
        }
        let Some((offer, pending)) = changes.apply() else {
            return Err(Error::Unexpected("an offer needs at least one track"));
        };
        this.tracks = tracks;
        let offer = this.finish(&offer.to_sdp_string());
        Ok((this, offer, PendingAnswer(pending)))
    }

    /// Takes the answer to our offer.
    ///
    /// # Errors
    ///
    /// The answer is malformed or does not fit the offer.
    pub fn accept_answer(&mut self, pending: PendingAnswer, answer: &str) -> Result<(), Error> {
        let mut answer = Offer::parse(answer, self.lite)?;
        if !self.lite {
            answer.text = reachable_only(&answer.text);
        }
        self.contain(|this| {
            let parsed = SdpAnswer::from_sdp_string(&answer.text).map_err(malformed)?;
            this.rtc
                .sdp_api()
                .accept_answer(pending.0, parsed)
                .map_err(unusable)?;
            this.tune_streams();
            Ok(())
        })
    }

    /// Runs the engine so that a panic inside it ends this connection and nothing else: the
    /// engine parses what strangers send, and a shard carries thousands of others.
    fn contain<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.broken {
            return Err(Error::Broken);
        }
        self.idle_until = None;
        match catch_unwind(AssertUnwindSafe(|| run(self))) {
            Ok(result) => result,
            Err(_) => {
                self.broken = true;
                Err(Error::Broken)
            }
        }
    }

    fn accept(&mut self, offer: &str) -> Result<String, Error> {
        self.contain(|this| {
            let parsed = SdpOffer::from_sdp_string(offer).map_err(malformed)?;
            let answer = this.rtc.sdp_api().accept_offer(parsed).map_err(unusable)?;
            Ok(answer.to_sdp_string())
        })
    }

    fn finish(&self, sdp: &str) -> String {
        with_candidates(&with_one_stream(sdp, STREAM), &self.candidates)
    }

    fn adopt_tracks(&mut self, offer: &Offer) {
        self.tracks = offer
            .media
            .iter()
            .filter_map(|section| {
                let kind = section.kind?;
                let rids = section
                    .rids
                    .iter()
                    .map(|rid| Rid::from(rid.as_str()))
                    .collect();
                Some(Track {
                    mid: Mid::from(section.mid.as_str()),
                    kind,
                    rids,
                    ssrc: None,
                })
            })
            .collect();
        self.tune_streams();
    }

    /// Bounds what the engine keeps for retransmission on each outgoing stream.
    fn tune_streams(&mut self) {
        for index in 0..self.tracks.len() {
            let mid = self.tracks[index].mid;
            let mut api = self.rtc.direct_api();
            let Some(stream) = api.stream_tx_by_mid(mid, None) else {
                continue;
            };
            self.tracks[index].ssrc = Some(stream.ssrc());
            if self.tracks[index].kind == Kind::Video {
                stream.set_rtx_cache(RTX_PACKETS, RTX_AGE, None);
            } else {
                stream.set_rtx_cache(0, Duration::ZERO, None);
            }
        }
    }

    /// Our ICE username fragment: what STUN requests of this connection's client begin with.
    pub fn ufrag(&mut self) -> String {
        self.rtc.direct_api().local_ice_credentials().ufrag
    }

    /// Takes the client's candidates (RFC 8840). Unusable ones are dropped silently, all of them
    /// on a lite agent.
    ///
    /// # Errors
    ///
    /// The fragment belongs to another ICE session of the client.
    pub fn trickle(&mut self, fragment: &Fragment) -> Result<(), Error> {
        if self.lite {
            return Ok(());
        }
        for candidate in &fragment.candidates {
            if let Ok(candidate) = str0m::Candidate::from_sdp_string(candidate) {
                self.rtc.add_remote_candidate(candidate);
            }
        }
        Ok(())
    }

    /// Whether the fragment's credentials differ from the client's current ones.
    pub fn is_restart(&mut self, fragment: &Fragment) -> bool {
        let (Some(ufrag), Some(offer)) = (&fragment.ufrag, &self.offer) else {
            return false;
        };
        !offer
            .text
            .lines()
            .any(|line| line.strip_prefix("a=ice-ufrag:") == Some(ufrag))
    }

    /// Restarts ICE as the client asks; gives the fragment to answer with.
    ///
    /// # Errors
    ///
    /// The fragment lacks credentials, or the connection was made from an offer of ours.
    pub fn restart_ice(&mut self, fragment: &Fragment) -> Result<String, Error> {
        let (Some(ufrag), Some(pwd)) = (&fragment.ufrag, &fragment.pwd) else {
            return Err(SdpError::Unusable(
                "an ICE restart needs `a=ice-ufrag` and `a=ice-pwd`".into(),
            )
            .into());
        };
        let Some(mut offer) = self.offer.take() else {
            return Err(Error::Unexpected(
                "ICE can only be restarted by the side that offered",
            ));
        };
        offer.text = offer.with_credentials(ufrag, pwd);
        let result = self.accept(&offer.text);
        let mid = offer
            .media
            .first()
            .map(|m| m.mid.clone())
            .unwrap_or_default();
        self.offer = Some(offer);
        result?;
        let credentials = self.rtc.direct_api().local_ice_credentials();
        Ok(restart_fragment(
            &mid,
            &credentials.ufrag,
            &credentials.pass,
            &self.candidates,
        ))
    }

    /// Takes a datagram.
    ///
    /// Which of our addresses it reached does not matter: with addresses behind a NAT and sockets
    /// bound to all of them, the engine is told that everything of one family and transport
    /// arrives at one place. Send answers from where the datagram really arrived.
    ///
    /// # Errors
    ///
    /// The connection's state failed and it has to be closed; a datagram that makes no sense is
    /// passed over without an error.
    pub fn handle_datagram(
        &mut self,
        transport: Transport,
        source: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) -> Result<(), Error> {
        if let Some(sending) = &mut self.sending {
            if Sending::takes(datagram) {
                sending.handle_datagram(datagram, now);
                return Ok(());
            }
            sending.watch_in(transport, source, datagram);
        }
        let proto = match transport {
            Transport::Udp => Protocol::Udp,
            Transport::Tcp => Protocol::Tcp,
        };
        let home = self
            .homes
            .iter()
            .find(|home| home.transport == transport && home.addr.is_ipv4() == source.is_ipv4());
        let Some(home) = home else {
            return Ok(());
        };
        let Ok(receive) = Receive::new(proto, source, home.addr, datagram) else {
            return Ok(());
        };
        self.with_keys(now, |this| {
            Ok(this.rtc.handle_input(Input::Receive(now, receive))?)
        })
    }

    /// Moves time forward; also sends what was written.
    ///
    /// # Errors
    ///
    /// The connection's state failed and it has to be closed.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if let Some(sending) = &mut self.sending {
            sending.handle_timeout(now);
            if self.idle_until.is_some_and(|until| until > now) {
                return Ok(());
            }
        }
        self.with_keys(now, |this| {
            Ok(this.rtc.handle_input(Input::Timeout(now))?)
        })
    }

    /// The next output.
    ///
    /// # Errors
    ///
    /// The connection's state failed and it has to be closed.
    pub fn poll_output(&mut self, now: Instant) -> Result<Output, Error> {
        loop {
            if let Some(output) = self.sending.as_mut().and_then(|s| s.poll_output()) {
                return Ok(output);
            }
            if let Some(until) = self.idle_until {
                return Ok(Output::Timeout(self.earlier(until)));
            }
            match self.with_keys(now, |this| Ok(this.rtc.poll_output()?))? {
                str0m::Output::Timeout(at) => {
                    self.idle_until = Some(at);
                    return Ok(Output::Timeout(self.earlier(at)));
                }
                str0m::Output::Transmit(transmit) => {
                    let transmit = Transmit {
                        transport: transport_of(transmit.proto),
                        destination: transmit.destination,
                        contents: transmit.contents.into(),
                    };
                    let leaves = self.sending.as_mut().is_none_or(|s| s.watch_out(&transmit));
                    if leaves {
                        return Ok(Output::Transmit(transmit));
                    }
                }
                str0m::Output::Event(event) => {
                    if let Some(event) = self.event(event) {
                        return Ok(Output::Event(event));
                    }
                }
            }
        }
    }

    fn earlier(&self, engine: Instant) -> Instant {
        let own = self.sending.as_ref().and_then(|s| s.poll_timeout());
        own.map_or(engine, |own| own.min(engine))
    }

    /// Whether the connection can still carry anything.
    pub fn is_alive(&self) -> bool {
        !self.broken && self.rtc.is_alive()
    }

    /// Closes DTLS; poll the outputs once more to tell the other side.
    pub fn close(&mut self) {
        let closed = self.contain(|this| {
            if this.rtc.close().is_err() {
                this.rtc.disconnect();
            }
            Ok(())
        });
        // What broke cannot say good-bye.
        drop(closed);
    }

    /// The tracks in the order of the offer, with kind, simulcast ids and direction.
    pub fn tracks(&self) -> impl Iterator<Item = (TrackId, Kind, Vec<String>, Direction)> + '_ {
        self.tracks.iter().enumerate().map(|(index, track)| {
            let direction = self
                .rtc
                .media(track.mid)
                .map_or(Direction::None, |media| match media.direction() {
                    EngineDirection::SendOnly => Direction::Send,
                    EngineDirection::RecvOnly => Direction::Receive,
                    EngineDirection::SendRecv => Direction::Both,
                    EngineDirection::Inactive => Direction::None,
                });
            let rids = track.rids.iter().map(ToString::to_string).collect();
            (track_id(index), track.kind, rids, direction)
        })
    }

    /// The payload formats that the other side takes on a track, its most preferred first.
    pub fn formats(&self, track: TrackId) -> Vec<(u8, Format)> {
        let Some(track) = self.tracks.get(usize::from(track.0)) else {
            return Vec::new();
        };
        let Some(media) = self.rtc.media(track.mid) else {
            return Vec::new();
        };
        let config = self.rtc.codec_config();
        media
            .remote_pts()
            .iter()
            .filter_map(|pt| {
                let params = config.find(|params| params.pt() == *pt)?;
                Some((**pt, codecs::format_of(params)?))
            })
            .collect()
    }

    /// The payload type for packets of `sent`, or `None` where the other side cannot play them.
    pub fn payload_type(&self, track: TrackId, sent: &Format) -> Option<u8> {
        self.formats(track)
            .into_iter()
            .filter_map(|(pt, format)| Some((format.score(sent)?, pt)))
            .max_by_key(|(score, _)| *score)
            .map(|(_, pt)| pt)
    }

    /// Queues an RTP packet; it leaves with the next [`Self::handle_timeout`].
    pub fn write(&mut self, track: TrackId, write: Write) {
        let Some(entry) = self.tracks.get(usize::from(track.0)) else {
            return;
        };
        let Some(ssrc) = entry.ssrc else {
            return;
        };
        self.idle_until = None;
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_tx(&ssrc) else {
            return;
        };
        let rtp = RtpWrite::new(
            Pt::from(write.payload_type),
            SeqNo::from(write.sequence),
            write.timestamp,
            write.wallclock,
            write.payload,
        )
        .marker(write.marker)
        .nackable(write.nackable)
        .ext_vals(extension_values(&write.extensions));
        stream.write_rtp(rtp);
    }

    /// Asks the sender of a track for a keyframe (PLI), on one layer or on all.
    pub fn request_keyframe(&mut self, track: TrackId, layer: Option<Layer>) {
        for index in 0..self.incoming.len() {
            let (ssrc, of, on) = self.incoming[index];
            if of != track || layer.is_some_and(|layer| layer != on) {
                continue;
            }
            self.idle_until = None;
            if let Some(stream) = self.rtc.direct_api().stream_rx(&ssrc) {
                stream.request_keyframe(str0m::media::KeyframeRequestKind::Pli);
            }
        }
    }

    /// Sends a message over a data channel. `false` where the channel's buffer is full or the
    /// channel is gone; the message is dropped then.
    pub fn send_message(&mut self, channel: ChannelId, binary: bool, data: &[u8]) -> bool {
        self.idle_until = None;
        match self.rtc.channel(channel.0) {
            Some(mut open) => open.write(binary, data).unwrap_or(false),
            None => false,
        }
    }
}

fn track_id(index: usize) -> TrackId {
    TrackId(u8::try_from(index).expect("sections are bounded by 16"))
}

fn extension_values(extensions: &Extensions) -> ExtensionValues {
    ExtensionValues {
        audio_level: extensions.audio_level,
        voice_activity: extensions.voice_activity,
        video_orientation: extensions.rotation.map(VideoOrientation::from),
        abs_capture_time: extensions.capture_time.map(|time| AbsCaptureTime {
            capture_time: time.ntp,
            clock_offset: time.offset,
        }),
        ..ExtensionValues::default()
    }
}

/// The first candidate of each transport and address family.
fn homes(candidates: &[Candidate]) -> Vec<Candidate> {
    let mut homes: Vec<Candidate> = Vec::with_capacity(4);
    for candidate in candidates {
        let known = homes.iter().any(|home| {
            home.transport == candidate.transport && home.addr.is_ipv4() == candidate.addr.is_ipv4()
        });
        if !known {
            homes.push(*candidate);
        }
    }
    homes
}

fn engine_candidate(candidate: &Candidate) -> Option<str0m::Candidate> {
    match candidate.transport {
        Transport::Udp => str0m::Candidate::host(candidate.addr, Protocol::Udp).ok(),
        Transport::Tcp => str0m::Candidate::builder()
            .tcp()
            .host(candidate.addr)
            .tcptype(TcpType::Passive)
            .build()
            .ok(),
    }
}

fn transport_of(proto: Protocol) -> Transport {
    match proto {
        Protocol::Udp => Transport::Udp,
        Protocol::Tcp | Protocol::SslTcp | Protocol::Tls => Transport::Tcp,
    }
}

struct AnswerSection<'a> {
    formats: Vec<&'a str>,
}

/// The media sections of a description that the engine wrote.
fn sections(sdp: &str) -> impl Iterator<Item = AnswerSection<'_>> {
    sdp.lines().filter_map(|line| {
        let formats = line
            .strip_prefix("m=")?
            .split_whitespace()
            .skip(3)
            .filter(|f| *f != "0")
            .collect();
        Some(AnswerSection { formats })
    })
}

/// The engine's parser begins with a place in memory, which helps nobody: its last line says it.
fn malformed(error: impl std::fmt::Display) -> Error {
    let text = error.to_string();
    let reason = text.trim().lines().last().unwrap_or_default();
    Error::Sdp(SdpError::Malformed(reason.to_owned()))
}

fn unusable(error: impl std::fmt::Display) -> Error {
    Error::Sdp(SdpError::Unusable(error.to_string()))
}
