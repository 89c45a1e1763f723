//! Chunks into messages (RTMP 1.0, 5.3).

use super::error::Error;
use super::message::{Message, kind};

/// Chunk streams that are kept. Encoders use about five; 64 leaves room for any known one and
/// keeps the search short.
pub(super) const MAX_CHUNK_STREAMS: usize = 64;
/// Longest message that is no media: commands, metadata. Also of media before publishing is
/// allowed.
pub(super) const MAX_COMMAND: usize = 64 * 1024;
/// Longest message with media, once that is allowed. A keyframe at 100 Mb/s and 30 frames per
/// second seldom exceeds 4 MiB.
pub(super) const MAX_MEDIA: usize = 8 * 1024 * 1024;
/// Chunk sizes above this have no effect: no message is longer.
const MAX_CHUNK_SIZE: u32 = 0xff_ffff;
/// The field that says that the timestamp follows in four bytes.
const EXTENDED: u32 = 0xff_ffff;
/// After a full header, a chunk without header that begins a message repeats the timestamp as a
/// step, says the specification, and one family of clients does so at the start of a stream,
/// where timestamps are steps. Another family means no step, at any time. Above this many
/// milliseconds only the second makes sense.
const MAX_STEP: u32 = 1000;

/// Puts messages together. Memory follows what came, never what was declared.
#[derive(Debug)]
pub(super) struct ChunkReader {
    buffer: Vec<u8>,
    at: usize,
    chunk_size: usize,
    max_media: usize,
    streams: Vec<ChunkStream>,
    /// Position in `streams` and bytes that are left of the chunk being read.
    current: Option<(usize, usize)>,
    /// Bytes of all unfinished messages.
    unfinished: usize,
}

#[derive(Debug)]
struct ChunkStream {
    id: u32,
    timestamp: u32,
    /// The timestamp field of the last header that had one, with the extension.
    field: u32,
    extended: bool,
    /// The last header was full: `field` is a timestamp, not a step.
    absolute: bool,
    length: usize,
    message_type: u8,
    stream_id: u32,
    /// A message has begun.
    open: bool,
    payload: Vec<u8>,
}

impl ChunkReader {
    pub(super) fn new() -> Self {
        Self {
            buffer: Vec::new(),
            at: 0,
            chunk_size: 128,
            max_media: MAX_COMMAND,
            streams: Vec::new(),
            current: None,
            unfinished: 0,
        }
    }

    /// Allows media of full length, or no longer.
    pub(super) fn allow_media(&mut self, allowed: bool) {
        self.max_media = if allowed { MAX_MEDIA } else { MAX_COMMAND };
    }

    /// Takes bytes; [`Self::next_message`] reads them.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that were not looked at yet.
    pub(super) fn held(&self) -> usize {
        self.buffer.len() - self.at
    }

    /// The next whole message; `None` where more bytes are needed. Sizes of chunks and aborted
    /// messages are dealt with here.
    pub(super) fn next_message(&mut self) -> Result<Option<Message>, Error> {
        loop {
            if self.current.is_none() && !self.read_header()? {
                return Ok(None);
            }
            let Some((index, left)) = self.current else {
                continue;
            };
            let Some(stream) = self.streams.get_mut(index) else {
                self.current = None;
                continue;
            };
            let bytes = self.buffer.get(self.at..).unwrap_or_default();
            let bytes = bytes.get(..left).unwrap_or(bytes);
            stream.payload.extend_from_slice(bytes);
            self.at += bytes.len();
            self.unfinished += bytes.len();
            if self.unfinished > 2 * self.max_media {
                return Err(Error::ManyUnfinished(2 * self.max_media));
            }
            if bytes.len() < left {
                self.current = Some((index, left - bytes.len()));
                return Ok(None);
            }
            self.current = None;
            if stream.payload.len() < stream.length {
                continue;
            }
            stream.open = false;
            self.unfinished -= stream.payload.len();
            let message = Message {
                message_type: stream.message_type,
                stream_id: stream.stream_id,
                timestamp: stream.timestamp,
                payload: std::mem::take(&mut stream.payload),
            };
            match message.message_type {
                kind::SET_CHUNK_SIZE => self.set_chunk_size(&message)?,
                kind::ABORT => self.abort(&message)?,
                _ => return Ok(Some(message)),
            }
        }
    }

    fn set_chunk_size(&mut self, message: &Message) -> Result<(), Error> {
        let size = number(message)?;
        if size == 0 || size > 0x7fff_ffff {
            return Err(Error::ChunkSize(size));
        }
        self.chunk_size = usize::try_from(size.min(MAX_CHUNK_SIZE)).unwrap_or(usize::MAX);
        Ok(())
    }

