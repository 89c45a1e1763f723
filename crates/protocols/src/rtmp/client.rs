//! The client's end of a connection: publishes or plays one stream.

use std::time::Instant;

use inver_media::container::flv::TagType;
use inver_media::container::flv::amf0::Value;

use super::Address;
use super::Output;
use super::capabilities::Capabilities;
use super::command::Command;
use super::connection::{Connection, WINDOW};
use super::error::Error;
use super::message::{Media, Message, command_body, each_media, event};

const CONNECT: f64 = 1.0;
const RELEASE: f64 = 2.0;
const FC_PUBLISH: f64 = 3.0;
const CREATE: f64 = 4.0;
const START: f64 = 5.0;
const FC_UNPUBLISH: f64 = 6.0;
const DELETE: f64 = 7.0;
/// Milliseconds that we say we buffer; servers send that much at once.
const BUFFER_MS: u32 = 1000;
/// Longest text of a server that is passed on.
const MAX_TEXT: usize = 512;

/// What a client is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// To send media.
    Publish,
    /// To receive media.
    Play,
}

/// How a client connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// Application, address and stream; `Target::parse` makes it of a URL.
    pub address: Address,
    /// What the connection is for.
    pub purpose: Purpose,
    /// `flashVer`: our name and version.
    pub flash_version: String,
    /// Tell the server what we know of Enhanced RTMP. A few old servers refuse what they do not
    /// know.
    pub enhanced: bool,
}

/// What a server does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// The server took the connection.
    Connected {
        /// What it knows of Enhanced RTMP.
        capabilities: Capabilities,
    },
    /// Publishing or playing began.
    Started,
    /// Media of the stream that is played.
    Media(Media),
    /// The server refused; [`Self::Closed`] follows.
    Refused {
        /// Such as `NetStream.Publish.BadName`.
        code: String,
        /// For people.
        description: String,
    },
    /// The server ended the stream; [`Self::Closed`] follows.
    Ended {
        /// Such as `NetStream.Play.UnpublishNotify`.
        code: String,
    },
    /// The server asks to connect anew; media still flows here.
    ReconnectRequested {
        /// Where to, if elsewhere.
        tc_url: Option<String>,
    },
    /// The connection is over: send what is queued and close.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Creating,
    Starting { stream: u32 },
    Active { stream: u32 },
    Closed,
}

/// The client's end of one connection.
///
/// Mutate, drain, mutate: after each call drain [`Self::poll_output`] to `None` and sleep until
/// [`Self::poll_timeout`]. After an error the connection is over.
#[derive(Debug)]
pub struct Client {
    connection: Connection<ClientEvent>,
    state: State,
    config: ClientConfig,
}

impl Client {
    /// A connection whose socket is open now.
    pub fn new(config: ClientConfig, now: Instant) -> Self {
        Self {
            connection: Connection::client(now),
            state: State::Connecting,
            config,
        }
    }

    /// Takes what came from the socket, in pieces of any size.
    pub fn handle_input(&mut self, bytes: &[u8], now: Instant) -> Result<(), Error> {
        if self.state == State::Closed {
            return Ok(());
        }
        if self.connection.take(bytes, now)? {
            self.connect();
        }
        while self.state != State::Closed
            && let Some(message) = self.connection.next_message()?
        {
            self.message(message)?;
        }
        Ok(())
    }

