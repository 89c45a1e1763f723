//! Pushes over RTMP and RTMPS.

use inver_media::Frame;
use inver_protocols::rtmp::{ClientEvent, Purpose, Target};
use inver_sockets::rtmp::{ClientConnection, connect, started};
use inver_sockets::{Stop, stopped};
use tokio::time::Instant;

use super::{End, Pace, Push, QUEUE, room};
use crate::rtmp::{FromFrames, Unplayable};

impl Push {
    /// Connects, sends, and says why that ended.
    pub(super) async fn rtmp(
        &self,
        target: &Target,
        stop: &mut Stop,
        since: &mut Option<Instant>,
    ) -> End {
        let connecting = async {
            let connecting = connect(self.restream.guard, target, &self.tls, Purpose::Publish);
            let mut connection = connecting.await?;
            let begun = started(&mut connection).await?;
            Ok((connection, begun))
        };
        let connected: Result<_, inver_sockets::rtmp::NoConnection> = tokio::select! {
            connected = connecting => connected,
            () = stopped(stop) => return End::Stopped,
        };
        let (mut connection, begun) = match connected {
            Ok(connected) => connected,
            Err(error) => return End::Failed(error.to_string()),
        };
        let tags = FromFrames::new(begun.capabilities);
        let end = self.send_rtmp(&mut connection, tags, stop, since).await;
        if !matches!(&end, Ended::ByTarget(_)) {
            connection.core().finish();
            connection.close().await;
        }
        match end {
            Ended::ByRoom => End::RoomEnded,
            Ended::Stopped => End::Stopped,
            Ended::Unplayable(reason) | Ended::ByTarget(reason) => End::Failed(reason),
        }
    }

    async fn send_rtmp(
        &self,
        connection: &mut ClientConnection,
        mut tags: FromFrames,
        stop: &mut Stop,
        since: &mut Option<Instant>,
    ) -> Ended {
        // Media is accounted for here; answers to commands get as much again.
        connection.allow_unsent(QUEUE * 2);
        let (mut frames, opening) = match room::open(&self.handle, &self.restream.room).await {
            Ok(Some(opened)) => opened,
            Ok(None) => return Ended::ByRoom,
            Err(reason) => return Ended::Unplayable(reason),
        };
        for frame in &opening.frames {
            if let Err(unplayable) = send(connection, &mut tags, frame) {
                return unplayable;
            }
        }
        drop(opening);
        self.begun(since);
        let mut pace = Pace::new(self);
        let mut waits = false;
        loop {
            waits |= connection.unsent() > QUEUE;
            let event = if waits {
                // Goes on live with the next keyframe once the target has taken half of it.
                frames.skip();
                pace.falls_behind();
                tokio::select! {
                    event = connection.next_unless_sent(QUEUE / 2) => match event {
                        Ok(None) => {
                            waits = false;
                            continue;
                        }
                        Ok(Some(event)) => Ok(event),
                        Err(end) => Err(end),
                    },
                    // What nobody takes would be kept in the meantime.
                    frame = frames.next() => match frame {
                        Some(_) => continue,
                        None => return Ended::ByRoom,
                    },
                    () = stopped(stop) => return Ended::Stopped,
                }
            } else {
                tokio::select! {
                    event = connection.next() => event,
                    frame = frames.next() => {
                        let Some(frame) = frame else { return Ended::ByRoom };
                        if let Err(unplayable) = send(connection, &mut tags, &frame) {
                            return unplayable;
                        }
                        pace.keeps_up();
                        continue;
                    }
                    () = stopped(stop) => return Ended::Stopped,
                }
            };
            match event {
                Ok(ClientEvent::Refused { code, description }) => {
                    return Ended::ByTarget(format!("the server refuses: {description} ({code})"));
                }
                Ok(ClientEvent::Ended { code }) => {
                    return Ended::ByTarget(format!("the server ended the stream ({code})"));
                }
                Ok(ClientEvent::ReconnectRequested { .. }) => {
                    return Ended::ByTarget("the server asked to connect anew".to_owned());
                }
                Ok(ClientEvent::Closed) => {
                    return Ended::ByTarget("the server closed the connection".to_owned());
                }
                Ok(
                    ClientEvent::Connected { .. } | ClientEvent::Started | ClientEvent::Media(_),
                ) => {}
                Err(end) => return Ended::ByTarget(end.to_string()),
            }
        }
    }
}

/// Why sending ended, and so whether the target has to be told.
enum Ended {
    ByRoom,
    Stopped,
    Unplayable(String),
    ByTarget(String),
}

fn send(
    connection: &mut ClientConnection,
    tags: &mut FromFrames,
    frame: &Frame,
) -> Result<(), Ended> {
    let mut made = Vec::new();
    let written = tags.write(frame, &mut made);
    for tag in made {
        let core = connection.core();
        core.send(tag.tag_type, tag.timestamp, &tag.body);
    }
    written.map_err(|Unplayable(codec)| {
        Ended::Unplayable(format!(
            "the room's picture is {codec}, and the target does not say that it takes it; H264 is \
             taken everywhere"
        ))
    })
}
