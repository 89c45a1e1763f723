//! One player, from its wish to its end.

use inver_node::{Credentials, FrameReader, Handle, ReadFrames, Refusal, RefusalKind};
use inver_proto::{Door, RoomId};
use inver_protocols::rtmp::{Address, ServerEvent};
use inver_sockets::rtmp::{Connection, Play, play_code};
use inver_sockets::{Stop, room_in, stopped};

use super::from_frames::FromFrames;
use super::server::Player;
use crate::frames::Frames;

/// Names of the query in which players put a token, the nearest first.
const TOKENS: [&str; 3] = ["key", "token", "pass"];

/// The connection that a session leaves behind, whose client may play again; `None` where it is
/// over.
type Left = Option<Connection>;

/// Serves a connection until it ends.
pub(super) async fn serve(player: &Player, play: Play) {
    let Play {
        mut connection,
        mut address,
        client,
        mut stop,
    } = play;
    // Media is accounted for here; what commands make of answers gets as much again.
    connection.allow_unsent(player.config.queue * 2);
    loop {
        let request = match request(&player.handle, &address) {
            Ok((room, credentials)) => ReadFrames {
                room,
                participant: None,
                credentials,
                client: client.clone(),
                door: Door::Rtmp,
            },
            Err(refusal) => return refuse(player, connection, &address, &refusal).await,
        };
        let reader = match player.handle.read_frames(request).await {
            Ok(reader) => reader,
            Err(refusal) => return refuse(player, connection, &address, &refusal).await,
        };
        let session = Session {
            connection,
            queue: player.config.queue,
        };
        let Some(open) = session.play(reader, &mut stop).await else {
            return;
        };
        connection = open;
        let Some(next) = wish(&mut connection).await else {
            return connection.close().await;
        };
        address = next;
    }
}

/// What the client wants next, if it is to play.
async fn wish(connection: &mut Connection) -> Option<Address> {
    loop {
        match connection.next().await {
            Ok(ServerEvent::PlayRequested(address)) => return Some(address),
            Ok(ServerEvent::PublishRequested(_)) => {
                let text = "this connection plays; publish on another one";
                connection.core().refuse("NetStream.Publish.Denied", text);
                return None;
            }
            Ok(ServerEvent::Closed) => return None,
            Ok(
                ServerEvent::Connected(_)
                | ServerEvent::Media(_)
                | ServerEvent::Unpublished
                | ServerEvent::Stopped,
            ) => {}
            Err(end) => {
                tracing::debug!(%end, "the connection ended");
                return None;
            }
        }
    }
}

/// Which room, and with which credentials.
fn request(handle: &Handle, address: &Address) -> Result<(RoomId, Credentials), Refusal> {
    let stream = address.stream();
    let token = TOKENS.iter().find_map(|name| address.query(name));
    if token.is_none()
        && let Some(room) = handle.split_stream_key(stream)
    {
        return Ok((room, Credentials::bearer(stream)));
    }
    let room = stream.parse().map_err(|error| {
        let detail = format!("the address names no room: {error}; it is rtmp://HOST/live/ROOM");
        Refusal::new(RefusalKind::BadRequest, detail)
    })?;
    let credentials = token.map_or(Credentials::NONE, |token| Credentials::bearer(&token));
    Ok((room, credentials))
}

async fn refuse(player: &Player, mut connection: Connection, address: &Address, refusal: &Refusal) {
    let room = room_in(&player.handle, address.stream());
    let room = room.map_or_else(|| "unknown".to_owned(), |room| room.to_string());
    tracing::info!(room, detail = refusal.detail, "a player was refused");
    let code = play_code(refusal.kind);
    connection.core().refuse(code, &refusal.detail);
    connection.close().await;
}

struct Session {
    connection: Connection,
    queue: usize,
}

impl Session {
    async fn play(mut self, reader: FrameReader, stop: &mut Stop) -> Left {
        let room = reader.room().clone();
        let session = reader.session().map(tracing::field::display);
        let mut frames = Frames::new(reader);
        let opening = frames.opening().await;
        let mut tags = FromFrames::new(self.connection.core().capabilities().clone());
        if let Some(config) = &opening.video
            && let Err(unplayable) = tags.check(config.codec())
        {
            return self.unplayable(&unplayable.to_string()).await;
        }
        if let Err(end) = self.connection.accept() {
            tracing::debug!(%end, "the connection ended");
            return None;
        }
        tracing::info!(%room, session, "playing");
        for frame in &opening.frames {
            if let Err(unplayable) = self.send(&mut tags, frame) {
                return self.unplayable(&unplayable).await;
            }
        }
        loop {
            let event = if self.connection.unsent() > self.queue {
                // The reader loses what it cannot keep meanwhile.
                match self.connection.next_unless_sent(self.queue / 2).await {
                    Ok(None) => continue,
                    Ok(Some(event)) => Ok(event),
                    Err(end) => Err(end),
                }
            } else {
                tokio::select! {
                    event = self.connection.next() => event,
                    frame = frames.next() => {
                        let Some(frame) = frame else {
                            tracing::info!(%room, "playing ended: the publisher is gone");
                            return self.finish().await;
                        };
                        if let Err(unplayable) = self.send(&mut tags, &frame) {
                            return self.unplayable(&unplayable).await;
                        }
                        continue;
                    }
                    () = stopped(stop) => return self.finish().await,
                }
            };
            match event {
                Ok(ServerEvent::Stopped) => return Some(self.connection),
                Ok(ServerEvent::Closed) => {
                    self.connection.close().await;
                    return None;
                }
                Ok(
                    ServerEvent::Connected(_)
                    | ServerEvent::PublishRequested(_)
                    | ServerEvent::PlayRequested(_)
                    | ServerEvent::Media(_)
                    | ServerEvent::Unpublished,
                ) => {}
                Err(end) => {
                    tracing::info!(%room, %end, "playing ended");
                    return None;
                }
            }
        }
    }

    fn send(&mut self, frames: &mut FromFrames, frame: &inver_media::Frame) -> Result<(), String> {
        let mut tags = Vec::new();
        let written = frames.write(frame, &mut tags);
        for tag in tags {
            let core = self.connection.core();
            core.send(tag.tag_type, tag.timestamp, &tag.body);
        }
        written.map_err(|unplayable| unplayable.to_string())
    }

    async fn finish(mut self) -> Left {
        self.connection.core().finish();
        self.connection.close().await;
        None
    }

    async fn unplayable(mut self, detail: &str) -> Left {
        tracing::info!(detail, "a player was refused");
        let code = play_code(RefusalKind::Unplayable);
        self.connection.core().refuse(code, detail);
        self.connection.close().await;
        None
    }
}
