//! What clients show to prove who they are: Basic (RFC 7617) and Digest (RFC 2617, RFC 7616).

use std::fmt::Write as _;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

/// The realm of all rooms.
pub(super) const REALM: &str = "Inver";

/// The hash of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// What cameras and most players know.
    Md5,
    /// What RFC 7616 brought.
    Sha256,
}

impl Algorithm {
    /// The name in headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// The algorithm of a parameter, by default MD5; `None` for others.
    pub(super) fn parse(name: Option<&str>) -> Option<Self> {
        match name {
            None => Some(Self::Md5),
            Some(name) if name.eq_ignore_ascii_case("MD5") => Some(Self::Md5),
            Some(name) if name.eq_ignore_ascii_case("SHA-256") => Some(Self::Sha256),
            Some(_) => None,
        }
    }

    /// The hash of a text in hexadecimal digits.
    pub fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(text.as_bytes())),
            Self::Sha256 => hex(digest(&SHA256, text.as_bytes()).as_ref()),
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A header `Authorization`.
#[derive(Clone, PartialEq, Eq)]
pub enum Authorization {
    /// The password itself, readable on the way.
    Basic {
        /// What stands before the colon.
        user: String,
        /// What stands behind it.
        password: String,
    },
    /// A proof of the password.
    Digest(Digest),
}

impl std::fmt::Debug for Authorization {
    /// Tells the scheme alone.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic",
            Self::Digest(_) => "Digest",
        })
    }
}

/// A digest: a hash of password, nonce and request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// The hash.
    pub algorithm: Algorithm,
    /// Whose password.
    pub user: String,
    /// The realm that the client was told.
    pub realm: String,
    /// The nonce that the client was told.
    pub nonce: String,
    /// The URI that it was made for.
    pub uri: String,
    /// The hash in hexadecimal digits.
    pub response: String,
    /// Where the client chose `qop=auth`: its count and its own nonce.
    pub quality: Option<(String, String)>,
}

impl Authorization {
    /// Reads a header value; `None` for other schemes and for nonsense.
    pub fn parse(value: &str) -> Option<Self> {
        let (scheme, rest) = value.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("basic") {
            let bytes = STANDARD.decode(rest.trim()).ok()?;
            let text = String::from_utf8(bytes).ok()?;
            let (user, password) = text.split_once(':')?;
            return Some(Self::Basic {
                user: user.to_owned(),
                password: password.to_owned(),
            });
        }
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let parameters = parameters(rest);
        let find = |name: &str| {
            let mut named = parameters.iter();
            named
                .find(|(parameter, _)| parameter.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.clone())
        };
        let algorithm = Algorithm::parse(find("algorithm").as_deref())?;
        let quality = match find("qop") {
            None => None,
            Some(qop) if qop == "auth" => Some((find("nc")?, find("cnonce")?)),
            Some(_) => return None,
        };
        Some(Self::Digest(Digest {
            algorithm,
            user: find("username")?,
            realm: find("realm")?,
            nonce: find("nonce")?,
            uri: find("uri")?,
            response: find("response")?,
            quality,
        }))
    }
}

impl Digest {
    /// Whether it was made with this password for this method.
    pub fn proves(&self, method: &str, password: &str) -> bool {
        let expected = self.expected(method, password);
        let shown = self.response.to_ascii_lowercase();
        verify_slices_are_equal(expected.as_bytes(), shown.as_bytes()).is_ok()
    }

    /// What [`Self::response`] has to be.
    pub fn expected(&self, method: &str, password: &str) -> String {
        let hash = |text: &str| self.algorithm.hash(text);
        let who = hash(&format!("{}:{}:{password}", self.user, self.realm));
        let what = hash(&format!("{method}:{}", self.uri));
        let nonce = &self.nonce;
        match &self.quality {
            None => hash(&format!("{who}:{nonce}:{what}")),
            Some((count, own)) => hash(&format!("{who}:{nonce}:{count}:{own}:auth:{what}")),
        }
    }
}

/// `name=value` or `name="value"`, with commas between.
pub(super) fn parameters(mut text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    while let Some((name, rest)) = text.split_once('=') {
        let name = name.trim_matches([' ', ',', '\t']).to_owned();
        let rest = rest.trim_start();
        let (value, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_once(',').unwrap_or((rest, "")),
        };
        found.push((name, value.trim().to_owned()));
        text = behind;
    }
    found
}
