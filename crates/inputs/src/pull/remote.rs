//! Pulls from RTMP(S) and SRT servers, and what all pulls from servers share.

use std::time::Duration;

use inver_node::{Encoder, Feed};
use inver_protocols::rtmp::{self, ClientEvent, Purpose};
use inver_protocols::srt::{self, Event};
use inver_sockets::rtmp::{connect, started};
use inver_sockets::srt::call;
use tokio::time::{Instant, timeout_at};

use super::Pull;
use super::media::{Packets, Piece, Tags};

/// Silence after which a source counts as gone. Less would end a pull over a short fault; more
/// keeps viewers before a still picture.
pub(super) const SILENCE: Duration = Duration::from_secs(10);

impl Pull {
    /// Plays a stream into the room; returns why that ended.
    pub(super) async fn rtmp(&self, target: &rtmp::Target, since: &mut Option<Instant>) -> String {
        let connecting = connect(self.restream.guard, target, &self.tls, Purpose::Play);
        let mut connection = match connecting.await {
            Ok(connection) => connection,
            Err(error) => return error.to_string(),
        };
        let begun = match started(&mut connection).await {
            Ok(begun) => begun,
            Err(error) => return error.to_string(),
        };
        let mut tags = Tags::default();
        let mut pieces = Vec::new();
        for media in begun.early {
            tags.read(media.tag_type, media.timestamp, &media.body, &mut pieces);
        }
        let mut sink = Sink::new(self, since);
        loop {
            if let Err(reason) = sink.take(&mut pieces).await {
                return reason;
            }
            let event = match sink.beside(connection.next()).await {
                Ok(event) => event,
                Err(reason) => return reason,
            };
            match event {
                Ok(ClientEvent::Media(media)) => {
                    tags.read(media.tag_type, media.timestamp, &media.body, &mut pieces);
                    sink.heard = Instant::now();
                }
                Ok(ClientEvent::Refused { code, description }) => {
                    return format!("the server refuses: {description} ({code})");
                }
                Ok(ClientEvent::Ended { code }) => {
                    return format!("the server ended the stream ({code})");
                }
                Ok(ClientEvent::ReconnectRequested { .. }) => {
                    return "the server asked to connect anew".to_owned();
                }
                Ok(ClientEvent::Closed) => return "the server closed the connection".to_owned(),
                Ok(ClientEvent::Connected { .. } | ClientEvent::Started) => {}
                Err(end) => return end.to_string(),
            }
        }
    }

    /// Reads a transport stream into the room; returns why that ended.
    pub(super) async fn srt(&self, target: &srt::Target, since: &mut Option<Instant>) -> String {
        let mut link = match call(self.restream.guard, target).await {
            Ok(link) => link,
            Err(error) => return error.to_string(),
        };
        let mut packets = Packets::default();
        let mut pieces = Vec::new();
        let mut sink = Sink::new(self, since);
        loop {
            let event = match sink.beside(link.next()).await {
                Ok(event) => event,
                Err(reason) => return reason,
            };
            match event {
                Some(Event::Data(payload)) => {
                    packets.read(&payload, &mut pieces);
                    sink.heard = Instant::now();
                }
                // The stream's own counters tell where something is missing.
                Some(Event::Dropped { packets }) => tracing::debug!(packets, "packets are lost"),
                Some(Event::Connected) => {}
                Some(Event::Closed(reason)) => return reason.to_string(),
                None => return "the connection is over".to_owned(),
            }
            if let Err(reason) = sink.take(&mut pieces).await {
                return reason;
            }
        }
    }
}

/// What waits for the first frame: words about the source, of which there are few.
const EARLY: usize = 16;

/// Where a source's media goes: the room, from the first frame on.
pub(super) struct Sink<'a> {
    pull: &'a Pull,
    since: &'a mut Option<Instant>,
    feed: Option<Feed>,
    /// What has no time waits for what has.
    early: Vec<Piece>,
    /// When the source last sent something.
    pub(super) heard: Instant,
}

impl<'a> Sink<'a> {
    pub(super) fn new(pull: &'a Pull, since: &'a mut Option<Instant>) -> Self {
        Self {
            pull,
            since,
            feed: None,
            early: Vec::new(),
            heard: Instant::now(),
        }
    }

    /// Hands pieces to the room.
    ///
    /// # Errors
    /// The room has no place, or the source cannot go on so.
    pub(super) async fn take(&mut self, pieces: &mut Vec<Piece>) -> Result<(), String> {
        for piece in pieces.drain(..) {
            if self.feed.is_none() {
                match &piece {
                    Piece::Refuse(reason) => return Err(reason.clone()),
                    untimed if untimed.dts().is_none() => {
                        if self.early.len() < EARLY {
                            self.early.push(piece);
                        }
                        continue;
                    }
                    _ => {
                        let mut feed = self.pull.publish(self.since).await?;
                        for early in self.early.drain(..) {
                            early.feed(&mut feed)?;
                        }
                        self.feed = Some(feed);
                    }
                }
            }
            if let Some(feed) = &mut self.feed {
                piece.feed(feed)?;
            }
        }
        Ok(())
    }

    /// Notes which share of the source's packets is lost.
    pub(super) fn lost(&mut self, loss: f32) {
        if let Some(feed) = &mut self.feed {
            feed.tell(Encoder {
                loss: Some(loss),
                ..Encoder::default()
            });
        }
    }

    /// Waits for the source, for so long as it is not silent and the room wants it.
    ///
    /// # Errors
    /// One of both is over.
    pub(super) async fn beside<T>(&mut self, next: impl Future<Output = T>) -> Result<T, String> {
        let deadline = self.heard + SILENCE;
        tokio::select! {
            next = timeout_at(deadline, next) => {
                next.map_err(|_| format!("nothing has come for {} s", SILENCE.as_secs()))
            }
            reason = self.closed() => Err(reason),
        }
    }

    /// Waits until the room ends the publication.
    pub(super) async fn closed(&mut self) -> String {
        match &mut self.feed {
            Some(feed) => format!("the room ended it ({:?})", feed.closed().await),
            None => std::future::pending().await,
        }
    }
}
