//! Messages into chunks (RTMP 1.0, 5.3).

use super::message::kind;

/// Chunk size that we announce. Larger ones save a byte per chunk; much larger ones would let a
/// keyframe delay the sound behind it.
pub(super) const CHUNK_SIZE: u32 = 65_536;

/// Chunk streams that we use.
pub(super) mod chunk_stream {
    pub(crate) const CONTROL: u8 = 2;
    pub(crate) const COMMAND: u8 = 3;
    pub(crate) const AUDIO: u8 = 4;
    pub(crate) const DATA: u8 = 5;
    pub(crate) const VIDEO: u8 = 6;
}

const EXTENDED: u32 = 0xff_ffff;

/// What is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outgoing<'a> {
    pub(super) chunk_stream: u8,
    pub(super) message_type: u8,
    pub(super) stream_id: u32,
    pub(super) timestamp: u32,
    pub(super) payload: &'a [u8],
}

/// Divides messages. Headers are full at first and where time goes back, else a step; every
/// client understands these two.
#[derive(Debug)]
pub(super) struct ChunkWriter {
    chunk_size: usize,
    last: [Option<(u32, u32)>; 8],
}

impl ChunkWriter {
    pub(super) fn new() -> Self {
        Self {
            chunk_size: 128,
            last: [None; 8],
        }
    }

    /// Announces [`CHUNK_SIZE`] and uses it from then on.
    pub(super) fn announce_chunk_size(&mut self, out: &mut Vec<u8>) {
        let message = Outgoing {
            chunk_stream: chunk_stream::CONTROL,
            message_type: kind::SET_CHUNK_SIZE,
            stream_id: 0,
            timestamp: 0,
            payload: &CHUNK_SIZE.to_be_bytes(),
        };
        self.write(out, message);
        self.chunk_size = usize::try_from(CHUNK_SIZE).unwrap_or(usize::MAX);
    }

    /// Appends the chunks of a message. Messages beyond 16 MiB have no encoding and are left out.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, message: Outgoing<'_>) {
        let Some(length) = u32::try_from(message.payload.len())
            .ok()
            .filter(|length| *length <= 0xff_ffff)
        else {
            return;
        };
        let Some(last) = self.last.get_mut(usize::from(message.chunk_stream)) else {
            return;
        };
        // A step of more than half the ring is one back.
        let step = last
            .filter(|(_, stream_id)| *stream_id == message.stream_id)
            .map(|(timestamp, _)| message.timestamp.wrapping_sub(timestamp))
            .filter(|step| *step < 1 << 31);
        let (format, field) = match step {
            Some(step) => (1_u8, step),
            None => (0, message.timestamp),
        };
        *last = Some((message.timestamp, message.stream_id));
        let extension = (field >= EXTENDED).then_some(field.to_be_bytes());
        out.reserve(message.payload.len() + 32);
        out.push(format << 6 | message.chunk_stream);
        out.extend_from_slice(&field.min(EXTENDED).to_be_bytes()[1..]);
        out.extend_from_slice(&length.to_be_bytes()[1..]);
        out.push(message.message_type);
        if format == 0 {
            out.extend_from_slice(&message.stream_id.to_le_bytes());
        }
        out.extend(extension.into_iter().flatten());
        for (i, piece) in message.payload.chunks(self.chunk_size).enumerate() {
            if i > 0 {
                out.push(3 << 6 | message.chunk_stream);
                out.extend(extension.into_iter().flatten());
            }
            out.extend_from_slice(piece);
        }
    }
}
