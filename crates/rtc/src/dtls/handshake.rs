//! One handshake: what both roles share. `server` and `client` decide what each message means.
//!
//! Takes whole messages in order, gives back what to send, which keys to use and, at the end, the
//! session. Never sees a record, a fragment or a clock. RFC 5246 section 7.4, RFC 7627.

use std::sync::Arc;

use aws_lc_rs::{constant_time, rand};
use str0m::crypto::dtls::{KeyingMaterial, SrtpProfile};

use super::certificate::{Identity, PublicKey};
use super::failure::Failure;
use super::reassembly::Message;
use super::record::Protection;
use super::secrets::{Group, KeyExchange, Randoms, Role, Secrets, Suite};
use super::wire::{self, message};

/// The message that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    // As server.
    ClientHello,
    ClientCertificate,
    ClientKeyExchange,
    ClientCertificateVerify,
    ClientFinished,
    // As client.
    HelloVerifyRequestOrServerHello,
    ServerHello,
    ServerCertificate,
    ServerKeyExchange,
    CertificateRequestOrDone,
    ServerHelloDone,
    ServerFinished,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::ClientHello => "ClientHello",
            Self::ClientCertificate | Self::ServerCertificate => "Certificate",
            Self::ClientKeyExchange => "ClientKeyExchange",
            Self::ClientCertificateVerify => "CertificateVerify",
            Self::ClientFinished | Self::ServerFinished => "Finished",
            Self::HelloVerifyRequestOrServerHello | Self::ServerHello => "ServerHello",
            Self::ServerKeyExchange => "ServerKeyExchange",
            Self::CertificateRequestOrDone => "CertificateRequest",
            Self::ServerHelloDone => "ServerHelloDone",
        }
    }
}

/// One thing to send.
#[derive(Debug)]
pub(super) enum Outgoing {
    Handshake {
        kind: u8,
        sequence: u16,
        epoch: u16,
        body: Vec<u8>,
    },
    ChangeCipherSpec,
}

/// What a handshake that ended well leaves behind.
#[derive(Debug)]
pub(super) struct Session {
    /// The peer's leaf certificate in DER.
    pub(super) peer_certificate: Vec<u8>,
    /// None when the peer did not ask for SRTP (data channels alone).
    pub(super) srtp: Option<(KeyingMaterial, SrtpProfile)>,
}

/// What a message led to, to be carried out in this order.
#[derive(Default)]
pub(super) struct Outcome {
    /// Keys of epoch 1: to write with and to read with.
    pub(super) keys: Option<(Protection, Protection)>,
    /// The next flight; replaces the one that is being repeated.
    pub(super) flight: Vec<Outgoing>,
    pub(super) session: Option<Session>,
}

pub(super) struct Handshake {
    pub(super) role: Role,
    pub(super) identity: Arc<Identity>,
    pub(super) step: Step,
    pub(super) randoms: Randoms,
    pub(super) suite: Option<&'static Suite>,
    pub(super) exchange: Option<KeyExchange>,
    pub(super) secrets: Option<Secrets>,
    pub(super) srtp: Option<SrtpProfile>,
    pub(super) peer: Option<(Vec<u8>, PublicKey)>,
    /// The server's ephemeral key, kept by a client until the server is done.
    pub(super) server_key: Option<(Group, Vec<u8>)>,
    /// The scheme to sign our client certificate's proof with, once the server asked for it.
    pub(super) proof_scheme: Option<u16>,
    /// Every message so far, as if none had been fragmented.
    pub(super) transcript: Vec<u8>,
    next_sequence: u16,
}

impl Handshake {
    pub(super) fn new(role: Role, identity: Arc<Identity>) -> Self {
        let step = match role {
            Role::Server => Step::ClientHello,
            Role::Client => Step::HelloVerifyRequestOrServerHello,
        };
        Self {
            role,
            identity,
            step,
            randoms: Randoms::default(),
            suite: None,
            exchange: None,
            secrets: None,
            srtp: None,
            peer: None,
            server_key: None,
            proof_scheme: None,
            transcript: Vec::new(),
            next_sequence: 0,
        }
    }

