//! The handshake as server: a ClientHello comes in, the client proves its certificate.
//!
//! Always asks for a client certificate, ECDSA or RSA. Sends no HelloVerifyRequest: ICE has shown
//! that the client receives at its address. RFC 5246 section 7.4, RFC 8422.

use super::certificate::{SCHEMES, scheme};
use super::failure::Failure;
use super::handshake::{Handshake, Outcome, Step, random};
use super::reassembly::Message;
use super::secrets::{GROUPS, Group, KeyExchange, SUITES, Suite};
use super::wire::{self, ClientHello, Signature, VERSION, extension, message};

/// Certificate types of a CertificateRequest.
const ECDSA_SIGN: u8 = 64;
const RSA_SIGN: u8 = 1;

impl Handshake {
    pub(super) fn receive_as_server(
        &mut self,
        message: &Message,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        match (self.step, message.kind) {
            (Step::ClientHello, message::CLIENT_HELLO) => {
                self.record(message);
                self.answer_client_hello(&message.body, outcome)?;
                self.step = Step::ClientCertificate;
            }
            (Step::ClientCertificate, message::CERTIFICATE) => {
                self.take_certificate(&message.body)?;
                self.record(message);
                self.step = Step::ClientKeyExchange;
            }
            (Step::ClientKeyExchange, message::CLIENT_KEY_EXCHANGE) => {
                self.record(message);
                let client_key = wire::parse_client_key_exchange(&message.body)
                    .ok_or(Failure::Malformed("ClientKeyExchange"))?;
                let exchange = self
                    .exchange
                    .take()
                    .ok_or(Failure::Crypto("no ephemeral key"))?;
                self.derive(exchange, client_key, outcome)?;
                self.step = Step::ClientCertificateVerify;
            }
            (Step::ClientCertificateVerify, message::CERTIFICATE_VERIFY) => {
                let proof = Signature::parse(&message.body)
                    .ok_or(Failure::Malformed("CertificateVerify"))?;
                let (_, key) = self.peer.as_ref().ok_or(Failure::NoCertificate)?;
                if !key.verify(&self.transcript, proof) {
                    return Err(Failure::BadSignature("CertificateVerify"));
                }
                self.record(message);
                self.step = Step::ClientFinished;
            }
            (Step::ClientFinished, message::FINISHED) => {
                self.check_finished(&message.body)?;
                self.record(message);
                self.send_finished(outcome)?;
                self.finish(outcome)?;
            }
            _ => return Err(self.unexpected(message)),
        }
        Ok(())
    }

    fn answer_client_hello(&mut self, body: &[u8], outcome: &mut Outcome) -> Result<(), Failure> {
        let hello = ClientHello::parse(body).ok_or(Failure::Malformed("ClientHello"))?;
        // Later versions have lower numbers; 1.3 says 1.2 here and offers itself elsewhere.
        if hello.version >> 8 != VERSION >> 8 || hello.version > VERSION {
            return Err(Failure::Version(hello.version));
        }
        let offered = &hello.extensions;
        if !offered.extended_master_secret {
            return Err(Failure::NoExtendedMasterSecret);
        }
        if !hello.offers_null_compression {
            return Err(Failure::Malformed(
                "ClientHello: it must offer null compression",
            ));
        }
        let suite = choose_suite(self, hello.suites).ok_or(Failure::NoCommonSuite)?;
        let group = choose_group(offered.groups).ok_or(Failure::NoCommonGroup)?;
        let scheme = self
            .identity
            .scheme(offered.schemes)
            .ok_or(Failure::NoCommonSignatureScheme)?;
        let profile = match offered.srtp {
            Some(list) => Some(choose_profile(list).ok_or(Failure::NoCommonSrtpProfile)?),
            None => None,
        };
        let exchange = KeyExchange::generate(group)?;
        self.randoms.client = hello.random;
        self.randoms.server = random()?;
        self.suite = Some(suite);
        self.srtp = profile.map(|(_, profile)| profile);

        let reply = server_hello(&hello, suite, profile.map(|(number, _)| number), self);
        self.send(outcome, message::SERVER_HELLO, reply);
        self.send_certificate(outcome);
        let signed_key = self.signed_key(&exchange, scheme)?;
        self.send(outcome, message::SERVER_KEY_EXCHANGE, signed_key);
        self.send(outcome, message::CERTIFICATE_REQUEST, certificate_request());
        self.send(outcome, message::SERVER_HELLO_DONE, Vec::new());
        self.exchange = Some(exchange);
        Ok(())
    }

