//! The server's end of a connection: takes one publisher or one player.

use std::time::Instant;

use inver_media::container::flv::TagType;
use inver_media::container::flv::amf0::{self, Value};

use super::Address;
use super::Output;
use super::capabilities::Capabilities;
use super::command::{Command, information};
use super::connection::{Connection, REQUEST, WINDOW};
use super::error::Error;
use super::message::{Media, Message, command_body, each_media, event};

/// Bytes that may come while a decision is pending. Whoever asks has no reason to send more than
/// a command before the answer; encoders that do not wait send a second of media at most, if the
/// socket is not read meanwhile.
const MAX_HELD: usize = 256 * 1024;
/// Streams that a client may create. Encoders use one.
const MAX_STREAMS: u32 = 8;
/// Longest text that is kept of what a client says about itself and its address.
const MAX_TEXT: usize = 2048;

/// What a client says when it connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// Application and address; the name is empty still.
    pub address: Address,
    /// `flashVer`: the client's name and version.
    pub flash_version: String,
    /// What it knows of Enhanced RTMP.
    pub capabilities: Capabilities,
}

/// What a client does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerEvent {
    /// It connected to an application. Nothing has to be answered.
    Connected(Connected),
    /// It wants to publish. Answer with [`Server::accept`] or [`Server::refuse`]; until then
    /// input is held back, up to a bound, so read no more from the socket.
    PublishRequested(Address),
    /// It wants to play; the same holds.
    PlayRequested(Address),
    /// A publisher's media.
    Media(Media),
    /// The publisher ended; it may publish again.
    Unpublished,
    /// The player stopped; it may play again.
    Stopped,
    /// The connection is over: send what is queued and close.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Connected,
    Pending { stream: u32, publishes: bool },
    Publishing { stream: u32 },
    Playing { stream: u32 },
    Closed,
}

/// The server's end of one connection.
///
/// Mutate, drain, mutate: after each call drain [`Self::poll_output`] to `None` and sleep until
/// [`Self::poll_timeout`]. After an error the connection is over.
#[derive(Debug)]
pub struct Server {
    connection: Connection<ServerEvent>,
    state: State,
    address: Address,
    capabilities: Capabilities,
    streams: u32,
    /// What a player wants to receive.
    wants_audio: bool,
    wants_video: bool,
}

impl Server {
    /// A connection that was accepted now.
    pub fn new(now: Instant) -> Self {
        Self {
            connection: Connection::server(now),
            state: State::Connecting,
            address: Address::default(),
            capabilities: Capabilities::default(),
            streams: 0,
            wants_audio: true,
            wants_video: true,
        }
    }

    /// Takes what came from the socket, in pieces of any size.
    pub fn handle_input(&mut self, bytes: &[u8], now: Instant) -> Result<(), Error> {
        if self.state == State::Closed {
            return Ok(());
        }
        if !self.wants_input() && self.connection.held() + bytes.len() > MAX_HELD {
            return Err(Error::ManyHeld(MAX_HELD));
        }
        self.connection.take(bytes, now)?;
        self.run(now)
    }

    /// Whether the socket should be read: not while a decision is pending nor at the end.
    pub fn wants_input(&self) -> bool {
        !matches!(self.state, State::Pending { .. } | State::Closed)
    }

    /// What to do next; `None` when nothing is left.
    pub fn poll_output(&mut self) -> Option<Output<ServerEvent>> {
        self.connection.poll_output()
    }

