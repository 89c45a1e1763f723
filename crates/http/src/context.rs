//! What the doors must know of the server's place in the network, fixed at the start.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use ipnet::IpNet;

use crate::rate::{Limiter, Rate};

/// Settings of all HTTP doors.
#[derive(Debug, Clone)]
pub struct Config {
    /// Absolute URL that clients reach the server at, such as `https://live.example.net/inver`;
    /// where absent, URLs are built from the scheme and host of each request.
    pub public_url: Option<String>,
    /// Path that stands before every door's path where there is no `public_url`: empty or
    /// `/like/this`.
    pub base_path: String,
    /// Proxies whose `X-Forwarded-*` and `Forwarded` headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether everybody has all rights. Then foreign Host and Origin headers are refused, or any
    /// website that the user visits could use the server.
    pub open: bool,
    /// Further host names that an open server may be reached by, without port.
    pub allowed_hosts: Vec<String>,
    /// Further origins (`https://studio.example.net`) whose pages may use an open server.
    pub allowed_origins: Vec<String>,
    /// POST, PATCH and DELETE requests per address prefix (IPv4 /32, IPv6 /64).
    pub address_rate: Rate,
    /// POST, PATCH and DELETE requests per bearer token.
    pub token_rate: Rate,
    /// Longest time from a request's headers to the response's. OBS gives up after 8 s, so more
    /// would answer nobody; less cuts off clients with slow uplinks.
    pub deadline: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            public_url: None,
            base_path: String::new(),
            trusted_proxies: Vec::new(),
            open: false,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            // A whole office behind one address may join at once; a scan is slowed to a crawl.
            address_rate: Rate {
                per_second: 50,
                burst: 500,
            },
            token_rate: Rate {
                per_second: 50,
                burst: 500,
            },
            deadline: Duration::from_millis(7500),
        }
    }
}

/// A setting that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not an absolute HTTP URL.
    #[error("public_url {0:?} must look like https://host[:port][/path], without ? and #")]
    PublicUrl(String),
    /// Not a path.
    #[error("base_path {0:?} must be empty or look like /path")]
    BasePath(String),
    /// Not an origin.
    #[error("allowed origin {0:?} must look like https://host[:port]")]
    Origin(String),
    /// Not a host name.
    #[error("allowed host {0:?} must be a host name without scheme and port")]
    Host(String),
}

/// Settings and limits that all HTTP doors share; cheap to clone.
#[derive(Debug, Clone)]
pub struct Context(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    public: Option<PublicUrl>,
    base_path: String,
    trusted_proxies: Vec<IpNet>,
    open: bool,
    allowed_hosts: Vec<String>,
    allowed_origins: Vec<Origin>,
    limiter: Limiter,
    deadline: Duration,
}

#[derive(Debug)]
struct PublicUrl {
    /// `https://host:port/path`, without a slash at the end.
    base: String,
    origin: Origin,
}

/// Scheme, host and port of a page (RFC 6454), in one form for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// Reads `scheme://host[:port]`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let authority = authority(rest)?;
        let port = authority.port_u16().or(default_port(&scheme))?;
        let host = bare_host(&authority);
        Some(Self { scheme, host, port })
    }

    /// Whether the origin is the host that the request was made to. The scheme is not compared: a
    /// proxy may end TLS in front of us, and the browser has compared it before.
    pub(crate) fn is_at(&self, authority: &Authority) -> bool {
        let port = authority
            .port_u16()
            .or_else(|| default_port(&self.scheme))
            .unwrap_or(0);
        self.host == bare_host(authority) && self.port == port
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    }
}

/// Reads `host[:port]`; anything more, such as a user name, is no authority of ours.
pub(crate) fn authority(text: &str) -> Option<Authority> {
    let authority: Authority = text.parse().ok()?;
    (!text.contains('@') && !authority.host().is_empty()).then_some(authority)
}

