//! The program that makes the layers: FFmpeg as a child process, which gets a transport stream and
//! gives another one.
//!
//! Times go through unchanged: what comes out has those of what went in, so that the layers lie on
//! the encoder's own line of time. Its arguments hold numbers only.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use inver_media::container::mpegts::{Error, Item, Pid, Reader, TrackConfig, Writer};
use inver_media::{Frame, Kind, MediaTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, timeout};

use super::{Config, Rendition};

/// Bytes that wait for the program at most: some seconds of a fast stream. More would be late
/// anyway.
const MOST_WAITING: usize = 8 << 20;

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// For how long after its start what it gets counts as the past: the group of pictures that there
/// is comes at once.
const PAST: Duration = Duration::from_secs(1);

/// How far its pictures may be behind, besides the past that it gets first. More means that the machine is too slow for it: layers so
/// late help nobody.
const MOST_BEHIND: Duration = Duration::from_secs(4);

/// Where its line of time begins: a transport stream moves what begins before 200 ms.
const START: i64 = 10_000_000_000;

/// How long it may take to end when it was told to.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long more of its log is waited for once it has ended.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Environment that is not handed on: settings of ours hold secrets.
const OURS: &str = "INVER_";

/// Bytes of its log read at once.
const LOG_CHUNK: usize = 4096;

/// Longest line of its log that is shown, in bytes.
const MOST_SAID: usize = 300;

/// Makes the arguments.
fn arguments(config: &Config, renditions: &[Rendition]) -> Vec<OsString> {
    let mut words: Vec<String> = [
        "-hide_banner -nostats -v warning",
        // Enough to know what it gets, and no more: it begins with a keyframe.
        "-probesize 200000 -analyzeduration 300000 -fpsprobesize 0",
        "-copyts -f mpegts -i pipe:0 -an",
    ]
    .iter()
    .flat_map(|words| words.split(' '))
    .map(str::to_owned)
    .collect();
    let outputs = 0..renditions.len();
    let split: String = outputs.clone().map(|index| format!("[s{index}]")).collect();
    let mut graph = format!("[0:v:0]split={}{split}", renditions.len());
    for (index, rendition) in renditions.iter().enumerate() {
        let height = rendition.height;
        graph += &format!(";[s{index}]scale=-2:{height},setsar=1[v{index}]");
    }
    words.extend(["-filter_complex".to_owned(), graph]);
    for index in outputs {
        words.extend(["-map".to_owned(), format!("[v{index}]")]);
    }
    words.extend(
        format!(
            "-c:v libx264 -preset {} -tune zerolatency -profile:v baseline -pix_fmt yuv420p -bf 0 \
             -g 100000 -sc_threshold 0 -forced-idr 1 -force_key_frames source \
             -fps_mode passthrough -enc_time_base 1:90000 -threads {}",
            config.preset.as_str(),
            config.threads
        )
        .split_whitespace()
        .map(str::to_owned),
    );
    for (index, rendition) in renditions.iter().enumerate() {
        for option in ["b", "maxrate", "bufsize"] {
            let bits = rendition.bitrate.to_string();
            words.extend([format!("-{option}:v:{index}"), bits]);
        }
    }
    let last = "-flush_packets 1 -muxdelay 0 -muxpreload 0 -f mpegts pipe:1";
    words.extend(last.split(' ').map(str::to_owned));
    words.into_iter().map(OsString::from).collect()
}

/// A command without what is ours in its environment, which dies with its handle.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with(OURS) {
            command.env_remove(name);
        }
    }
    command.kill_on_drop(true);
    command
}

/// Finds out whether the program is there and can do what is wanted of it.
///
/// # Errors
///
/// Says what is missing, for people.
pub(super) async fn probe(program: &Path) -> Result<(), String> {
    let shown = program.display();
    let asking = command(program)
        .args(["-hide_banner", "-v", "error", "-encoders"])
        .stdin(Stdio::null())
        .output();
    let answered = timeout(Duration::from_secs(10), asking).await;
    let output = match answered {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Err(format!(
                "there is no {shown}; install FFmpeg, or set ladder.ffmpeg"
            ));
        }
        Ok(Err(error)) => return Err(format!("{shown} does not run: {error}")),
        Err(_) => return Err(format!("{shown} does not answer")),
    };
    let encoders = String::from_utf8_lossy(&output.stdout);
    if encoders.contains("libx264") {
        Ok(())
    } else {
        Err(format!("{shown} has no encoder libx264"))
    }
}

