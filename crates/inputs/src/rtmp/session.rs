//! One connection: what the client wants, and a publisher's whole session.

use std::net::SocketAddr;

use inver_node::{Credentials, Encoder, Feed, Handle, PublishFeed, RefusalKind, Secret, Target};
use inver_proto::{Door, ParticipantId, WarningKind};
use inver_protocols::rtmp::{Address, Media, ServerEvent};
use inver_sockets::rtmp::{Connection, End, Play, publish_code};
use inver_sockets::{Stop, client, room_in, shown, stopped};

use super::server::Shared;
use super::to_frames::{Step, ToFrames};

/// Names of the query in which encoders put a key, the nearest first.
const KEYS: [&str; 3] = ["key", "token", "pass"];

/// The connection that a session leaves behind, whose client may publish again; `None` where it is
/// over.
type Left = Option<Connection>;

/// Serves a connection until it ends.
pub(super) async fn serve(
    mut connection: Connection,
    shared: &Shared,
    from: SocketAddr,
    mut stop: Stop,
) {
    let mut program = None;
    loop {
        let event = tokio::select! {
            event = connection.next() => event,
            () = stopped(&mut stop) => {
                connection.core().finish();
                return connection.close().await;
            }
        };
        match event {
            Err(end) => return gone(&end),
            Ok(ServerEvent::Connected(connected)) => {
                program = Some(shown(&connected.flash_version)).filter(|name| !name.is_empty());
            }
            Ok(ServerEvent::PublishRequested(address)) => {
                let publisher = Publisher {
                    connection,
                    address,
                    from,
                    program: program.clone(),
                };
                match publisher.run(&shared.handle, &mut stop).await {
                    Some(open) => connection = open,
                    None => return,
                }
            }
            Ok(ServerEvent::PlayRequested(address)) => {
                let mut client = client(from);
                client.user_agent = program;
                let play = Play {
                    connection,
                    address,
                    client,
                    stop,
                };
                return shared.player.play(play).await;
            }
            Ok(ServerEvent::Closed) => return connection.close().await,
            Ok(ServerEvent::Media(_) | ServerEvent::Unpublished | ServerEvent::Stopped) => {}
        }
    }
}

fn gone(end: &End) {
    tracing::debug!(%end, "the connection ended");
}

/// A client that wants to publish.
struct Publisher {
    connection: Connection,
    address: Address,
    from: SocketAddr,
    /// What the client calls itself.
    program: Option<String>,
}

impl Publisher {
    async fn run(mut self, handle: &Handle, stop: &mut Stop) -> Left {
        let request = match self.request(handle) {
            Ok(request) => request,
            Err(detail) => {
                tracing::info!(detail, "a publisher was refused");
                return self.refuse(RefusalKind::BadRequest, &detail).await;
            }
        };
        let mut feed = match handle.publish_feed(request).await {
            Ok(feed) => feed,
            Err(refusal) => {
                let room = room_in(handle, self.address.stream());
                let room = room.map_or_else(|| "unknown".to_owned(), |room| room.to_string());
                tracing::info!(room, detail = refusal.detail, "a publisher was refused");
                return self.refuse(refusal.kind, &refusal.detail).await;
            }
        };
        if let Err(end) = self.connection.accept() {
            gone(&end);
            return None;
        }
        tracing::info!(room = %feed.room(), session = %feed.session(), "publishing");
        feed.tell(Encoder {
            name: self.program.clone(),
            ..Encoder::default()
        });
        self.publish(feed, stop).await
    }

    /// Where to, and with which key.
    fn request(&self, handle: &Handle) -> Result<PublishFeed, String> {
        let stream = self.address.stream();
        if stream.is_empty() {
            return Err("the address names no room; it is rtmp://HOST/live/ROOM-KEY".to_owned());
        }
        let key = KEYS.iter().find_map(|name| self.address.query(name));
        let (target, credentials) = match key {
            Some(key) => {
                // A key twice: behind the room's name as well, where it would be taken for a part
                // of the name and get into messages.
                let room = match handle.split_stream_key(stream) {
                    Some(room) => room,
                    None => stream.parse().map_err(|error| {
                        format!(
                            "the address names no room: {error}; it is \
                             rtmp://HOST/live/ROOM?key=KEY"
                        )
                    })?,
                };
                (Target::Room(room), Credentials::bearer(&key))
            }
            None => (Target::RoomWithKey(Secret::new(stream)), Credentials::NONE),
        };
        let mut client = client(self.from);
        client.user_agent.clone_from(&self.program);
        Ok(PublishFeed {
            target,
            participant: participant(&self.address)?,
            credentials,
            client,
            door: Door::Rtmp,
        })
    }

    async fn refuse(mut self, kind: RefusalKind, detail: &str) -> Left {
        self.connection.core().refuse(publish_code(kind), detail);
        self.connection.close().await;
        None
    }

    async fn publish(mut self, mut feed: Feed, stop: &mut Stop) -> Left {
        let mut frames = ToFrames::default();
        let mut steps = Vec::new();
        loop {
            let event = tokio::select! {
                event = self.connection.next() => event,
                cause = feed.closed() => {
                    tracing::info!(?cause, "the publisher was told to end");
                    self.connection.core().finish();
                    break;
                }
                () = stopped(stop) => {
                    self.connection.core().finish();
                    break;
                }
            };
            match event {
                Err(end) => {
                    tracing::info!(%end, "publishing ended");
                    return None;
                }
                Ok(ServerEvent::Media(media)) => {
                    read(&mut frames, &media, &mut steps);
                    for step in steps.drain(..) {
                        match step {
                            Step::Video { layer, frame } => feed.video(layer, &frame),
                            Step::Audio(frame) => feed.audio(&frame),
                            Step::Encoder(name) => feed.tell(Encoder {
                                name: Some(name),
                                ..Encoder::default()
                            }),
                            Step::Drop(message) => {
                                tracing::warn!("{message}");
                                feed.warn(WarningKind::Unsupported, message);
                            }
                            Step::Refuse(detail) => {
                                tracing::info!(detail, "a publisher was refused");
                                return self.refuse(RefusalKind::Unplayable, &detail).await;
                            }
                        }
                    }
                }
                Ok(ServerEvent::Unpublished) => {
                    tracing::info!("publishing ended");
                    return Some(self.connection);
                }
                Ok(ServerEvent::Closed) => break,
                Ok(
                    ServerEvent::Connected(_)
                    | ServerEvent::PublishRequested(_)
                    | ServerEvent::PlayRequested(_)
                    | ServerEvent::Stopped,
                ) => {}
            }
        }
        // The place is free for others before the last words are said.
        drop(feed);
        self.connection.close().await;
        None
    }
}

fn read(frames: &mut ToFrames, media: &Media, steps: &mut Vec<Step>) {
    frames.read(media.tag_type, media.timestamp, &media.body, steps);
}

/// Whose publication it is, where the address says so.
fn participant(address: &Address) -> Result<Option<ParticipantId>, String> {
    let name = address.query("participant");
    let parsed = name.map(|name| name.parse()).transpose();
    parsed.map_err(|error| format!("participant= names none: {error}"))
}
