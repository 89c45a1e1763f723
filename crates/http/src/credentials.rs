//! Bearer tokens (RFC 6750, section 2.1). Never logged, never read from a query string.

use http::{HeaderMap, header};
use inver_node::Credentials;

/// What the `Authorization` header shows.
///
/// Other schemes than `Bearer` count as nothing: a proxy in front may use them for itself.
pub fn bearer(headers: &HeaderMap) -> Credentials {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Credentials::NONE;
    };
    let Ok(value) = value.to_str() else {
        return Credentials::NONE;
    };
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Credentials::bearer(token)
        }
        Some(_) | None => Credentials::NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &'static str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::AUTHORIZATION,
            value.parse().expect("a header value"),
        );
        bearer(&headers)
            .secret()
            .map(|secret| secret.reveal().to_owned())
    }

    #[test]
    fn only_bearer_tokens_count() {
        assert_eq!(shown("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(shown("bearer  abc ").as_deref(), Some("abc"));
        assert_eq!(shown("Basic YTpi"), None);
        assert_eq!(shown("Bearer"), None);
        assert_eq!(shown("Bearer  "), None);
        assert_eq!(bearer(&HeaderMap::new()).secret().map(|_| ()), None);
    }
}
