//! The client's end of one connection: plays what a server has.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};

use super::authorization::hex;
use super::challenge::Challenge;
use super::message::Answer;
use super::sdp::{Announced, SdpError, aggregate, parse};
use super::target::{Login, Target};
use super::{Error, Method, Output, Part, Ports, Reader, Response, Status, Transport};

/// How long an answer may take. Cameras that wake up take some seconds.
const ANSWER: Duration = Duration::from_secs(10);

/// How long a session lives without a word where the server does not say (RFC 2326, 12.37).
const TIMEOUT: Duration = Duration::from_secs(60);

/// The longest and the shortest time between two words that keep a session. Longer trusts clocks
/// and ways more, shorter would be only noise.
const WORDS: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(5)];

/// Challenges that are answered for one request: the first, and one because its nonce grew old.
const PROOFS: u32 = 2;

/// What there is to play, and how to make what nobody can guess.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Where from.
    pub target: Target,
    /// Random bytes, of which nonces are made.
    pub seed: [u8; 32],
}

/// What happens on a connection to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// The server has these tracks. Answer with [`Client::choose`].
    Described(Vec<Announced>),
    /// Media begins. For each track its transport, and the server's ports where media comes over
    /// UDP and the server tells them.
    Started(Vec<Option<(Transport, Option<Ports>)>>),
    /// A packet of a track came between the answers.
    Packet {
        /// Its number, in the order of the description.
        track: usize,
        /// Whether it is RTCP.
        report: bool,
        /// RTP or RTCP.
        data: Vec<u8>,
    },
}

