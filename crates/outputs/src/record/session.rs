//! What records one participant: a task that reads frames, and one that has the files.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use inver_node::{FrameReader, Read};
use inver_proto::ParticipantId;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::file::Growing;
use super::preview::Chooser;
use super::recorder::Inner;
use super::writer::{Output, Split, Writer};

/// What waits for a slow disk: about a second of media each. More costs memory, less loses media
/// on short stalls; the reader's own queue holds some seconds more.
const JOBS: usize = 8;

/// How often the writer learns that time goes on.
const TICK: Duration = Duration::from_millis(250);

/// Longest time without a keyframe from a browser, which sends one only when it is asked: players seek
/// to keyframes, and files are split at them. Less costs bandwidth, more makes both coarser.
const KEYFRAMES: Duration = Duration::from_secs(4);

/// Reads a participant's frames until it is gone, the recording stops or the disk refuses.
pub(super) async fn record(
    inner: Arc<Inner>,
    id: String,
    mut reader: FrameReader,
    split: Split,
    mut stop: watch::Receiver<bool>,
) {
    let (jobs, queue) = mpsc::channel(JOBS);
    let mut previews = Chooser::default();
    let (recording, participant) = (id.clone(), reader.participant().clone());
    let keeper = Keeper {
        folder: inner.folder(&id),
        participant: reader.participant().clone(),
        inner: Arc::clone(&inner),
        id,
        open: None,
    };
    let files = tokio::spawn(keep(keeper, queue));
    let mut writer = Writer::new(split);
    let mut keyframe_at = inner.elapsed();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let read = tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            read = reader.next() => read,
            _ = ticks.tick() => {
                let now = inner.elapsed();
                if reader.is_over_webrtc() && now.saturating_sub(keyframe_at) >= KEYFRAMES {
                    reader.want_keyframe(0);
                    // It is on its way, or asked for again from there.
                    keyframe_at = now;
                }
                writer.tick(now);
                if !hand_on(&mut writer, &jobs).await {
                    break;
                }
                continue;
            }
        };
        match read {
            Some(Read::Video { layer: 0, frame }) => {
                if frame.keyframe {
                    keyframe_at = inner.elapsed();
                }
                if previews.wants(&frame, inner.elapsed())
                    && inner.may_draw(&recording, &participant)
                {
                    inner.draw(&recording, Arc::clone(&frame));
                }
                writer.frame(&frame, inner.elapsed());
            }
            Some(Read::Audio(frame)) => writer.frame(&frame, inner.elapsed()),
            Some(Read::Video { .. }) => {}
            Some(Read::Lost) => writer.lost(),
            Some(Read::Idle) => writer.idle(inner.elapsed()),
            None => break,
        }
        if !hand_on(&mut writer, &jobs).await {
            break;
        }
    }
    writer.idle(inner.elapsed());
    hand_on(&mut writer, &jobs).await;
    drop(jobs);
    if let Err(error) = files.await {
        tracing::error!(%error, "a recording's files were lost sight of");
    }
}

/// Waits for the word to stop, or for a recorder that is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Hands on what the writer wants done. `false`: the disk takes nothing more.
async fn hand_on(writer: &mut Writer, jobs: &mpsc::Sender<Output>) -> bool {
    while let Some(output) = writer.poll_output() {
        if jobs.send(output).await.is_err() {
            return false;
        }
    }
    true
}

/// Has the files of one participant.
struct Keeper {
    inner: Arc<Inner>,
    id: String,
    folder: PathBuf,
    participant: ParticipantId,
    /// The file that grows, with its name.
    open: Option<(Growing, String)>,
}

/// Does what comes, until an error or the end.
async fn keep(mut keeper: Keeper, mut queue: mpsc::Receiver<Output>) {
    while let Some(job) = queue.recv().await {
        let done = tokio::task::spawn_blocking(move || {
            let done = keeper.perform(job);
            (keeper, done)
        });
        let done = match done.await {
            Ok((back, done)) => {
                keeper = back;
                done
            }
            Err(error) => {
                tracing::error!(%error, "a recording's file was lost sight of");
                return;
            }
        };
        if let Err(error) = done {
            let warning = format!("the disk took no more of {}: {error}", keeper.participant);
            keeper.inner.halt(&keeper.id, &warning);
            break;
        }
    }
    // What was written is completed even so, where there is space for it.
    let last = tokio::task::spawn_blocking(move || keeper.perform(Output::Close));
    if !matches!(last.await, Ok(Ok(()))) {
        tracing::warn!(
            "a recording's file stays fragmented; it plays, and is completed at the next start"
        );
    }
}

impl Keeper {
    fn perform(&mut self, job: Output) -> std::io::Result<()> {
        match job {
            Output::Open(opening) => {
                let name = self
                    .inner
                    .begin_file(&self.id, &self.participant, &opening)?;
                let growing = Growing::create(&self.folder.join(&name), &opening.header)?;
                super::manifest::sync_folder(&self.folder)?;
                self.open = Some((growing, name));
            }
            Output::Append { bytes, lasts, gaps } => {
                if let Some((growing, name)) = &mut self.open {
                    let len = growing.append(&bytes)?;
                    self.inner.file_grew(&self.id, name, len, lasts, gaps);
                }
            }
            Output::Sync => {
                if let Some((growing, _)) = &self.open {
                    growing.sync()?;
                }
            }
            Output::Close => {
                if let Some((growing, name)) = self.open.take() {
                    let len = growing.finish()?;
                    self.inner.file_ended(&self.id, &name, len)?;
                }
            }
            Output::Refused(why) => {
                let warning = format!("{} is not recorded whole: {why}", self.participant);
                self.inner.warn(&self.id, &warning);
            }
        }
        Ok(())
    }
}
