//! Files over HTTP: one range at a time (RFC 9110, 14), entity tags, signed links.

use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::{hmac, rand};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use inver_http::Problem;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::storage::{Bucket, Failure};

/// How long a link is good: a film and a pause.
const GOOD_FOR: Duration = Duration::from_secs(6 * 3600);

/// Bytes that are read at once: less costs more trips to the disk's thread, more costs memory for
/// each download.
const PIECE: usize = 64 * 1024;

/// Bytes that are asked of a storage at once: less costs more round trips, more costs memory for
/// each download.
const FETCHED: u64 = 2 << 20;

/// Signs links to files, so that players and downloads need no token. Links end with the process.
pub(super) struct Signer(hmac::Key);

impl Default for Signer {
    fn default() -> Self {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).expect("the system has random bytes");
        Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
    }
}

impl Signer {
    /// The query of a link to a file.
    pub(super) fn sign(&self, id: &str, name: &str) -> String {
        let expires = now() + GOOD_FOR.as_secs();
        let signature = hmac::sign(&self.0, said(id, name, expires).as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(signature);
        format!("expires={expires}&signature={signature}")
    }

    /// Refuses a link that is not ours or no longer good.
    pub(super) fn verify(
        &self,
        id: &str,
        name: &str,
        expires: u64,
        signature: &str,
    ) -> Result<(), Problem> {
        let refused = |detail| Problem::new(StatusCode::UNAUTHORIZED, detail);
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        hmac::verify(&self.0, said(id, name, expires).as_bytes(), &signature)
            .map_err(|_| refused("this link was not made by this server since it started"))?;
        if expires < now() {
            return Err(refused(
                "this link is no longer good; ask for the recording again",
            ));
        }
        Ok(())
    }
}

fn said(id: &str, name: &str, expires: u64) -> String {
    format!("recording\n{id}\n{name}\n{expires}")
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// What a `Range` header asks of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Whole,
    /// From and including, to and including.
    Range(u64, u64),
    Nothing,
}

/// Reads a `Range` of a file of `len` bytes. What cannot be read is ignored, and so are several
/// ranges at once, which a server need not serve.
fn wanted(range: Option<&str>, len: u64) -> Wanted {
    let Some((first, last)) = range
        .and_then(|range| range.trim().strip_prefix("bytes="))
        .and_then(|range| range.split_once('-'))
    else {
        return Wanted::Whole;
    };
    let number = |text: &str| -> Option<u64> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // A number too large for us is behind every end.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let (first, last) = (first.trim(), last.trim());
    match (number(first), number(last)) {
        (Some(first), None) if last.is_empty() && first < len => Wanted::Range(first, len - 1),
        (Some(_), None) if last.is_empty() => Wanted::Nothing,
        (Some(first), Some(last)) if first > last => Wanted::Whole,
        (Some(first), Some(last)) if first < len => Wanted::Range(first, last.min(len - 1)),
        (Some(_), Some(_)) => Wanted::Nothing,
        (None, Some(0)) if first.is_empty() => Wanted::Nothing,
        (None, Some(_)) if first.is_empty() && len == 0 => Wanted::Nothing,
        (None, Some(tail)) if first.is_empty() => Wanted::Range(len.saturating_sub(tail), len - 1),
        _ => Wanted::Whole,
    }
}

/// Where a file's bytes come from.
#[derive(Debug)]
pub(super) enum Source {
    /// The disk.
    Disk(PathBuf),
    /// A storage that has the whole file, which changes no more.
    Stored {
        /// The storage.
        bucket: Bucket,
        /// The recording's place there.
        location: String,
        /// The file's name there.
        name: String,
        /// Its length.
        len: u64,
    },
}

/// A source that answered.
enum Opened {
    Disk(File),
    Stored(Bucket, String, String),
}

impl Source {
    /// Opens it; gives its length and its entity tag.
    async fn open(self) -> Result<(Opened, u64, String), Problem> {
        match self {
            Self::Disk(path) => {
                let opened = async {
                    let file = File::open(&path).await?;
                    let metadata = file.metadata().await?;
                    Ok::<_, std::io::Error>((file, metadata))
                };
                let (file, metadata) = opened.await.map_err(|error| {
                    tracing::warn!(path = %path.display(), %error, "a recording's file cannot be read");
                    gone()
                })?;
                let len = metadata.len();
                let modified = metadata.modified().ok();
                let modified = modified.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
                let tag = format!("\"{:x}-{len:x}\"", modified.unwrap_or_default().as_nanos());
                Ok((Opened::Disk(file), len, tag))
            }
            Self::Stored {
                bucket,
                location,
                name,
                len,
            } => {
                let tag = format!("\"stored-{len:x}\"");
                Ok((Opened::Stored(bucket, location, name), len, tag))
            }
        }
    }
}

fn gone() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "the file of this recording is not there any more",
    )
}

fn unreachable(failure: &Failure) -> Problem {
    if let Failure::Missing = failure {
        return gone();
    }
    tracing::warn!(%failure, "a recording's file cannot be had from the storage");
    let detail = "the storage that has this file does not give it now; try again later";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}

/// What a file is, by its name.
pub(super) fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("mp4") => "video/mp4",
        Some("webm") => "video/webm",
        Some("jpg") => "image/jpeg",
        Some("json") => "application/json",
        Some(_) | None => "application/octet-stream",
    }
}

