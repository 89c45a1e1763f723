//! `Link` headers (RFC 8288): ICE servers (RFC 9725, section 4.6) and extensions.

use http::{HeaderMap, HeaderValue, header};
use inver_proto::IceServer;

/// Adds one `Link` header for each URL of each ICE server.
///
/// What cannot stand in a header (a line break in a credential) is left out with a warning.
pub fn ice_servers(headers: &mut HeaderMap, servers: &[IceServer]) {
    for server in servers {
        for url in &server.urls {
            let mut value = format!("<{url}>; rel=\"ice-server\"");
            if let (Some(username), Some(credential)) = (&server.username, &server.credential) {
                value.push_str("; username=");
                quote(&mut value, username);
                value.push_str("; credential=");
                quote(&mut value, credential);
                value.push_str("; credential-type=\"password\"");
            }
            append(headers, &value, url);
        }
    }
}

/// Adds a `Link` to an extension of the session.
///
/// `events` are the names that the server-sent events extension advertises.
pub fn relation(headers: &mut HeaderMap, url: &str, rel: &str, events: Option<&str>) {
    let mut value = format!("<{url}>; rel=\"{rel}\"");
    if let Some(events) = events {
        value.push_str("; events=");
        quote(&mut value, events);
    }
    append(headers, &value, url);
}

fn append(headers: &mut HeaderMap, value: &str, url: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => {
            headers.append(header::LINK, value);
        }
        Err(_) => tracing::warn!(url, "left out a link that cannot stand in a header"),
    }
}

/// Appends a quoted string (RFC 9110, section 5.6.4).
fn quote(to: &mut String, text: &str) {
    to.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            to.push('\\');
        }
        to.push(c);
    }
    to.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_header_for_each_url() {
        let mut headers = HeaderMap::new();
        let servers = [
            IceServer {
                urls: vec!["stun:stun.example.net".to_owned()],
                username: None,
                credential: None,
            },
            IceServer {
                urls: vec![
                    "turn:turn.example.net?transport=udp".to_owned(),
                    "turn:turn.example.net?transport=tcp".to_owned(),
                ],
                username: Some("user".to_owned()),
                credential: Some("a\"b".to_owned()),
            },
        ];
        ice_servers(&mut headers, &servers);
        let links: Vec<_> = headers.get_all(header::LINK).iter().collect();
        assert_eq!(
            links,
            [
                "<stun:stun.example.net>; rel=\"ice-server\"",
                "<turn:turn.example.net?transport=udp>; rel=\"ice-server\"; username=\"user\"; \
                 credential=\"a\\\"b\"; credential-type=\"password\"",
                "<turn:turn.example.net?transport=tcp>; rel=\"ice-server\"; username=\"user\"; \
                 credential=\"a\\\"b\"; credential-type=\"password\"",
            ]
        );
    }

    #[test]
    fn a_line_break_never_reaches_a_header() {
        let mut headers = HeaderMap::new();
        relation(&mut headers, "/x\r\nSet-Cookie: a=b", "y", None);
        assert!(headers.is_empty());
    }
}
