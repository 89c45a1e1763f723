//! One caller: what it wants, and a publisher's whole session.

use std::sync::Arc;
use std::time::Duration;

use inver_node::{Credentials, Encoder, Feed, PublishFeed, Secret, Target};
use inver_proto::{Door, ParticipantId, RoomId};
use inver_protocols::srt::{Credential, Event, Rejection, Statistics, StreamId};
use inver_sockets::srt::{Call, Link, Read, publish_rejection};
use inver_sockets::{Stop, client, room_in, stopped};
use tokio::time::Instant;

use super::server::Shared;
use crate::mpegts::ToFrames;

/// How often loss and round trip are told.
const TELL: Duration = Duration::from_secs(5);

/// Serves a caller until its session ends.
pub(super) async fn serve(call: Call, shared: Arc<Shared>, stop: Stop) {
    let wish = match Wish::parse(call.stream_id()) {
        Ok(wish) => wish,
        Err(detail) => {
            tracing::info!(detail, "a caller was refused");
            return call.reject(Rejection::BadRequest).await;
        }
    };
    match wish {
        // Boxed, for it is large and readers need none of it.
        Wish::Publish(publish) => Box::pin(publish.serve(call, &shared, stop)).await,
        Wish::Read {
            room,
            participant,
            credentials,
        } => {
            let client = client(call.address());
            let read = Read {
                call,
                room,
                participant,
                credentials,
                client,
                stop,
            };
            shared.reader.read(read).await;
        }
    }
}

/// What a stream id says, in the node's words.
enum Wish {
    Publish(Publish),
    Read {
        room: RoomId,
        participant: Option<ParticipantId>,
        credentials: Credentials,
    },
}

impl Wish {
    fn parse(stream_id: &str) -> Result<Self, String> {
        let stream_id = StreamId::parse(stream_id).map_err(|error| error.to_string())?;
        let named = |room: &str| {
            let room = room.parse::<RoomId>();
            room.map_err(|error| format!("the stream id names no room: {error}"))
        };
        Ok(match stream_id {
            StreamId::Publish { room, credential } => {
                let (participant, credentials) = shown(credential);
                Self::Publish(Publish {
                    target: Target::Room(named(&room)?),
                    participant,
                    credentials,
                })
            }
            StreamId::Read { room, credential } => {
                let (participant, credentials) = shown(credential);
                Self::Read {
                    room: named(&room)?,
                    participant,
                    credentials,
                }
            }
            StreamId::Joined(text) => Self::Publish(Publish {
                target: Target::RoomWithKey(Secret::new(text)),
                participant: None,
                credentials: Credentials::NONE,
            }),
        })
    }
}

/// Who somebody is and what they show. A user that could be no participant is no one in particular.
fn shown(credential: Credential) -> (Option<ParticipantId>, Credentials) {
    match credential {
        Credential::None => (None, Credentials::NONE),
        Credential::Key(key) => (None, Credentials::bearer(&key)),
        Credential::Login { user, password } => (user.parse().ok(), Credentials::bearer(&password)),
    }
}

/// A wish to publish.
struct Publish {
    target: Target,
    participant: Option<ParticipantId>,
    credentials: Credentials,
}

impl Publish {
    async fn serve(self, call: Call, shared: &Shared, stop: Stop) {
        if shared.config.require_encryption && !call.is_encrypted() {
            tracing::info!("a publisher was refused: it does not encrypt, which is required here");
            return call.reject(Rejection::Unsecure).await;
        }
        let handle = &shared.handle;
        let named = match &self.target {
            Target::Room(room) => room.to_string(),
            Target::RoomWithKey(text) => room_in(handle, text.reveal())
                .map_or_else(|| "unknown".to_owned(), |room| room.to_string()),
        };
        let key = self.key();
        let request = PublishFeed {
            target: self.target,
            participant: self.participant,
            credentials: self.credentials,
            client: client(call.address()),
            door: Door::Srt,
        };
        let feed = match handle.publish_feed(request).await {
            Ok(feed) => feed,
            Err(refusal) => {
                let rejection = publish_rejection(refusal.kind);
                tracing::info!(room = named, detail = refusal.detail, %rejection, "a publisher was refused");
                return call.reject(rejection).await;
            }
        };
        let mut passphrases = Vec::new();
        if call.is_encrypted() {
            let room = feed.room();
            passphrases.extend(key.map(|key| key.within(room)));
            passphrases.extend(handle.stream_keys(room));
        }
        match call.accept(passphrases, shared.config.latency).await {
            Ok(link) => {
                let encrypted = link.is_encrypted();
                tracing::info!(room = named, session = %feed.session(), encrypted, "publishing");
                Box::pin(publish(link, feed, stop)).await;
            }
            Err(error) => tracing::info!(room = named, %error, "a publisher was refused"),
        }
    }

    /// What the stream id shows for a key; it is tried for the passphrase.
    fn key(&self) -> Option<Shown> {
        match &self.target {
            Target::RoomWithKey(text) => Some(Shown::WithRoom(text.clone())),
            Target::Room(_) => self.credentials.secret().cloned().map(Shown::Alone),
        }
    }
}

/// A key as a stream id shows it.
enum Shown {
    Alone(Secret),
    WithRoom(Secret),
}

impl Shown {
    /// The key without the room before it.
    fn within(self, room: &RoomId) -> Secret {
        match self {
            Self::Alone(key) => key,
            Self::WithRoom(text) => {
                let key = text.reveal().strip_prefix(room.as_str());
                let key = key.and_then(|key| key.strip_prefix('-'));
                Secret::new(key.unwrap_or(text.reveal()))
            }
        }
    }
}

async fn publish(mut link: Link, mut feed: Feed, mut stop: Stop) {
    let mut frames = ToFrames::default();
    let mut steps = Vec::new();
    let mut told = Instant::now();
    loop {
        let event = tokio::select! {
            event = link.next() => event,
            cause = feed.closed() => {
                tracing::info!(?cause, "the publisher was told to end");
                break;
            }
            () = stopped(&mut stop) => break,
        };
        match event {
            Some(Event::Data(payload)) => {
                frames.read(&payload, &mut steps);
                for step in steps.drain(..) {
                    step.feed(&mut feed);
                }
                if told.elapsed() >= TELL {
                    told = Instant::now();
                    feed.tell(encoder(&link.statistics()));
                }
            }
            // The stream's own counters tell where something is missing.
            Some(Event::Dropped { packets }) => tracing::debug!(packets, "packets are lost"),
            Some(Event::Connected) => {}
            Some(Event::Closed(reason)) => {
                tracing::info!(%reason, "publishing ended");
                break;
            }
            None => break,
        }
    }
    frames.finish(&mut steps);
    for step in steps {
        step.feed(&mut feed);
    }
    // The place is free for others before the peer has heard of the end.
    drop(feed);
    link.close().await;
}

fn encoder(statistics: &Statistics) -> Encoder {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share needs no more than 24 bits"
    )]
    let loss = statistics.packets_lost as f32
        / (statistics.packets_received + statistics.packets_lost).max(1) as f32;
    Encoder {
        loss: Some(loss),
        round_trip: Some(statistics.rtt),
        packets: Some(statistics.packets_received),
        nacks: Some(statistics.naks_sent),
        ..Encoder::default()
    }
}
