//! Tables (ISO/IEC 13818-1, 2.4.4): sections put together from packets, PAT and PMT read and
//! written.

use super::crc::checksum;
use super::{Pid, opus};

/// The longest section (private sections; PAT and PMT may have 1024 bytes).
const MAX_SECTION: usize = 4096;
/// Streams of a program that are read. Real ones have up to some twenty (sound and subtitles in
/// many languages).
const MAX_STREAMS: usize = 32;

const PAT: u8 = 0x00;
const PMT: u8 = 0x02;

/// Puts sections of one PID together.
#[derive(Debug, Default)]
pub(super) struct Sections {
    held: Vec<u8>,
    active: bool,
}

impl Sections {
    /// Something is missing: drops what is held.
    pub(super) fn abandon(&mut self) {
        self.held.clear();
        self.active = false;
    }

    /// The next payload of the PID; gives each section that it completes. `start` is the
    /// packet's flag.
    pub(super) fn push(&mut self, start: bool, payload: &[u8], mut found: impl FnMut(&[u8])) {
        if !start {
            if self.active {
                self.held.extend_from_slice(payload);
                self.drain(&mut found);
            }
            return;
        }
        let Some((pointer, payload)) = payload.split_first() else {
            return;
        };
        let Some((tail, head)) = payload.split_at_checked(usize::from(*pointer)) else {
            return self.abandon();
        };
        if self.active {
            self.held.extend_from_slice(tail);
            self.drain(&mut found);
        }
        self.held.clear();
        self.active = true;
        self.held.extend_from_slice(head);
        self.drain(&mut found);
    }

    fn drain(&mut self, found: &mut impl FnMut(&[u8])) {
        let mut at = 0;
        while let Some([table, b1, b2, ..]) = self.held.get(at..) {
            let len = 3 + (usize::from(b1 & 0x0f) << 8 | usize::from(*b2));
            // A table of this number is stuffing up to the end of the packet.
            if *table == 0xff || len > MAX_SECTION {
                return self.abandon();
            }
            let Some(section) = self.held.get(at..at + len) else {
                break;
            };
            found(section);
            at += len;
        }
        self.held.drain(..at);
    }
}

/// Whether a section's checksum is right.
pub(super) fn whole(section: &[u8]) -> bool {
    checksum(section) == 0
}

/// A section of PAT or PMT with its checksum taken off.
struct Table<'a> {
    /// Transport stream or program.
    id: u16,
    version: u8,
    number: u8,
    body: &'a [u8],
}

fn table(section: &[u8], id: u8) -> Option<Table<'_>> {
    let [table, syntax, _, b3, b4, b5, number, _, rest @ ..] = section else {
        return None;
    };
    // Not another table, in the long form, and valid now rather than next.
    if *table != id || syntax & 0x80 == 0 || b5 & 1 == 0 {
        return None;
    }
    Some(Table {
        id: u16::from_be_bytes([*b3, *b4]),
        version: b5 >> 1 & 0x1f,
        number: *number,
        body: rest.get(..rest.len().checked_sub(4)?)?,
    })
}

/// One section of a program association table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pat {
    pub(super) version: u8,
    pub(super) number: u8,
    /// Program numbers and the PIDs of their tables.
    pub(super) programs: Vec<(u16, Pid)>,
}

impl Pat {
    /// Reads a section that is whole.
    pub(super) fn parse(section: &[u8]) -> Option<Self> {
        let table = table(section, PAT)?;
        let programs = table.body.as_chunks::<4>().0.iter();
        Some(Self {
            version: table.version,
            number: table.number,
            programs: programs
                .map(|[a, b, c, d]| {
                    let pid = Pid(u16::from_be_bytes([c & 0x1f, *d]));
                    (u16::from_be_bytes([*a, *b]), pid)
                })
                // Program 0 is the network's table.
                .filter(|(number, _)| *number != 0)
                .collect(),
        })
    }
}

/// What a stream holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StreamKind {
    H264,
    H265,
    Adts,
    Latm,
    Opus {
        channels: u8,
    },
    Id3,
    Scte35,
    /// Its name.
    Other(String),
}

impl StreamKind {
    /// Whether a track can come of it.
    pub(super) fn playable(&self) -> bool {
        match self {
            Self::H264 | Self::H265 | Self::Adts | Self::Latm | Self::Opus { .. } => true,
            Self::Id3 | Self::Scte35 | Self::Other(_) => false,
        }
    }
}

/// A stream of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamInfo {
    pub(super) pid: Pid,
    pub(super) kind: StreamKind,
    pub(super) language: Option<String>,
}

/// A program map table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pmt {
    pub(super) program: u16,
    pub(super) pcr_pid: Pid,
    pub(super) streams: Vec<StreamInfo>,
}

