//! The access token: asked for once, kept until shortly before it expires.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use inver_control::Secret;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::fault::Fault;
use crate::outbound::{Post, Transport};

/// How long before its end a token is replaced: clocks differ and requests take time. Of short
/// tokens a tenth of their life.
const MARGIN: Duration = Duration::from_secs(60);

/// Life of a token that does not say (RFC 6749 section 5.1 leaves it open).
const UNSAID: Duration = Duration::from_secs(600);

/// Longest life that is believed: a token that was withdrawn is found out by a 401 anyway.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A token for `Authorization`.
#[derive(Clone)]
pub(super) struct Token {
    /// `Bearer ...`, marked as sensitive so that it is never printed.
    pub(super) bearer: HeaderValue,
    replaced_at: Instant,
    number: u64,
}

/// The one token that is current.
pub(super) struct Tokens {
    url: Url,
    /// The body of the request for a token.
    form: Secret,
    /// Held while a token is asked for, so that many who need one ask once.
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    token: Option<Token>,
    made: u64,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    token_type: Option<String>,
    expires_in: Option<f64>,
}

impl Tokens {
    pub(super) fn new(url: Url, client_id: &str, client_secret: &Secret) -> Self {
        let escaped = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope=streamkey",
            escaped(client_id),
            escaped(client_secret.reveal()),
        );
        Self {
            url,
            form: Secret::new(form),
            current: Mutex::default(),
        }
    }

    /// The token, a new one where there is none or it is about to expire.
    pub(super) async fn current(&self, transport: &dyn Transport) -> Result<Token, Fault> {
        let mut current = self.current.lock().await;
        if let Some(token) = &current.token
            && Instant::now() < token.replaced_at
        {
            return Ok(token.clone());
        }
        current.token = None;
        let number = current.made + 1;
        let token = self.grant(transport, number).await?;
        current.made = number;
        current.token = Some(token.clone());
        Ok(token)
    }

    /// The service does not take this token: the next one who needs one gets a new one.
    pub(super) async fn forget(&self, token: &Token) {
        let mut current = self.current.lock().await;
        // Somebody else may have replaced it meanwhile.
        if current.token.as_ref().map(|current| current.number) == Some(token.number) {
            current.token = None;
        }
    }

    async fn grant(&self, transport: &dyn Transport, number: u64) -> Result<Token, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let asked = Instant::now();
        let answer = transport
            .post(Post {
                url: self.url.clone(),
                headers,
                body: Bytes::copy_from_slice(self.form.reveal().as_bytes()),
            })
            .await?;
        let status = answer.status.as_u16();
        if answer.status.is_redirection() {
            return Err(Fault::Redirected(status));
        }
        if !answer.status.is_success() {
            return Err(Fault::NoAccess(status));
        }
        let unread = || Fault::Malformed("a token was granted in no known form".to_owned());
        let granted: Granted = serde_json::from_slice(&answer.body).map_err(|_| unread())?;
        let bearer = granted.token_type.as_deref().unwrap_or("bearer");
        if !bearer.eq_ignore_ascii_case("bearer") || granted.access_token.is_empty() {
            return Err(unread());
        }
        let text = Secret::new(format!("Bearer {}", granted.access_token));
        let mut bearer = HeaderValue::from_str(text.reveal()).map_err(|_| unread())?;
        bearer.set_sensitive(true);
        Ok(Token {
            bearer,
            replaced_at: asked + usable(granted.expires_in),
            number,
        })
    }
}

/// How long a token of this life, in seconds, is used.
fn usable(expires_in: Option<f64>) -> Duration {
    let life = expires_in.map_or(UNSAID, |seconds| {
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)
    });
    let life = life.min(LONGEST);
    life - MARGIN.min(life / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_replaced_before_it_expires() {
        let seconds = |life| usable(life).as_secs_f64();
        assert!((seconds(Some(3600.0)) - 3540.0).abs() < 1e-6);
        assert!((seconds(Some(100.0)) - 90.0).abs() < 1e-6);
        assert!((seconds(None) - 540.0).abs() < 1e-6);
        for nonsense in [0.0, -5.0, f64::NAN] {
            assert!(seconds(Some(nonsense)).abs() < 1e-6);
        }
        assert!(usable(Some(1e30)) <= LONGEST);
    }
}
