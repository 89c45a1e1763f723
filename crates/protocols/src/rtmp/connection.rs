//! What both ends share: handshake, chunks, acknowledgements, pings, deadlines, what is to be
//! sent.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use inver_media::container::flv::TagType;
use inver_media::container::flv::amf0::Value;

use super::Output;
use super::chunk_reader::{ChunkReader, number};
use super::chunk_writer::{ChunkWriter, Outgoing, chunk_stream};
use super::command;
use super::error::{Error, Stage};
use super::handshake::Handshake;
use super::message::{Message, event, kind};

/// How long the handshake may take. It is two round trips; longer only helps who holds
/// connections open for the sake of it.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long the request may take behind the handshake. It is four round trips.
pub(super) const REQUEST: Duration = Duration::from_secs(10);
/// Silence after which a ping is sent: half of what ends the connection.
const PING_AFTER: Duration = Duration::from_secs(15);
/// Silence that ends the connection.
const IDLE: Duration = Duration::from_secs(30);
/// Bytes that the other end may send before it wants an acknowledgement, as we ask for it.
pub(super) const WINDOW: u32 = 2_500_000;
/// The smallest window that is honoured: below it acknowledgements would be more than the media.
const MIN_WINDOW: u32 = 4096;
/// Bytes of one [`Output::Send`] from which the next message begins another.
const SEND_LEN: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Connection<E> {
    handshake: Option<Handshake>,
    reader: ChunkReader,
    writer: ChunkWriter,
    output: VecDeque<Output<E>>,
    queued: usize,
    started: Instant,
    received: u64,
    acknowledged: u64,
    window: Option<u32>,
    told_window: Option<u32>,
    heard: Instant,
    pinged: bool,
    deadline: Option<(Instant, Stage)>,
    /// Silence ends the connection, after a ping.
    watches_silence: bool,
}

impl<E> Connection<E> {
    pub(super) fn server(now: Instant) -> Self {
        Self::new(now, Handshake::server(), Vec::new())
    }

    pub(super) fn client(now: Instant) -> Self {
        let mut out = Vec::new();
        let handshake = Handshake::client(&mut out);
        Self::new(now, handshake, out)
    }

    fn new(now: Instant, handshake: Handshake, out: Vec<u8>) -> Self {
        let queued = out.len();
        let output = (!out.is_empty()).then_some(Output::Send(out));
        Self {
            handshake: Some(handshake),
            reader: ChunkReader::new(),
            writer: ChunkWriter::new(),
            output: output.into_iter().collect(),
            queued,
            started: now,
            received: 0,
            acknowledged: 0,
            window: None,
            told_window: None,
            heard: now,
            pinged: false,
            deadline: Some((now + HANDSHAKE, Stage::Handshake)),
            watches_silence: true,
        }
    }

    /// Takes bytes; [`Self::next_message`] reads them. True when they ended the handshake.
    pub(super) fn take(&mut self, mut bytes: &[u8], now: Instant) -> Result<bool, Error> {
        if bytes.is_empty() {
            return Ok(false);
        }
        self.heard = now;
        self.pinged = false;
        self.received += u64::try_from(bytes.len()).unwrap_or(0);
        let mut done = false;
        if let Some(mut handshake) = self.handshake.take() {
            let buffer = self.send_buffer();
            let before = buffer.len();
            let result = handshake.take(&mut bytes, buffer);
            self.queued += self.send_buffer().len() - before;
            done = result?;
            if !done {
                self.handshake = Some(handshake);
                return Ok(false);
            }
            self.deadline = Some((now + REQUEST, Stage::Request));
        }
        self.reader.push(bytes);
        self.acknowledge();
        Ok(done)
    }

    fn acknowledge(&mut self) {
        let unacknowledged = self.received - self.acknowledged;
        if let Some(window) = self.window
            && unacknowledged >= u64::from(window)
        {
            self.acknowledged = self.received;
            // The sequence number counts bytes and wraps.
            let low = u32::try_from(self.received & 0xffff_ffff).unwrap_or(0);
            self.control(kind::ACKNOWLEDGEMENT, &low.to_be_bytes());
        }
    }

    /// The next message that is not for the connection itself.
    pub(super) fn next_message(&mut self) -> Result<Option<Message>, Error> {
        while let Some(message) = self.reader.next_message()? {
            match message.message_type {
                kind::ACKNOWLEDGEMENT => {}
                kind::WINDOW_ACK_SIZE => self.window = Some(number(&message)?.max(MIN_WINDOW)),
                kind::SET_PEER_BANDWIDTH => {
                    let window = number(&message)?;
                    if self.told_window != Some(window) {
                        self.tell_window(window);
                    }
                }
                kind::USER_CONTROL => self.user_control(&message),
                _ => return Ok(Some(message)),
            }
        }
        Ok(None)
    }

    fn user_control(&mut self, message: &Message) {
        if let Some((event_type, time)) = message.payload.split_first_chunk::<2>()
            && u16::from_be_bytes(*event_type) == event::PING_REQUEST
            && let Some(time) = time.first_chunk::<4>()
        {
            self.user_event(event::PING_RESPONSE, &[u32::from_be_bytes(*time)]);
        }
    }

