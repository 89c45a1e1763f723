//! Request bodies within their bounds: size, time, content type, encoding.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use http::{HeaderMap, HeaderName, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::Problem;

/// Content type of offers and answers (RFC 8866).
pub const SDP: &str = "application/sdp";
/// Content type of ICE fragments (RFC 8840).
pub const SDP_FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// Largest SDP body in bytes. Browsers send 5 to 15 KB; larger would only feed parsers.
pub const MAX_SDP: usize = 64 * 1024;
/// Largest JSON body in bytes; the control API's requests are a few hundred.
pub const MAX_JSON: usize = 64 * 1024;
/// Bytes of a body that is too large which are read so that its sender sees the answer. More
/// would let refused requests cost as much as accepted ones, less would cut off honest mistakes.
const MAX_DRAINED: usize = 1024 * 1024;
/// Longest time for a body to arrive after its headers. Longer holds memory for those who trickle
/// it in on purpose, shorter cuts off slow uplinks.
const DEADLINE: Duration = Duration::from_secs(5);

/// The media type of a body in lower case, without parameters; `None` where the header is absent
/// or unreadable.
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = value.split(';').next().unwrap_or(value).trim();
    Some(essence.to_ascii_lowercase())
}

/// Reads a body as text: 413 beyond `limit` bytes, 408 where it does not arrive, 400 where it is
/// no UTF-8.
pub async fn read_text(headers: &HeaderMap, body: Body, limit: usize) -> Result<String, Problem> {
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is larger than the {limit} bytes allowed here"),
        )
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok());
    if announced.is_some_and(|announced| announced > limit as u64) {
        drain(body).await;
        return Err(too_large());
    }
    let read = tokio::time::timeout(DEADLINE, Limited::new(body, limit).collect()).await;
    let bytes = match read {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large()),
        Ok(Err(_)) => return Err(Problem::bad_request("the body broke off")),
        Err(_) => {
            return Err(Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                format!("the body did not arrive within {} s", DEADLINE.as_secs()),
            ));
        }
    };
    String::from_utf8(bytes.into())
        .map_err(|_| Problem::bad_request("the body must be text in UTF-8"))
}

/// Reads and forgets a body that is refused: closing a connection on a client that still sends
/// resets it, and the client never sees the answer. Bounded in bytes and time.
async fn drain(mut body: Body) {
    let mut taken = 0;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            taken += frame.data_ref().map_or(0, |data| data.len());
            if taken > MAX_DRAINED {
                break;
            }
        }
    };
    // Whoever sends longer than that is cut off.
    let _ = tokio::time::timeout(DEADLINE, reading).await;
}

/// Refuses a body of another type, naming the right one in `accept` (`Accept-Post` or
/// `Accept-Patch`).
pub(crate) fn unsupported(
    found: Option<&str>,
    accept: HeaderName,
    wanted: &'static str,
) -> Problem {
    let detail = match found {
        Some(found) => format!("Content-Type is {found:?}; this takes {wanted}"),
        None => format!("Content-Type is missing; this takes {wanted}"),
    };
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail).header(accept, wanted)
}

/// Reads an SDP body of a POST: 415 for other content types, 400 where it is no SDP at all.
///
/// An empty body is returned as such, whatever its type: the early WHEP draft asks for our offer
/// that way.
pub async fn read_sdp(headers: &HeaderMap, body: Body) -> Result<String, Problem> {
    let found = media_type(headers);
    let is_sdp = found.as_deref() == Some(SDP);
    let empty = is_empty(headers, &body);
    if !is_sdp && !empty {
        return Err(unsupported(found.as_deref(), ACCEPT_POST, SDP));
    }
    let text = read_text(headers, body, MAX_SDP).await?;
    if text.trim().is_empty() {
        return Ok(String::new());
    }
    check_sdp(&text)?;
    Ok(text)
}

/// The first line of every session description (RFC 8866, section 5.1).
pub(crate) fn check_sdp(text: &str) -> Result<(), Problem> {
    if text.starts_with("v=0") {
        Ok(())
    } else {
        Err(Problem::bad_request(
            "the body is no session description: its first line must be \"v=0\"",
        ))
    }
}

/// `Accept-Post` (W3C Linked Data Platform), which RFC 9725 answers OPTIONS with.
pub(crate) const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
/// `Accept-Patch` (RFC 5789).
pub(crate) const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

fn is_empty(headers: &HeaderMap, body: &Body) -> bool {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .map(|value| value.as_bytes() == b"0");
    announced.unwrap_or(false) || body.is_end_stream()
}

/// Reads a JSON body: 415 for other content types, 422 for values that do not fit, 400 for what is
/// no JSON. An empty body is `T`'s default.
pub async fn read_json<T: DeserializeOwned + Default>(
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    let found = media_type(headers);
    let text = read_text(headers, body, MAX_JSON).await?;
    if text.trim().is_empty() {
        return Ok(T::default());
    }
    if found.as_deref() != Some("application/json") {
        return Err(unsupported(
            found.as_deref(),
            ACCEPT_POST,
            "application/json",
        ));
    }
    serde_json::from_str(&text).map_err(|error| {
        if error.is_data() {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
        } else {
            Problem::bad_request(format!("the body is no JSON: {error}"))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;

    fn status(result: Result<String, Problem>) -> u16 {
        result.expect_err("a refusal").status().as_u16()
    }

    /// A body without a length in front, as HTTP/2 and chunked uploads have it.
    fn chunks(count: usize) -> Body {
        let chunks = (0..count).map(|_| Ok::<_, std::io::Error>("v=0\r\n"));
        Body::from_stream(stream::iter(chunks))
    }

    #[tokio::test]
    async fn the_limit_holds_with_and_without_an_announced_length() {
        let none = HeaderMap::new();
        let mut announced = HeaderMap::new();
        announced.insert(header::CONTENT_LENGTH, 1_000_000.into());
        let read = read_text(&none, chunks(2), 10).await;
        assert_eq!(read, Ok("v=0\r\nv=0\r\n".to_owned()));
        assert_eq!(status(read_text(&none, chunks(3), 10).await), 413);
        // Not one byte of it needs to come.
        let never = Body::from_stream(stream::pending::<Result<&str, std::io::Error>>());
        assert_eq!(status(read_text(&announced, never, 10).await), 413);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        let never = Body::from_stream(stream::pending::<Result<&str, std::io::Error>>());
        assert_eq!(status(read_text(&HeaderMap::new(), never, 10).await), 408);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_or_is_no_text_is_refused() {
        let none = HeaderMap::new();
        let broken = [Ok("v=0"), Err(std::io::Error::other("gone"))];
        let broken = Body::from_stream(stream::iter(broken));
        assert_eq!(status(read_text(&none, broken, 10).await), 400);
        let bytes = Body::from(vec![0xff, 0xfe]);
        assert_eq!(status(read_text(&none, bytes, 10).await), 400);
    }
}