    /// What to do next; `None` when nothing is left.
    pub fn poll_output(&mut self) -> Option<Output<ClientEvent>> {
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

    /// Publishes a tag; before [`ClientEvent::Started`] and of a player nothing happens. Bound
    /// what waits by [`Self::queued`] and by what the socket has not taken.
    pub fn send(&mut self, tag_type: TagType, timestamp: u32, body: &[u8]) {
        if let State::Active { stream } = self.state
            && self.config.purpose == Purpose::Publish
        {
            self.connection.media(stream, tag_type, timestamp, body);
        }
    }

    /// Ends the stream; [`ClientEvent::Closed`] follows.
    pub fn finish(&mut self) {
        if let State::Starting { stream } | State::Active { stream } = self.state {
            if self.config.purpose == Purpose::Publish {
                let name = self.name();
                self.connection
                    .command(0, "FCUnpublish", FC_UNPUBLISH, &[Value::Null, name]);
            }
            let stream = Value::Number(f64::from(stream));
            self.connection
                .command(0, "deleteStream", DELETE, &[Value::Null, stream]);
        }
        self.close();
    }

    fn close(&mut self) {
        if self.state != State::Closed {
            self.state = State::Closed;
            self.connection.event(ClientEvent::Closed);
        }
    }

    fn name(&self) -> Value {
        Value::from(self.config.address.name.as_str())
    }

    fn connect(&mut self) {
        let address = &self.config.address;
        let mut properties = vec![
            ("app".to_owned(), Value::from(address.app.as_str())),
            (
                "flashVer".to_owned(),
                Value::from(self.config.flash_version.as_str()),
            ),
            ("tcUrl".to_owned(), Value::from(address.tc_url.as_str())),
        ];
        match self.config.purpose {
            Purpose::Publish => properties.push(("type".to_owned(), "nonprivate".into())),
            Purpose::Play => {
                // What plain FLV can hold; the rest stands in the names of codecs.
                properties.extend([
                    ("fpad".to_owned(), Value::Boolean(false)),
                    ("capabilities".to_owned(), Value::Number(15.0)),
                    ("audioCodecs".to_owned(), Value::Number(4071.0)),
                    ("videoCodecs".to_owned(), Value::Number(252.0)),
                    ("videoFunction".to_owned(), Value::Number(1.0)),
                ]);
            }
        }
        if self.config.enhanced {
            properties.extend(Capabilities::ours().properties());
        }
        self.connection.announce_chunk_size();
        self.connection
            .command(0, "connect", CONNECT, &[Value::Object(properties)]);
    }

    fn message(&mut self, message: Message) -> Result<(), Error> {
        if let Some(body) = command_body(&message) {
            let command = Command::parse(body)?;
            return match command.name.as_str() {
                "_result" => self.result(&command),
                "_error" => {
                    self.error(&command);
                    Ok(())
                }
                "onStatus" => {
                    self.status(&command);
                    Ok(())
                }
                _ => Ok(()),
            };
        }
        if self.config.purpose == Purpose::Play
            && let State::Starting { stream } | State::Active { stream } = self.state
        {
            // Some servers begin without saying so.
            self.start(stream);
            each_media(message, |media| {
                self.connection.event(ClientEvent::Media(media));
            });
        }
        Ok(())
    }

    fn result(&mut self, command: &Command) -> Result<(), Error> {
        if command.transaction == CONNECT && self.state == State::Connecting {
            self.state = State::Creating;
            self.connection.tell_window(WINDOW);
            // Servers tell it in the properties or in the information.
            let mut capabilities = Capabilities::read(command.object());
            if capabilities.is_empty() {
                capabilities = Capabilities::read(command.argument(0));
            }
            self.connection
                .event(ClientEvent::Connected { capabilities });
            let name = self.name();
            if self.config.purpose == Purpose::Publish {
                let values = [Value::Null, name];
                self.connection
                    .command(0, "releaseStream", RELEASE, &values);
                self.connection.command(0, "FCPublish", FC_PUBLISH, &values);
            }
            self.connection
                .command(0, "createStream", CREATE, &[Value::Null]);
        } else if command.transaction == CREATE && self.state == State::Creating {
            let stream = command.argument(0).as_number().and_then(stream_id);
            let stream = stream.ok_or(Error::Answer("createStream"))?;
            self.state = State::Starting { stream };
            let name = self.name();
            match self.config.purpose {
                Purpose::Publish => {
                    let values = [Value::Null, name, "live".into()];
                    self.connection.command(stream, "publish", START, &values);
                }
                Purpose::Play => {
                    // -2000: live, and where there is none, recorded.
                    let values = [Value::Null, name, Value::Number(-2000.0)];
                    self.connection.command(stream, "play", START, &values);
                    let values = [stream, BUFFER_MS];
                    self.connection
                        .user_event(event::SET_BUFFER_LENGTH, &values);
                }
            }
        }
        Ok(())
    }

    /// Servers that know neither `releaseStream` nor `FCPublish` say so; only the answers to
    /// what is needed count.
    fn error(&mut self, command: &Command) {
        let needed = [CONNECT, CREATE, START].contains(&command.transaction);
        if needed {
            self.refused(command.argument(0), "NetConnection.Call.Failed");
        }
    }

    fn status(&mut self, command: &Command) {
        let information = command.argument(0);
        let text = |name| text(information, name);
        let code = text("code");
        if text("level") == "error" {
            self.refused(information, "");
            return;
        }
        match code.as_str() {
            "NetStream.Publish.Start" | "NetStream.Play.Start" => {
                if let State::Starting { stream } = self.state {
                    self.start(stream);
                }
            }
            "NetStream.Play.UnpublishNotify"
            | "NetStream.Play.Stop"
            | "NetStream.Play.Complete"
            | "NetStream.Unpublish.Success"
            | "NetConnection.Connect.Closed" => {
                self.connection.event(ClientEvent::Ended { code });
                self.close();
            }
            "NetConnection.Connect.ReconnectRequest" => {
                let tc_url = Some(text("tcUrl")).filter(|tc_url| !tc_url.is_empty());
                self.connection
                    .event(ClientEvent::ReconnectRequested { tc_url });
            }
            _ => {}
        }
    }

    fn start(&mut self, stream: u32) {
        if let State::Starting { .. } = self.state {
            self.state = State::Active { stream };
            self.connection.set_request_deadline(None);
            // Many servers answer no pings of a publisher, and have nothing else to say.
            if self.config.purpose == Purpose::Publish {
                self.connection.ignore_silence();
            }
            self.connection
                .allow_media(self.config.purpose == Purpose::Play);
            self.connection.event(ClientEvent::Started);
        }
    }

    fn refused(&mut self, information: &Value, otherwise: &str) {
        let code = Some(text(information, "code")).filter(|code| !code.is_empty());
        self.connection.event(ClientEvent::Refused {
            code: code.unwrap_or_else(|| otherwise.to_owned()),
            description: text(information, "description"),
        });
        self.close();
    }
}

/// Text of a server, shortened and without control characters: it ends in logs.
fn text(information: &Value, name: &str) -> String {
    let text = information.get(name).and_then(Value::as_str);
    text.unwrap_or_default()
        .chars()
        .filter(|char| !char.is_control())
        .take(MAX_TEXT)
        .collect()
}

fn stream_id(number: f64) -> Option<u32> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to lie in the range"
    )]
    (0.0..=f64::from(u32::MAX))
        .contains(&number)
        .then_some(number as u32)
}