    /// Begins as client; a server waits.
    pub(super) fn start(&mut self) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::default();
        if self.role == Role::Client {
            self.randoms.client = random()?;
            self.send_client_hello(&[], &mut outcome);
        }
        Ok(outcome)
    }

    /// Takes the next message.
    pub(super) fn receive(&mut self, message: &Message) -> Result<Outcome, Failure> {
        // Only Finished is protected, and nothing else may stand for it.
        let epoch = u16::from(message.kind == message::FINISHED);
        if message.epoch != epoch {
            return Err(self.unexpected(message));
        }
        let mut outcome = Outcome::default();
        match self.role {
            Role::Server => self.receive_as_server(message, &mut outcome)?,
            Role::Client => self.receive_as_client(message, &mut outcome)?,
        }
        Ok(outcome)
    }

    pub(super) fn unexpected(&self, message: &Message) -> Failure {
        Failure::Unexpected {
            wanted: self.step.name(),
            got: message.kind,
        }
    }

    /// Adds a received message to the transcript.
    pub(super) fn record(&mut self, message: &Message) {
        self.append(message.kind, message.sequence, &message.body);
    }

    fn append(&mut self, kind: u8, sequence: u16, body: &[u8]) {
        let (out, len) = (&mut self.transcript, body.len());
        wire::put_handshake_header(out, kind, sequence, len, 0..len);
        out.extend_from_slice(body);
    }

    /// Adds a message to the flight and to the transcript.
    pub(super) fn send(&mut self, outcome: &mut Outcome, kind: u8, body: Vec<u8>) {
        let sequence = self.next_sequence;
        // A handshake sends six messages at most.
        self.next_sequence = sequence.wrapping_add(1);
        self.append(kind, sequence, &body);
        let epoch = u16::from(kind == message::FINISHED);
        outcome.flight.push(Outgoing::Handshake {
            kind,
            sequence,
            epoch,
            body,
        });
    }

    pub(super) fn send_certificate(&mut self, outcome: &mut Outcome) {
        let mut body = Vec::new();
        wire::put_vector(&mut body, 3, |body| {
            wire::put_vector(body, 3, |body| {
                body.extend_from_slice(self.identity.certificate())
            });
        });
        self.send(outcome, message::CERTIFICATE, body);
    }

    /// Takes the peer's certificate: the key of its leaf is who the peer is.
    pub(super) fn take_certificate(&mut self, body: &[u8]) -> Result<(), Failure> {
        let leaf = wire::parse_certificate(body)
            .ok_or(Failure::Malformed("Certificate"))?
            .ok_or(Failure::NoCertificate)?;
        self.peer = Some((leaf.to_vec(), PublicKey::from_certificate(leaf)?));
        Ok(())
    }

    /// Completes the key exchange; the transcript must end with ClientKeyExchange.
    pub(super) fn derive(
        &mut self,
        exchange: KeyExchange,
        peer_key: &[u8],
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        let suite = self.suite.ok_or(Failure::Crypto("no suite"))?;
        let secrets = exchange.complete(peer_key, suite, &self.transcript, &self.randoms)?;
        let keys = secrets.record_keys()?;
        outcome.keys = Some(match self.role {
            Role::Server => (keys.server, keys.client),
            Role::Client => (keys.client, keys.server),
        });
        self.secrets = Some(secrets);
        Ok(())
    }

    pub(super) fn send_finished(&mut self, outcome: &mut Outcome) -> Result<(), Failure> {
        let value = self.secrets()?.finished(self.role, &self.transcript)?;
        outcome.flight.push(Outgoing::ChangeCipherSpec);
        self.send(outcome, message::FINISHED, value.to_vec());
        Ok(())
    }

    /// Checks the peer's Finished, which is not yet in the transcript.
    pub(super) fn check_finished(&self, body: &[u8]) -> Result<(), Failure> {
        let peer = match self.role {
            Role::Server => Role::Client,
            Role::Client => Role::Server,
        };
        let wanted = self.secrets()?.finished(peer, &self.transcript)?;
        constant_time::verify_slices_are_equal(&wanted, body).map_err(|_| Failure::BadFinished)
    }

    /// The session, once both Finished are through.
    pub(super) fn finish(&mut self, outcome: &mut Outcome) -> Result<(), Failure> {
        let (peer_certificate, _) = self.peer.take().ok_or(Failure::NoCertificate)?;
        let srtp = match self.srtp {
            Some(profile) => Some((self.secrets()?.srtp_keying_material(profile)?, profile)),
            None => None,
        };
        outcome.session = Some(Session {
            peer_certificate,
            srtp,
        });
        Ok(())
    }

    fn secrets(&self) -> Result<&Secrets, Failure> {
        self.secrets.as_ref().ok_or(Failure::Crypto("no secrets"))
    }
}

pub(super) fn random() -> Result<[u8; 32], Failure> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| Failure::Crypto("random"))?;
    Ok(bytes)
}