    /// Bytes that came and were not read yet.
    pub(super) fn held(&self) -> usize {
        self.reader.held()
    }

    /// Media of full length is allowed from now on, or no longer.
    pub(super) fn allow_media(&mut self, allowed: bool) {
        self.reader.allow_media(allowed);
    }

    /// The request was made, or another one may be.
    pub(super) fn set_request_deadline(&mut self, at: Option<Instant>) {
        self.deadline = at.map(|at| (at, Stage::Request));
    }

    /// Silence no longer ends the connection.
    pub(super) fn ignore_silence(&mut self) {
        self.watches_silence = false;
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let deadline = self.deadline.map(|(at, _)| at);
        if self.handshake.is_some() || !self.watches_silence {
            return deadline;
        }
        let silence = self.heard + if self.pinged { IDLE } else { PING_AFTER };
        Some(deadline.map_or(silence, |at| at.min(silence)))
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if let Some((at, stage)) = self.deadline
            && now >= at
        {
            return Err(Error::Deadline(stage));
        }
        if self.handshake.is_some() || !self.watches_silence {
            return Ok(());
        }
        if now >= self.heard + IDLE {
            return Err(Error::Deadline(Stage::Idle));
        }
        if now >= self.heard + PING_AFTER && !self.pinged {
            self.pinged = true;
            let time = now.saturating_duration_since(self.started).as_millis();
            let time = u32::try_from(time & 0xffff_ffff).unwrap_or(0);
            self.user_event(event::PING_REQUEST, &[time]);
        }
        Ok(())
    }

    pub(super) fn poll_output(&mut self) -> Option<Output<E>> {
        let output = self.output.pop_front();
        if let Some(Output::Send(bytes)) = &output {
            self.queued -= bytes.len();
        }
        output
    }

    /// Bytes that wait in [`Output::Send`].
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    pub(super) fn event(&mut self, event: E) {
        self.output.push_back(Output::Event(event));
    }

    pub(super) fn tell_window(&mut self, window: u32) {
        self.told_window = Some(window);
        self.control(kind::WINDOW_ACK_SIZE, &window.to_be_bytes());
    }

    /// The other end may have as much unacknowledged as we do; the limit is dynamic (2).
    pub(super) fn tell_bandwidth(&mut self) {
        let [a, b, c, d] = WINDOW.to_be_bytes();
        self.control(kind::SET_PEER_BANDWIDTH, &[a, b, c, d, 2]);
    }

    pub(super) fn announce_chunk_size(&mut self) {
        self.write(ChunkWriter::announce_chunk_size);
    }

    pub(super) fn user_event(&mut self, event_type: u16, values: &[u32]) {
        let mut payload = event_type.to_be_bytes().to_vec();
        for value in values {
            payload.extend_from_slice(&value.to_be_bytes());
        }
        self.control(kind::USER_CONTROL, &payload);
    }

    fn control(&mut self, message_type: u8, payload: &[u8]) {
        self.message(Outgoing {
            chunk_stream: chunk_stream::CONTROL,
            message_type,
            stream_id: 0,
            timestamp: 0,
            payload,
        });
    }

    pub(super) fn command(
        &mut self,
        stream_id: u32,
        name: &str,
        transaction: f64,
        values: &[Value],
    ) {
        self.message(Outgoing {
            chunk_stream: chunk_stream::COMMAND,
            message_type: kind::COMMAND,
            stream_id,
            timestamp: 0,
            payload: &command::body(name, transaction, values),
        });
    }

    pub(super) fn media(
        &mut self,
        stream_id: u32,
        tag_type: TagType,
        timestamp: u32,
        payload: &[u8],
    ) {
        self.message(Outgoing {
            chunk_stream: match tag_type {
                TagType::Audio => chunk_stream::AUDIO,
                TagType::Video => chunk_stream::VIDEO,
                TagType::Data => chunk_stream::DATA,
            },
            message_type: tag_type.number(),
            stream_id,
            timestamp,
            payload,
        });
    }

    fn message(&mut self, message: Outgoing<'_>) {
        self.write(|writer, out| writer.write(out, message));
    }

    fn write(&mut self, write: impl FnOnce(&mut ChunkWriter, &mut Vec<u8>)) {
        self.send_buffer();
        if let Some(Output::Send(buffer)) = self.output.back_mut() {
            let before = buffer.len();
            write(&mut self.writer, buffer);
            self.queued += buffer.len() - before;
        }
    }

    /// The bytes at the end of what is to be sent.
    fn send_buffer(&mut self) -> &mut Vec<u8> {
        let room =
            matches!(self.output.back(), Some(Output::Send(bytes)) if bytes.len() < SEND_LEN);
        if !room {
            self.output.push_back(Output::Send(Vec::new()));
        }
        match self.output.back_mut() {
            Some(Output::Send(buffer)) => buffer,
            _ => unreachable!("a buffer was pushed just above"),
        }
    }
}
