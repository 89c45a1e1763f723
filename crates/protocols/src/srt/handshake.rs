//! The handshake's content: its fixed fields and the extensions behind them
//! (draft-sharabayko-srt, section 3.2.1). Reads and writes; decides nothing.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use thiserror::Error;

use super::stream_id;
use super::wire::word;

/// Bytes of the fixed part.
const FIXED: usize = 48;

/// Stands in the extension field of an answer to an induction and tells SRT from its ancestor.
pub(super) const MAGIC: u16 = 0x4a17;

/// Fields of the extension field of a conclusion: which kinds of extension follow.
const HAS_HELLO: u16 = 1;
const HAS_KEY: u16 = 2;
const HAS_CONFIG: u16 = 4;

/// The version that we say to be: the first whose clients send everything that is used here.
pub(super) const VERSION: u32 = 0x0001_0501;

/// Handshakes of version 5 exist from this version on.
pub(super) const OLDEST_VERSION: u32 = 0x0001_0300;

/// Sends and receives by timestamps, drops what is too late, reports losses periodically, marks
/// packets that are sent again; the third bit is obligatory and says nothing more.
pub(super) const FLAGS: u32 = 0x3f;

/// The peer wants a stream of bytes instead of live messages.
pub(super) const FLAG_STREAM: u32 = 0x40;

/// Extensions of one handshake: there are eight kinds, and each may come once or twice.
const MAX_EXTENSIONS: usize = 16;

/// Why the content of a handshake cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum HandshakeError {
    #[error("a handshake has {FIXED} bytes, this one {0}")]
    Short(usize),
    #[error("an extension reaches beyond the packet")]
    Extension,
    #[error("there are more than {MAX_EXTENSIONS} extensions")]
    Many,
}

/// The fixed fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handshake {
    pub(super) version: u32,
    /// The length of the key in units of 8 bytes, 0 when none is advertised.
    pub(super) encryption: u16,
    /// The magic number, or which extensions follow.
    pub(super) extension: u16,
    pub(super) initial_sequence: u32,
    /// The largest datagram, IP and UDP headers included.
    pub(super) mtu: u32,
    /// Packets that the sender of this can hold.
    pub(super) window: u32,
    pub(super) kind: u32,
    pub(super) socket: u32,
    pub(super) cookie: u32,
    /// The address of the other side, as its words stand on the wire.
    pub(super) peer: [u8; 16],
}

/// What asks for a cookie.
pub(super) const INDUCTION: u32 = 1;
/// What asks for a connection, or grants it.
pub(super) const CONCLUSION: u32 = 0xffff_ffff;

/// The first extension of each conclusion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) version: u32,
    pub(super) flags: u32,
    /// How long the sender of this holds what it receives, milliseconds.
    pub(super) receive_delay: u16,
    /// How long the other side shall hold what the sender of this sends, milliseconds.
    pub(super) send_delay: u16,
}

/// The extensions of a conclusion, each as found; what is not known is passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions<'a> {
    pub(super) hello: Option<Hello>,
    /// Content of a key request or response.
    pub(super) key: Option<&'a [u8]>,
    pub(super) stream_id: Option<String>,
    pub(super) congestion: Option<String>,
    pub(super) filter: bool,
    pub(super) group: bool,
}

impl Handshake {
    /// Reads the fixed fields.
    pub(super) fn parse(content: &[u8]) -> Result<Self, HandshakeError> {
        let short = HandshakeError::Short(content.len());
        let field = |offset| word(content, offset).ok_or(short);
        let kinds = field(4)?;
        let peer = content.get(32..FIXED).ok_or(short)?;
        Ok(Self {
            version: field(0)?,
            encryption: u16::try_from(kinds >> 16).expect("16 bits fit"),
            extension: u16::try_from(kinds & 0xffff).expect("16 bits fit"),
            initial_sequence: field(8)? & 0x7fff_ffff,
            mtu: field(12)?,
            window: field(16)?,
            kind: field(20)?,
            socket: field(24)?,
            cookie: field(28)?,
            peer: peer.try_into().map_err(|_| short)?,
        })
    }

    /// The content of a handshake packet, extensions behind it. The extension field is what
    /// `self` says plus what the extensions need.
    pub(super) fn write(&self, extensions: &[Extension<'_>]) -> Vec<u8> {
        let mut flags = self.extension;
        for extension in extensions {
            flags |= match extension {
                Extension::HelloRequest(_) | Extension::HelloResponse(_) => HAS_HELLO,
                Extension::KeyRequest(_) | Extension::KeyResponse(_) => HAS_KEY,
                Extension::StreamId(_) => HAS_CONFIG,
            };
        }
        let mut out = Vec::with_capacity(FIXED + 256);
        let kinds = u32::from(self.encryption) << 16 | u32::from(flags);
        let fields = [
            self.version,
            kinds,
            self.initial_sequence,
            self.mtu,
            self.window,
            self.kind,
            self.socket,
            self.cookie,
        ];
        for field in fields {
            out.extend_from_slice(&field.to_be_bytes());
        }
        out.extend_from_slice(&self.peer);
        for extension in extensions {
            extension.write(&mut out);
        }
        out
    }
}

/// An extension to write.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extension<'a> {
    HelloRequest(Hello),
    HelloResponse(Hello),
    KeyRequest(&'a [u8]),
    KeyResponse(&'a [u8]),
    StreamId(&'a str),
}

impl Extension<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let (kind, content): (u16, Vec<u8>) = match self {
            Self::HelloRequest(hello) => (1, hello.write()),
            Self::HelloResponse(hello) => (2, hello.write()),
            Self::KeyRequest(content) => (3, content.to_vec()),
            Self::KeyResponse(content) => (4, content.to_vec()),
            Self::StreamId(id) => (5, swap_words(id.as_bytes())),
        };
        let words = content.len().div_ceil(4);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&u16::try_from(words).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(&content);
        out.resize(out.len() + words * 4 - content.len(), 0);
    }
}

impl Hello {
    fn write(&self) -> Vec<u8> {
        let delays = u32::from(self.receive_delay) << 16 | u32::from(self.send_delay);
        let fields = [self.version, self.flags, delays];
        fields
            .iter()
            .flat_map(|field| field.to_be_bytes())
            .collect()
    }

