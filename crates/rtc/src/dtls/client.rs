//! The handshake as client: we open, the server may be ECDSA or RSA.
//!
//! Answers a HelloVerifyRequest, proves our certificate when asked. RFC 5246 section 7.4,
//! RFC 6347 section 4.2.1, RFC 8422.

use super::certificate::SCHEMES;
use super::failure::Failure;
use super::handshake::{Handshake, Outcome, Step};
use super::reassembly::Message;
use super::secrets::{GROUPS, Group, KeyExchange, SUITES, Suite};
use super::server::{put_point_formats, put_srtp};
use super::wire::{self, ServerHello, ServerKeyExchange, VERSION, extension, message};

impl Handshake {
    pub(super) fn receive_as_client(
        &mut self,
        message: &Message,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        use Step::{CertificateRequestOrDone, HelloVerifyRequestOrServerHello, ServerHelloDone};
        match (self.step, message.kind) {
            (HelloVerifyRequestOrServerHello, message::HELLO_VERIFY_REQUEST) => {
                let cookie = wire::parse_hello_verify_request(&message.body)
                    .ok_or(Failure::Malformed("HelloVerifyRequest"))?;
                // Neither the first ClientHello nor the request counts (RFC 6347, 4.2.1).
                self.transcript.clear();
                self.send_client_hello(cookie, outcome);
                self.step = Step::ServerHello;
            }
            (HelloVerifyRequestOrServerHello | Step::ServerHello, message::SERVER_HELLO) => {
                self.take_server_hello(&message.body)?;
                self.record(message);
                self.step = Step::ServerCertificate;
            }
            (Step::ServerCertificate, message::CERTIFICATE) => {
                self.take_certificate(&message.body)?;
                self.record(message);
                self.step = Step::ServerKeyExchange;
            }
            (Step::ServerKeyExchange, message::SERVER_KEY_EXCHANGE) => {
                self.take_server_key_exchange(&message.body)?;
                self.record(message);
                self.step = CertificateRequestOrDone;
            }
            (CertificateRequestOrDone, message::CERTIFICATE_REQUEST) => {
                let schemes = wire::parse_certificate_request(&message.body)
                    .ok_or(Failure::Malformed("CertificateRequest"))?;
                let scheme = self.identity.scheme(Some(schemes));
                self.proof_scheme = Some(scheme.ok_or(Failure::NoCommonSignatureScheme)?);
                self.record(message);
                self.step = ServerHelloDone;
            }
            (CertificateRequestOrDone | ServerHelloDone, message::SERVER_HELLO_DONE) => {
                if !message.body.is_empty() {
                    return Err(Failure::Malformed("ServerHelloDone"));
                }
                self.record(message);
                self.answer_server_hello_done(outcome)?;
                self.step = Step::ServerFinished;
            }
            (Step::ServerFinished, message::FINISHED) => {
                self.check_finished(&message.body)?;
                self.finish(outcome)?;
            }
            _ => return Err(self.unexpected(message)),
        }
        Ok(())
    }

    pub(super) fn send_client_hello(&mut self, cookie: &[u8], outcome: &mut Outcome) {
        let mut body = Vec::new();
        wire::put_u16(&mut body, VERSION);
        body.extend_from_slice(&self.randoms.client);
        wire::put_vector(&mut body, 1, |_| ());
        wire::put_vector(&mut body, 1, |body| body.extend_from_slice(cookie));
        wire::put_vector(&mut body, 2, |body| {
            SUITES
                .iter()
                .for_each(|suite| wire::put_u16(body, suite.number));
        });
        // Null compression only.
        wire::put_vector(&mut body, 1, |body| body.push(0));
        wire::put_vector(&mut body, 2, |body| {
            wire::put_extension(body, extension::EXTENDED_MASTER_SECRET, |_| ());
            wire::put_extension(body, extension::RENEGOTIATION_INFO, |body| body.push(0));
            wire::put_extension(body, extension::SUPPORTED_GROUPS, |body| {
                wire::put_vector(body, 2, |body| {
                    GROUPS
                        .iter()
                        .for_each(|group| wire::put_u16(body, group.number()));
                });
            });
            put_point_formats(body);
            wire::put_extension(body, extension::SIGNATURE_ALGORITHMS, |body| {
                wire::put_vector(body, 2, |body| {
                    SCHEMES
                        .iter()
                        .for_each(|scheme| wire::put_u16(body, *scheme));
                });
            });
            put_srtp(body, &wire::SRTP_PROFILES.map(|(number, _)| number));
        });
        self.send(outcome, message::CLIENT_HELLO, body);
    }

