//! One end of a DTLS session behind str0m's `DtlsInstance`: datagrams in, datagrams and events
//! out.
//!
//! Joins record layer, reassembly, handshake and retransmission. Sans-IO: after every call drain
//! [`DtlsInstance::poll_output`] to `Timeout`. Every queue is bounded; forged or broken datagrams
//! are dropped; after a failure the end stays silent, and says so again with the next timeout: an
//! engine passes over what a datagram led to, for datagrams may be anyone's.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::crypto::dtls::{
    DtlsImplError, DtlsInstance, DtlsOutput, KeyingMaterial, ProtocolVersion, SrtpProfile,
};

use super::certificate::Identity;
use super::failure::{Failure, alert};
use super::flight::Flight;
use super::handshake::{Handshake, Outcome, Outgoing};
use super::reassembly::Reassembly;
use super::record::{Record, RecordLayer, Records};
use super::secrets::Role;
use super::wire::content;

/// How long a handshake may take from its first message. Longer keeps dead sessions.
const HANDSHAKE_TIME: Duration = Duration::from_secs(30);
/// How long after a failure the alert has to leave before a timeout ends the connection.
const FAREWELL: Duration = Duration::from_millis(100);
/// Records kept that came before the keys or the Finished that they need: a flight's reordering,
/// and the data a peer sends right behind it. What exceeds it is dropped as if lost.
const MAX_EARLY: usize = 16;
/// The longest record kept early. A Finished and what fits a datagram on the way are shorter;
/// more lets a peer that has proved nothing take more memory (times [`MAX_EARLY`], twice).
const MAX_EARLY_LEN: usize = 2048;
/// Datagrams that wait to be polled. A flight has a dozen at most; beyond it application data is
/// not accepted and the caller keeps it.
const MAX_DATAGRAMS: usize = 64;
/// Events that wait to be polled. One datagram of 64 KB holds fewer sensible records; newer ones
/// are dropped as if lost.
const MAX_EVENTS: usize = 512;
const MTU: usize = 1200;
/// What IPv6 guarantees, less its headers; a smaller wish is not granted.
const MIN_MTU: usize = 512;
const MAX_MTU: usize = 16 * 1024;
const FATAL: u8 = 2;
const WARNING: u8 = 1;

#[derive(Debug)]
enum Event {
    PeerCertificate(Vec<u8>),
    Keys(KeyingMaterial, SrtpProfile),
    Connected,
    Data(Vec<u8>),
    Closed,
}

enum Stage {
    /// Waits for the role and the first timeout; nothing is sent before.
    Idle(Arc<Identity>),
    Handshaking(Box<Handshaking>),
    Connected,
    /// `close` was called.
    Closed,
    /// A datagram ended the session; the time, once known, at which a timeout tells why.
    Failing(Failure, Option<Instant>),
    Failed,
}

struct Handshaking {
    handshake: Handshake,
    reassembly: Reassembly,
    /// Whole records that came before their keys.
    early_records: VecDeque<Vec<u8>>,
    /// Application data that came before the Finished.
    early_data: VecDeque<Vec<u8>>,
    has_begun: bool,
    deadline: Option<Instant>,
}

/// One end of a DTLS session.
pub(super) struct Endpoint {
    role: Role,
    stage: Stage,
    layer: RecordLayer,
    /// Our ChangeCipherSpec is out: the peer expects epoch 1 from here on.
    writes_protected: bool,
    flight: Option<Flight>,
    now: Instant,
    mtu: usize,
    datagrams: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::Idle(_) => "idle".to_owned(),
            Stage::Handshaking(state) => format!("waiting for {:?}", state.handshake.step),
            Stage::Connected => "connected".to_owned(),
            Stage::Closed => "closed".to_owned(),
            Stage::Failing(..) | Stage::Failed => "failed".to_owned(),
        };
        f.debug_struct("Endpoint")
            .field("role", &self.role)
            .field("stage", &stage)
            .finish()
    }
}

