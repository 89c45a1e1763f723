//! Pushes over SRT: an MPEG transport stream to a listener that is called.

use inver_media::{Codec, Frame};
use inver_protocols::srt::{Event, SendError, Target};
use inver_sockets::srt::{Link, call};
use inver_sockets::{Stop, stopped};
use tokio::time::Instant;

use super::{End, Pace, Push, room};
use crate::bridge::Bridge;
use crate::frames::{Frames, Opening};
use crate::srt::FromFrames;

impl Push {
    /// Calls, sends, and says why that ended.
    pub(super) async fn srt(
        &self,
        target: &Target,
        stop: &mut Stop,
        since: &mut Option<Instant>,
    ) -> End {
        let called = tokio::select! {
            called = call(self.restream.guard, target) => called,
            () = stopped(stop) => return End::Stopped,
        };
        let mut link = match called {
            Ok(link) => link,
            Err(error) => return End::Failed(error.to_string()),
        };
        let (mut frames, opening) = match room::open(&self.handle, &self.restream.room).await {
            Ok(Some(opened)) => opened,
            Ok(None) => return End::RoomEnded,
            Err(reason) => return End::Failed(reason),
        };
        let mut stream = match Stream::new(opening, self.restream.keep_opus) {
            Ok(stream) => stream,
            Err(error) => return End::Failed(error),
        };
        for frame in std::mem::take(&mut stream.first) {
            if !stream.put(&mut link, &frame) {
                frames.skip();
            }
        }
        self.begun(since);
        let pace = Pace::new(self);
        let end = stream.send(&mut link, &mut frames, pace, stop).await;
        if !matches!(end, End::Failed(_)) {
            link.close().await;
        }
        end
    }
}

/// The transport stream of one push.
struct Stream {
    writer: FromFrames,
    /// Makes AAC of Opus, unless Opus is wanted.
    bridge: Option<Bridge>,
    /// What it begins with.
    first: Vec<Frame>,
}

impl Stream {
    fn new(opening: Opening, keep_opus: bool) -> Result<Self, String> {
        let mut bridge = (!keep_opus).then(Bridge::default);
        let mut first = Vec::new();
        for frame in &opening.frames {
            bridged(bridge.as_mut(), frame, |frame| first.push(frame.clone()));
        }
        // The sound is announced as what it becomes.
        let sound = first
            .iter()
            .find(|frame| matches!(frame.codec(), Codec::Aac | Codec::Opus));
        let announced = Opening {
            frames: Vec::new(),
            video: opening.video.clone(),
            audio: sound.map(|frame| frame.config.clone()),
        };
        let writer = FromFrames::new(&announced).map_err(|error| error.to_string())?;
        Ok(Self {
            writer,
            bridge,
            first,
        })
    }

    async fn send(
        &mut self,
        link: &mut Link,
        frames: &mut Frames,
        mut pace: Pace<'_>,
        stop: &mut Stop,
    ) -> End {
        loop {
            tokio::select! {
                event = link.next() => match event {
                    // Listeners that are sent to have nothing to say.
                    Some(Event::Data(_) | Event::Dropped { .. } | Event::Connected) => {}
                    Some(Event::Closed(reason)) => return End::Failed(reason.to_string()),
                    None => return End::Failed("the connection is over".to_owned()),
                },
                frame = frames.next() => {
                    let Some(frame) = frame else { return End::RoomEnded };
                    let mut taken = true;
                    let mut made = Vec::new();
                    bridged(self.bridge.as_mut(), &frame, |frame| made.push(frame.clone()));
                    for frame in made {
                        taken &= self.put(link, &frame);
                    }
                    if taken {
                        pace.keeps_up();
                    } else {
                        frames.skip();
                        pace.falls_behind();
                    }
                }
                () = stopped(stop) => return End::Stopped,
            }
        }
    }

    /// False where too much waits for the target already.
    fn put(&mut self, link: &mut Link, frame: &Frame) -> bool {
        let mut result = Ok(());
        let written = self.writer.write(frame, |datagram| {
            result = link.send(datagram);
            result.is_ok()
        });
        if let Err(error) = written {
            tracing::debug!(%error, "a frame was dropped");
        }
        // Of a connection that is over, the link tells.
        !matches!(result, Err(SendError::QueueFull))
    }
}

/// Gives what a frame is sent as.
fn bridged(bridge: Option<&mut Bridge>, frame: &Frame, mut give: impl FnMut(&Frame)) {
    match bridge {
        Some(bridge) if frame.codec() == Codec::Opus => {
            for frame in &bridge.push(frame) {
                give(frame);
            }
        }
        _ => give(frame),
    }
}
