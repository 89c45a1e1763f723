//! Pulls from files that are played in a loop, in real time.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use inver_media::container::flv::TagType;
use inver_media::{Line, MediaTime};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, BufReader};
use tokio::time::{Instant, sleep_until};

use super::Pull;
use super::media::{Packets, Piece, Tags};
use super::remote::Sink;

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// The first bytes of an FLV file.
const FLV: [u8; 3] = *b"FLV";

impl Pull {
    /// Plays a file again and again; returns why that ended.
    pub(super) async fn file(&self, path: &str, since: &mut Option<Instant>) -> String {
        let Some(folder) = self.handle.files_dir() else {
            return "this server has no folder for such files (restream.files_dir)".to_owned();
        };
        let found = match within(&folder, path).await {
            Ok(found) => found,
            Err(reason) => return reason,
        };
        let mut sink = Sink::new(self, since);
        let mut pace = Pace::default();
        loop {
            match self.pass(&found, &mut sink, &mut pace).await {
                Ok(true) => pace.line.break_off(),
                Ok(false) => {
                    return format!("{path} holds no pictures and no sound that are read");
                }
                Err(reason) => return reason,
            }
        }
    }

    /// Plays it once; false where nothing was in it.
    async fn pass(
        &self,
        path: &Path,
        sink: &mut Sink<'_>,
        pace: &mut Pace,
    ) -> Result<bool, String> {
        let shown = |error: io::Error| format!("the file cannot be read: {error}");
        let mut reader = Reader::open(path).await.map_err(shown)?;
        let mut pieces = VecDeque::new();
        let mut any = false;
        loop {
            let more = reader.more(&mut pieces).await.map_err(shown)?;
            while let Some(piece) = pieces.pop_front() {
                let piece = pace.place(piece);
                if let Some(dts) = piece.dts() {
                    any = true;
                    tokio::select! {
                        () = sleep_until(pace.due(dts)) => {}
                        reason = sink.closed() => return Err(reason),
                    }
                }
                sink.take(&mut vec![piece]).await?;
            }
            if !more {
                return Ok(any);
            }
        }
    }
}

/// The file of that path, if it lies in the folder, wherever links lead.
pub(crate) async fn within(folder: &Path, path: &str) -> Result<PathBuf, String> {
    let folder = tokio::fs::canonicalize(folder)
        .await
        .map_err(|error| format!("the folder of restream.files_dir cannot be opened: {error}"))?;
    let found = tokio::fs::canonicalize(folder.join(path)).await;
    let found = found.map_err(|error| format!("{path} cannot be opened: {error}"))?;
    if !found.starts_with(&folder) {
        return Err(format!(
            "{path} leads out of the folder of restream.files_dir"
        ));
    }
    if !found.is_file() {
        return Err(format!("{path} is no file"));
    }
    Ok(found)
}

/// When each piece is due, over all passes.
#[derive(Debug, Default)]
struct Pace {
    line: Line,
    begun: Option<(Instant, MediaTime)>,
}

impl Pace {
    /// Lets times go on where the file begins anew, or jumps.
    fn place(&mut self, piece: Piece) -> Piece {
        match piece {
            Piece::Video(layer, frame) => {
                let frame = self.line.place(Arc::new(frame));
                Piece::Video(layer, Arc::unwrap_or_clone(frame))
            }
            Piece::Audio(frame) => {
                Piece::Audio(Arc::unwrap_or_clone(self.line.place(Arc::new(frame))))
            }
            piece @ (Piece::Encoder(_) | Piece::Warning(_) | Piece::Refuse(_)) => piece,
        }
    }

    fn due(&mut self, dts: MediaTime) -> Instant {
        let (begun, first) = *self.begun.get_or_insert_with(|| (Instant::now(), dts));
        begun + dts.since(first)
    }
}

/// One pass over a file.
struct Reader {
    file: BufReader<File>,
    kind: Kind,
    buffer: Vec<u8>,
}

enum Kind {
    Ts(Box<Packets>),
    Flv(Box<Tags>),
}

impl Reader {
    /// Looks at the first bytes, whatever the name says.
    async fn open(path: &Path) -> io::Result<Self> {
        let mut file = BufReader::with_capacity(CHUNK, File::open(path).await?);
        let mut first = [0; 9];
        file.read_exact(&mut first).await?;
        let kind = if first.starts_with(&FLV) {
            // The header may be longer than it is today; the length of the tag before follows it.
            let header = u32::from_be_bytes([first[5], first[6], first[7], first[8]]);
            skip(&mut file, u64::from(header.saturating_sub(9)) + 4).await?;
            Kind::Flv(Box::default())
        } else {
            Kind::Ts(Box::default())
        };
        let buffer = match kind {
            Kind::Ts(_) => first.to_vec(),
            Kind::Flv(_) => Vec::new(),
        };
        Ok(Self { file, kind, buffer })
    }

    /// Appends what comes next; false at the end.
    async fn more(&mut self, pieces: &mut VecDeque<Piece>) -> io::Result<bool> {
        let mut found = Vec::new();
        let more = match &mut self.kind {
            Kind::Ts(packets) => {
                packets.read(&self.buffer, &mut found);
                self.buffer.resize(CHUNK, 0);
                let read = self.file.read(&mut self.buffer).await?;
                self.buffer.truncate(read);
                if read == 0 {
                    packets.finish(&mut found);
                }
                read > 0
            }
            Kind::Flv(tags) => tag(&mut self.file, &mut self.buffer, tags, &mut found).await?,
        };
        pieces.extend(found);
        Ok(more)
    }
}

/// Reads one tag of FLV; false at the end, or where the file was cut off within it.
async fn tag(
    file: &mut BufReader<File>,
    buffer: &mut Vec<u8>,
    tags: &mut Tags,
    pieces: &mut Vec<Piece>,
) -> io::Result<bool> {
    let mut header = [0; 11];
    if !whole(file.read_exact(&mut header).await)? {
        return Ok(false);
    }
    let [
        kind,
        size_high,
        size_middle,
        size_low,
        high,
        middle,
        low,
        top,
        ..,
    ] = header;
    let size = u32::from_be_bytes([0, size_high, size_middle, size_low]);
    let timestamp = u32::from_be_bytes([top, high, middle, low]);
    buffer.resize(size as usize, 0);
    if !whole(file.read_exact(buffer).await)? {
        return Ok(false);
    }
    // Five bits are the type; what is encrypted says so in the next one.
    if let Some(tag_type) = TagType::from_number(kind) {
        tags.read(tag_type, timestamp, buffer, pieces);
    }
    let mut before = [0; 4];
    whole(file.read_exact(&mut before).await)
}

async fn skip(file: &mut BufReader<File>, bytes: u64) -> io::Result<()> {
    tokio::io::copy(&mut file.take(bytes), &mut tokio::io::sink()).await?;
    Ok(())
}

/// False where the file ended.
fn whole(read: io::Result<usize>) -> io::Result<bool> {
    match read {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