    fn abort(&mut self, message: &Message) -> Result<(), Error> {
        let id = number(message)?;
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) {
            self.unfinished -= stream.payload.len();
            stream.payload = Vec::new();
            stream.open = false;
        }
        Ok(())
    }

    /// Reads a chunk's header; false where more bytes are needed.
    fn read_header(&mut self) -> Result<bool, Error> {
        let bytes = self.buffer.get(self.at..).unwrap_or_default();
        let Some((format, id, basic)) = basic_header(bytes) else {
            return Ok(false);
        };
        let header_len = [11, 7, 3, 0].get(format).copied().unwrap_or(0);
        let Some(header) = bytes.get(basic..basic + header_len) else {
            return Ok(false);
        };
        let known = self.streams.iter().position(|stream| stream.id == id);
        let mut used = basic + header_len;
        let extension = bytes
            .get(used..)
            .and_then(|rest| rest.first_chunk::<4>())
            .map(|bytes| u32::from_be_bytes(*bytes));

        let index = match known {
            Some(index) => index,
            // Some clients send their first ping without a stream id.
            None if format <= 1 => {
                if self.streams.len() >= MAX_CHUNK_STREAMS {
                    return Err(Error::ManyChunkStreams(MAX_CHUNK_STREAMS));
                }
                self.streams.len()
            }
            None => return Err(Error::NoFirstHeader(id)),
        };
        let fresh;
        let stream = match self.streams.get(index) {
            Some(stream) => stream,
            None => {
                fresh = ChunkStream::new(id);
                &fresh
            }
        };
        let mut next = Header {
            timestamp: stream.timestamp,
            field: stream.field,
            extended: stream.extended,
            absolute: stream.absolute,
            length: stream.length,
            message_type: stream.message_type,
            stream_id: stream.stream_id,
        };
        if format < 3 {
            if stream.open {
                return Err(Error::Interrupted {
                    chunk_stream: id,
                    missing: stream.length - stream.payload.len(),
                });
            }
            next.fill(header);
            if next.extended {
                let Some(extension) = extension else {
                    return Ok(false);
                };
                next.field = extension;
                used += 4;
            }
            next.absolute = format == 0;
            next.timestamp = if next.absolute {
                next.field
            } else {
                stream.timestamp.wrapping_add(next.field)
            };
        } else if stream.extended {
            let Some(extension) = extension else {
                return Ok(false);
            };
            // Inside a message some clients repeat the extension and some do not; those that do
            // repeat either the field or the timestamp.
            if !stream.open {
                used += 4;
                next.repeat(extension);
            } else if extension == stream.field || extension == stream.timestamp {
                used += 4;
            }
        } else if !stream.open {
            next.repeat(stream.field);
        }
        let begins = !stream.open;
        if begins {
            let max = match next.message_type {
                kind::AUDIO | kind::VIDEO | kind::AGGREGATE => self.max_media,
                _ => MAX_COMMAND,
            };
            if next.length > max {
                return Err(Error::LongMessage {
                    message_type: next.message_type,
                    len: next.length,
                    max,
                });
            }
        }
        self.at += used;
        self.enter(index, id, &next, begins);
        Ok(true)
    }

    fn enter(&mut self, index: usize, id: u32, header: &Header, begins: bool) {
        if index >= self.streams.len() {
            self.streams.push(ChunkStream::new(id));
        }
        let Some(stream) = self.streams.get_mut(index) else {
            return;
        };
        if begins {
            stream.timestamp = header.timestamp;
            stream.field = header.field;
            stream.extended = header.extended;
            stream.absolute = header.absolute;
            stream.length = header.length;
            stream.message_type = header.message_type;
            stream.stream_id = header.stream_id;
            stream.open = true;
        }
        let left = stream.length - stream.payload.len();
        self.current = Some((index, left.min(self.chunk_size)));
    }
}

impl ChunkStream {
    fn new(id: u32) -> Self {
        Self {
            id,
            timestamp: 0,
            field: 0,
            extended: false,
            absolute: true,
            length: 0,
            message_type: 0,
            stream_id: 0,
            open: false,
            payload: Vec::new(),
        }
    }
}

/// What headers tell, completed by the last one of the chunk stream.
struct Header {
    timestamp: u32,
    field: u32,
    extended: bool,
    absolute: bool,
    length: usize,
    message_type: u8,
    stream_id: u32,
}

impl Header {
    /// Takes the 11, 7 or 3 bytes of a header.
    fn fill(&mut self, header: &[u8]) {
        if let [t0, t1, t2, ..] = *header {
            self.field = u32::from_be_bytes([0, t0, t1, t2]);
            self.extended = self.field == EXTENDED;
        }
        if let [_, _, _, l0, l1, l2, message_type, ..] = *header {
            self.length = usize::from(l0) << 16 | usize::from(l1) << 8 | usize::from(l2);
            self.message_type = message_type;
        }
        if let [.., s0, s1, s2, s3] = *header
            && header.len() == 11
        {
            self.stream_id = u32::from_le_bytes([s0, s1, s2, s3]);
        }
    }

    /// A message begins without a header: the last field counts again.
    fn repeat(&mut self, field: u32) {
        if !self.absolute {
            self.timestamp = self.timestamp.wrapping_add(field);
        } else if field <= MAX_STEP {
            self.timestamp = self.timestamp.wrapping_add(field);
            self.absolute = false;
        } else {
            self.timestamp = field;
        }
        self.field = field;
    }
}

/// Format, chunk stream and length of a basic header.
fn basic_header(bytes: &[u8]) -> Option<(usize, u32, usize)> {
    let first = *bytes.first()?;
    let format = usize::from(first >> 6);
    Some(match first & 0x3f {
        0 => (format, 64 + u32::from(*bytes.get(1)?), 2),
        1 => {
            let (low, high) = (*bytes.get(1)?, *bytes.get(2)?);
            (format, 64 + u32::from(low) + (u32::from(high) << 8), 3)
        }
        id => (format, u32::from(id), 1),
    })
}

/// The number that a control message consists of.
pub(super) fn number(message: &Message) -> Result<u32, Error> {
    let bytes = message.payload.first_chunk::<4>();
    bytes
        .map(|bytes| u32::from_be_bytes(*bytes))
        .ok_or(Error::ShortControl {
            message_type: message.message_type,
            len: message.payload.len(),
        })
}
