//! Why a DTLS session ends: our reasons, the alert each sends, and str0m's error for it.
//!
//! Bytes that are no valid record never become a failure; they are dropped (RFC 6347, 4.1.2.7).

use dimpl::{CertificateError, CryptoError, CryptoOperation, SecurityError, TimeoutError};
use str0m::crypto::dtls::DtlsImplError;

/// A reason to end the session. Every one is final.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("malformed {0}")]
    Malformed(&'static str),
    #[error("handshake message of type {got} where {wanted} is due")]
    Unexpected { wanted: &'static str, got: u8 },
    #[error("peer speaks version {0:#06x}; DTLS 1.2 (0xfefd) is needed")]
    Version(u16),
    #[error(
        "no cipher suite in common; ECDHE with AES-GCM is needed, \
         with the authentication that our certificate allows"
    )]
    NoCommonSuite,
    #[error("no key exchange group in common; X25519, P-256 or P-384 is needed")]
    NoCommonGroup,
    #[error("no SRTP profile in common; AES-GCM or AES128-CM-SHA1-80 is needed")]
    NoCommonSrtpProfile,
    #[error("peer does not accept our certificate's signature scheme")]
    NoCommonSignatureScheme,
    #[error("peer does not negotiate the extended master secret (RFC 7627)")]
    NoExtendedMasterSecret,
    #[error("server chose what we did not offer: {0}")]
    NotOffered(&'static str),
    #[error("peer sent no certificate, so its fingerprint cannot be checked")]
    NoCertificate,
    #[error(
        "certificate without a usable key; ECDSA P-256, P-384, P-521 \
         or RSA of 2048 to 8192 bits is needed"
    )]
    BadCertificate,
    #[error("{0} carries a signature that does not verify")]
    BadSignature(&'static str),
    #[error("peer's ephemeral key is invalid")]
    BadPublicKey,
    #[error("Finished does not match the handshake")]
    BadFinished,
    #[error("peer ended the handshake with alert {0}")]
    PeerAlert(u8),
    #[error("handshake did not end in time")]
    Timeout,
    #[error("cryptography failed: {0}")]
    Crypto(&'static str),
}

/// Alert descriptions, RFC 5246 section 7.2.
pub(super) mod alert {
    pub(in super::super) const CLOSE_NOTIFY: u8 = 0;
    pub(super) const UNEXPECTED_MESSAGE: u8 = 10;
    pub(super) const HANDSHAKE_FAILURE: u8 = 40;
    pub(super) const BAD_CERTIFICATE: u8 = 42;
    pub(super) const ILLEGAL_PARAMETER: u8 = 47;
    pub(super) const DECODE_ERROR: u8 = 50;
    pub(super) const DECRYPT_ERROR: u8 = 51;
    pub(super) const PROTOCOL_VERSION: u8 = 70;
    pub(super) const INTERNAL_ERROR: u8 = 80;
}

impl Failure {
    /// The fatal alert that tells the peer; none where it already knows or cannot hear.
    pub(super) fn alert(&self) -> Option<u8> {
        match self {
            Self::Malformed(_) => Some(alert::DECODE_ERROR),
            Self::Unexpected { .. } => Some(alert::UNEXPECTED_MESSAGE),
            Self::Version(_) => Some(alert::PROTOCOL_VERSION),
            Self::NoCommonSuite
            | Self::NoCommonGroup
            | Self::NoCommonSrtpProfile
            | Self::NoCommonSignatureScheme
            | Self::NoExtendedMasterSecret
            | Self::NoCertificate => Some(alert::HANDSHAKE_FAILURE),
            Self::NotOffered(_) | Self::BadPublicKey => Some(alert::ILLEGAL_PARAMETER),
            Self::BadCertificate => Some(alert::BAD_CERTIFICATE),
            Self::BadSignature(_) | Self::BadFinished => Some(alert::DECRYPT_ERROR),
            Self::Crypto(_) => Some(alert::INTERNAL_ERROR),
            Self::PeerAlert(_) | Self::Timeout => None,
        }
    }

    /// The nearest of the errors that str0m's interface allows; the log has the exact reason.
    pub(super) fn to_error(&self) -> DtlsImplError {
        match self {
            Self::Timeout => DtlsImplError::Timeout(TimeoutError::Handshake),
            Self::PeerAlert(_) => DtlsImplError::ConnectionClosed,
            Self::NoExtendedMasterSecret => {
                DtlsImplError::SecurityError(SecurityError::ExtendedMasterSecretNotNegotiated)
            }
            Self::NoCertificate => {
                DtlsImplError::CertificateError(CertificateError::NoClientCertificateReceived)
            }
            Self::BadCertificate => DtlsImplError::CertificateError(CertificateError::ParseFailed),
            Self::BadSignature(_) => crypto_error(CryptoOperation::VerifySignature),
            Self::BadFinished => crypto_error(CryptoOperation::VerifyData),
            Self::BadPublicKey => crypto_error(CryptoOperation::CompleteKeyExchange),
            Self::Crypto(_) => crypto_error(CryptoOperation::DeriveKey),
            Self::Malformed(_)
            | Self::Unexpected { .. }
            | Self::Version(_)
            | Self::NoCommonSuite
            | Self::NoCommonGroup
            | Self::NoCommonSrtpProfile
            | Self::NoCommonSignatureScheme
            | Self::NotOffered(_) => {
                DtlsImplError::SecurityError(SecurityError::NoMutuallyAcceptableCipherSuite)
            }
        }
    }
}

fn crypto_error(operation: CryptoOperation) -> DtlsImplError {
    DtlsImplError::CryptoError(CryptoError::OperationFailed(operation))
}