    fn parse(content: &[u8]) -> Option<Self> {
        let delays = word(content, 8)?;
        Some(Self {
            version: word(content, 0)?,
            flags: word(content, 4)?,
            receive_delay: u16::try_from(delays >> 16).ok()?,
            send_delay: u16::try_from(delays & 0xffff).ok()?,
        })
    }
}

impl<'a> Extensions<'a> {
    /// Reads what follows the fixed fields. Requests and responses are read alike: which of them
    /// is right follows from the role.
    pub(super) fn parse(content: &'a [u8]) -> Result<Self, HandshakeError> {
        let mut rest = content.get(FIXED..).unwrap_or(&[]);
        let mut found = Self::default();
        for _ in 0..MAX_EXTENSIONS {
            let Some((head, after)) = rest.split_first_chunk::<4>() else {
                return Ok(found);
            };
            let kind = u16::from_be_bytes([head[0], head[1]]);
            let length = usize::from(u16::from_be_bytes([head[2], head[3]])) * 4;
            let body = after.get(..length).ok_or(HandshakeError::Extension)?;
            rest = after.get(length..).unwrap_or(&[]);
            match kind {
                1 | 2 => found.hello = Hello::parse(body),
                3 | 4 => found.key = Some(body),
                5 => found.stream_id = Some(text(body)),
                6 => found.congestion = Some(text(body)),
                7 => found.filter = true,
                8 => found.group = true,
                _ => {}
            }
        }
        if rest.is_empty() {
            Ok(found)
        } else {
            Err(HandshakeError::Many)
        }
    }
}

/// Text travels in words of four bytes, each reversed, padded with zeros.
fn swap_words(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 3);
    for chunk in text.chunks(4) {
        let mut word = [0; 4];
        for (byte, place) in chunk.iter().zip(word.iter_mut().rev()) {
            *place = *byte;
        }
        out.extend_from_slice(&word);
    }
    out
}

fn text(body: &[u8]) -> String {
    // One byte over the limit tells its reader that there was more.
    let bytes: Vec<u8> = body
        .chunks(4)
        .flat_map(|chunk| chunk.iter().rev().copied())
        .take(stream_id::MAX_LENGTH + 1)
        .collect();
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(bytes.get(..end.unwrap_or(bytes.len())).unwrap_or(&[])).into_owned()
}

/// An address as handshakes carry it: the words of four bytes reversed.
pub(super) fn peer_words(address: SocketAddr) -> [u8; 16] {
    let mut bytes = match address.ip() {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(ip) => ip.octets(),
    };
    for word in bytes.chunks_mut(4) {
        word.reverse();
    }
    bytes
}

/// Whole milliseconds, as delays travel; longer ones than 65 s become that.
pub(super) fn milliseconds(delay: Duration) -> u16 {
    u16::try_from(delay.as_millis()).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake() -> Handshake {
        Handshake {
            version: 5,
            encryption: 2,
            extension: 0,
            initial_sequence: 7,
            mtu: 1500,
            window: 8192,
            kind: CONCLUSION,
            socket: 3,
            cookie: 4,
            peer: peer_words("10.1.2.3:9".parse().expect("an address")),
        }
    }

    #[test]
    fn a_conclusion_is_read_as_it_was_written() {
        let hello = Hello {
            version: VERSION,
            flags: FLAGS,
            receive_delay: 120,
            send_delay: 250,
        };
        let content = handshake().write(&[
            Extension::HelloRequest(hello),
            Extension::KeyRequest(&[9; 8]),
            Extension::StreamId("publish:a:bc"),
        ]);
        let read = Handshake::parse(&content).expect("it is whole");
        assert_eq!(read.extension, 7);
        assert_eq!(
            Handshake {
                extension: 0,
                ..read
            },
            handshake()
        );
        let extensions = Extensions::parse(&content).expect("they are whole");
        assert_eq!(extensions.hello, Some(hello));
        assert_eq!(extensions.key, Some([9; 8].as_slice()));
        assert_eq!(extensions.stream_id.as_deref(), Some("publish:a:bc"));
    }

    #[test]
    fn text_and_addresses_have_their_words_reversed() {
        assert_eq!(swap_words(b"STREAM"), *b"ERTS\0\0MA");
        for id in ["a", "ab", "abc", "abcd", "abcde", "caf\u{e9}"] {
            assert_eq!(text(&swap_words(id.as_bytes())), id);
        }
        assert_eq!(handshake().peer[..4], [3, 2, 1, 10]);
    }

    #[test]
    fn an_extension_beyond_the_packet_is_an_error() {
        let mut content = handshake().write(&[Extension::StreamId("abcd")]);
        content.truncate(content.len() - 1);
        assert_eq!(Extensions::parse(&content), Err(HandshakeError::Extension));
        assert_eq!(
            Handshake::parse(&content[..47]),
            Err(HandshakeError::Short(47))
        );
    }

    #[test]
    fn extensions_are_not_read_without_end() {
        let mut content = handshake().write(&[]);
        content.resize(FIXED + 4 * 17, 0);
        assert_eq!(Extensions::parse(&content), Err(HandshakeError::Many));
    }
}
