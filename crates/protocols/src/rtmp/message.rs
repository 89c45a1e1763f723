//! Messages: what chunks carry.

use inver_media::container::flv::TagType;

/// Tags of one aggregate that are taken, a few seconds of media. Each costs several times its
/// header in memory.
const MAX_AGGREGATED: usize = 1024;

/// Types of messages.
pub(super) mod kind {
    pub(crate) const SET_CHUNK_SIZE: u8 = 1;
    pub(crate) const ABORT: u8 = 2;
    pub(crate) const ACKNOWLEDGEMENT: u8 = 3;
    pub(crate) const USER_CONTROL: u8 = 4;
    pub(crate) const WINDOW_ACK_SIZE: u8 = 5;
    pub(crate) const SET_PEER_BANDWIDTH: u8 = 6;
    pub(crate) const AUDIO: u8 = 8;
    pub(crate) const VIDEO: u8 = 9;
    pub(crate) const DATA_AMF3: u8 = 15;
    pub(crate) const COMMAND_AMF3: u8 = 17;
    pub(crate) const DATA: u8 = 18;
    pub(crate) const COMMAND: u8 = 20;
    pub(crate) const AGGREGATE: u8 = 22;
}

/// User control events.
pub(super) mod event {
    pub(crate) const STREAM_BEGIN: u16 = 0;
    pub(crate) const STREAM_EOF: u16 = 1;
    pub(crate) const SET_BUFFER_LENGTH: u16 = 3;
    pub(crate) const PING_REQUEST: u16 = 6;
    pub(crate) const PING_RESPONSE: u16 = 7;
}

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) message_type: u8,
    pub(super) stream_id: u32,
    pub(super) timestamp: u32,
    pub(super) payload: Vec<u8>,
}

/// Sound, picture or script data as it crosses the wire; `flv::TagReader` reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// What it holds.
    pub tag_type: TagType,
    /// Milliseconds; wraps.
    pub timestamp: u32,
    /// The body of the FLV tag.
    pub body: Vec<u8>,
}

/// The command inside a message of AMF0, or of AMF3 that holds AMF0 behind a zero; `None` where
/// the message is no command.
pub(super) fn command_body(message: &Message) -> Option<&[u8]> {
    match message.message_type {
        kind::COMMAND => Some(&message.payload),
        kind::COMMAND_AMF3 => Some(without_zero(&message.payload)),
        _ => None,
    }
}

fn without_zero(payload: &[u8]) -> &[u8] {
    payload.strip_prefix(&[0]).unwrap_or(payload)
}

/// Gives the media that a message carries to `each`: one, none or, of an aggregate, many.
pub(super) fn each_media(message: Message, mut each: impl FnMut(Media)) {
    let Message {
        message_type,
        timestamp,
        mut payload,
        ..
    } = message;
    match message_type {
        kind::AUDIO | kind::VIDEO | kind::DATA | kind::DATA_AMF3 => {
            if message_type == kind::DATA_AMF3 && payload.first() == Some(&0) {
                payload.remove(0);
            }
            let tag_type = match message_type {
                kind::AUDIO => TagType::Audio,
                kind::VIDEO => TagType::Video,
                _ => TagType::Data,
            };
            each(Media {
                tag_type,
                timestamp,
                body: payload,
            });
        }
        kind::AGGREGATE => aggregate(timestamp, &payload, each),
        _ => {}
    }
}

/// Tags as in a file, each behind its header of eleven bytes and before its length in four; their
/// times count from that of the first. What exceeds [`MAX_AGGREGATED`] is left out.
fn aggregate(timestamp: u32, mut rest: &[u8], mut each: impl FnMut(Media)) {
    let mut first = None;
    let mut taken = 0;
    while taken < MAX_AGGREGATED
        && let Some(([tag_type, l0, l1, l2, t0, t1, t2, t3, ..], tail)) =
            rest.split_first_chunk::<11>()
    {
        let len = u32::from_be_bytes([0, *l0, *l1, *l2]);
        let time = u32::from_be_bytes([*t3, *t0, *t1, *t2]);
        let Some((body, tail)) = usize::try_from(len)
            .ok()
            .and_then(|len| tail.split_at_checked(len))
        else {
            return;
        };
        taken += 1;
        let first = *first.get_or_insert(time);
        if let Some(tag_type) = TagType::from_number(*tag_type) {
            each(Media {
                tag_type,
                timestamp: timestamp.wrapping_add(time.wrapping_sub(first)),
                body: body.to_vec(),
            });
        }
        rest = tail.get(4..).unwrap_or_default();
    }
}