/// The host in lower case, without the brackets of an IPv6 literal and the dot at the end.
fn bare_host(authority: &Authority) -> String {
    let host = authority.host();
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// The address that a host is, where it is one.
pub(crate) fn ip_literal(authority: &Authority) -> Option<IpAddr> {
    bare_host(authority).parse().ok()
}

fn public_url(text: &str) -> Result<PublicUrl, ConfigError> {
    let bad = || ConfigError::PublicUrl(text.to_owned());
    let uri: http::Uri = text.parse().map_err(|_| bad())?;
    let scheme = uri.scheme_str().ok_or_else(bad)?;
    let authority = uri.authority().ok_or_else(bad)?.as_str();
    if !matches!(scheme, "http" | "https") || uri.query().is_some() || text.contains('#') {
        return Err(bad());
    }
    let origin = Origin::parse(&format!("{scheme}://{authority}")).ok_or_else(bad)?;
    let path = uri.path().trim_end_matches('/');
    let base = format!("{scheme}://{authority}{path}");
    Ok(PublicUrl { base, origin })
}

impl Context {
    /// Checks the settings.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let public = config.public_url.as_deref().map(public_url).transpose()?;
        let base_path = config.base_path.trim_end_matches('/');
        let is_path = base_path.is_empty()
            || base_path.starts_with('/')
                && !base_path.contains(['?', '#'])
                && base_path.parse::<http::uri::PathAndQuery>().is_ok();
        if !is_path {
            return Err(ConfigError::BasePath(config.base_path));
        }
        for host in &config.allowed_hosts {
            match authority(host) {
                Some(read) if read.port().is_none() => {}
                Some(_) | None => return Err(ConfigError::Host(host.clone())),
            }
        }
        let allowed_origins = config
            .allowed_origins
            .iter()
            .map(|text| Origin::parse(text).ok_or_else(|| ConfigError::Origin(text.clone())))
            .collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Inner {
            public,
            base_path: base_path.to_owned(),
            trusted_proxies: config.trusted_proxies,
            open: config.open,
            allowed_hosts: config
                .allowed_hosts
                .iter()
                .map(|host| host.to_ascii_lowercase())
                .collect(),
            allowed_origins,
            limiter: Limiter::new(config.address_rate, config.token_rate),
            deadline: config.deadline,
        })))
    }

    /// Whether everybody has all rights.
    pub fn is_open(&self) -> bool {
        self.0.open
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.0.deadline
    }

    pub(crate) fn limiter(&self) -> &Limiter {
        &self.0.limiter
    }

    /// Whether forwarding headers from this address are believed.
    pub(crate) fn trusts(&self, proxy: IpAddr) -> bool {
        let proxy = proxy.to_canonical();
        self.0
            .trusted_proxies
            .iter()
            .any(|net| net.contains(&proxy))
    }

    /// The URL before every door's path, for a request with this scheme and host.
    pub(crate) fn base(&self, scheme: &str, host: &str) -> String {
        match &self.0.public {
            Some(public) => public.base.clone(),
            None => format!("{scheme}://{host}{}", self.0.base_path),
        }
    }

    /// Whether an open server may be reached by this host. Names that foreign DNS could point at
    /// us are refused, addresses and `localhost` are not names.
    pub(crate) fn allows_host(&self, authority: &Authority) -> bool {
        let host = bare_host(authority);
        host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<IpAddr>().is_ok()
            || self.0.allowed_hosts.contains(&host)
            || self
                .0
                .public
                .as_ref()
                .is_some_and(|public| public.origin.host == host)
    }

    /// Whether pages of this origin may use an open server that was reached by this host.
    pub(crate) fn allows_origin(&self, origin: &Origin, reached: &Authority) -> bool {
        origin.is_at(reached)
            || self.0.allowed_origins.contains(origin)
            || self
                .0
                .public
                .as_ref()
                .is_some_and(|public| public.origin == *origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(config: Config) -> Context {
        Context::new(config).expect("a good configuration")
    }

    fn at(host: &str) -> Authority {
        authority(host).expect("an authority")
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        for bad in [
            "live.example.net",
            "ftp://a",
            "https://a?b",
            "https://a/#b",
            "https://u@a",
        ] {
            let config = Config {
                public_url: Some(bad.to_owned()),
                ..Config::default()
            };
            let error = Context::new(config).expect_err(bad);
            assert_eq!(error, ConfigError::PublicUrl(bad.to_owned()));
        }
        for bad in ["inver", "/a b"] {
            let config = Config {
                base_path: bad.to_owned(),
                ..Config::default()
            };
            let error = Context::new(config).expect_err(bad);
            assert_eq!(error, ConfigError::BasePath(bad.to_owned()));
        }
        let config = Config {
            allowed_hosts: vec!["a:80".to_owned()],
            ..Config::default()
        };
        assert!(matches!(Context::new(config), Err(ConfigError::Host(_))));
        let config = Config {
            allowed_origins: vec!["studio".to_owned()],
            ..Config::default()
        };
        assert!(matches!(Context::new(config), Err(ConfigError::Origin(_))));
    }

    #[test]
    fn the_public_url_comes_first() {
        let public = context(Config {
            public_url: Some("https://live.example.net/inver/".to_owned()),
            base_path: "/other".to_owned(),
            ..Config::default()
        });
        assert_eq!(
            public.base("http", "10.0.0.1:8080"),
            "https://live.example.net/inver"
        );
        let plain = context(Config {
            base_path: "/inver/".to_owned(),
            ..Config::default()
        });
        assert_eq!(plain.base("http", "[::1]:8080"), "http://[::1]:8080/inver");
    }

    #[test]
    fn only_names_that_cannot_be_rebound_reach_an_open_server() {
        let context = context(Config {
            public_url: Some("https://Live.example.net".to_owned()),
            allowed_hosts: vec!["Studio.lan".to_owned()],
            ..Config::default()
        });
        for good in [
            "127.0.0.1:8080",
            "[::1]:8080",
            "localhost",
            "LOCALHOST.:80",
            "a.localhost",
            "live.example.net",
            "studio.lan:8080",
        ] {
            assert!(context.allows_host(&at(good)), "{good}");
        }
        for bad in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
        ] {
            assert!(!context.allows_host(&at(bad)), "{bad}");
        }
    }

    #[test]
    fn an_origin_is_the_same_or_configured() {
        let context = context(Config {
            public_url: Some("https://live.example.net".to_owned()),
            allowed_origins: vec!["https://studio.example.net".to_owned()],
            ..Config::default()
        });
        let reached = at("localhost:8080");
        let allowed = |text: &str| {
            Origin::parse(text).is_some_and(|origin| context.allows_origin(&origin, &reached))
        };
        assert!(allowed("http://localhost:8080"));
        assert!(allowed("http://LOCALHOST:8080"));
        assert!(allowed("https://live.example.net:443"));
        assert!(allowed("https://studio.example.net"));
        assert!(!allowed("http://localhost:3000"));
        assert!(!allowed("http://localhost"));
        assert!(!allowed("http://studio.example.net"));
        assert!(!allowed("null"));
        assert!(!allowed("https://evil.example"));
        let plain = Origin::parse("http://10.0.0.1").expect("an origin");
        assert!(plain.is_at(&at("10.0.0.1")));
        assert!(plain.is_at(&at("10.0.0.1:80")));
    }
}
