//! Values of keys: each parses its own text and says what would be right when it cannot.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use inver_proto::RoomId;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A text that is never shown: not by `Debug`, not by `Display`, not by `check-config --print`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the place that checks it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // An error of serde's own would quote the value that it did not expect.
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in quotes")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
                if text.is_empty() {
                    return Err(E::custom("must not be empty; leave the key out instead"));
                }
                Ok(Secret::new(text))
            }
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
                Err(E::custom("must be a text in quotes, not a number"))
            }
            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
                Err(E::custom("must be a text in quotes, not a number"))
            }
            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Secret, E> {
                Err(E::custom("must be a text in quotes, not true or false"))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(hidden)")
    }
}

/// A length of time with its unit: `250ms`, `10s`, `5m`, `1h`, `7d`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl Period {
    /// A whole number of seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// A whole number of milliseconds.
    pub const fn milliseconds(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no length of time; write a number and a unit, like 500ms, 10s, 5m or 1h"
            )
        };
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit = match unit.trim_start() {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let milliseconds = number.checked_mul(unit).ok_or_else(wrong)?;
        Ok(Self(Duration::from_millis(milliseconds)))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        for (size, unit) in [
            (86_400_000, "d"),
            (3_600_000, "h"),
            (60_000, "m"),
            (1_000, "s"),
        ] {
            if milliseconds > 0 && milliseconds.is_multiple_of(size) {
                return write!(f, "{}{unit}", milliseconds / size);
            }
        }
        write!(f, "{milliseconds}ms")
    }
}

impl fmt::Debug for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A number of bytes, written like `500MB`, `2GB` or `1GiB`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub u64);

/// Units of sizes, the largest first.
const UNITS: [(u64, &str); 9] = [
    (1 << 40, "TiB"),
    (1_000_000_000_000, "TB"),
    (1 << 30, "GiB"),
    (1_000_000_000, "GB"),
    (1 << 20, "MiB"),
    (1_000_000, "MB"),
    (1 << 10, "KiB"),
    (1_000, "kB"),
    (1, "B"),
];

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is no size; write a number and a unit, like 500MB, 2GB or 1GiB, or 0")
        };
        if text == "0" {
            return Ok(Self(0));
        }
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit = unit.trim_start();
        let found = UNITS
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(unit));
        let (size, _) = found.ok_or_else(wrong)?;
        number.checked_mul(*size).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |size: &u64| self.0 > 0 && self.0.is_multiple_of(*size);
        match UNITS.iter().find(|(size, _)| whole(size)) {
            Some((size, unit)) => write!(f, "{}{unit}", self.0 / size),
            None => f.write_str("0"),
        }
    }
}

impl fmt::Debug for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address and port to listen on. `:8080` means all addresses, IPv6 and IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen(pub SocketAddr);

impl Listen {
    /// Whether only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        match self.0.ip() {
            IpAddr::V4(ip) => ip.is_loopback(),
            IpAddr::V6(ip) => {
                ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback())
            }
        }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(port) = text.strip_prefix(':')
            && let Ok(port) = port.parse()
        {
            return Ok(Self(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)));
        }
        text.parse().map(Self).map_err(|_| {
            let hint = if text.starts_with("localhost") {
                "a name cannot be listened on; "
            } else if text.parse::<IpAddr>().is_ok() {
                "the port is missing; "
            } else {
                ""
            };
            format!(
                "`{text}` is no address and port: {hint}write 127.0.0.1:8080, [::1]:8080, \
                 0.0.0.0:8080 or :8080 for all addresses"
            )
        })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A room and the UDP address of the transport stream that feeds it: `studio=127.0.0.1:5000`, or a
/// multicast group, `studio=239.0.0.1:5000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UdpInput {
    /// The room.
    pub room: RoomId,
    /// Where the stream comes to; its address may be a multicast group.
    pub address: SocketAddr,
}

impl FromStr for UdpInput {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no input; write room=address:port, like studio=127.0.0.1:5000 or \
                 studio=239.0.0.1:5000"
            )
        };
        let (room, address) = text.split_once('=').ok_or_else(wrong)?;
        Ok(Self {
            room: room
                .parse()
                .map_err(|error| format!("{error}; {}", wrong()))?,
            address: address.parse().map_err(|_| wrong())?,
        })
    }
}

impl fmt::Display for UdpInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.room, self.address)
    }
}

/// The address under which people reach the server: `https://live.example.com`, without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    https: bool,
    /// Host and port as in a `Host` header.
    authority: String,
}

impl PublicUrl {
    /// Whether its scheme is https.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// Host, and port where the URL has one.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Host without port and brackets.
    pub fn host(&self) -> &str {
        if let Some(rest) = self.authority.strip_prefix('[') {
            return rest.split_once(']').map_or(rest, |(host, _)| host);
        }
        self.authority
            .split_once(':')
            .map_or(&self.authority, |(host, _)| host)
    }