/// Why it ended.
#[derive(Debug)]
pub(super) enum Fault {
    /// It ended by itself; its last words.
    Died(String),
    /// It does not keep up.
    Slow,
    /// It cannot be started, or spoken to.
    Io(io::Error),
    /// A transport stream does not carry what is to be sent.
    NotCarried(Error),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Died(said) if said.is_empty() => f.write_str("FFmpeg ended"),
            Self::Died(said) => write!(f, "FFmpeg ended: {said}"),
            Self::Slow => f.write_str(
                "FFmpeg does not keep up: this machine is too slow for these renditions; choose \
                 fewer or smaller ones, or a faster preset",
            ),
            Self::Io(error) => write!(f, "FFmpeg cannot be run: {error}"),
            Self::NotCarried(error) => error.fmt(f),
        }
    }
}

/// The running program.
pub(super) struct Transcoder {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    log: ChildStderr,
    log_open: bool,
    log_chunk: Vec<u8>,
    /// The line that has begun, as far as it is shown.
    line: Vec<u8>,
    begun: Instant,
    /// How much of the past it got, until it has caught up with it.
    past: Option<Duration>,
    writer: Writer,
    waiting: VecDeque<u8>,
    /// By how many nanoseconds times are moved on the way there.
    shift: i64,
    /// The latest time that went in, and that came out.
    latest: (MediaTime, MediaTime),
    reader: Reader,
    tracks: Vec<Pid>,
    chunk: Vec<u8>,
    said: String,
}

