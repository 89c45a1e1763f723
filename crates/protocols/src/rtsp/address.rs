//! What a request's URI names.

/// Parameters of a query that are looked at.
const MAX_PARAMETERS: usize = 16;

/// A URI taken apart: `rtsp://host/path?query`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Without query and without a slash at the end.
    base: String,
    path: String,
    query: Vec<(String, String)>,
}

impl Address {
    /// Takes a URI apart; `None` where it is none of RTSP.
    pub fn parse(uri: &str) -> Option<Self> {
        let (scheme, rest) = uri.split_once("://")?;
        if !scheme.eq_ignore_ascii_case("rtsp") && !scheme.eq_ignore_ascii_case("rtsps") {
            return None;
        }
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (_, path) = before.split_once('/').unwrap_or((before, ""));
        let query = query.split('&').take(MAX_PARAMETERS).filter_map(|one| {
            let (name, value) = one.split_once('=')?;
            Some((decoded(name)?, decoded(value)?))
        });
        Some(Self {
            base: format!("{scheme}://{}", before.trim_end_matches('/')),
            path: decoded(path.trim_matches('/'))?,
            query: query.collect(),
        })
    }

    /// The path, without slashes around it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A parameter of the query.
    pub fn query(&self, name: &str) -> Option<&str> {
        let mut named = self.query.iter();
        named
            .find(|(parameter, _)| parameter == name)
            .map(|(_, value)| value.as_str())
    }

    /// The URI without its query, below which tracks have theirs.
    pub fn base(&self) -> &str {
        &self.base
    }
}

/// Without percent encoding.
fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        out.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
    }
    String::from_utf8(out).ok()
}
