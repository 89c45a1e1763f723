//! Bytes into requests, answers and interleaved packets (RFC 2326, 10.12).

use super::{Error, Request, Response};

/// Bytes of the lines before a body. Clients send a few hundred; more would only let a client keep
/// more memory busy.
pub const MAX_HEAD: usize = 8 * 1024;

/// Bytes of a body: descriptions have one or two thousand.
pub const MAX_BODY: usize = 64 * 1024;

/// One thing that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A request.
    Request(Request),
    /// An answer.
    Answer(Response),
    /// A packet between the requests.
    Packet {
        /// Its channel, as SETUP numbered it.
        channel: u8,
        /// RTP or RTCP.
        data: Vec<u8>,
    },
}

/// Takes a connection's bytes apart. Holds one part and what was pushed behind it.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: Vec<u8>,
    /// Where the next part begins.
    start: usize,
    /// Up to where the end of a head was looked for.
    searched: usize,
}

impl Reader {
    /// Takes bytes; then ask [`Self::next_part`] until it gives nothing.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched = self.searched.saturating_sub(self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a part has begun and is not whole.
    pub fn is_partial(&self) -> bool {
        self.start < self.buffer.len()
    }

    /// The next part; `None` until more bytes come.
    ///
    /// # Errors
    /// The bytes are no RTSP or more than is taken. Nothing can be read any more.
    pub fn next_part(&mut self) -> Result<Option<Part>, Error> {
        // Some clients put an empty line between requests.
        while self
            .buffer
            .get(self.start)
            .is_some_and(|byte| matches!(byte, b'\r' | b'\n'))
        {
            self.start += 1;
        }
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        match rest {
            [] => Ok(None),
            [b'$', channel, high, low, data @ ..] => {
                let len = usize::from(u16::from_be_bytes([*high, *low]));
                let Some(data) = data.get(..len) else {
                    return Ok(None);
                };
                let part = Part::Packet {
                    channel: *channel,
                    data: data.to_vec(),
                };
                self.take(4 + len);
                Ok(Some(part))
            }
            [b'$', ..] => Ok(None),
            _ => self.message(),
        }
    }

    fn take(&mut self, len: usize) {
        self.start += len;
        self.searched = self.start;
    }

    fn message(&mut self) -> Result<Option<Part>, Error> {
        let Some((head_len, body_at)) = self.head() else {
            if self.buffer.len() - self.start > MAX_HEAD {
                return Err(Error::HeadTooLong);
            }
            return Ok(None);
        };
        if head_len > MAX_HEAD {
            return Err(Error::HeadTooLong);
        }
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        let head = rest.get(..head_len).unwrap_or_default();
        let head =
            std::str::from_utf8(head).map_err(|_| Error::Malformed("the header is no text"))?;
        let (mut part, length) = if head.starts_with("RTSP/") {
            let answer = Response::parse(head)?;
            let length = answer.field("Content-Length").map(str::to_owned);
            (Part::Answer(answer), length)
        } else {
            let request = Request::parse(head)?;
            let length = request.field("Content-Length").map(str::to_owned);
            (Part::Request(request), length)
        };
        let length = match length.map(|length| length.parse::<usize>()) {
            None => 0,
            Some(Ok(length)) if length > MAX_BODY => return Err(Error::BodyTooLong),
            Some(Ok(length)) => length,
            Some(Err(_)) => return Err(Error::Malformed("Content-Length is no number")),
        };
        let Some(body) = rest.get(body_at..body_at + length) else {
            return Ok(None);
        };
        match &mut part {
            Part::Request(request) => request.body = body.to_vec(),
            Part::Answer(answer) => answer.body = body.to_vec(),
            Part::Packet { .. } => {}
        }
        self.take(body_at + length);
        Ok(Some(part))
    }

    /// Length of the lines before the empty one, and where the body begins.
    fn head(&mut self) -> Option<(usize, usize)> {
        let from = self.searched.max(self.start);
        for at in from..self.buffer.len() {
            let behind = self.buffer.get(at..).unwrap_or_default();
            let len = match behind {
                [b'\n', b'\n', ..] => 2,
                [b'\n', b'\r', b'\n', ..] => 3,
                _ => continue,
            };
            let head = at + 1 - self.start;
            // Where the body is not whole, the same end is found again at once.
            self.searched = at;
            return Some((head, head + len - 1));
        }
        self.searched = self.buffer.len().saturating_sub(2).max(self.start);
        None
    }
}