impl Transcoder {
    /// Starts it for pictures like that one, a keyframe.
    pub(super) fn start(
        config: &Config,
        renditions: &[Rendition],
        first: &Frame,
    ) -> Result<Self, Fault> {
        let track = TrackConfig {
            config: first.config.clone(),
            language: None,
        };
        let writer = Writer::new(&[track]).map_err(Fault::NotCarried)?;
        let mut child = command(&config.ffmpeg)
            .args(arguments(config, renditions))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Fault::Io)?;
        be_nice(&child, config.nice);
        let gone = || Fault::Io(io::ErrorKind::BrokenPipe.into());
        let stdin = child.stdin.take().ok_or_else(gone)?;
        let stdout = child.stdout.take().ok_or_else(gone)?;
        let stderr = child.stderr.take().ok_or_else(gone)?;
        let shift = START.saturating_sub(first.dts.0);
        let begin = first.dts;
        Ok(Self {
            child,
            stdin,
            stdout,
            log: stderr,
            log_open: true,
            log_chunk: vec![0; LOG_CHUNK],
            line: Vec::new(),
            begun: Instant::now(),
            past: Some(Duration::ZERO),
            writer,
            waiting: VecDeque::new(),
            shift,
            latest: (begin, begin),
            reader: Reader::default(),
            tracks: Vec::new(),
            chunk: vec![0; CHUNK],
            said: String::new(),
        })
    }

    /// Hands it a picture; never waits.
    pub(super) fn push(&mut self, frame: &Frame) -> Result<(), Fault> {
        let mut moved = frame.clone();
        moved.pts = frame.pts.shifted(self.shift);
        moved.dts = frame.dts.shifted(self.shift);
        self.writer.write(0, &moved).map_err(Fault::NotCarried)?;
        while let Some(bytes) = self.writer.datagram() {
            self.waiting.extend(bytes);
        }
        if let Some(bytes) = self.writer.rest() {
            self.waiting.extend(bytes);
        }
        self.latest.0 = self.latest.0.max(frame.pts);
        let behind = self.latest.0.since(self.latest.1);
        if let Some(past) = &mut self.past
            && self.begun.elapsed() < PAST
        {
            *past = behind.max(*past);
        }
        let allowed = MOST_BEHIND + self.past.unwrap_or_default();
        if self.waiting.len() > MOST_WAITING || behind > allowed {
            return Err(Fault::Slow);
        }
        Ok(())
    }

    /// Lets it work until it gives pictures, which are appended with the number of their layer,
    /// counted from 1. Cancel-safe.
    pub(super) async fn work(&mut self, made: &mut Vec<(u8, Frame)>) -> Result<(), Fault> {
        while made.is_empty() {
            let (front, _) = self.waiting.as_slices();
            tokio::select! {
                wrote = self.stdin.write(front), if !front.is_empty() => {
                    let count = match wrote {
                        Ok(count) => count,
                        // It has ended, and said why.
                        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                            return Err(Fault::Died(self.last_words().await));
                        }
                        Err(error) => return Err(Fault::Io(error)),
                    };
                    self.waiting.drain(..count);
                }
                read = self.stdout.read(&mut self.chunk) => match read {
                    Ok(0) => return Err(Fault::Died(self.last_words().await)),
                    Ok(count) => self.take(count, made),
                    Err(error) => return Err(Fault::Io(error)),
                },
                read = self.log.read(&mut self.log_chunk), if self.log_open => match read {
                    Ok(0) | Err(_) => self.log_open = false,
                    Ok(count) => self.note(count),
                },
            }
        }
        Ok(())
    }

    /// Takes what came of its log, be it text or not.
    fn note(&mut self, count: usize) {
        let came = self.log_chunk.get(..count).unwrap_or_default();
        for byte in came {
            if *byte != b'\n' {
                if self.line.len() < MOST_SAID {
                    self.line.push(*byte);
                }
                continue;
            }
            let line = String::from_utf8_lossy(&self.line);
            let plain: String = line.chars().filter(|c| !c.is_control()).collect();
            self.line.clear();
            tracing::debug!(line = plain, "FFmpeg says");
            if !plain.is_empty() {
                self.said = plain;
            }
        }
    }

    /// What it said last; the rest of its log may still be on its way.
    async fn last_words(&mut self) -> String {
        let until = Instant::now() + LAST_WORDS;
        while let Ok(Ok(count @ 1..)) =
            tokio::time::timeout_at(until, self.log.read(&mut self.log_chunk)).await
        {
            self.note(count);
        }
        std::mem::take(&mut self.said)
    }

    fn take(&mut self, count: usize, made: &mut Vec<(u8, Frame)>) {
        self.reader
            .push(self.chunk.get(..count).unwrap_or_default());
        while let Some(item) = self.reader.poll() {
            match item {
                Item::Tracks(tracks) => {
                    let pictures = tracks
                        .iter()
                        .filter(|track| track.codec.kind() == Kind::Video);
                    self.tracks = pictures.map(|track| track.pid).collect();
                }
                Item::Frame { track, mut frame } => {
                    let index = self.tracks.iter().position(|known| *known == track);
                    let Some(layer) = index.and_then(|index| u8::try_from(index + 1).ok()) else {
                        continue;
                    };
                    frame.pts = frame.pts.shifted(-self.shift);
                    frame.dts = frame.dts.shifted(-self.shift);
                    self.latest.1 = self.latest.1.max(frame.pts);
                    if self.begun.elapsed() >= PAST
                        && self.latest.0.since(self.latest.1) < MOST_BEHIND
                    {
                        self.past = None;
                    }
                    made.push((layer, frame));
                }
                other => tracing::debug!(?other, "of what FFmpeg gives"),
            }
        }
    }

    /// Ends it and waits until it is gone.
    pub(super) async fn end(mut self) {
        drop(self.stdin);
        // One that has ended needs only to be waited for.
        let _ = self.child.start_kill();
        if timeout(FAREWELL, self.child.wait()).await.is_err() {
            tracing::warn!("FFmpeg does not end");
        }
    }
}

/// Lets everything else on the machine go first.
#[cfg(unix)]
fn be_nice(child: &Child, nice: i32) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) else {
        return;
    };
    if let Err(error) = rustix::process::setpriority_process(Some(pid), nice) {
        tracing::debug!(%error, "FFmpeg runs with the usual priority");
    }
}

#[cfg(not(unix))]
fn be_nice(_: &Child, _: i32) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_name_each_rendition() {
        let renditions = ["480p@1M", "240p@300k"].map(|text| text.parse().expect("a rendition"));
        let words = arguments(&Config::default(), &renditions);
        let words: Vec<String> = words
            .into_iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let line = words.join(" ");
        assert!(
            line.contains("split=2[s0][s1];[s0]scale=-2:480,setsar=1[v0];"),
            "{line}"
        );
        assert!(line.contains("-map [v1]"), "{line}");
        assert!(line.contains("-b:v:1 300000 -maxrate:v:1 300000"), "{line}");
        assert!(line.contains("-force_key_frames source"), "{line}");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let missing = probe(Path::new("/nowhere/ffmpeg")).await;
        assert!(missing.is_err_and(|why| why.contains("/nowhere/ffmpeg")));
    }
}