/// What ends a connection to a server. Holds no secret of the client's; words of the server may
/// repeat what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// What came is no RTSP.
    #[error("what the server says makes no sense: {0}")]
    Nonsense(#[from] Error),
    /// It wants a login and there is none.
    #[error(
        "the server wants user and password (401); put them into the address: \
         rtsp://user:password@host/path"
    )]
    NoLogin,
    /// It does not take the login.
    #[error("the server refuses this user and password (401)")]
    WrongLogin,
    /// It wants a proof that is not known here.
    #[error("the server wants a proof that is neither Basic nor Digest with MD5 or SHA-256")]
    UnknownProof,
    /// It refuses.
    #[error("the server refuses {method}: {code} {words}")]
    Refused {
        /// What was asked for.
        method: &'static str,
        /// Its code.
        code: u16,
        /// What it says.
        words: String,
    },
    /// It is not there but elsewhere.
    #[error("the server says that the stream is at another address ({0}); use that one")]
    Elsewhere(u16),
    /// What it has cannot be read.
    #[error("the server's description cannot be read: {0}")]
    Description(#[from] SdpError),
    /// No track was chosen.
    #[error("nothing of what the server has was chosen")]
    Nothing,
    /// It does not send media the way that was asked for.
    #[error("the server does not send media {}", instead(.udp))]
    Transport {
        /// Whether UDP was asked for.
        udp: bool,
    },
    /// It forgot the session.
    #[error("the server ended the session ({0})")]
    SessionLost(u16),
    /// It does not answer.
    #[error("the server has not answered {0} for {secs} s", secs = ANSWER.as_secs())]
    Silent(&'static str),
}

/// What does not go, and what may.
fn instead(udp: &bool) -> &'static str {
    if *udp {
        "over UDP; leave transport=udp out"
    } else {
        "through the connection; add ?transport=udp to the address"
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Before the description.
    Asking,
    /// The description is there; which tracks, is to be chosen.
    Choosing,
    /// One track after the other is set up.
    Setting(usize),
    Starting,
    Playing,
    Over,
}

/// A request that waits for its answer.
#[derive(Debug)]
struct Asked {
    cseq: u32,
    method: Method,
    uri: String,
    fields: Vec<(&'static str, String)>,
    at: Instant,
    proofs: u32,
}

#[derive(Debug)]
struct Track {
    control: String,
    /// Wanted, and how; what the server made of it.
    transport: Option<Transport>,
    ports: Option<Ports>,
}

/// The state machine.
///
/// It asks for the description at once, then waits for [`Self::choose`]. After each call, drain
/// [`Self::poll_output`], then wait for input or until [`Self::poll_timeout`].
#[derive(Debug)]
pub struct Client {
    login: Option<Login>,
    seed: [u8; 32],
    reader: Reader,
    outputs: VecDeque<Output<ClientEvent>>,
    queued: usize,
    phase: Phase,
    /// Of all tracks together.
    uri: String,
    /// Below which relative URIs of tracks are.
    base: String,
    tracks: Vec<Track>,
    pub(super) cseq: u32,
    asked: Option<Asked>,
    challenge: Option<Challenge>,
    /// Requests that were proved by the challenge.
    proved: u32,
    session: Option<String>,
    /// How long the session lives without a word.
    timeout: Duration,
    /// The word that keeps it.
    word: Method,
    /// When the last one was said.
    said: Instant,
}

impl Client {
    /// A connection that was just made.
    pub fn new(config: ClientConfig, now: Instant) -> Self {
        let ClientConfig { target, seed } = config;
        let mut client = Self {
            login: target.login,
            seed,
            reader: Reader::default(),
            outputs: VecDeque::new(),
            queued: 0,
            phase: Phase::Asking,
            base: target.uri.clone(),
            uri: target.uri,
            tracks: Vec::new(),
            cseq: 0,
            asked: None,
            challenge: None,
            proved: 0,
            session: None,
            timeout: TIMEOUT,
            word: Method::Options,
            said: now,
        };
        client.ask(Method::Options, client.uri.clone(), Vec::new(), now);
        client
    }

    /// Takes bytes of the server.
    ///
    /// # Errors
    /// The connection cannot go on.
    pub fn handle_input(&mut self, bytes: &[u8], now: Instant) -> Result<(), ClientError> {
        self.reader.push(bytes);
        while self.wants_input() {
            let part = match self.reader.next_part() {
                Ok(part) => part,
                Err(error) => return Err(self.fail(error.into())),
            };
            match part {
                None => break,
                Some(Part::Answer(answer)) => {
                    if let Err(error) = self.answer(&answer, now) {
                        return Err(self.fail(error));
                    }
                }
                Some(Part::Request(request)) => {
                    // Some servers look whether the client is there.
                    let status = match request.method {
                        Method::Options | Method::GetParameter | Method::SetParameter => Status::Ok,
                        _ => Status::MethodNotAllowed,
                    };
                    self.send_bytes(Answer::new(status, request.cseq()).finish());
                }
                Some(Part::Packet { channel, data }) => self.packet(channel, data),
            }
        }
        Ok(())
    }

    fn fail(&mut self, error: ClientError) -> ClientError {
        self.phase = Phase::Over;
        self.asked = None;
        error
    }

    /// Whether bytes are taken now: not while a choice is waited for, nor behind the end.
    pub fn wants_input(&self) -> bool {
        !matches!(self.phase, Phase::Choosing | Phase::Over)
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match (&self.asked, self.phase) {
            (_, Phase::Over) => None,
            (Some(asked), _) => Some(asked.at + ANSWER),
            (None, Phase::Playing) => {
                let [longest, shortest] = WORDS;
                Some(self.said + (self.timeout / 2).clamp(shortest, longest))
            }
            (None, Phase::Asking | Phase::Choosing | Phase::Setting(_) | Phase::Starting) => None,
        }
    }

    /// Notes that time has passed: says the word that keeps the session.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ClientError> {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return Ok(());
        }
        match self.asked.take() {
            // Some servers keep the session and say nothing; whether media comes shows more.
            Some(_) if self.phase == Phase::Playing => self.word = Method::Options,
            Some(asked) => return Err(self.fail(ClientError::Silent(asked.method.word()))),
            None => self.ask(self.word.clone(), self.uri.clone(), Vec::new(), now),
        }
        Ok(())
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output<ClientEvent>> {
        let output = self.outputs.pop_front()?;
        if let Output::Send(bytes) = &output {
            self.queued -= bytes.len();
        }
        Some(output)
    }

    /// Bytes that [`Self::poll_output`] will give.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Has the tracks of the description sent that have a transport here, at least one.
    ///
    /// # Errors
    /// None has.
    pub fn choose(
        &mut self,
        transports: &[Option<Transport>],
        now: Instant,
    ) -> Result<(), ClientError> {
        if self.phase != Phase::Choosing {
            return Ok(());
        }
        for (track, transport) in self.tracks.iter_mut().zip(transports) {
            track.transport = *transport;
        }
        self.set_up(0, now)?;
        // What came behind the description.
        self.handle_input(&[], now)
    }

    /// Sends a report of a track through the connection. `false`: it does not go there.
    pub fn report(&mut self, track: usize, packet: &[u8]) -> bool {
        let track = self.tracks.get(track);
        let Some(Transport::Interleaved { rtcp, .. }) = track.and_then(|track| track.transport)
        else {
            return false;
        };
        let Ok(len) = u16::try_from(packet.len()) else {
            return false;
        };
        let mut bytes = vec![b'$', rtcp];
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(packet);
        self.send_bytes(bytes);
        true
    }

    /// Ends the session, where there is one; the answer is not waited for.
    pub fn tear_down(&mut self, now: Instant) {
        if self.session.is_some() && self.phase != Phase::Over {
            self.ask(Method::Teardown, self.uri.clone(), Vec::new(), now);
        }
        self.phase = Phase::Over;
    }

    fn send_bytes(&mut self, bytes: Vec<u8>) {
        self.queued += bytes.len();
        self.outputs.push_back(Output::Send(bytes));
    }

    fn ask(
        &mut self,
        method: Method,
        uri: String,
        fields: Vec<(&'static str, String)>,
        now: Instant,
    ) {
        self.send_request(Asked {
            cseq: 0,
            method,
            uri,
            fields,
            at: now,
            proofs: 0,
        });
    }

    fn send_request(&mut self, mut asked: Asked) {
        self.cseq = self.cseq.wrapping_add(1);
        asked.cseq = self.cseq;
        self.said = asked.at;
        let (method, uri) = (asked.method.as_str(), &asked.uri);
        let mut text = format!("{method} {uri} RTSP/1.0\r\n");
        let mut field = |name: &str, value: &str| {
            let value: String = value.chars().filter(|char| !char.is_control()).collect();
            let _ = write!(text, "{name}: {value}\r\n");
        };
        field("CSeq", &asked.cseq.to_string());
        field("User-Agent", "Inver");
        if let Some(session) = &self.session {
            field("Session", session);
        }
        if let (Some(challenge), Some(login)) = (&self.challenge, &self.login) {
            self.proved = self.proved.wrapping_add(1);
            let own = own_nonce(&self.seed, self.cseq);
            let shown = challenge.answer(login, method, uri, self.proved, &own);
            field("Authorization", &shown);
        }
        for (name, value) in &asked.fields {
            field(name, value);
        }
        text.push_str("\r\n");
        self.asked = Some(asked);
        self.send_bytes(text.into_bytes());
    }

    fn answer(&mut self, answer: &Response, now: Instant) -> Result<(), ClientError> {
        let Some(asked) = self.asked.take() else {
            return Ok(());
        };
        let other = answer.cseq().is_some_and(|cseq| cseq != asked.cseq);
        if other || answer.code < 200 {
            self.asked = Some(asked);
            return Ok(());
        }
        if answer.code == 401 && (self.login.is_some() || asked.method != Method::Options) {
            return self.prove(asked, answer, now);
        }
        let good = answer.code < 300;
        match (&asked.method, self.phase) {
            (Method::Options, Phase::Asking) => {
                let methods = answer.field("Public").unwrap_or_default();
                if methods.contains(Method::GetParameter.as_str()) {
                    self.word = Method::GetParameter;
                }
                let fields = vec![("Accept", "application/sdp".to_owned())];
                self.ask(Method::Describe, self.uri.clone(), fields, now);
                Ok(())
            }
            (Method::Describe, _) if good => self.described(answer),
            (Method::Setup, Phase::Setting(index)) if good => self.set(index, answer, now),
            (Method::Setup, Phase::Setting(index)) if answer.code == 461 => {
                let transport = self.tracks.get(index).and_then(|track| track.transport);
                let udp = matches!(transport, Some(Transport::Udp(_)));
                Err(ClientError::Transport { udp })
            }
            (Method::Play, _) if good => {
                self.phase = Phase::Playing;
                let tracks = self.tracks.iter();
                let started = tracks.map(|track| Some((track.transport?, track.ports)));
                let started = ClientEvent::Started(started.collect());
                self.outputs.push_back(Output::Event(started));
                Ok(())
            }
            (_, Phase::Playing) if good => Ok(()),
            (_, Phase::Playing) if answer.code == 454 => Err(ClientError::SessionLost(answer.code)),
            (_, Phase::Playing) => {
                // Not every server that lists a method knows it.
                self.word = Method::Options;
                Ok(())
            }
            _ if (300..400).contains(&answer.code) => Err(ClientError::Elsewhere(answer.code)),
            _ => Err(ClientError::Refused {
                method: asked.method.word(),
                code: answer.code,
                words: answer.words.clone(),
            }),
        }
    }

    /// Asks again with a proof.
    fn prove(
        &mut self,
        mut asked: Asked,
        answer: &Response,
        now: Instant,
    ) -> Result<(), ClientError> {
        if self.login.is_none() {
            return Err(ClientError::NoLogin);
        }
        let challenge = Challenge::best(answer.all("WWW-Authenticate"));
        let challenge = challenge.ok_or(ClientError::UnknownProof)?;
        // The same challenge again: the proof was not good.
        let again = asked.proofs > 0 && !challenge.is_newer_than(self.challenge.as_ref());
        if again || asked.proofs == PROOFS {
            return Err(ClientError::WrongLogin);
        }
        self.challenge = Some(challenge);
        self.proved = 0;
        asked.proofs += 1;
        asked.at = now;
        self.send_request(asked);
        Ok(())
    }

    fn described(&mut self, answer: &Response) -> Result<(), ClientError> {
        let announced = parse(&answer.body)?;
        let named = ["Content-Base", "Content-Location"].map(|name| answer.field(name));
        let mut named = named.into_iter().flatten();
        if let Some(base) = named.find(|base| is_absolute(base)) {
            base.clone_into(&mut self.base);
        }
        self.uri = match aggregate(&answer.body) {
            Some(control) => below(&self.base, control),
            None => self.base.clone(),
        };
        let tracks = announced.iter().map(|track| Track {
            control: track.control.clone(),
            transport: None,
            ports: None,
        });
        self.tracks = tracks.collect();
        self.phase = Phase::Choosing;
        let described = ClientEvent::Described(announced);
        self.outputs.push_back(Output::Event(described));
        Ok(())
    }

    /// Sets up the first wanted track from `from` on; behind the last one, begins.
    fn set_up(&mut self, from: usize, now: Instant) -> Result<(), ClientError> {
        let mut rest = self.tracks.iter().enumerate().skip(from);
        let next = rest.find_map(|(index, track)| Some((index, track.transport?, track)));
        if let Some((index, transport, track)) = next {
            let uri = below(&self.base, &track.control);
            self.phase = Phase::Setting(index);
            self.ask(
                Method::Setup,
                uri,
                vec![("Transport", transport.wish())],
                now,
            );
            return Ok(());
        }
        if self.session.is_none() {
            return Err(self.fail(ClientError::Nothing));
        }
        self.phase = Phase::Starting;
        let fields = vec![("Range", "npt=0.000-".to_owned())];
        self.ask(Method::Play, self.uri.clone(), fields, now);
        Ok(())
    }

    /// Takes the server's choice for a track.
    fn set(&mut self, index: usize, answer: &Response, now: Instant) -> Result<(), ClientError> {
        let named = answer.field("Session").unwrap_or_default();
        let mut parts = named.split(';').map(str::trim);
        let session = parts.next().filter(|id| !id.is_empty());
        let session = session.ok_or(Error::Malformed("SETUP is answered without a session"))?;
        self.session = Some(session.to_owned());
        let seconds = parts.find_map(|part| part.strip_prefix("timeout=")?.parse().ok());
        if let Some(seconds) = seconds.filter(|seconds| *seconds > 0) {
            self.timeout = Duration::from_secs(seconds);
        }
        if let Some(track) = self.tracks.get_mut(index)
            && let Some(asked) = track.transport
        {
            let (transport, ports) =
                asked
                    .chosen(answer.field("Transport"))
                    .ok_or(ClientError::Transport {
                        udp: matches!(asked, Transport::Udp(_)),
                    })?;
            track.transport = Some(transport);
            track.ports = ports;
        }
        self.set_up(index + 1, now)
    }

    fn packet(&mut self, channel: u8, data: Vec<u8>) {
        let mut tracks = self.tracks.iter().enumerate();
        let found = tracks.find_map(|(index, track)| match track.transport {
            Some(Transport::Interleaved { rtp, .. }) if rtp == channel => Some((index, false)),
            Some(Transport::Interleaved { rtcp, .. }) if rtcp == channel => Some((index, true)),
            Some(Transport::Interleaved { .. } | Transport::Udp(_)) | None => None,
        });
        if let Some((track, report)) = found {
            self.outputs.push_back(Output::Event(ClientEvent::Packet {
                track,
                report,
                data,
            }));
        }
    }
}

/// A nonce of the client's.
fn own_nonce(seed: &[u8; 32], number: u32) -> String {
    let mut bytes = seed.to_vec();
    bytes.extend_from_slice(&number.to_be_bytes());
    let hash = hex(digest(&SHA256, &bytes).as_ref());
    hash.chars().take(16).collect()
}

fn is_absolute(uri: &str) -> bool {
    let scheme = uri.split_once("://").map(|(scheme, _)| scheme);
    let known = scheme.is_some_and(|scheme| {
        scheme.eq_ignore_ascii_case("rtsp") || scheme.eq_ignore_ascii_case("rtsps")
    });
    known && uri.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The URI of a track. Servers expect it appended, even behind a query, and not resolved.
fn below(base: &str, control: &str) -> String {
    let control: String = control.chars().filter(char::is_ascii_graphic).collect();
    if is_absolute(&control) {
        return control;
    }
    match control.as_str() {
        "" | "*" => base.to_owned(),
        control => format!(
            "{}/{}",
            base.trim_end_matches('/'),
            control.trim_start_matches('/')
        ),
    }
}