impl Pmt {
    /// Reads a section that is whole.
    pub(super) fn parse(section: &[u8]) -> Option<Self> {
        let table = table(section, PMT)?;
        let [p1, p2, l1, l2, rest @ ..] = table.body else {
            return None;
        };
        let mut rest = rest.get(length(*l1, *l2)..)?;
        let mut streams: Vec<StreamInfo> = Vec::new();
        while let [kind, p1, p2, l1, l2, tail @ ..] = rest {
            let (descriptors, tail) = tail.split_at_checked(length(*l1, *l2))?;
            rest = tail;
            let pid = Pid(u16::from_be_bytes([p1 & 0x1f, *p2]));
            let known = streams.iter().any(|stream| stream.pid == pid);
            if !known && streams.len() < MAX_STREAMS {
                streams.push(StreamInfo {
                    pid,
                    kind: stream_kind(*kind, descriptors),
                    language: language(descriptors),
                });
            }
        }
        Some(Self {
            program: table.id,
            pcr_pid: Pid(u16::from_be_bytes([p1 & 0x1f, *p2])),
            streams,
        })
    }

    /// Whether a track can come of one of its streams.
    pub(super) fn playable(&self) -> bool {
        self.streams.iter().any(|stream| stream.kind.playable())
    }
}

fn length(high: u8, low: u8) -> usize {
    usize::from(high & 0x0f) << 8 | usize::from(low)
}

/// Tags and bodies of descriptors.
fn descriptors(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let [tag, len, rest @ ..] = bytes else {
            return None;
        };
        let (body, rest) = rest.split_at_checked(usize::from(*len))?;
        bytes = rest;
        Some((*tag, body))
    })
}

fn language(bytes: &[u8]) -> Option<String> {
    let (_, body) = descriptors(bytes).find(|(tag, _)| *tag == 0x0a)?;
    let code = std::str::from_utf8(body.get(..3)?).ok()?;
    code.chars()
        .all(|letter| letter.is_ascii_alphabetic())
        .then(|| code.to_ascii_lowercase())
}

fn stream_kind(stream_type: u8, bytes: &[u8]) -> StreamKind {
    let other = |name: &str| StreamKind::Other(name.to_owned());
    match stream_type {
        0x01 | 0x02 => other("MPEG-1 or MPEG-2 video"),
        0x03 | 0x04 => other("MPEG audio (MP2, MP3)"),
        0x05 => other("private sections"),
        0x06 => private(bytes),
        0x0f => StreamKind::Adts,
        0x10 => other("MPEG-4 video"),
        0x11 => StreamKind::Latm,
        0x15 => metadata(bytes),
        0x1b => StreamKind::H264,
        0x1c => other("AAC without framing"),
        0x1f..=0x23 | 0x26..=0x29 => other("a layer or another coding beside the main video"),
        0x24 => StreamKind::H265,
        0x33 | 0x34 => other("H.266"),
        0x42 | 0xd2 | 0xd4 => other("AVS video"),
        0x80 => other("DigiCipher video or LPCM"),
        0x81 => other("AC-3"),
        0x82 => other("DTS"),
        0x83 => other("TrueHD"),
        0x84 | 0x87 => other("E-AC-3"),
        0x85 | 0x8a => other("DTS"),
        0x86 => StreamKind::Scte35,
        0xd1 => other("Dirac"),
        0xea => other("VC-1"),
        0xdb | 0xcf | 0xc1 | 0xc2 => other("H.264 or AAC encrypted by sample"),
        unknown => other(&format!("stream type {unknown:#04x}")),
    }
}

/// PES packets whose content a descriptor tells (stream type 6).
fn private(bytes: &[u8]) -> StreamKind {
    let mut name = None;
    let mut opus = None;
    for (tag, body) in descriptors(bytes) {
        match (tag, body) {
            (0x05, [b'O', b'p', b'u', b's', ..]) => name = Some("Opus"),
            (0x05, [b'A', b'V', b'0', b'1', ..]) => name = Some("AV1"),
            (0x05, [b'V', b'P', b'0', b'9', ..]) => name = Some("VP9"),
            (0x05, [b'K', b'L', b'V', b'A', ..]) => name = Some("KLV metadata"),
            (0x05, [b'B', b'S', b'S', b'D', ..]) => name = Some("SMPTE 302M audio"),
            (0x05, [b'A', b'C', b'-', b'3', ..]) | (0x6a, _) => name = Some("AC-3"),
            (0x05, [b'E', b'A', b'C', b'3', ..]) | (0x7a, _) => name = Some("E-AC-3"),
            (0x7b, _) => name = Some("DTS"),
            (0x56, _) => name = Some("teletext"),
            (0x59, _) => name = Some("DVB subtitles"),
            (0x7f, [opus::EXTENSION_TAG, code, ..]) => opus = Some(*code),
            (0x7f, [0x15, ..]) => name = Some("AC-4"),
            _ => {}
        }
    }
    match (name, opus) {
        (Some("Opus"), Some(channels @ 1..=2)) => StreamKind::Opus { channels },
        (Some("Opus"), Some(code)) => StreamKind::Other(format!(
            "Opus with channel configuration {code:#04x} (mono and stereo are carried)"
        )),
        (Some("Opus"), None) => StreamKind::Other("Opus without its channels".to_owned()),
        (Some(name), _) => StreamKind::Other(name.to_owned()),
        (None, _) => StreamKind::Other("private data without a name".to_owned()),
    }
}