    fn signed_key(&self, exchange: &KeyExchange, scheme: u16) -> Result<Vec<u8>, Failure> {
        let mut parameters = Vec::new();
        let group = exchange.group().number();
        wire::put_key_exchange_parameters(&mut parameters, group, exchange.public_key());
        let mut signed = self.randoms.client_then_server().to_vec();
        signed.extend_from_slice(&parameters);
        let signature = self.identity.sign(scheme, &signed)?;
        wire::put_signature(&mut parameters, scheme, &signature);
        Ok(parameters)
    }
}

fn choose_suite(handshake: &Handshake, offered: &[u8]) -> Option<&'static Suite> {
    let authentication = handshake.identity.authentication();
    let is_offered = |number| wire::u16s(offered).any(|suite| suite == number);
    SUITES
        .iter()
        .find(|s| s.authentication == authentication && is_offered(s.number))
}

fn choose_group(offered: Option<&[u8]>) -> Option<Group> {
    let Some(offered) = offered else {
        // A client that names no group takes any (RFC 8422, section 4); P-256 is in all.
        return Some(Group::P256);
    };
    GROUPS
        .into_iter()
        .find(|group| wire::u16s(offered).any(|g| g == group.number()))
}

fn choose_profile(offered: &[u8]) -> Option<(u16, str0m::crypto::dtls::SrtpProfile)> {
    let is_offered = |number| wire::u16s(offered).any(|profile| profile == number);
    wire::SRTP_PROFILES
        .into_iter()
        .find(|(number, _)| is_offered(*number))
}

fn server_hello(
    hello: &ClientHello<'_>,
    suite: &Suite,
    profile: Option<u16>,
    handshake: &Handshake,
) -> Vec<u8> {
    let mut body = Vec::new();
    wire::put_u16(&mut body, VERSION);
    body.extend_from_slice(&handshake.randoms.server);
    // No session to resume, no compression.
    body.push(0);
    wire::put_u16(&mut body, suite.number);
    body.push(0);
    let offered = &hello.extensions;
    let signals_renegotiation = offered.renegotiation_info
        || wire::u16s(hello.suites).any(|suite| suite == wire::RENEGOTIATION_SCSV);
    wire::put_vector(&mut body, 2, |body| {
        wire::put_extension(body, extension::EXTENDED_MASTER_SECRET, |_| ());
        if signals_renegotiation {
            wire::put_extension(body, extension::RENEGOTIATION_INFO, |body| body.push(0));
        }
        if offered.point_formats {
            put_point_formats(body);
        }
        if let Some(profile) = profile {
            put_srtp(body, &[profile]);
        }
    });
    body
}

/// The `ec_point_formats` extension: uncompressed only.
pub(super) fn put_point_formats(body: &mut Vec<u8>) {
    wire::put_extension(body, extension::EC_POINT_FORMATS, |body| {
        body.extend([1, 0])
    });
}

/// The `use_srtp` extension, without a master key identifier.
pub(super) fn put_srtp(body: &mut Vec<u8>, profiles: &[u16]) {
    wire::put_extension(body, extension::USE_SRTP, |body| {
        wire::put_vector(body, 2, |body| {
            profiles.iter().for_each(|p| wire::put_u16(body, *p))
        });
        body.push(0);
    });
}

fn certificate_request() -> Vec<u8> {
    debug_assert!(
        SCHEMES.contains(&scheme::RSA_PSS_SHA256),
        "RSA clients are asked for"
    );
    let mut body = Vec::new();
    wire::put_vector(&mut body, 1, |body| body.extend([ECDSA_SIGN, RSA_SIGN]));
    wire::put_vector(&mut body, 2, |body| {
        SCHEMES
            .iter()
            .for_each(|scheme| wire::put_u16(body, *scheme));
    });
    // Any authority: certificates are self-signed.
    wire::put_vector(&mut body, 2, |_| ());
    body
}
