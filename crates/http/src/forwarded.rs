//! What trusted proxies tell of the client: `X-Forwarded-*` and `Forwarded` (RFC 7239).
//!
//! Lists are read from the right, since everything further left may come from the client itself.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, header};

/// What the proxy nearest to us says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Forwarded {
    /// Addresses that the request passed through, nearest first; reading stops at the first entry
    /// that is no address.
    pub(crate) path: Vec<IpAddr>,
    /// Scheme that the client used.
    pub(crate) scheme: Option<&'static str>,
    /// Host that the client asked for, unparsed.
    pub(crate) host: Option<String>,
}

/// Longest path that is followed: more proxies than anybody has, so that a long header costs
/// nothing.
const MAX_PATH: usize = 16;

/// Reads all forwarding headers.
///
/// Where both kinds name a nearest address and differ, one of them comes from the client, and it
/// cannot be told which: then neither is believed.
pub(crate) fn read(headers: &HeaderMap) -> Forwarded {
    let common = common(headers);
    let standard = standard(headers);
    match (common.path.first(), standard.path.first()) {
        (Some(one), Some(other)) if one != other => Forwarded::default(),
        (None, Some(_)) => standard,
        _ if common == Forwarded::default() => standard,
        _ => common,
    }
}

/// Entries of a comma-separated list over all lines of a header, from the right.
fn from_right<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h str> {
    let lines: Vec<_> = headers.get_all(name).iter().collect();
    lines
        .into_iter()
        .rev()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.rsplit(','))
        .map(str::trim)
        .take(MAX_PATH)
}

fn common(headers: &HeaderMap) -> Forwarded {
    Forwarded {
        path: from_right(headers, "x-forwarded-for")
            .map_while(address)
            .collect(),
        scheme: from_right(headers, "x-forwarded-proto")
            .next()
            .and_then(scheme),
        host: from_right(headers, "x-forwarded-host")
            .next()
            .filter(|host| !host.is_empty())
            .map(str::to_owned),
    }
}

fn standard(headers: &HeaderMap) -> Forwarded {
    let mut read = Forwarded::default();
    let mut path_ends = false;
    for (index, element) in from_right(headers, header::FORWARDED.as_str()).enumerate() {
        let mut from = None;
        for pair in element.split(';') {
            let Some((name, value)) = pair.split_once('=') else {
                continue;
            };
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "for" => from = address(value),
                "proto" if index == 0 => read.scheme = scheme(value),
                "host" if index == 0 => read.host = Some(value.to_owned()),
                _ => {}
            }
        }
        match from {
            Some(from) if !path_ends => read.path.push(from),
            _ => path_ends = true,
        }
    }
    read
}

fn scheme(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "https" | "wss" => Some("https"),
        "http" | "ws" => Some("http"),
        _ => None,
    }
}

/// Reads `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` and `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let address = bare
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|with| with.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().expect("a header value"));
        }
        headers
    }

    fn path(lines: &[(&'static str, &'static str)]) -> Vec<String> {
        let read = read(&headers(lines));
        read.path.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn lists_are_read_from_the_right_over_all_lines() {
        let lines = [
            ("x-forwarded-for", "198.51.100.1, 203.0.113.7"),
            ("x-forwarded-for", "[2001:db8::1]:443, 10.0.0.2"),
        ];
        assert_eq!(
            path(&lines),
            ["10.0.0.2", "2001:db8::1", "203.0.113.7", "198.51.100.1"]
        );
    }

    #[test]
    fn reading_stops_at_what_is_no_address() {
        assert_eq!(
            path(&[("x-forwarded-for", "198.51.100.1, unknown, 10.0.0.2")]),
            ["10.0.0.2"]
        );
        assert_eq!(
            path(&[(
                "forwarded",
                "for=198.51.100.1, for=_hidden, for=\"[2001:db8::1]:4711\""
            )]),
            ["2001:db8::1"]
        );
    }

    #[test]
    fn the_nearest_proxy_names_scheme_and_host() {
        let read = read(&headers(&[(
            "forwarded",
            "for=192.0.2.9;host=evil.example;proto=http, For=192.0.2.1;Proto=HTTPS;host=live.example",
        )]));
        assert_eq!(read.scheme, Some("https"));
        assert_eq!(read.host.as_deref(), Some("live.example"));
    }

    #[test]
    fn two_kinds_that_differ_are_both_ignored() {
        let lines = [
            ("x-forwarded-for", "192.0.2.1"),
            ("forwarded", "for=192.0.2.2"),
        ];
        assert!(path(&lines).is_empty());
        let lines = [
            ("x-forwarded-for", "192.0.2.1"),
            ("forwarded", "for=192.0.2.1"),
        ];
        assert_eq!(path(&lines), ["192.0.2.1"]);
    }

    #[test]
    fn a_long_header_is_cut() {
        let long: &'static str = Box::leak(vec!["10.0.0.1"; 5000].join(",").into_boxed_str());
        assert_eq!(path(&[("x-forwarded-for", long)]).len(), MAX_PATH);
    }
}
