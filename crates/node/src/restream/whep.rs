//! Where a WHEP pull comes from: `https://:token@host/whep/room`.

use inver_control::Secret;
use reqwest::Url;

/// A WHEP URL of another server. `Debug` shows neither token nor path.
#[derive(Clone)]
pub struct WhepTarget {
    /// The URL, without login.
    pub url: Url,
    /// Bearer token, which stands in the address as its password, or as its user alone.
    pub token: Option<Secret>,
}

impl std::fmt::Debug for WhepTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WhepTarget")
            .field("host", &self.host())
            .field("port", &self.port())
            .finish_non_exhaustive()
    }
}

impl WhepTarget {
    /// Takes an address apart.
    ///
    /// # Errors
    /// Says what is wrong and what would be right, without repeating the address.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        const RIGHT: &str = "write a WHEP URL like https://host/whep/room, or with a token \
                             https://:token@host/whep/room";
        let mut url = Url::parse(text).map_err(|_| format!("the url does not parse; {RIGHT}"))?;
        if url.host_str().is_none_or(str::is_empty) || url.port() == Some(0) {
            return Err(format!("the url has no usable host and port; {RIGHT}"));
        }
        let path = url.path().to_ascii_lowercase();
        if path.ends_with(".m3u8") || path.ends_with(".mpd") {
            return Err(format!("HLS and DASH are not pulled; {RIGHT}"));
        }
        let login = url.password().unwrap_or_else(|| url.username());
        let token = decoded(login)?;
        let cleared = url.set_password(None).and_then(|()| url.set_username(""));
        cleared.map_err(|()| format!("the url cannot have a token; {RIGHT}"))?;
        url.set_fragment(None);
        Ok(Self {
            url,
            token: (!token.is_empty()).then(|| Secret::new(token)),
        })
    }

    /// The host, an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(443)
    }

    /// The address without token, path and query.
    pub(super) fn shown(&self) -> String {
        let path = if self.secrets().is_empty() {
            ""
        } else {
            "/***"
        };
        let (scheme, host) = (self.url.scheme(), self.host());
        format!("{scheme}://{host}:{}{path}", self.port())
    }

    /// What may be a secret, the longest first.
    pub(super) fn secrets(&self) -> Vec<&str> {
        let token = self.token.as_ref().map(Secret::reveal);
        let query = self.url.query();
        let path = self.url.path().trim_matches('/');
        let all = [token, query, Some(path)].into_iter().flatten();
        all.filter(|secret| secret.len() > 1).collect()
    }
}

/// Without percent encoding; what is no text or would break a header is refused.
fn decoded(login: &str) -> Result<String, String> {
    let wrong = || "the token in the url has control characters or is no text".to_owned();
    let mut bytes = Vec::with_capacity(login.len());
    let mut rest = login.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let value = digit().and_then(|high| Some(high * 16 + digit()?));
        bytes.push(
            value
                .and_then(|value| u8::try_from(value).ok())
                .ok_or_else(wrong)?,
        );
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    if text.chars().any(char::is_control) {
        return Err(wrong());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_before_the_host_and_is_not_shown() {
        for (url, token, shown) in [
            (
                "https://a.example/whep/room",
                None,
                "https://a.example:443/***",
            ),
            (
                "http://:geheim@a.example:8080/whep/room#x",
                Some("geheim"),
                "http://a.example:8080/***",
            ),
            (
                "https://geheim%2F1@[::1]/",
                Some("geheim/1"),
                "https://[::1]:443/***",
            ),
            (
                "https://user:geheim@a.example",
                Some("geheim"),
                "https://a.example:443/***",
            ),
        ] {
            let target = WhepTarget::parse(url).expect(url);
            assert_eq!(target.token.as_ref().map(Secret::reveal), token, "{url}");
            assert_eq!(target.shown(), shown);
            assert!(!target.url.as_str().contains("geheim"), "{url}");
            assert!(!format!("{target:?}").contains("geheim"), "{url}");
        }
        // Numbers that stand for addresses are spelled out, so that the guard sees them.
        let short = WhepTarget::parse("http://127.1/whep/room").expect("an address");
        assert_eq!(short.host(), "127.0.0.1");
    }

    #[test]
    fn what_is_wrong_is_named_without_secrets() {
        for (url, word) in [
            ("https://geheim:99999999@", "parse"),
            ("https://a/live/geheim.m3u8", "HLS"),
            ("https://%0a:geheim%0d@a/x", "control"),
            ("https://:geheim%zz@a/x", "text"),
        ] {
            let error = WhepTarget::parse(url).expect_err(url);
            assert!(error.contains(word), "{url}: {error}");
            assert!(!error.contains("geheim"), "{url}: {error}");
        }
    }
}
