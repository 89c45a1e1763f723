//! The server's end of one connection.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};

use super::authorization::{REALM, hex};
use super::message::Answer;
use super::sdp::{control, parse};
use super::{
    Address, Algorithm, Authorization, Error, Event, Method, Output, Part, Ports, Reader, Request,
    Started, Status, Transport, Wish,
};

/// What clients are told that is understood.
const METHODS: &str = "OPTIONS, DESCRIBE, ANNOUNCE, SETUP, PLAY, PAUSE, RECORD, TEARDOWN, \
                       GET_PARAMETER, SET_PARAMETER";

/// How long the first request and the rest of one that has begun may take: some round trips. Longer
/// only helps who holds connections open for the sake of it.
const REQUEST: Duration = Duration::from_secs(10);

/// How long a client may take from one step to the next before media flows; people who look at a
/// description are no clients.
const STEP: Duration = Duration::from_secs(30);

/// How long a reader over UDP may say nothing, and any publisher send nothing. Clients are told
/// and keep sessions alive twice as often.
const SILENT: Duration = Duration::from_secs(60);

/// Beyond [`SILENT`], for a word that is under way.
const SLACK: Duration = Duration::from_secs(5);

/// How long a nonce counts. It counts on its own connection only, so there is little to gain.
const NONCE: Duration = Duration::from_secs(300);

/// Wrong credentials on one connection.
const MAX_REFUSALS: u32 = 10;

/// Settings of one connection.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The server's ports for media over UDP; `None`: there are none.
    pub udp: Option<Ports>,
    /// Whether a password may come readable: over TLS, or from the same machine.
    pub private: bool,
    /// Random bytes, of which session id and nonces are made.
    pub seed: [u8; 32],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Idle,
    Announced,
    Described,
    Recording,
    Playing,
    Paused,
    Over,
}

#[derive(Debug, Clone)]
pub(super) struct Track {
    pub(super) control: String,
    pub(super) transport: Option<Transport>,
}

/// A request that waits for a decision.
#[derive(Debug, Clone)]
struct Pending {
    cseq: u32,
    method: Method,
    base: String,
    tracks: Vec<Track>,
}

/// The state machine.
///
/// After each call, drain [`Self::poll_output`], then wait for input or until
/// [`Self::poll_timeout`]. While an event waits for its answer, [`Self::wants_input`] is false.
#[derive(Debug)]
pub struct Server {
    pub(super) settings: Settings,
    reader: Reader,
    outputs: VecDeque<Output<Event>>,
    queued: usize,
    pub(super) phase: Phase,
    pub(super) base: String,
    pub(super) tracks: Vec<Track>,
    pending: Option<Pending>,
    session: String,
    /// A SETUP was answered: the session has a name.
    named: bool,
    nonce: String,
    nonces: u64,
    nonce_since: Instant,
    refusals: u32,
    begun: Instant,
    heard: Instant,
    /// Since when a part is not whole.
    partial_since: Option<Instant>,
    asked: bool,
}

impl Server {
    /// A connection that was just accepted.
    pub fn new(settings: Settings, now: Instant) -> Self {
        let session = settings.hash("session", 0)[..16].to_owned();
        let nonce = settings.hash("nonce", 0);
        Self {
            settings,
            reader: Reader::default(),
            outputs: VecDeque::new(),
            queued: 0,
            phase: Phase::Idle,
            base: String::new(),
            tracks: Vec::new(),
            pending: None,
            session,
            named: false,
            nonce,
            nonces: 0,
            nonce_since: now,
            refusals: 0,
            begun: now,
            heard: now,
            partial_since: None,
            asked: false,
        }
    }

    /// Takes bytes of the client.
    ///
    /// # Errors
    /// The connection cannot go on; an answer that says why is queued.
    pub fn handle_input(&mut self, bytes: &[u8], now: Instant) -> Result<(), Error> {
        self.reader.push(bytes);
        self.advance(now)
    }

    /// Goes on after a decision, with what was read before it.
    ///
    /// # Errors
    /// As [`Self::handle_input`].
    pub fn advance(&mut self, now: Instant) -> Result<(), Error> {
        while self.wants_input() {
            match self.reader.next_part() {
                Ok(None) => break,
                // Nothing was asked of the client.
                Ok(Some(Part::Answer(_))) => {}
                Ok(Some(Part::Request(request))) => {
                    self.asked = true;
                    self.heard = now;
                    self.request(request, now)?;
                }
                Ok(Some(Part::Packet { channel, data })) => self.packet(channel, data, now),
                Err(error) => {
                    self.fail(error);
                    return Err(error);
                }
            }
            self.partial_since = None;
        }
        if self.reader.is_partial() && self.pending.is_none() {
            self.partial_since.get_or_insert(now);
        } else {
            self.partial_since = None;
        }
        Ok(())
    }

