//! Where a client wants to publish or play, and where we do.

use std::fmt;

use crate::percent::decoded;

/// The three places in which encoders put a room and its key.
///
/// `Debug` shows none of it: any of the three may hold a key.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// `app` of the connect command, with its query.
    pub app: String,
    /// `tcUrl` of the connect command.
    pub tc_url: String,
    /// Name of the stream of the publish or play command, with its query.
    pub name: String,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").finish_non_exhaustive()
    }
}

impl Address {
    /// The application: the first part of `app`, without query.
    pub fn application(&self) -> &str {
        path(&self.app).split('/').next().unwrap_or_default()
    }

    /// The stream: the name without query and slashes around it; where an encoder left it empty,
    /// what follows the application in `app`.
    pub fn stream(&self) -> &str {
        let name = path(&self.name);
        if !name.is_empty() {
            return name;
        }
        let app = path(&self.app);
        app.split_once('/').map_or("", |(_, rest)| rest)
    }

    /// A value of the query, percent-decoded: of the stream's name, else of `app`, else of
    /// `tcUrl`. Empty values count as missing.
    pub fn query(&self, name: &str) -> Option<String> {
        [&self.name, &self.app, &self.tc_url]
            .into_iter()
            .filter_map(|text| Some(text.split_once('?')?.1))
            .flat_map(|query| query.split('&'))
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, value)| *key == name && !value.is_empty())
            .map(|(_, value)| decoded(value))
    }
}

fn path(text: &str) -> &str {
    let path = text.split_once('?').map_or(text, |(path, _)| path);
    path.trim_matches('/')
}

/// A server to publish to or to play from.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Over TLS (`rtmps`).
    pub tls: bool,
    /// Name or address of the host; IPv6 without brackets.
    pub host: String,
    /// TCP port: 1935, or 443 of `rtmps`, where the address has none.
    pub port: u16,
    /// What the client sends.
    pub address: Address,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("tls", &self.tls)
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// Why an address is none of RTMP. The address itself is not repeated: it may hold a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither `rtmp://` nor `rtmps://`.
    #[error("the address must begin with rtmp:// or rtmps://")]
    Scheme,
    /// No host, or a port that is none.
    #[error("the address has no usable host and port: expected rtmp://host:1935/app/stream")]
    Host,
    /// Not both an application and a stream.
    #[error("the address lacks an application or a stream: expected rtmp://host/app/stream")]
    Path,
}

impl Target {
    /// Takes `rtmp://host[:port]/app[/more]/stream[?query]` apart: what follows the last slash
    /// before the query is the stream.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let (scheme, rest) = url.split_once("://").ok_or(TargetError::Scheme)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "rtmp" => false,
            "rtmps" => true,
            _ => return Err(TargetError::Scheme),
        };
        let (authority, path) = rest.split_once('/').ok_or(TargetError::Path)?;
        let (host, port) = host_and_port(authority).ok_or(TargetError::Host)?;
        let end = path.find('?').unwrap_or(path.len());
        let slash = path.get(..end).and_then(|path| path.rfind('/'));
        let (app, name) = slash
            .and_then(|at| Some((path.get(..at)?, path.get(at + 1..)?)))
            .filter(|(app, name)| !app.is_empty() && !name.is_empty() && !name.starts_with('?'))
            .ok_or(TargetError::Path)?;
        Ok(Self {
            tls,
            host,
            port: port.unwrap_or(if tls { 443 } else { 1935 }),
            address: Address {
                app: app.to_owned(),
                tc_url: format!("{}://{authority}/{app}", if tls { "rtmps" } else { "rtmp" }),
                name: name.to_owned(),
            },
        })
    }
}

pub(crate) fn host_and_port(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            match rest {
                "" => (host, None),
                _ => (host, Some(rest.strip_prefix(':')?)),
            }
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        Some(port) => Some(port.parse().ok().filter(|port| *port != 0)?),
        None => None,
    };
    (!host.is_empty() && !host.contains('@')).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(app: &str, tc_url: &str, name: &str) -> Address {
        Address {
            app: app.to_owned(),
            tc_url: tc_url.to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn a_room_is_found_wherever_the_encoder_puts_it() {
        let usual = address("live", "rtmp://h/live", "room-key");
        assert_eq!((usual.application(), usual.stream()), ("live", "room-key"));
        let whole = address("live/room-key", "rtmp://h/live/room-key", "");
        assert_eq!((whole.application(), whole.stream()), ("live", "room-key"));
        let slashes = address("/live/", "", "/room?key=x");
        assert_eq!((slashes.application(), slashes.stream()), ("live", "room"));
        assert_eq!(address("live", "", "").stream(), "");
    }

    #[test]
    fn a_key_is_found_in_any_query_the_nearest_first() {
        let all = address(
            "live?key=b",
            "rtmp://h/live?key=c&token=t%2B1",
            "room?key=a&pass=",
        );
        assert_eq!(all.query("key").as_deref(), Some("a"));
        assert_eq!(all.query("token").as_deref(), Some("t+1"));
        assert_eq!(all.query("pass"), None);
        assert_eq!(
            address("live?key=%zz%4", "", "r").query("key").as_deref(),
            Some("%zz%4")
        );
    }

    #[test]
    fn nothing_of_an_address_is_shown() {
        let target = Target::parse("rtmp://host/live/secret?key=secret").expect("an address");
        assert!(!format!("{target:?} {:?}", target.address).contains("secret"));
    }

    #[test]
    fn targets_are_taken_apart() {
        let target = Target::parse("rtmps://a.example:444/app/inst/name?x=/y").expect("an address");
        assert_eq!(
            (target.tls, target.host.as_str(), target.port),
            (true, "a.example", 444)
        );
        let expected = address("app/inst", "rtmps://a.example:444/app/inst", "name?x=/y");
        assert!(target.address == expected);
        let six = Target::parse("rtmp://[::1]/live/x").expect("an address");
        assert_eq!((six.host.as_str(), six.port), ("::1", 1935));
        for (url, error) in [
            ("http://h/a/b", TargetError::Scheme),
            ("h/a/b", TargetError::Scheme),
            ("rtmp://h", TargetError::Path),
            ("rtmp://h/a", TargetError::Path),
            ("rtmp://h/a/?x=1", TargetError::Path),
            ("rtmp:///a/b", TargetError::Host),
            ("rtmp://h:99999/a/b", TargetError::Host),
            ("rtmp://u@h/a/b", TargetError::Host),
        ] {
            assert_eq!(Target::parse(url).err(), Some(error), "{url}");
        }
    }
}
