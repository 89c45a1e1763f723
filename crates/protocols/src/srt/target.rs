//! Where a caller calls to: `srt://host:port?streamid=...&passphrase=...`.

use std::fmt;
use std::time::Duration;

use super::crypto::{KeyRefresh, check_passphrase};
use super::key_material::KeyLength;
use super::{CallerConfig, stream_id};
use crate::percent::decoded;
use crate::rtmp::host_and_port;

/// Longest latency of an address: more than half a minute would only fill memory.
const MAX_LATENCY: Duration = Duration::from_secs(30);

/// A listener to call.
#[derive(Clone)]
pub struct Target {
    /// Name or address of the host; IPv6 without brackets.
    pub host: String,
    /// UDP port.
    pub port: u16,
    /// What is asked for there.
    pub config: CallerConfig,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// Why an address is none of SRT. The address itself is not repeated: it may hold a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not `srt://`.
    #[error("the address must begin with srt://")]
    Scheme,
    /// No host, or no port.
    #[error("the address has no usable host and port: expected srt://host:port?streamid=...")]
    Host,
    /// A path, which SRT does not have.
    #[error("the address has a path, and SRT has none: put what is asked for into ?streamid=")]
    Path,
    /// Another mode than the caller's.
    #[error("only mode=caller is possible: this server calls, the other end listens")]
    Mode,
    /// A value that makes no sense.
    #[error("{0} makes no sense: {1}")]
    Value(&'static str, &'static str),
    /// The passphrase or the stream id has a wrong length.
    #[error("{0}")]
    Length(String),
}

impl Target {
    /// Takes `srt://host:port?streamid=&passphrase=&pbkeylen=&latency=` apart. Latency is in
    /// milliseconds; what else a query says is for other programs and passed over.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let (scheme, rest) = url.split_once("://").ok_or(TargetError::Scheme)?;
        if !scheme.eq_ignore_ascii_case("srt") {
            return Err(TargetError::Scheme);
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = place.strip_suffix('/').unwrap_or(place);
        if authority.contains('/') {
            return Err(TargetError::Path);
        }
        let (host, port) = host_and_port(authority).ok_or(TargetError::Host)?;
        let mut config = CallerConfig::default();
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = decoded(value);
            match name {
                "streamid" => config.stream_id = value,
                "passphrase" if !value.is_empty() => {
                    check_passphrase(&value)
                        .map_err(|error| TargetError::Length(error.to_string()))?;
                    config.passphrase = Some(value);
                }
                "pbkeylen" => {
                    config.key_length = match value.as_str() {
                        "0" | "16" => KeyLength::Aes128,
                        "24" => KeyLength::Aes192,
                        "32" => KeyLength::Aes256,
                        _ => return Err(TargetError::Value("pbkeylen", "16, 24 or 32 are right")),
                    }
                }
                "latency" => {
                    let latency = value.parse().map(Duration::from_millis).ok();
                    config.latency = latency.filter(|latency| *latency <= MAX_LATENCY).ok_or(
                        TargetError::Value("latency", "it is in milliseconds, at most 30000"),
                    )?;
                }
                "mode" if value != "caller" => return Err(TargetError::Mode),
                _ => {}
            }
        }
        if config.stream_id.len() > stream_id::MAX_LENGTH {
            let most = stream_id::MAX_LENGTH;
            return Err(TargetError::Length(format!(
                "the stream id has more than {most} bytes"
            )));
        }
        config.key_refresh = KeyRefresh::default();
        Ok(Self {
            host,
            port: port.ok_or(TargetError::Host)?,
            config,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_are_read() {
        let url = "srt://[2001:db8::1]:9000?streamid=publish%3Aroom:key&passphrase=0123456789\
                   &pbkeylen=32&latency=500&mode=caller&transtype=live";
        let target = Target::parse(url).expect("an address");
        assert_eq!((target.host.as_str(), target.port), ("2001:db8::1", 9000));
        assert_eq!(target.config.stream_id, "publish:room:key");
        assert_eq!(target.config.passphrase.as_deref(), Some("0123456789"));
        assert_eq!(target.config.key_length, KeyLength::Aes256);
        assert_eq!(target.config.latency, Duration::from_millis(500));
        assert!(!format!("{target:?}").contains("0123456789"));
    }

    #[test]
    fn what_is_wrong_is_named_without_secrets() {
        for (url, word) in [
            ("rtmp://a:1", "srt://"),
            ("srt://host", "port"),
            ("srt://:9000", "host"),
            ("srt://host:0", "port"),
            ("srt://user@host:9000", "host"),
            ("srt://host:9000/live/x", "streamid"),
            ("srt://host:9000?mode=listener", "mode=caller"),
            ("srt://host:9000?latency=geheim", "milliseconds"),
            ("srt://host:9000?latency=99999999", "milliseconds"),
            ("srt://host:9000?pbkeylen=7", "pbkeylen"),
            ("srt://host:9000?passphrase=geheim", "passphrase"),
        ] {
            let error = Target::parse(url).expect_err(url).to_string();
            assert!(error.contains(word), "{url}: {error}");
            assert!(!error.contains("geheim"), "{url}: {error}");
        }
    }
}
