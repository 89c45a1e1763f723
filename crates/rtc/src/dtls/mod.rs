//! DTLS 1.2 for peer connections, put behind str0m's `DtlsProvider`.
//!
//! str0m's own DTLS accepts ECDSA certificates only and checks its cryptography anew for each
//! connection. This one accepts ECDSA and RSA, because OpenSSL-based peers such as GStreamer
//! present RSA, and costs what its few public-key operations cost. It serves every connection in
//! both roles, so nothing has to guess what a peer is.
//!
//! Deliberately small: ECDHE, AES-GCM, extended master secret, a certificate on both sides. It has
//! no resumption, renegotiation, compression, pre-shared keys or earlier versions. It never does
//! I/O, reads a clock or judges a certificate: the caller compares fingerprints (RFC 8827).
//! Primitives are aws-lc-rs's; everything that comes from the network is parsed in safe Rust.
//! RFC 6347, RFC 5246, RFC 5764, RFC 7627.

mod certificate;
mod client;
mod endpoint;
mod failure;
mod flight;
mod fuzz;
mod handshake;
mod reassembly;
mod record;
mod secrets;
mod server;
mod wire;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crate::sender::Keys;

use str0m::crypto::dtls::{DtlsCert, DtlsInstance, DtlsProvider, DtlsVersion, SrtpProfile};
use str0m::crypto::{CryptoError, CryptoProvider};

use certificate::Identity;
use endpoint::Endpoint;

pub use fuzz::fuzz_dtls;

/// str0m's cryptography with our DTLS in it, for `RtcConfig::set_crypto_provider`.
pub(crate) fn crypto_provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let build = || {
        let base = str0m::crypto::from_feature_flags();
        Arc::new(CryptoProvider {
            dtls_provider: &Provider,
            ..base
        })
    };
    Arc::clone(PROVIDER.get_or_init(build))
}

/// The certificate of this process, ECDSA P-256, for `RtcConfig::set_dtls_cert`.
///
/// Made on first use and kept: peers pin its fingerprint from the SDP of each session, so a new
/// one for each connection would cost a key and win nothing.
pub(crate) fn certificate() -> DtlsCert {
    own().certificate.clone()
}

thread_local! {
    /// The keys that an end gave to its engine last on this thread. The engine passes nothing on,
    /// so whoever calls it and wants the keys as well takes them from here right after the call.
    static EXPORTED: RefCell<Option<Keys>> = const { RefCell::new(None) };
}

fn export(material: &[u8], profile: SrtpProfile, client: bool) {
    let keys = Keys {
        material: material.to_vec(),
        profile,
        client,
    };
    EXPORTED.with(|exported| exported.borrow_mut().replace(keys));
}

/// The SRTP keys that a handshake on this thread has exported since the last call.
pub(crate) fn take_exported() -> Option<Keys> {
    EXPORTED.with(|exported| exported.borrow_mut().take())
}

/// Makes [`Endpoint`]s. DTLS 1.2 only, whatever version is asked for.
#[derive(Debug)]
struct Provider;

impl DtlsProvider for Provider {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        str0m::crypto::from_feature_flags()
            .dtls_provider
            .generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        if version == DtlsVersion::Dtls13 {
            return Err(CryptoError::Other(
                "DTLS 1.3 alone was asked for; 1.2 is spoken".into(),
            ));
        }
        let own = own();
        let identity = if own.certificate.certificate == certificate.certificate {
            Arc::clone(&own.identity)
        } else {
            Arc::new(identity(certificate)?)
        };
        Ok(Box::new(Endpoint::new(identity, now, mtu)))
    }
}

fn identity(certificate: &DtlsCert) -> Result<Identity, CryptoError> {
    Identity::new(&certificate.certificate, &certificate.private_key).ok_or_else(|| {
        CryptoError::Other(
            "certificate and key do not fit; ECDSA P-256 or RSA in PKCS#8 is needed".into(),
        )
    })
}

/// The process's certificate with its key parsed.
struct Own {
    certificate: DtlsCert,
    identity: Arc<Identity>,
}

fn own() -> &'static Own {
    static OWN: OnceLock<Own> = OnceLock::new();
    OWN.get_or_init(|| {
        let certificate = Provider
            .generate_certificate()
            .expect("the backend makes certificates");
        let identity = identity(&certificate).expect("its own certificate and key fit");
        Own {
            certificate,
            identity: Arc::new(identity),
        }
    })
}