    /// When [`Self::handle_timeout`] wants to be called; `None` for never.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.state == State::Closed {
            return None;
        }
        self.connection.poll_timeout()
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if self.state == State::Closed {
            return Ok(());
        }
        self.connection.handle_timeout(now)
    }

    /// Bytes that wait to be polled.
    pub fn queued(&self) -> usize {
        self.connection.queued()
    }

    /// What the client said about Enhanced RTMP.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Allows what the client asked for. Without a pending request nothing happens.
    pub fn accept(&mut self, now: Instant) -> Result<(), Error> {
        let State::Pending { stream, publishes } = self.state else {
            return Ok(());
        };
        self.connection.user_event(event::STREAM_BEGIN, &[stream]);
        if publishes {
            self.state = State::Publishing { stream };
            self.connection.allow_media(true);
            self.status(stream, "status", "NetStream.Publish.Start", "Publishing.");
        } else {
            self.state = State::Playing { stream };
            self.status(stream, "status", "NetStream.Play.Reset", "Playing anew.");
            self.status(stream, "status", "NetStream.Play.Start", "Playing.");
            let mut body = Vec::new();
            let access = Value::Boolean(true);
            amf0::write_all(
                &mut body,
                &["|RtmpSampleAccess".into(), access.clone(), access],
            );
            self.connection.media(stream, TagType::Data, 0, &body);
        }
        self.run(now)
    }

    /// Refuses what the client asked for, or ends what it does; the connection is over then.
    ///
    /// `code` is what clients look at: `NetStream.Publish.BadName` (somebody else publishes),
    /// `NetStream.Publish.Unauthorized`, `NetStream.Publish.Denied`, `NetStream.Play.StreamNotFound`,
    /// `NetStream.Play.Failed` and the like; `description` is shown to people.
    pub fn refuse(&mut self, code: &str, description: &str) {
        let stream = self.stream();
        self.status(stream, "error", code, description);
        self.close();
    }

    /// Ends a player's stream because its publisher is gone, or a publisher's because the room
    /// closed; the connection is over then.
    pub fn finish(&mut self) {
        match self.state {
            State::Playing { stream } => {
                self.connection.user_event(event::STREAM_EOF, &[stream]);
                let code = "NetStream.Play.UnpublishNotify";
                self.status(stream, "status", code, "The publisher ended.");
                self.status(stream, "status", "NetStream.Play.Stop", "Stopped.");
            }
            State::Publishing { stream } => {
                let code = "NetStream.Unpublish.Success";
                self.status(stream, "status", code, "The room closed.");
            }
            State::Connecting | State::Connected | State::Pending { .. } | State::Closed => {}
        }
        self.close();
    }

    /// Asks a client that knows how to connect anew, elsewhere where `tc_url` says so; false
    /// where it does not know.
    pub fn request_reconnect(&mut self, tc_url: Option<&str>, description: &str) -> bool {
        if self.capabilities.extensions & Capabilities::RECONNECT == 0 {
            return false;
        }
        let code = "NetConnection.Connect.ReconnectRequest";
        let mut information = information("status", code, description);
        if let (Value::Object(properties), Some(tc_url)) = (&mut information, tc_url) {
            properties.push(("tcUrl".to_owned(), tc_url.into()));
        }
        self.connection
            .command(0, "onStatus", 0.0, &[Value::Null, information]);
        true
    }

    /// Sends a tag to a player. Bound what waits by [`Self::queued`] and by what the socket has
    /// not taken: nothing is dropped here but what the player does not want.
    pub fn send(&mut self, tag_type: TagType, timestamp: u32, body: &[u8]) {
        let wanted = match tag_type {
            TagType::Audio => self.wants_audio,
            TagType::Video => self.wants_video,
            TagType::Data => true,
        };
        if let State::Playing { stream } = self.state
            && wanted
        {
            self.connection.media(stream, tag_type, timestamp, body);
        }
    }

    fn stream(&self) -> u32 {
        match self.state {
            State::Pending { stream, .. }
            | State::Publishing { stream }
            | State::Playing { stream } => stream,
            State::Connecting | State::Connected | State::Closed => 0,
        }
    }

    fn close(&mut self) {
        if self.state != State::Closed {
            self.state = State::Closed;
            self.connection.event(ServerEvent::Closed);
        }
    }

    fn run(&mut self, now: Instant) -> Result<(), Error> {
        while self.wants_input() {
            let Some(message) = self.connection.next_message()? else {
                return Ok(());
            };
            self.message(message, now)?;
        }
        Ok(())
    }

    fn message(&mut self, message: Message, now: Instant) -> Result<(), Error> {
        if let Some(body) = command_body(&message) {
            let command = Command::parse(body)?;
            return self.command(&command, message.stream_id, now);
        }
        // Media before or behind publishing concerns nobody.
        if let State::Publishing { .. } = self.state {
            each_media(message, |media| {
                self.connection.event(ServerEvent::Media(media));
            });
        }
        Ok(())
    }

    fn command(&mut self, command: &Command, stream: u32, now: Instant) -> Result<(), Error> {
        if self.state == State::Connecting {
            return match command.name.as_str() {
                "connect" => {
                    self.connect(command);
                    Ok(())
                }
                "createStream" => Err(Error::Order("createStream")),
                "publish" => Err(Error::Order("publish")),
                "play" => Err(Error::Order("play")),
                _ => Ok(()),
            };
        }
        match command.name.as_str() {
            "connect" => return Err(Error::Order("connect")),
            "createStream" => self.create_stream(command),
            "publish" => self.request(command, stream, true),
            "play" => self.request(command, stream, false),
            "deleteStream" | "closeStream" | "FCUnpublish" => self.end(command, now),
            "releaseStream" | "FCPublish" | "_checkbw" => {
                self.result(command, Value::Undefined);
            }
            "FCSubscribe" => {
                let information = information("status", "NetStream.Play.Start", "Subscribed.");
                self.connection
                    .command(0, "onFCSubscribe", 0.0, &[Value::Null, information]);
            }
            "getStreamLength" => self.result(command, Value::Number(0.0)),
            "pause" => {
                let paused = command.argument(0).as_bool() == Some(true);
                let (code, text) = if paused {
                    ("NetStream.Pause.Notify", "A live stream goes on.")
                } else {
                    ("NetStream.Unpause.Notify", "Playing.")
                };
                self.status(stream, "status", code, text);
            }
            "seek" => {
                let text = "A live stream has no other place to go to.";
                self.status(stream, "error", "NetStream.Seek.Failed", text);
            }
            "receiveAudio" => self.wants_audio = command.argument(0).as_bool() != Some(false),
            "receiveVideo" => self.wants_video = command.argument(0).as_bool() != Some(false),
            "close" => self.close(),
            "_result" | "_error" | "onStatus" | "SetBufferLength" => {}
            _ if command.transaction != 0.0 => {
                let information = information(
                    "error",
                    "NetConnection.Call.Failed",
                    "There is no such command.",
                );
                let values = [Value::Null, information];
                self.connection
                    .command(0, "_error", command.transaction, &values);
            }
            _ => {}
        }
        Ok(())
    }

    fn connect(&mut self, command: &Command) {
        let object = command.object();
        let text = |name| {
            let text = object.get(name).and_then(Value::as_str).unwrap_or_default();
            text.chars().take(MAX_TEXT).collect::<String>()
        };
        self.address.app = text("app");
        self.address.tc_url = text("tcUrl");
        self.capabilities = Capabilities::read(object);
        self.state = State::Connected;

        self.connection.tell_window(WINDOW);
        self.connection.tell_bandwidth();
        self.connection.announce_chunk_size();
        let mut properties = vec![
            ("fmsVer".to_owned(), Value::from("FMS/3,5,7,7009")),
            ("capabilities".to_owned(), Value::Number(31.0)),
            ("mode".to_owned(), Value::Number(1.0)),
        ];
        // Who says nothing about extensions may not expect any in the answer.
        if !self.capabilities.is_empty() {
            properties.extend(Capabilities::ours().properties());
        }
        let mut information = information(
            "status",
            "NetConnection.Connect.Success",
            "Connection succeeded.",
        );
        if let Value::Object(properties) = &mut information {
            // AMF0 only, whatever was asked for.
            properties.push(("objectEncoding".to_owned(), Value::Number(0.0)));
        }
        let values = [Value::Object(properties), information];
        self.connection
            .command(0, "_result", command.transaction, &values);
        self.connection.event(ServerEvent::Connected(Connected {
            address: self.address.clone(),
            flash_version: text("flashVer"),
            capabilities: self.capabilities.clone(),
        }));
    }

    fn create_stream(&mut self, command: &Command) {
        if self.streams < MAX_STREAMS {
            self.streams += 1;
            self.result(command, Value::Number(f64::from(self.streams)));
            return;
        }
        let text = "Too many streams on one connection.";
        let information = information("error", "NetConnection.Call.Failed", text);
        let values = [Value::Null, information];
        self.connection
            .command(0, "_error", command.transaction, &values);
    }

    fn request(&mut self, command: &Command, stream: u32, publishes: bool) {
        if self.state != State::Connected {
            let code = if publishes {
                "NetStream.Publish.Denied"
            } else {
                "NetStream.Play.Failed"
            };
            let text = "One connection carries one stream: end the other first.";
            self.status(stream, "error", code, text);
            return;
        }
        let name: String = command.text(0).chars().take(MAX_TEXT).collect();
        let address = Address {
            name,
            ..self.address.clone()
        };
        self.state = State::Pending { stream, publishes };
        self.connection.set_request_deadline(None);
        self.wants_audio = true;
        self.wants_video = true;
        self.connection.event(if publishes {
            ServerEvent::PublishRequested(address)
        } else {
            ServerEvent::PlayRequested(address)
        });
    }

    fn end(&mut self, command: &Command, now: Instant) {
        let (event, code, stream) = match self.state {
            State::Publishing { stream } => (
                ServerEvent::Unpublished,
                "NetStream.Unpublish.Success",
                stream,
            ),
            State::Playing { stream } => (ServerEvent::Stopped, "NetStream.Play.Stop", stream),
            State::Connecting | State::Connected | State::Pending { .. } | State::Closed => {
                // The second of two commands that say the same.
                return;
            }
        };
        if command.name == "FCUnpublish" && command.transaction != 0.0 {
            self.result(command, Value::Undefined);
        }
        self.status(stream, "status", code, "Ended.");
        self.state = State::Connected;
        self.connection.allow_media(false);
        self.connection.set_request_deadline(Some(now + REQUEST));
        self.connection.event(event);
    }

    fn result(&mut self, command: &Command, value: Value) {
        self.connection
            .command(0, "_result", command.transaction, &[Value::Null, value]);
    }

    fn status(&mut self, stream: u32, level: &str, code: &str, description: &str) {
        let values = [Value::Null, information(level, code, description)];
        self.connection.command(stream, "onStatus", 0.0, &values);
    }
}
