//! Where a client plays from: `rtsp://user:password@host:554/path`.

use std::fmt;

use crate::percent::decoded;
use crate::rtmp::host_and_port;

/// The parameter of an address that is for this end: how media comes.
const TRANSPORT: &str = "transport=";

/// What a client proves who it is with.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// Who.
    pub user: String,
    /// With what.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

/// A server to play from.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Over TLS (`rtsps`).
    pub tls: bool,
    /// Name or address of the host; IPv6 without brackets.
    pub host: String,
    /// TCP port: 554, or 322 of `rtsps`, where the address has none.
    pub port: u16,
    /// What the server is asked for: the address without login and without what is for this end.
    pub uri: String,
    /// User and password of the address.
    pub login: Option<Login>,
    /// Whether media comes over UDP (`?transport=udp`) or through the connection
    /// (`?transport=tcp`); `None` where the address does not say.
    pub udp: Option<bool>,
}

impl fmt::Debug for Target {
    /// Shows neither login nor path: in both there may be keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("tls", &self.tls)
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// Why an address is none of RTSP. The address itself is not repeated: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither `rtsp://` nor `rtsps://`.
    #[error("the address must begin with rtsp:// or rtsps://")]
    Scheme,
    /// No host, or a port that is none.
    #[error(
        "the address has no usable host and port: expected rtsp://user:password@host:554/path, and \
         %40 for an @ in the password"
    )]
    Host,
    /// What stands in it would break a request.
    #[error("the address has spaces or letters that are not ASCII; write them as %20 and so on")]
    Letters,
    /// Media beside TLS.
    #[error("media over UDP would be readable beside rtsps; leave transport=udp out")]
    UdpBesideTls,
}

impl Target {
    /// Takes `rtsp://[user[:password]@]host[:port][/path][?query]` apart. `transport=udp` and
    /// `transport=tcp` in the query are for this end; all else goes to the server as it is.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let (scheme, rest) = url.split_once("://").ok_or(TargetError::Scheme)?;
        let (tls, scheme) = match scheme.to_ascii_lowercase().as_str() {
            "rtsp" => (false, "rtsp"),
            "rtsps" => (true, "rtsps"),
            _ => return Err(TargetError::Scheme),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).ok_or(TargetError::Host)?;
        // Of a password with an @ in it, the last one ends it.
        let (login, authority) = match authority.rsplit_once('@') {
            Some((login, authority)) => (Some(login), authority),
            None => (None, authority),
        };
        let (host, port) = host_and_port(authority).ok_or(TargetError::Host)?;
        let login = login.filter(|login| !login.is_empty()).map(|login| {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            Login {
                user: decoded(user),
                password: decoded(password),
            }
        });
        let (path, udp) = for_the_server(path);
        if tls && udp == Some(true) {
            return Err(TargetError::UdpBesideTls);
        }
        let uri = format!("{scheme}://{authority}{path}");
        if !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TargetError::Letters);
        }
        Ok(Self {
            tls,
            host,
            port: port.unwrap_or(if tls { 322 } else { 554 }),
            uri,
            login,
            udp,
        })
    }

    /// The path with its query, which may hold a key.
    pub fn path(&self) -> &str {
        let (_, rest) = self.uri.split_once("://").unwrap_or_default();
        rest.find(['/', '?'])
            .and_then(|at| rest.get(at..))
            .unwrap_or_default()
    }
}

/// Path and query without what is for this end, and what that says.
fn for_the_server(path: &str) -> (String, Option<bool>) {
    let Some((before, query)) = path.split_once('?') else {
        return (path.to_owned(), None);
    };
    let mut udp = None;
    let kept: Vec<&str> = query
        .split('&')
        .filter(|parameter| {
            match parameter.strip_prefix(TRANSPORT) {
                Some("udp") => udp = Some(true),
                Some("tcp") => udp = Some(false),
                Some(_) | None => return true,
            }
            false
        })
        .collect();
    let path = if kept.is_empty() {
        before.to_owned()
    } else {
        format!("{before}?{}", kept.join("&"))
    };
    (path, udp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_cameras_are_taken_apart() {
        let url = "rtsp://admin:p%40ss@10.0.0.7/cam/realmonitor?channel=1&transport=udp&subtype=0";
        let target = Target::parse(url).expect("an address");
        assert_eq!((target.host.as_str(), target.port), ("10.0.0.7", 554));
        assert_eq!(
            target.uri,
            "rtsp://10.0.0.7/cam/realmonitor?channel=1&subtype=0"
        );
        assert_eq!(target.path(), "/cam/realmonitor?channel=1&subtype=0");
        assert_eq!(target.udp, Some(true));
        let login = target.login.clone().expect("a login");
        assert_eq!(
            (login.user.as_str(), login.password.as_str()),
            ("admin", "p@ss")
        );
        assert!(!format!("{target:?} {login:?}").contains("p@ss"));

        let bare = Target::parse("RTSPS://[::1]").expect("an address");
        assert_eq!((bare.tls, bare.port, bare.udp), (true, 322, None));
        assert_eq!((bare.uri.as_str(), bare.path()), ("rtsps://[::1]", ""));
        assert_eq!(bare.login, None);
        // An @ that was not written as %40 belongs to the password.
        let at = Target::parse("rtsp://u:a@b@host:8554/x?transport=other").expect("an address");
        assert_eq!(at.uri, "rtsp://host:8554/x?transport=other");
        assert_eq!(at.login.expect("a login").password, "a@b");
    }

    #[test]
    fn what_is_wrong_is_named_without_secrets() {
        for (url, error) in [
            ("http://h/geheim", TargetError::Scheme),
            ("h/geheim", TargetError::Scheme),
            ("rtsp://u:geheim@/x", TargetError::Host),
            ("rtsp://h:0/geheim", TargetError::Host),
            ("rtsp://h/ge heim", TargetError::Letters),
            ("rtsp://h/geheim\u{e4}", TargetError::Letters),
            ("rtsps://h/geheim?transport=udp", TargetError::UdpBesideTls),
        ] {
            assert_eq!(Target::parse(url).err(), Some(error), "{url}");
            assert!(!error.to_string().contains("geheim"));
        }
    }
}