    /// Whether the host is this machine itself.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!("`{text}` is no public URL: {why}; write one like https://live.example.com")
        };
        let (https, rest) = if let Some(rest) = text.strip_prefix("https://") {
            (true, rest)
        } else if let Some(rest) = text.strip_prefix("http://") {
            (false, rest)
        } else {
            return Err(wrong("it must begin with https:// or http://"));
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(wrong("it must not have a path (that is server.base_path)"));
        }
        let parsed: http::uri::Authority = authority
            .parse()
            .map_err(|_| wrong("its host is not valid"))?;
        if authority.contains('@') || parsed.host().is_empty() {
            return Err(wrong("it must have a host and no user name"));
        }
        Ok(Self {
            https,
            authority: authority.to_ascii_lowercase(),
        })
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "http{}://{}",
            if self.https { "s" } else { "" },
            self.authority
        )
    }
}

/// The path under which everything is served: `/`, or `/live` behind a proxy that keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BasePath(String);

impl BasePath {
    /// Without a final slash; empty for the root.
    pub fn prefix(&self) -> &str {
        &self.0
    }
}

impl FromStr for BasePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = text.strip_suffix('/').unwrap_or(text);
        let segment = |segment: &str| {
            !segment.is_empty()
                && !segment.bytes().all(|b| b == b'.')
                && segment
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        if !path.is_empty()
            && !path
                .strip_prefix('/')
                .is_some_and(|rest| rest.split('/').all(segment))
        {
            return Err(format!(
                "`{text}` is no base path; it begins with / and has letters, digits, `-`, `_` \
                 and `.` only, like /live"
            ));
        }
        Ok(Self(path.to_owned()))
    }
}

impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

/// Serde by way of `FromStr` and `Display`.
macro_rules! as_text {
    ($($type:ty),*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

as_text!(ByteSize, Period, Listen, PublicUrl, BasePath, UdpInput);

/// A list, or one value that stands for a list of one.
pub(super) fn one_or_many<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct OneOrMany<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text or a list of texts")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            T::deserialize(de::value::StrDeserializer::new(text)).map(|one| vec![one])
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut all = Vec::new();
            while let Some(item) = items.next_element()? {
                all.push(item);
            }
            Ok(all)
        }
    }
    deserializer.deserialize_any(OneOrMany(std::marker::PhantomData))
}

/// [`one_or_many`] for a key whose absence means something else than an empty list.
pub(super) fn some_or_many<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    one_or_many(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_have_units() {
        for (text, expected) in [
            ("250ms", 250),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
        ] {
            let period: Period = text.parse().expect(text);
            assert_eq!(period.0.as_millis(), expected);
            assert_eq!(period.to_string(), text);
        }
        for wrong in [
            "",
            "10",
            "s",
            "-1s",
            "1.5s",
            "10 parsecs",
            "99999999999999999999s",
        ] {
            let error = wrong.parse::<Period>().expect_err(wrong);
            assert!(error.contains("like 500ms"), "{error}");
        }
    }

    #[test]
    fn listens_say_what_is_missing() {
        assert!(
            ":80"
                .parse::<Listen>()
                .is_ok_and(|l| l.0.to_string() == "[::]:80")
        );
        assert!(
            "[::1]:8080"
                .parse::<Listen>()
                .is_ok_and(|l| l.is_loopback())
        );
        assert!(
            "[::ffff:127.0.0.1]:1"
                .parse::<Listen>()
                .is_ok_and(|l| l.is_loopback())
        );
        assert!(
            "0.0.0.0:1"
                .parse::<Listen>()
                .is_ok_and(|l| !l.is_loopback())
        );
        let error = "10.0.0.1".parse::<Listen>().expect_err("no port");
        assert!(error.contains("the port is missing"), "{error}");
        let error = "localhost:8080".parse::<Listen>().expect_err("a name");
        assert!(error.contains("name cannot be listened on"), "{error}");
    }

    #[test]
    fn public_urls_have_a_host_only() {
        let url: PublicUrl = "https://Live.example.com:8443/".parse().expect("valid");
        assert_eq!(url.to_string(), "https://live.example.com:8443");
        assert_eq!(url.host(), "live.example.com");
        assert!(
            "http://[::1]:80"
                .parse::<PublicUrl>()
                .is_ok_and(|u| u.is_loopback())
        );
        for wrong in [
            "live.example.com",
            "ftp://a",
            "https://",
            "https://a/b",
            "https://u@a",
        ] {
            assert!(wrong.parse::<PublicUrl>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn base_paths() {
        for (text, prefix) in [("/", ""), ("", ""), ("/live", "/live"), ("/a/b/", "/a/b")] {
            assert_eq!(text.parse::<BasePath>().expect(text).prefix(), prefix);
        }
        for wrong in ["live", "//", "/a//b", "/..", "/{x}", "/a?b"] {
            assert!(wrong.parse::<BasePath>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn secrets_stay_hidden() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "(hidden)");
        let error = toml::Value::Integer(123_456)
            .try_into::<Secret>()
            .expect_err("a number");
        assert!(!error.to_string().contains("123456"), "{error}");
    }
}
