//! What a server wants to be shown, and what a client shows: Basic (RFC 7617) and Digest
//! (RFC 2617, RFC 7616).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::authorization::parameters;
use super::target::Login;
use super::{Algorithm, Digest};

/// A header `WWW-Authenticate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// The password itself.
    Basic,
    /// A proof of it.
    Digest {
        algorithm: Algorithm,
        realm: String,
        nonce: String,
        /// What has to be sent back as it came.
        opaque: Option<String>,
        /// Whether the client has to count (`qop=auth`).
        counts: bool,
    },
}

impl Challenge {
    /// The best of what a server offers: the password itself only where it takes no proof.
    pub(super) fn best<'a>(values: impl Iterator<Item = &'a str>) -> Option<Self> {
        values
            .take(8)
            .filter_map(Self::parse)
            .max_by_key(|one| match one {
                Self::Basic => 0,
                Self::Digest {
                    algorithm: Algorithm::Md5,
                    ..
                } => 1,
                Self::Digest {
                    algorithm: Algorithm::Sha256,
                    ..
                } => 2,
            })
    }

    fn parse(value: &str) -> Option<Self> {
        let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
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
        let counts = match find("qop") {
            None => false,
            Some(offered) => {
                let mut offered = offered.split(',');
                // What hashes bodies too is not spoken here.
                offered.any(|one| one.trim() == "auth").then_some(true)?
            }
        };
        Some(Self::Digest {
            algorithm: Algorithm::parse(find("algorithm").as_deref())?,
            realm: find("realm")?,
            nonce: find("nonce")?,
            opaque: find("opaque"),
            counts,
        })
    }

    /// Whether its nonce is another one: then an old proof says nothing of the password.
    pub(super) fn is_newer_than(&self, old: Option<&Self>) -> bool {
        let nonce = |challenge: &Self| match challenge {
            Self::Basic => None,
            Self::Digest { nonce, .. } => Some(nonce.clone()),
        };
        nonce(self) != old.and_then(nonce)
    }

    /// The header `Authorization` for a request; `count` is that of the challenge's requests, from
    /// 1, and `own` a nonce of the client's.
    pub(super) fn answer(
        &self,
        login: &Login,
        method: &str,
        uri: &str,
        count: u32,
        own: &str,
    ) -> String {
        let Login { user, password } = login;
        let Self::Digest {
            algorithm,
            realm,
            nonce,
            opaque,
            counts,
        } = self
        else {
            return format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        };
        let count = format!("{count:08x}");
        let digest = Digest {
            algorithm: *algorithm,
            user: user.clone(),
            realm: realm.clone(),
            nonce: nonce.clone(),
            uri: uri.to_owned(),
            response: String::new(),
            quality: counts.then(|| (count.clone(), own.to_owned())),
        };
        let response = digest.expected(method, password);
        let name = user.replace('\\', "\\\\").replace('"', "\\\"");
        let mut text = format!(
            "Digest username=\"{name}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\""
        );
        // Servers that named none may not know the word.
        if *algorithm != Algorithm::Md5 {
            text.push_str(&format!(", algorithm={}", algorithm.name()));
        }
        if let Some(opaque) = opaque {
            text.push_str(&format!(", opaque=\"{opaque}\""));
        }
        if *counts {
            text.push_str(&format!(", qop=auth, nc={count}, cnonce=\"{own}\""));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtsp::Authorization;

    fn login() -> Login {
        Login {
            user: "camera".to_owned(),
            password: "geheim".to_owned(),
        }
    }

    #[test]
    fn the_best_of_what_is_offered_is_answered() {
        let offered = [
            "Basic realm=\"x\"",
            "Digest realm=\"x\", nonce=\"n\", algorithm=MD5, opaque=\"o\", qop=\"auth,auth-int\"",
            "Digest realm=\"x\", nonce=\"n\", algorithm=MD5-sess",
            "Digest realm=\"x\", nonce=\"m\", qop=\"auth-int\"",
            "Bearer",
        ];
        let best = Challenge::best(offered.into_iter()).expect("one that is known");
        let shown = best.answer(&login(), "DESCRIBE", "rtsp://h/x", 1, "own");
        assert!(
            shown.contains("opaque=\"o\"") && shown.contains("nc=00000001"),
            "{shown}"
        );
        assert!(!shown.contains("geheim"), "{shown}");
        let Some(Authorization::Digest(digest)) = Authorization::parse(&shown) else {
            panic!("no digest: {shown}");
        };
        assert!(digest.proves("DESCRIBE", "geheim"));
        assert!(!digest.proves("DESCRIBE", "other"));

        let basic = Challenge::best(["Basic"].into_iter()).expect("Basic");
        let shown = basic.answer(&login(), "PLAY", "rtsp://h/x", 1, "own");
        assert_eq!(shown, "Basic Y2FtZXJhOmdlaGVpbQ==");
        assert_eq!(Challenge::best(["Bearer x"].into_iter()), None);
    }

    #[test]
    fn old_and_new_servers_take_the_digest() {
        for offered in [
            "Digest realm=\"x\", nonce=\"n\"",
            "Digest realm=\"x\", nonce=\"n\", algorithm=SHA-256",
        ] {
            let best = Challenge::best([offered].into_iter()).expect("a digest");
            let shown = best.answer(&login(), "SETUP", "rtsp://h/x/1", 7, "own");
            assert!(!shown.contains("qop"), "{shown}");
            let Some(Authorization::Digest(digest)) = Authorization::parse(&shown) else {
                panic!("no digest: {shown}");
            };
            assert!(digest.proves("SETUP", "geheim"), "{shown}");
        }
    }
}