/// Metadata in PES packets (stream type 0x15), of which ID3 is known by its descriptor.
fn metadata(bytes: &[u8]) -> StreamKind {
    let id3 = descriptors(bytes).any(|(tag, body)| {
        // The application format, in the long form, then the format, in the long form too.
        tag == 0x26
            && match body {
                [0xff, 0xff, _, _, _, _, 0xff, format @ ..] | [_, _, 0xff, format @ ..] => {
                    format.starts_with(b"ID3 ")
                }
                _ => false,
            }
    });
    if id3 {
        StreamKind::Id3
    } else {
        StreamKind::Other("metadata other than ID3".to_owned())
    }
}

/// Bytes of a PAT with one program, ready for a packet's payload.
pub(super) fn write_pat(version: u8, program: u16, pmt: Pid) -> Vec<u8> {
    let mut body = program.to_be_bytes().to_vec();
    body.extend_from_slice(&(0xe000 | pmt.0).to_be_bytes());
    section(PAT, 1, version, &body)
}

/// A stream as a written PMT lists it: stream type, PID, descriptors.
pub(super) type Listed = (u8, Pid, Vec<u8>);

/// Bytes of a PMT, ready for a packet's payload.
pub(super) fn write_pmt(version: u8, program: u16, pcr: Pid, streams: &[Listed]) -> Vec<u8> {
    let mut body = (0xe000 | pcr.0).to_be_bytes().to_vec();
    body.extend_from_slice(&[0xf0, 0]);
    for (stream_type, pid, descriptors) in streams {
        body.push(*stream_type);
        body.extend_from_slice(&(0xe000 | pid.0).to_be_bytes());
        let len = u16::try_from(descriptors.len()).unwrap_or(0);
        body.extend_from_slice(&(0xf000 | len).to_be_bytes());
        body.extend_from_slice(descriptors);
    }
    section(PMT, program, version, &body)
}

/// A section behind its pointer.
fn section(table: u8, id: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len() + 9).unwrap_or(0);
    let mut out = vec![0, table];
    out.extend_from_slice(&(0xb000 | len).to_be_bytes());
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&[0xc1 | version << 1 & 0x3e, 0, 0]);
    out.extend_from_slice(body);
    let crc = checksum(&out[1..]);
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections(payloads: &[(bool, Vec<u8>)]) -> Vec<Vec<u8>> {
        let mut sections = Sections::default();
        let mut out = Vec::new();
        for (start, payload) in payloads {
            sections.push(*start, payload, |section| out.push(section.to_vec()));
        }
        out
    }

    #[test]
    fn sections_are_found_over_packets_and_behind_one_another() {
        let pat = write_pat(3, 7, Pid(0x100));
        let mut two = pat.clone();
        two.extend_from_slice(&pat[1..]);
        two.push(0xff);
        assert_eq!(sections(&[(true, two.clone())]).len(), 2);
        let (head, tail) = two.split_at(9);
        let split = [(true, head.to_vec()), (false, tail.to_vec())];
        assert_eq!(sections(&split), [&pat[1..], &pat[1..]]);
        // The tail of a section stands before the next one, behind the pointer.
        let mut next = vec![u8::try_from(pat.len() - 9).expect("short")];
        next.extend_from_slice(&pat[9..]);
        next.extend_from_slice(&pat[1..]);
        let joined = [(true, pat[..9].to_vec()), (true, next)];
        assert_eq!(sections(&joined), [&pat[1..], &pat[1..]]);
    }

    #[test]
    fn tables_read_as_they_were_written() {
        let pat = write_pat(3, 7, Pid(0x100));
        assert!(whole(&pat[1..]));
        let read = Pat::parse(&pat[1..]).expect("a PAT");
        assert_eq!((read.version, read.programs), (3, vec![(7, Pid(0x100))]));
        let listed = [
            (0x1b, Pid(0x101), Vec::new()),
            (0x0f, Pid(0x102), b"\x0a\x04DEU\x00".to_vec()),
            (0x81, Pid(0x103), Vec::new()),
        ];
        let mut pmt = write_pmt(1, 7, Pid(0x101), &listed);
        let read = Pmt::parse(&pmt[1..]).expect("a PMT");
        assert_eq!((read.program, read.pcr_pid), (7, Pid(0x101)));
        assert_eq!(read.streams[0].kind, StreamKind::H264);
        assert_eq!(read.streams[1].language.as_deref(), Some("deu"));
        assert_eq!(read.streams[2].kind, StreamKind::Other("AC-3".into()));
        pmt[12] ^= 1;
        assert!(!whole(&pmt[1..]));
    }
}
