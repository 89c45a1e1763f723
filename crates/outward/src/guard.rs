//! The guard: checks a host, resolves it, connects.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::TcpStream;

use crate::public::{is_public, literal};

/// A host that stands for addresses inside the network only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} stands for an address inside the network (loopback, private or link local)")]
pub struct Inside(pub String);

/// Why a host has no address to connect to.
#[derive(Debug, thiserror::Error)]
pub enum NoAddress {
    /// It leads inside.
    #[error(transparent)]
    Inside(#[from] Inside),
    /// The resolver knows none.
    #[error("{host} has no address: {reason}")]
    Unknown {
        /// The host.
        host: String,
        /// What the resolver says.
        reason: String,
    },
}

/// Decides where connections of the server's own may go.
///
/// As a resolver of `reqwest` it checks names; a URL with a literal address never asks a resolver,
/// so [`Self::check`] comes first there, and redirects have to be off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    allow_private: bool,
}

impl Guard {
    /// Lets public addresses pass only.
    pub const PUBLIC_ONLY: Self = Self {
        allow_private: false,
    };

    /// With `allow_private`, every address passes.
    pub fn new(allow_private: bool) -> Self {
        Self { allow_private }
    }

    /// Checks what can be checked before resolving: a host that is an address. Hosts as URLs have
    /// them, IPv6 in brackets; parse URLs with a WHATWG parser first, so that `127.1` and
    /// `0x7f000001` are spelled out.
    ///
    /// # Errors
    /// It leads inside.
    pub fn check(&self, host: &str) -> Result<(), Inside> {
        if !self.allow_private && literal(host).is_some_and(|ip| !is_public(ip)) {
            return Err(Inside(host.to_owned()));
        }
        Ok(())
    }

    /// The addresses of a host that may be connected to, in the resolver's order; never none.
    /// Connect to one of them, not to the name again.
    ///
    /// # Errors
    /// It has none, or such as lead inside only.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, NoAddress> {
        let unknown = |reason: String| NoAddress::Unknown {
            host: host.to_owned(),
            reason,
        };
        let found: Vec<SocketAddr> = match literal(host) {
            Some(ip) => vec![SocketAddr::new(ip, port)],
            None => tokio::net::lookup_host((host, port))
                .await
                .map_err(|error| unknown(error.to_string()))?
                .collect(),
        };
        let passed = self.pass(host, found.into_iter())?;
        if passed.is_empty() {
            return Err(unknown("the resolver gave none".to_owned()));
        }
        Ok(passed)
    }

    /// A TCP connection to a host; addresses are tried one after the other, all within `deadline`.
    ///
    /// # Errors
    /// Says in words for people why there is none.
    pub async fn connect(
        &self,
        host: &str,
        port: u16,
        deadline: Duration,
    ) -> io::Result<TcpStream> {
        let connecting = async {
            let addresses = self
                .resolve(host, port)
                .await
                .map_err(|error| match error {
                    NoAddress::Inside(inside) => {
                        io::Error::new(io::ErrorKind::PermissionDenied, inside)
                    }
                    NoAddress::Unknown { .. } => io::Error::new(io::ErrorKind::NotFound, error),
                })?;
            TcpStream::connect(&addresses[..]).await
        };
        match tokio::time::timeout(deadline, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no connection within {deadline:?}"),
            )),
        }
    }

    /// The ones among a host's addresses that pass; an error where there are others only.
    fn pass(
        &self,
        host: &str,
        found: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Inside> {
        let passes = |address: &SocketAddr| self.allow_private || is_public(address.ip());
        let (passed, inside): (Vec<_>, Vec<_>) = found.partition(passes);
        if passed.is_empty() && !inside.is_empty() {
            return Err(Inside(host.to_owned()));
        }
        Ok(passed)
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = *self;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let passed = guard.pass(name.as_str(), found)?;
            Ok(Box::new(passed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().expect("an address"), 0)
    }

    #[test]
    fn of_a_names_addresses_only_public_ones_are_used() {
        let mixed = [address("10.0.0.1"), address("1.1.1.1"), address("::1")];
        let used = Guard::PUBLIC_ONLY.pass("a", mixed.into_iter());
        assert_eq!(used.expect("one is public"), [address("1.1.1.1")]);
        let inside = [address("127.0.0.1"), address("::1")];
        let error = Guard::PUBLIC_ONLY.pass("name.example", inside.into_iter());
        assert_eq!(error.expect_err("none").0, "name.example");
        let allowed = Guard::new(true).pass("a", inside.into_iter());
        assert_eq!(allowed.expect("all may be used"), inside);
    }

    #[tokio::test]
    async fn neither_addresses_nor_names_that_lead_inside_are_connected_to() {
        for host in [
            "127.0.0.1",
            "[::1]",
            "::1",
            "localhost",
            "[::ffff:127.0.0.1]",
            "0.0.0.0",
        ] {
            let error = Guard::PUBLIC_ONLY
                .connect(host, 9, Duration::from_secs(5))
                .await
                .expect_err(host);
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{host}");
            assert!(error.to_string().contains(host), "{error}");
        }
    }

    #[tokio::test]
    async fn what_is_allowed_is_connected_to() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("binds");
        let port = listener.local_addr().expect("bound").port();
        Guard::new(true)
            .connect("localhost", port, Duration::from_secs(5))
            .await
            .expect("connects");
    }
}
