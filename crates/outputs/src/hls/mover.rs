//! Moves a stream's old segments to the disk, one write after the other, while frames go on.
//!
//! Owns what is being written and when the disk is tried again. A disk that is full or slow makes
//! the past shorter, which is told, and nothing else.

use std::io;
use std::time::Duration;

use inver_proto::RoomId;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::past::{Disk, Writer, Written};
use super::session::Stream;

/// Pause before the disk is tried again after a fault.
const MEND: Duration = Duration::from_secs(3);

/// How often it is told that the past becomes shorter.
const TELL: Duration = Duration::from_secs(60);

/// Who moves one stream's segments.
pub(super) struct Mover {
    room: RoomId,
    disk: Disk,
    writer: Option<Writer>,
    writing: Option<JoinHandle<(Writer, Written)>>,
    not_before: Option<Instant>,
    told: Option<Instant>,
}

impl Mover {
    pub(super) fn new(room: &RoomId, disk: &Disk) -> Self {
        Self {
            room: room.clone(),
            disk: disk.clone(),
            writer: None,
            writing: None,
            not_before: None,
            told: None,
        }
    }

    /// Begins to write what is due, unless something is being written.
    pub(super) fn begin(&mut self, stream: &Stream) {
        let waits = self.not_before.is_some_and(|at| Instant::now() < at);
        if waits || self.writing.is_some() {
            if let Some((reach, fault)) = stream.bound() {
                self.tell(reach, &fault);
            }
            return;
        }
        let pieces = stream.move_out();
        if pieces.is_empty() {
            return;
        }
        let writer = self.writer.take();
        let mut writer = writer.unwrap_or_else(|| Writer::new(self.disk.clone()));
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let written = writer.write(&pieces);
            (writer, written)
        }));
    }

    /// Waits for what is being written; for ever where nothing is. Cancel-safe.
    pub(super) async fn written(&mut self) -> Written {
        let Some(writing) = &mut self.writing else {
            return std::future::pending().await;
        };
        let written = match writing.await {
            Ok((writer, written)) => {
                self.writer = Some(writer);
                written
            }
            Err(error) => Written {
                fault: Some(io::Error::other(error)),
                ..Written::default()
            },
        };
        self.writing = None;
        written
    }

    /// Takes what has become of it to the stream.
    pub(super) fn settle(&mut self, stream: &Stream, written: Written) {
        self.not_before = None;
        if let Some((reach, fault)) = stream.settle(written) {
            self.not_before = Some(Instant::now() + MEND);
            self.tell(reach, &fault);
        }
    }

    fn tell(&mut self, reach: Duration, fault: &io::Error) {
        if self.told.is_some_and(|at| at.elapsed() < TELL) {
            return;
        }
        self.told = Some(Instant::now());
        let (room, seconds) = (&self.room, reach.as_secs());
        tracing::warn!(%room, seconds, %fault, "viewers can wind back less far than hls.dvr says");
    }
}

/// What a stream's mover has written; for ever where it has none.
pub(super) async fn written(mover: &mut Option<Mover>) -> Written {
    match mover {
        Some(mover) => mover.written().await,
        None => std::future::pending().await,
    }
}