/// Serves a file. `name` is what a browser saves it as.
pub(super) async fn serve(
    source: Source,
    name: &str,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let (opened, len, tag) = source.open().await?;
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let known = text(header::IF_NONE_MATCH);
    let known = known.is_some_and(|tags| {
        tags.split(',')
            .map(str::trim)
            .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
    });
    // A range of something else than what the client has begun with would spoil its file.
    let range = match text(header::IF_RANGE) {
        Some(condition) if condition.trim() != tag => None,
        Some(_) | None => text(header::RANGE),
    };
    let (status, first, count) = match wanted(range, len) {
        _ if known => (StatusCode::NOT_MODIFIED, 0, 0),
        Wanted::Whole => (StatusCode::OK, 0, len),
        Wanted::Range(first, last) => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Wanted::Nothing => {
            let detail = format!("the file has {len} bytes, and the range none of them");
            let mut response =
                Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, detail).into_response();
            set(
                &mut response,
                header::CONTENT_RANGE,
                &format!("bytes */{len}"),
            );
            return Ok(response);
        }
    };
    let body = if status == StatusCode::NOT_MODIFIED || count == 0 {
        Body::empty()
    } else {
        match opened {
            Opened::Disk(mut file) => {
                let sought = file.seek(std::io::SeekFrom::Start(first)).await;
                sought.map_err(|_| gone())?;
                Body::from_stream(pieces(file, count))
            }
            Opened::Stored(bucket, location, name) => {
                // An answer that says that all is well comes once something is there.
                let end = first + count.min(FETCHED);
                let begin = bucket.read(&location, &name, first..end).await;
                let begin = begin.map_err(|failure| unreachable(&failure))?;
                let range = end..first + count;
                Body::from_stream(fetched(begin, bucket, location, name, range))
            }
        }
    };
    let mut response = (status, body).into_response();
    set(&mut response, header::ETAG, &tag);
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    set(&mut response, header::CACHE_CONTROL, "private, no-cache");
    if status == StatusCode::NOT_MODIFIED {
        return Ok(response);
    }
    set(&mut response, header::CONTENT_TYPE, content_type(name));
    set(&mut response, header::CONTENT_LENGTH, &count.to_string());
    // Names are letters, digits, '-', '_' and '.'.
    let disposition = format!("inline; filename=\"{name}\"");
    set(&mut response, header::CONTENT_DISPOSITION, &disposition);
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {first}-{}/{len}", first + count - 1);
        set(&mut response, header::CONTENT_RANGE, &range);
    }
    Ok(response)
}

fn set(response: &mut Response, name: http::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// So many bytes of a file from where it stands.
fn pieces(file: File, count: u64) -> impl futures::Stream<Item = std::io::Result<Vec<u8>>> {
    async_stream::stream! {
        let mut file = file.take(count);
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            match file.read_buf(&mut piece).await {
                Ok(0) => return,
                Ok(_) => yield Ok(piece),
                Err(error) => {
                    yield Err(error);
                    return;
                }
            }
        }
    }
}

/// What is fetched already, and then the rest, piece by piece as the client takes it.
fn fetched(
    begin: Bytes,
    bucket: Bucket,
    location: String,
    name: String,
    range: Range<u64>,
) -> impl futures::Stream<Item = std::io::Result<Bytes>> {
    async_stream::stream! {
        yield Ok(begin);
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min(at + FETCHED);
            match bucket.read(&location, &name, at..end).await {
                Ok(piece) => yield Ok(piece),
                Err(failure) => {
                    tracing::warn!(%location, %failure, "a download from the storage ends early");
                    yield Err(std::io::Error::other(failure));
                    return;
                }
            }
            at = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_specification_says() {
        for (range, expected) in [
            (None, Wanted::Whole),
            (Some("bytes=0-0"), Wanted::Range(0, 0)),
            (Some("bytes=2-"), Wanted::Range(2, 9)),
            (Some("bytes=2-100"), Wanted::Range(2, 9)),
            (Some("bytes=-3"), Wanted::Range(7, 9)),
            (Some("bytes=-30"), Wanted::Range(0, 9)),
            (Some("bytes=10-"), Wanted::Nothing),
            (Some("bytes=-0"), Wanted::Nothing),
            (Some("bytes=99999999999999999999-"), Wanted::Nothing),
            (Some("bytes=5-2"), Wanted::Whole),
            (Some("bytes=0-1,3-4"), Wanted::Whole),
            (Some("bytes=a-b"), Wanted::Whole),
            (Some("bytes=-"), Wanted::Whole),
            (Some("items=0-1"), Wanted::Whole),
        ] {
            assert_eq!(wanted(range, 10), expected, "{range:?}");
        }
        assert_eq!(wanted(Some("bytes=-1"), 0), Wanted::Nothing);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Nothing);
    }

    #[test]
    fn a_link_is_good_for_its_file_alone() {
        let signer = Signer::default();
        let query = signer.sign("room-1", "0001.mp4");
        let (expires, signature) = query.split_once('&').expect("two parameters");
        let expires: u64 = expires["expires=".len()..].parse().expect("a number");
        let signature = &signature["signature=".len()..];
        let verify = |name, expires| signer.verify("room-1", name, expires, signature);
        assert!(verify("0001.mp4", expires).is_ok());
        assert!(verify("0002.mp4", expires).is_err());
        assert!(verify("0001.mp4", expires + 1).is_err());
        assert!(signer.verify("room-1", "0001.mp4", expires, "%").is_err());
    }
}
