//! Who makes a request, from where, and by which URL it reached us.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use http::request::Parts;
use http::uri::Authority;
use http::{Extensions, HeaderMap, Uri, header};
use inver_node::Client;
use inver_shard::ClientHint;

use crate::context::{self, Context};
use crate::forwarded;

/// Longest `User-Agent` that is kept: it is shown in the control API and in logs.
const MAX_USER_AGENT: usize = 200;

/// The TCP connection that a request came on. The listener puts it into the request's extensions;
/// axum's `ConnectInfo<SocketAddr>` serves as well, for plain HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// The other end.
    pub remote: SocketAddr,
    /// Our end.
    pub local: Option<SocketAddr>,
    /// Whether we ended TLS on it.
    pub tls: bool,
}

/// Who makes a request.
#[derive(Debug, Clone)]
pub struct Caller {
    remote: Option<SocketAddr>,
    local: Option<IpAddr>,
    authority: Option<Authority>,
    base: String,
    user_agent: Option<String>,
}

impl Caller {
    /// Reads connection and headers; forwarding headers only where trusted proxies sent them.
    pub fn of(context: &Context, uri: &Uri, headers: &HeaderMap, extensions: &Extensions) -> Self {
        let connection = extensions.get::<Connection>().copied().or_else(|| {
            let ConnectInfo(remote) = extensions.get::<ConnectInfo<SocketAddr>>()?;
            Some(Connection {
                remote: *remote,
                local: None,
                tls: false,
            })
        });
        let mut remote = connection.map(|connection| connection.remote);
        let mut scheme = match connection {
            Some(Connection { tls: true, .. }) => "https",
            Some(_) | None => "http",
        };
        let mut host = uri
            .authority()
            .map(Authority::as_str)
            .or_else(|| headers.get(header::HOST)?.to_str().ok())
            .map(str::to_owned);
        if remote.is_some_and(|proxy| context.trusts(proxy.ip())) {
            let forwarded = forwarded::read(headers);
            for hop in forwarded.path {
                remote = Some(SocketAddr::new(hop, 0));
                if !context.trusts(hop) {
                    break;
                }
            }
            scheme = forwarded.scheme.unwrap_or(scheme);
            host = forwarded.host.or(host);
        }
        let authority = host.as_deref().and_then(context::authority);
        let base = match (
            &authority,
            connection.and_then(|connection| connection.local),
        ) {
            (Some(authority), _) => context.base(scheme, authority.as_str()),
            (None, Some(local)) => context.base(scheme, &local.to_string()),
            (None, None) => context.base(scheme, "localhost"),
        };
        let user_agent = headers
            .get(header::USER_AGENT)
            .and_then(|value| value.to_str().ok())
            .map(|text| text.chars().take(MAX_USER_AGENT).collect());
        Self {
            remote: remote.map(canonical),
            local: authority.as_ref().and_then(context::ip_literal),
            authority,
            base,
            user_agent,
        }
    }

    /// Address of the client, after trusted proxies.
    pub fn address(&self) -> Option<IpAddr> {
        self.remote.map(|remote| remote.ip())
    }

    /// Host and port that the client asked for; `None` where there was none or no valid one.
    pub fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }

    /// The absolute URL of a path that starts with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// What the node is told of the client.
    pub fn client(&self) -> Client {
        Client {
            hint: ClientHint {
                remote: self.address(),
                local: self.local,
            },
            remote: self.remote,
            user_agent: self.user_agent.clone(),
        }
    }
}

/// An IPv4 client of a dual-stack socket is an IPv4 client.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl<S> FromRequestParts<S> for Caller
where
    S: Sync,
    Context: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let context = Context::from_ref(state);
        Ok(Self::of(
            &context,
            &parts.uri,
            &parts.headers,
            &parts.extensions,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn caller(from: &str, lines: &[(&'static str, &'static str)]) -> Caller {
        let context = Context::new(Config {
            trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")],
            ..Config::default()
        })
        .expect("a good configuration");
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().expect("a header value"));
        }
        let mut extensions = Extensions::new();
        extensions.insert(Connection {
            remote: from.parse().expect("an address"),
            local: Some("192.0.2.80:8080".parse().expect("an address")),
            tls: false,
        });
        Caller::of(
            &context,
            &Uri::from_static("/whip/a"),
            &headers,
            &extensions,
        )
    }

    const FORGED: [(&str, &str); 4] = [
        ("host", "192.0.2.80:8080"),
        ("x-forwarded-for", "198.51.100.66, 10.0.0.2"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "live.example.net"),
    ];

    #[test]
    fn a_stranger_cannot_choose_its_address() {
        let caller = caller("203.0.113.5:1000", &FORGED);
        assert_eq!(caller.address(), "203.0.113.5".parse().ok());
        assert_eq!(caller.url("/whip/a"), "http://192.0.2.80:8080/whip/a");
        assert_eq!(caller.client().hint.local, "192.0.2.80".parse().ok());
    }

    #[test]
    fn trusted_proxies_are_passed_and_their_words_believed() {
        let caller = caller("[::ffff:10.0.0.3]:1000", &FORGED);
        assert_eq!(caller.address(), "198.51.100.66".parse().ok());
        assert_eq!(caller.url("/whip/a"), "https://live.example.net/whip/a");
        assert_eq!(caller.client().hint.local, None);
    }

    #[test]
    fn the_first_address_that_is_no_proxy_is_the_client() {
        let lines = [("x-forwarded-for", "1.1.1.1, 203.0.113.9, 10.0.0.2")];
        let caller = caller("10.0.0.3:1000", &lines);
        assert_eq!(caller.address(), "203.0.113.9".parse().ok());
    }

    #[test]
    fn without_a_usable_host_urls_name_our_end() {
        for host in ["", "user@evil.example", "a b"] {
            let caller = caller("203.0.113.5:1000", &[("host", host)]);
            assert_eq!(caller.url("/"), "http://192.0.2.80:8080/", "{host:?}");
        }
    }

    #[test]
    fn an_ipv4_client_of_a_dual_stack_socket_is_one() {
        let caller = caller("[::ffff:203.0.113.5]:1000", &[]);
        assert_eq!(caller.address(), "203.0.113.5".parse().ok());
    }
}