    fn take_server_hello(&mut self, body: &[u8]) -> Result<(), Failure> {
        let hello = ServerHello::parse(body).ok_or(Failure::Malformed("ServerHello"))?;
        if hello.version != VERSION {
            return Err(Failure::Version(hello.version));
        }
        if hello.compression != 0 {
            return Err(Failure::NotOffered("compression"));
        }
        if !hello.extensions.extended_master_secret {
            return Err(Failure::NoExtendedMasterSecret);
        }
        self.suite =
            Some(Suite::by_number(hello.suite).ok_or(Failure::NotOffered("cipher suite"))?);
        // RFC 5764, section 4.1.3: we offer none, so packets with one could not be read.
        if !hello.extensions.srtp_mki.is_empty() {
            return Err(Failure::NotOffered("SRTP master key identifier"));
        }
        self.srtp = match hello.extensions.srtp {
            None => None,
            Some(&[high, low]) => {
                let number = u16::from_be_bytes([high, low]);
                let chosen = wire::SRTP_PROFILES.into_iter().find(|(n, _)| *n == number);
                Some(chosen.ok_or(Failure::NotOffered("SRTP profile"))?.1)
            }
            Some(_) => return Err(Failure::Malformed("use_srtp: one profile must be chosen")),
        };
        self.randoms.server = hello.random;
        Ok(())
    }

    fn take_server_key_exchange(&mut self, body: &[u8]) -> Result<(), Failure> {
        let exchange =
            ServerKeyExchange::parse(body).ok_or(Failure::Malformed("ServerKeyExchange"))?;
        let group = Group::by_number(exchange.group).ok_or(Failure::NotOffered("group"))?;
        let (_, key) = self.peer.as_ref().ok_or(Failure::NoCertificate)?;
        if self
            .suite
            .is_none_or(|suite| suite.authentication != key.authentication())
        {
            return Err(Failure::NotOffered(
                "a certificate that does not fit the cipher suite",
            ));
        }
        let mut signed = self.randoms.client_then_server().to_vec();
        signed.extend_from_slice(exchange.parameters);
        if !key.verify(&signed, exchange.signature) {
            return Err(Failure::BadSignature("ServerKeyExchange"));
        }
        self.server_key = Some((group, exchange.public_key.to_vec()));
        Ok(())
    }

    fn answer_server_hello_done(&mut self, outcome: &mut Outcome) -> Result<(), Failure> {
        let (group, server_key) = self
            .server_key
            .take()
            .ok_or(Failure::Crypto("no server key"))?;
        if self.proof_scheme.is_some() {
            self.send_certificate(outcome);
        }
        let exchange = KeyExchange::generate(group)?;
        let mut body = Vec::new();
        wire::put_vector(&mut body, 1, |body| {
            body.extend_from_slice(exchange.public_key())
        });
        self.send(outcome, message::CLIENT_KEY_EXCHANGE, body);
        self.derive(exchange, &server_key, outcome)?;
        if let Some(scheme) = self.proof_scheme {
            let signature = self.identity.sign(scheme, &self.transcript)?;
            let mut body = Vec::new();
            wire::put_signature(&mut body, scheme, &signature);
            self.send(outcome, message::CERTIFICATE_VERIFY, body);
        }
        self.send_finished(outcome)
    }
}