    fn fail(&mut self, error: Error) {
        let status = match error {
            Error::HeadTooLong | Error::Malformed(_) => Status::BadRequest,
            Error::BodyTooLong => Status::BodyTooLarge,
            Error::Version => Status::Version,
            Error::TooManyRefusals => Status::Forbidden,
            Error::TimedOut => Status::TimedOut,
        };
        self.phase = Phase::Over;
        let answer = Answer::new(status, None).body("text/plain", &format!("{error}\n"));
        self.send_bytes(answer);
    }

    /// Notes that time has passed.
    ///
    /// # Errors
    /// The client was silent for too long.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if self.poll_timeout().is_some_and(|at| now >= at) {
            self.fail(Error::TimedOut);
            return Err(Error::TimedOut);
        }
        Ok(())
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.pending.is_some() {
            return None;
        }
        let over_udp = self
            .tracks
            .iter()
            .any(|track| matches!(track.transport, Some(Transport::Udp(_))));
        let silent = match self.phase {
            Phase::Idle if !self.asked => Some(self.begun + REQUEST),
            Phase::Idle | Phase::Announced | Phase::Described => Some(self.heard + STEP),
            // Over TCP the connection itself tells whether the reader is there.
            Phase::Playing if !over_udp => None,
            Phase::Playing | Phase::Paused | Phase::Recording => Some(self.heard + SILENT + SLACK),
            Phase::Over => None,
        };
        let partial = self.partial_since.map(|since| since + REQUEST);
        silent.into_iter().chain(partial).min()
    }

    /// Notes that media or a report of the client came over UDP.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Whether bytes are taken now: not while an event waits for its answer.
    pub fn wants_input(&self) -> bool {
        self.pending.is_none() && self.phase != Phase::Over
    }

    /// Bytes that [`Self::poll_output`] will give.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output<Event>> {
        let output = self.outputs.pop_front()?;
        if let Output::Send(bytes) = &output {
            self.queued -= bytes.len();
        }
        Some(output)
    }

    /// Sends a packet of a track that goes between the requests. `false`: it does not go there.
    pub fn send(&mut self, track: usize, report: bool, packet: &[u8]) -> bool {
        let track = self.tracks.get(track);
        let Some(Transport::Interleaved { rtp, rtcp }) = track.and_then(|track| track.transport)
        else {
            return false;
        };
        let Ok(len) = u16::try_from(packet.len()) else {
            return false;
        };
        let mut bytes = Vec::with_capacity(4 + packet.len());
        bytes.extend_from_slice(&[b'$', if report { rtcp } else { rtp }]);
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(packet);
        self.send_bytes(bytes);
        true
    }

    /// Lets the publisher go on to SETUP.
    pub fn accept_announce(&mut self) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        self.phase = Phase::Announced;
        self.base = pending.base;
        self.tracks = pending.tracks;
        self.send_bytes(Answer::new(Status::Ok, Some(pending.cseq)).finish());
    }

    /// Tells the reader what there is: a description with so many tracks, whose URIs are
    /// [`control`]'s.
    pub fn accept_describe(&mut self, description: &str, tracks: usize) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        let track = |index| Track {
            control: control(index),
            transport: None,
        };
        self.phase = Phase::Described;
        self.tracks = (0..tracks).map(track).collect();
        let answer = Answer::new(Status::Ok, Some(pending.cseq))
            .field("Content-Base", &format!("{}/", pending.base))
            .body("application/sdp", description);
        self.base = pending.base;
        self.send_bytes(answer);
    }

    /// Lets media flow. `started` tells readers where each track begins.
    pub fn accept_start(&mut self, started: &[Started], now: Instant) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        self.heard = now;
        let mut answer = Answer::new(Status::Ok, Some(pending.cseq)).field(
            "Session",
            &format!("{};timeout={}", self.session, SILENT.as_secs()),
        );
        if pending.method == Method::Play {
            self.phase = Phase::Playing;
            answer = answer.field("Range", "npt=now-");
            let info: Vec<String> = started
                .iter()
                .map(|one| {
                    let uri = format!("{}/{}", self.base, control(one.track));
                    format!("url={uri};seq={};rtptime={}", one.sequence, one.timestamp)
                })
                .collect();
            if !info.is_empty() {
                answer = answer.field("RTP-Info", &info.join(","));
            }
        } else {
            self.phase = Phase::Recording;
        }
        self.send_bytes(answer.finish());
    }

    /// Refuses what waits. With [`Status::Unauthorized`] the client is told how to prove itself.
    ///
    /// # Errors
    /// It was refused too often; the answer is queued.
    pub fn refuse(&mut self, status: Status, detail: &str, now: Instant) -> Result<(), Error> {
        let Some(pending) = self.pending.take() else {
            return Ok(());
        };
        if status == Status::Unauthorized {
            return self.challenge(pending.cseq, false, detail, now);
        }
        let answer = Answer::new(status, Some(pending.cseq));
        self.send_bytes(answer.body("text/plain", &format!("{detail}\n")));
        Ok(())
    }

    fn challenge(
        &mut self,
        cseq: u32,
        stale: bool,
        detail: &str,
        now: Instant,
    ) -> Result<(), Error> {
        self.refusals += 1;
        if self.refusals > MAX_REFUSALS {
            self.fail(Error::TooManyRefusals);
            return Err(Error::TooManyRefusals);
        }
        self.renew(now);
        let mut answer = Answer::new(Status::Unauthorized, Some(cseq));
        // The best last: there are clients that take the last one that they understand, and the
        // one that most understand stands there.
        if self.settings.private {
            answer = answer.field("WWW-Authenticate", &format!("Basic realm=\"{REALM}\""));
        }
        for algorithm in [Algorithm::Sha256, Algorithm::Md5] {
            let stale = if stale { ", stale=true" } else { "" };
            let value = format!(
                "Digest realm=\"{REALM}\", nonce=\"{}\", algorithm={}{stale}",
                self.nonce,
                algorithm.name()
            );
            answer = answer.field("WWW-Authenticate", &value);
        }
        self.send_bytes(answer.body("text/plain", &format!("{detail}\n")));
        Ok(())
    }

    fn renew(&mut self, now: Instant) {
        if now.saturating_duration_since(self.nonce_since) >= NONCE {
            self.nonces += 1;
            self.nonce = self.settings.hash("nonce", self.nonces);
            self.nonce_since = now;
        }
    }

    fn send_bytes(&mut self, bytes: Vec<u8>) {
        self.queued += bytes.len();
        self.outputs.push_back(Output::Send(bytes));
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn packet(&mut self, channel: u8, data: Vec<u8>, now: Instant) {
        let mut tracks = self.tracks.iter().enumerate();
        let found = tracks.find_map(|(index, track)| match track.transport {
            Some(Transport::Interleaved { rtp, .. }) if rtp == channel => Some((index, false)),
            Some(Transport::Interleaved { rtcp, .. }) if rtcp == channel => Some((index, true)),
            Some(Transport::Interleaved { .. } | Transport::Udp(_)) | None => None,
        });
        let Some((track, report)) = found else {
            return;
        };
        if matches!(self.phase, Phase::Recording | Phase::Playing) {
            self.heard = now;
            self.tell(Event::Packet {
                track,
                report,
                data,
            });
        }
    }

    fn request(&mut self, request: Request, now: Instant) -> Result<(), Error> {
        let Some(cseq) = request.cseq() else {
            self.fail(Error::Malformed("the request has no CSeq"));
            return Err(Error::Malformed("the request has no CSeq"));
        };
        let refuse = |status: Status, detail: &str| {
            let answer = Answer::new(status, Some(cseq));
            Ok(answer.body("text/plain", &format!("{detail}\n")))
        };
        if let Some(option) = request.field("Require") {
            let answer = Answer::new(Status::UnsupportedOption, Some(cseq));
            self.send_bytes(answer.field("Unsupported", option).finish());
            return Ok(());
        }
        if let Some(named) = request.field("Session") {
            let id = named.split(';').next().unwrap_or_default().trim();
            if !self.named || id != self.session {
                let answer = refuse(Status::SessionNotFound, "there is no such session here");
                return answer.map(|answer| self.send_bytes(answer));
            }
        }
        let state = |allowed: bool| {
            if allowed {
                Ok(())
            } else {
                Err(Status::NotInThisState)
            }
        };
        let result = match &request.method {
            Method::Options => {
                let answer = Answer::new(Status::Ok, Some(cseq)).field("Public", METHODS);
                Ok(answer.finish())
            }
            Method::GetParameter | Method::SetParameter => {
                Ok(self.named_answer(Status::Ok, cseq).finish())
            }
            Method::Announce | Method::Describe => match state(self.phase == Phase::Idle) {
                Ok(()) => return self.wish(request, cseq, now),
                Err(status) => refuse(status, "one connection has one session"),
            },
            Method::Setup => match self.setup(&request) {
                Ok(transport) => {
                    self.named = true;
                    let answer = self.named_answer(Status::Ok, cseq);
                    Ok(answer.field("Transport", &transport).finish())
                }
                Err((status, detail)) => refuse(status, detail),
            },
            Method::Record | Method::Play => {
                let record = request.method == Method::Record;
                let fits = match self.phase {
                    Phase::Announced => record,
                    Phase::Described | Phase::Paused | Phase::Playing => !record,
                    Phase::Idle | Phase::Recording | Phase::Over => false,
                };
                let transports: Vec<_> = self.tracks.iter().map(|track| track.transport).collect();
                if !fits || transports.iter().all(Option::is_none) {
                    refuse(
                        Status::NotInThisState,
                        "ANNOUNCE or DESCRIBE and SETUP come before",
                    )
                } else if self.phase == Phase::Playing {
                    // It plays already: nothing else can be asked of a live source.
                    let answer = self.named_answer(Status::Ok, cseq);
                    Ok(answer.field("Range", "npt=now-").finish())
                } else {
                    self.pending = Some(Pending {
                        cseq,
                        method: request.method,
                        base: String::new(),
                        tracks: Vec::new(),
                    });
                    self.tell(if record {
                        Event::RecordRequested(transports)
                    } else {
                        Event::PlayRequested(transports)
                    });
                    return Ok(());
                }
            }
            Method::Pause => match self.phase {
                Phase::Playing | Phase::Paused => {
                    if self.phase == Phase::Playing {
                        self.phase = Phase::Paused;
                        self.tell(Event::Paused);
                    }
                    Ok(self.named_answer(Status::Ok, cseq).finish())
                }
                Phase::Idle
                | Phase::Announced
                | Phase::Described
                | Phase::Recording
                | Phase::Over => refuse(Status::NotInThisState, "nothing plays"),
            },
            Method::Teardown => {
                let answer = self.named_answer(Status::Ok, cseq).finish();
                self.send_bytes(answer);
                self.phase = Phase::Over;
                self.tell(Event::Ended);
                return Ok(());
            }
            Method::Other(_) => {
                let answer = Answer::new(Status::MethodNotAllowed, Some(cseq));
                Ok(answer.field("Allow", METHODS).finish())
            }
        };
        result.map(|answer| self.send_bytes(answer))
    }

    fn named_answer(&self, status: Status, cseq: u32) -> Answer {
        let answer = Answer::new(status, Some(cseq));
        if self.named {
            let timeout = SILENT.as_secs();
            return answer.field("Session", &format!("{};timeout={timeout}", self.session));
        }
        answer
    }

    /// Asks for a decision on ANNOUNCE or DESCRIBE.
    fn wish(&mut self, request: Request, cseq: u32, now: Instant) -> Result<(), Error> {
        let refuse = |status: Status, detail: &str| {
            let answer = Answer::new(status, Some(cseq));
            answer.body("text/plain", &format!("{detail}\n"))
        };
        let Some(address) = Address::parse(&request.uri) else {
            let detail = "the URI is none of RTSP; it is rtsp://HOST/ROOM";
            self.send_bytes(refuse(Status::BadRequest, detail));
            return Ok(());
        };
        let authorization = request
            .field("Authorization")
            .and_then(Authorization::parse);
        if let Some(Authorization::Digest(digest)) = &authorization {
            let old = now.saturating_duration_since(self.nonce_since) >= NONCE;
            if old || digest.nonce != self.nonce {
                return self.challenge(cseq, true, "the nonce is not this connection's", now);
            }
            let same = |a: &str, b: &str| a.trim_end_matches('/') == b.trim_end_matches('/');
            let below = digest.uri.starts_with('/') && request.uri.ends_with(&digest.uri);
            if digest.realm != REALM || !(same(&digest.uri, &request.uri) || below) {
                let detail = "the digest is of another URI or realm";
                return self.challenge(cseq, false, detail, now);
            }
        }
        let wish = Box::new(Wish {
            authorization,
            method: request.method.clone(),
            address,
        });
        let mut tracks = Vec::new();
        let event = if request.method == Method::Announce {
            let announced = match parse(&request.body) {
                Ok(announced) => announced,
                Err(error) => {
                    self.send_bytes(refuse(Status::BadRequest, &error.to_string()));
                    return Ok(());
                }
            };
            tracks.extend(announced.iter().map(|track| Track {
                control: track.control.clone(),
                transport: None,
            }));
            Event::AnnounceRequested(wish.clone(), announced)
        } else {
            Event::DescribeRequested(wish.clone())
        };
        self.pending = Some(Pending {
            cseq,
            method: request.method,
            base: wish.address.base().to_owned(),
            tracks,
        });
        self.tell(event);
        Ok(())
    }
}

impl Settings {
    fn hash(&self, what: &str, number: u64) -> String {
        let mut bytes = self.seed.to_vec();
        bytes.extend_from_slice(what.as_bytes());
        bytes.extend_from_slice(&number.to_be_bytes());
        let hash = hex(digest(&SHA256, &bytes).as_ref());
        hash.chars().take(32).collect()
    }
}