impl Endpoint {
    /// An end that presents `identity`. It is a server until `set_active(true)`.
    pub(super) fn new(identity: Arc<Identity>, now: Instant, mtu: Option<usize>) -> Self {
        Self {
            role: Role::Server,
            stage: Stage::Idle(identity),
            layer: RecordLayer::default(),
            writes_protected: false,
            flight: None,
            now,
            mtu: mtu.unwrap_or(MTU).clamp(MIN_MTU, MAX_MTU),
            datagrams: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    fn start(&mut self) -> Result<(), Failure> {
        let Stage::Idle(identity) = &self.stage else {
            return Ok(());
        };
        let mut handshake = Handshake::new(self.role, Arc::clone(identity));
        let outcome = handshake.start()?;
        self.stage = Stage::Handshaking(Box::new(Handshaking {
            handshake,
            reassembly: Reassembly::default(),
            early_records: VecDeque::new(),
            early_data: VecDeque::new(),
            has_begun: self.role == Role::Client,
            deadline: None,
        }));
        self.apply(outcome)
    }

    fn receive(&mut self, datagram: &[u8]) -> Result<(), Failure> {
        self.start()?;
        for record in Records::new(datagram) {
            match record.epoch {
                0 => self.receive_plain(&record)?,
                1 => self.receive_protected(&record)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn receive_plain(&mut self, record: &Record<'_>) -> Result<(), Failure> {
        // After the handshake nothing in the clear can be trusted.
        let Stage::Handshaking(state) = &mut self.stage else {
            return Ok(());
        };
        match record.content {
            content::HANDSHAKE => {
                state.has_begun = true;
                let is_repeat = state.reassembly.add(0, record.fragment).is_repeat;
                self.note_repeat(is_repeat);
                self.advance()
            }
            content::ALERT => match *record.fragment {
                [FATAL, description] | [_, description @ alert::CLOSE_NOTIFY] => {
                    Err(Failure::PeerAlert(description))
                }
                _ => Ok(()),
            },
            // A change of cipher says nothing that the epoch in each record does not.
            _ => Ok(()),
        }
    }

    fn receive_protected(&mut self, record: &Record<'_>) -> Result<(), Failure> {
        if !self.layer.is_protected() {
            if let Stage::Handshaking(state) = &mut self.stage
                && state.early_records.len() < MAX_EARLY
                && record.bytes.len() <= MAX_EARLY_LEN
            {
                state.early_records.push_back(record.bytes.to_vec());
            }
            return Ok(());
        }
        let Some(plaintext) = self.layer.open(record) else {
            return Ok(());
        };
        match (&mut self.stage, record.content) {
            (Stage::Handshaking(state), content::HANDSHAKE) => {
                let is_repeat = state.reassembly.add(1, &plaintext).is_repeat;
                self.note_repeat(is_repeat);
                self.advance()
            }
            (Stage::Handshaking(state), content::APPLICATION_DATA) => {
                if state.early_data.len() < MAX_EARLY && plaintext.len() <= MAX_EARLY_LEN {
                    state.early_data.push_back(plaintext);
                }
                Ok(())
            }
            (Stage::Connected, content::APPLICATION_DATA) => {
                self.event(Event::Data(plaintext));
                Ok(())
            }
            // The peer's last flight again: it misses ours. Renegotiation is not answered.
            (Stage::Connected, content::HANDSHAKE) => {
                self.note_repeat(true);
                Ok(())
            }
            (Stage::Handshaking(_) | Stage::Connected, content::ALERT) => match plaintext[..] {
                [_, alert::CLOSE_NOTIFY] => {
                    self.event(Event::Closed);
                    Ok(())
                }
                [FATAL, description] => Err(Failure::PeerAlert(description)),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn note_repeat(&mut self, is_repeat: bool) {
        if let (true, Some(flight)) = (is_repeat, &mut self.flight) {
            flight.request_repeat();
        }
    }

    /// Hands whole messages to the handshake until none is left.
    fn advance(&mut self) -> Result<(), Failure> {
        while let Stage::Handshaking(state) = &mut self.stage {
            let Some(message) = state.reassembly.next() else {
                break;
            };
            let outcome = state.handshake.receive(&message)?;
            self.apply(outcome)?;
        }
        Ok(())
    }

    fn apply(&mut self, outcome: Outcome) -> Result<(), Failure> {
        if let Some((write, read)) = outcome.keys {
            self.layer.install(write, read);
        }
        let is_last = outcome.session.is_some();
        if !outcome.flight.is_empty() {
            self.writes_protected |= outcome
                .flight
                .iter()
                .any(|sent| matches!(sent, Outgoing::ChangeCipherSpec));
            let mut flight = Flight::new(outcome.flight, is_last);
            self.datagrams
                .extend(flight.pack(&mut self.layer, self.mtu)?);
            self.flight = Some(flight);
        } else if is_last {
            // As client: the server's Finished answers our last flight.
            self.flight = None;
        }
        if let Some(session) = outcome.session {
            // The certificate first, so that its fingerprint is checked before anything is used.
            self.event(Event::PeerCertificate(session.peer_certificate));
            if let Some((material, profile)) = session.srtp {
                self.event(Event::Keys(material, profile));
            }
            self.event(Event::Connected);
            if let Stage::Handshaking(state) = std::mem::replace(&mut self.stage, Stage::Connected)
            {
                for data in state.early_data {
                    self.event(Event::Data(data));
                }
            }
        }
        self.receive_early()
    }

    /// Records that waited for keys, now that there are some.
    fn receive_early(&mut self) -> Result<(), Failure> {
        while self.layer.is_protected()
            && let Stage::Handshaking(state) = &mut self.stage
            && let Some(bytes) = state.early_records.pop_front()
        {
            for record in Records::new(&bytes) {
                self.receive_protected(&record)?;
            }
        }
        Ok(())
    }

    fn event(&mut self, event: Event) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        }
    }

    fn time_out(&mut self, now: Instant) -> Result<(), Failure> {
        self.now = self.now.max(now);
        self.start()?;
        if let Stage::Failing(failure, until) = &mut self.stage {
            return match *until.get_or_insert(self.now + FAREWELL) {
                until if until <= self.now => Err(failure.clone()),
                _ => Ok(()),
            };
        }
        if let Stage::Handshaking(state) = &mut self.stage
            && state.has_begun
        {
            let deadline = *state.deadline.get_or_insert(self.now + HANDSHAKE_TIME);
            if deadline <= self.now {
                return Err(Failure::Timeout);
            }
        }
        if !matches!(self.stage, Stage::Handshaking(_) | Stage::Connected) {
            return Ok(());
        }
        if let Some(flight) = &mut self.flight
            && flight.is_due(self.now)
            && self.datagrams.len() < MAX_DATAGRAMS
        {
            self.datagrams
                .extend(flight.pack(&mut self.layer, self.mtu)?);
        }
        Ok(())
    }

    fn timeout(&self) -> Instant {
        let never = self.now + Duration::from_secs(24 * 60 * 60);
        let flight = self
            .flight
            .as_ref()
            .and_then(|flight| flight.timeout(self.now));
        match &self.stage {
            Stage::Handshaking(state) => {
                // An unset deadline wants the clock.
                let deadline = state
                    .has_begun
                    .then_some(state.deadline.unwrap_or(self.now));
                flight.into_iter().chain(deadline).min().unwrap_or(never)
            }
            Stage::Connected => flight.unwrap_or(never),
            Stage::Failing(_, until) => until.unwrap_or(self.now),
            Stage::Idle(_) | Stage::Closed | Stage::Failed => never,
        }
    }

    fn send_alert(&mut self, level: u8, description: u8) {
        let epoch = u16::from(self.writes_protected);
        let mut datagram = Vec::new();
        // Without it the peer times out, which is no worse than its loss on the way.
        if self
            .layer
            .write(epoch, content::ALERT, &[level, description], &mut datagram)
            .is_ok()
        {
            self.datagrams.push_back(datagram);
        }
    }

    /// Ends the session on a failure, and tells the peer.
    fn end<T>(&mut self, result: Result<T, Failure>) -> Result<T, DtlsImplError> {
        result.map_err(|failure| {
            tracing::info!(role = ?self.role, %failure, "DTLS session failed");
            if let Some(description) = failure.alert() {
                self.send_alert(FATAL, description);
            }
            self.flight = None;
            let error = failure.to_error();
            self.stage = Stage::Failing(failure, None);
            error
        })
    }
}

impl DtlsInstance for Endpoint {
    fn set_active(&mut self, active: bool) {
        if matches!(self.stage, Stage::Idle(_)) {
            self.role = if active { Role::Client } else { Role::Server };
        }
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        let result = self.receive(packet);
        self.end(result)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        let needed = match (self.datagrams.front(), self.events.front()) {
            (Some(bytes), _) | (None, Some(Event::PeerCertificate(bytes) | Event::Data(bytes))) => {
                bytes.len()
            }
            (None, _) => 0,
        };
        let Some(buf) = buf.get_mut(..needed) else {
            return DtlsOutput::BufferTooSmall { needed };
        };
        if let Some(datagram) = self.datagrams.pop_front() {
            buf.copy_from_slice(&datagram);
            return DtlsOutput::Packet(buf);
        }
        match self.events.pop_front() {
            Some(Event::PeerCertificate(der)) => {
                buf.copy_from_slice(&der);
                DtlsOutput::PeerCert(buf)
            }
            Some(Event::Data(data)) => {
                buf.copy_from_slice(&data);
                DtlsOutput::ApplicationData(buf)
            }
            Some(Event::Keys(material, profile)) => {
                super::export(&material, profile, self.role == Role::Client);
                DtlsOutput::KeyingMaterial(material, profile)
            }
            Some(Event::Connected) => DtlsOutput::Connected,
            Some(Event::Closed) => DtlsOutput::CloseNotify,
            None => DtlsOutput::Timeout(self.timeout()),
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        let result = self.time_out(now);
        let was_told = matches!(self.stage, Stage::Failing(..));
        let result = match result {
            Err(failure) if was_told => Err(failure.to_error()),
            result => self.end(result),
        };
        // What a timeout tells is heard.
        if result.is_err() {
            self.stage = Stage::Failed;
        }
        result
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        match self.stage {
            // An error for what waits here would end the connection before the alert is out.
            Stage::Idle(_) | Stage::Handshaking(_) | Stage::Failing(..) => Ok(0),
            Stage::Closed | Stage::Failed => Err(DtlsImplError::ConnectionClosed),
            Stage::Connected if self.datagrams.len() >= MAX_DATAGRAMS => Ok(0),
            Stage::Connected => {
                let mut datagram = Vec::new();
                let result = self
                    .layer
                    .write(1, content::APPLICATION_DATA, data, &mut datagram);
                self.end(result)?;
                self.datagrams.push_back(datagram);
                Ok(data.len())
            }
        }
    }

    fn is_active(&self) -> bool {
        self.role == Role::Client
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        matches!(self.stage, Stage::Connected | Stage::Closed).then_some(ProtocolVersion::DTLS1_2)
    }

    fn is_closing(&self) -> bool {
        matches!(self.stage, Stage::Closed) && !self.datagrams.is_empty()
    }

    fn is_closed(&self) -> bool {
        let is_over = matches!(
            self.stage,
            Stage::Closed | Stage::Failing(..) | Stage::Failed
        );
        is_over && self.datagrams.is_empty()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        match self.stage {
            Stage::Connected => self.send_alert(WARNING, alert::CLOSE_NOTIFY),
            Stage::Idle(_) | Stage::Handshaking(_) => self.datagrams.clear(),
            Stage::Closed | Stage::Failing(..) | Stage::Failed => return Ok(()),
        }
        self.flight = None;
        self.stage = Stage::Closed;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtls::tests::start;

    #[test]
    fn a_peer_that_proved_nothing_gets_little_memory() {
        let mut server = Endpoint::new(Arc::clone(&crate::dtls::own().identity), start(), None);
        for number in 0..100 {
            for len in [10_u16, 2000, 16_000] {
                let mut datagram = vec![content::APPLICATION_DATA, 0xfe, 0xfd, 0, 1];
                datagram.extend([0, 0, 0, 0, 0, number]);
                datagram.extend(len.to_be_bytes());
                datagram.resize(datagram.len() + usize::from(len), 0);
                server.receive(&datagram).expect("kept or dropped");
            }
        }
        let Stage::Handshaking(state) = &server.stage else {
            panic!("no handshake was begun")
        };
        assert_eq!(state.early_records.len(), MAX_EARLY);
        let held: usize = state.early_records.iter().map(Vec::len).sum();
        assert!(held <= MAX_EARLY * MAX_EARLY_LEN, "{held} bytes");
    }

    #[test]
    fn a_failure_is_told_again_by_a_timeout_once_the_alert_is_out() {
        let mut server = Endpoint::new(Arc::clone(&crate::dtls::own().identity), start(), None);
        server.handle_timeout(start()).expect("nothing is due");
        let fatal = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40];
        assert!(server.handle_packet(&fatal).is_err());
        let mut buf = [0; 100];
        let mut timeout = || match server.poll_output(&mut buf) {
            DtlsOutput::Timeout(at) => at,
            other => panic!("unexpected output {other:?}"),
        };
        assert_eq!(timeout(), start(), "asks for the clock first");
        server.handle_timeout(start()).expect("time for an alert");
        assert_eq!(server.timeout(), start() + FAREWELL);
        assert!(server.handle_timeout(start() + FAREWELL).is_err());
        assert!(server.timeout() > start() + Duration::from_secs(3600));
        let later = server.handle_timeout(start() + Duration::from_secs(1));
        later.expect("told once");
    }
}
