//! Signatures of webhooks: Standard Webhooks, symmetric scheme `v1`.
//!
//! What is signed is `{id}.{timestamp}.{body}` with HMAC-SHA256; the signature is
//! `v1,{base64}`, and several secrets give several signatures with spaces between them, so that a
//! secret can be replaced without a gap.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use inver_control::Secret;
use zeroize::Zeroizing;

/// What a secret begins with.
const PREFIX: &str = "whsec_";

/// Bytes that a secret may have: fewer could be guessed, more add nothing.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Most secrets at once: the old and the new one, and room for a botched rotation.
const MAX_SECRETS: usize = 4;

/// Base64 with or without its padding, as secrets are handed around in both forms.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why secrets cannot sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("a webhook needs at least one secret of the form whsec_ and base64")]
    None,
    #[error("a webhook has {0} secrets; at most {MAX_SECRETS} are allowed")]
    TooMany(usize),
    #[error("secret {0} does not begin with whsec_")]
    Prefix(usize),
    #[error("secret {0} is not base64 after its whsec_")]
    Base64(usize),
    #[error("secret {0} has {1} bytes; 24 to 64 random bytes are right")]
    Length(usize, usize),
}

/// Signs with one or more secrets.
pub(crate) struct Signer(Vec<hmac::Key>);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(signer)")
    }
}

impl Signer {
    pub(crate) fn new(secrets: &[Secret]) -> Result<Self, SecretError> {
        if secrets.is_empty() {
            return Err(SecretError::None);
        }
        if secrets.len() > MAX_SECRETS {
            return Err(SecretError::TooMany(secrets.len()));
        }
        let keys = secrets.iter().zip(1..).map(|(secret, nth)| {
            let text = secret.reveal().trim();
            let text = text.strip_prefix(PREFIX).ok_or(SecretError::Prefix(nth))?;
            let bytes = LENIENT
                .decode(text)
                .map(Zeroizing::new)
                .map_err(|_| SecretError::Base64(nth))?;
            if !SECRET_BYTES.contains(&bytes.len()) {
                return Err(SecretError::Length(nth, bytes.len()));
            }
            Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
        });
        keys.collect::<Result<_, _>>().map(Self)
    }

    /// The value of `webhook-signature`. The timestamp is in seconds since the Unix epoch.
    pub(crate) fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let head = format!("{id}.{timestamp}.");
        let signatures = self.0.iter().map(|key| {
            let mut context = hmac::Context::with_key(key);
            context.update(head.as_bytes());
            context.update(body);
            format!("v1,{}", STANDARD.encode(context.sign()))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(secrets: &[&str]) -> Result<Signer, SecretError> {
        let secrets: Vec<Secret> = secrets.iter().copied().map(Secret::new).collect();
        Signer::new(&secrets)
    }

    /// The two examples that the specification's documents and libraries publish.
    #[test]
    fn published_examples_come_out() {
        let one = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let two = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let signature = signer(&[one]).expect("a secret").sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let (id, body) = (
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            br#"{"email":"test@example.com","username":"test_user"}"#,
        );
        let signature = signer(&[two])
            .expect("a secret")
            .sign(id, 1_649_367_553, body);
        assert_eq!(signature, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
        let both = signer(&[one, two])
            .expect("secrets")
            .sign(id, 1_649_367_553, body);
        assert_eq!(both.split(' ').count(), 2);
        assert!(both.ends_with("v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="));
    }

    #[test]
    fn unfit_secrets_are_named_and_never_shown() {
        let error = |secrets: &[&str]| signer(secrets).expect_err("refused");
        assert_eq!(error(&[]), SecretError::None);
        assert_eq!(
            error(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "geheim"]),
            SecretError::Prefix(2)
        );
        assert_eq!(error(&["whsec_no base64"]), SecretError::Base64(1));
        assert_eq!(
            error(&["whsec_AAAAAAAAAAAAAAAAAAAAAA=="]),
            SecretError::Length(1, 16)
        );
        let good = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"; 5];
        assert_eq!(error(&good), SecretError::TooMany(5));
        assert!(!error(&["geheim"]).to_string().contains("geheim"));
    }

    #[test]
    fn padding_of_a_secret_may_be_missing() {
        let padded = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
        let bare = padded.trim_end_matches('=');
        let sign = |secret| signer(&[secret]).expect("a secret").sign("a", 1, b"b");
        assert_eq!(sign(padded), sign(bare));
    }
}
