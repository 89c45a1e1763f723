//! One connection over a byte stream: bytes in and out of a state machine, deadlines, the end.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use inver_protocols::Output;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

/// Bytes read at once: a TLS record. More would help only beyond a hundred megabits per second, and
/// costs memory for each connection.
const READ_LEN: usize = 16 * 1024;

/// Bytes that may wait for the socket while more input is read. Answers to commands never come near
/// it; who sends commands and reads no answers is not read any more.
const UNSENT_MOST: usize = 256 * 1024;

/// How long a peer may take nothing of what waits for it. Players that pause longer have to
/// connect again.
const STALLED: Duration = Duration::from_secs(10);

/// How long the last words may take to leave.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How long a peer may go on sending before the socket is closed. Closed at once, what it still
/// sends would make the system throw our last words away.
const LINGER: Duration = Duration::from_secs(2);

/// What a connection runs over: TCP, or TLS above it.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub enum End<E: std::error::Error> {
    /// The peer closed it.
    #[error("the peer closed the connection")]
    Closed,
    /// The socket failed.
    #[error("the connection failed: {0}")]
    Io(io::Error),
    /// What the peer sent, or did not send in time.
    #[error("{0}")]
    Protocol(E),
    /// The peer takes nothing.
    #[error("the peer has taken nothing for {} s", STALLED.as_secs())]
    Stalled,
}

/// Either end of a connection as a state machine.
pub trait Core: Send + Unpin {
    /// What happens there.
    type Event: Send + Unpin;

    /// What ends it.
    type Error: std::error::Error;

    /// Takes bytes.
    ///
    /// # Errors
    /// They make no sense.
    fn handle_input(&mut self, bytes: &[u8], now: std::time::Instant) -> Result<(), Self::Error>;

    /// Whether it takes bytes now.
    fn wants_input(&self) -> bool;

    /// What to do next.
    fn poll_output(&mut self) -> Option<Output<Self::Event>>;

    /// When [`Self::handle_timeout`] is due.
    fn poll_timeout(&self) -> Option<std::time::Instant>;

    /// Time passed.
    ///
    /// # Errors
    /// The peer took too long.
    fn handle_timeout(&mut self, now: std::time::Instant) -> Result<(), Self::Error>;

    /// Bytes that wait to be polled.
    fn queued(&self) -> usize;
}

/// Has a state machine of `protocols` driven: its type, events, errors, and whether it takes bytes.
macro_rules! core {
    ($end:ty, $event:ty, $error:ty, $wants:expr) => {
        impl $crate::connection::Core for $end {
            type Event = $event;
            type Error = $error;

            fn handle_input(
                &mut self,
                bytes: &[u8],
                now: std::time::Instant,
            ) -> Result<(), $error> {
                <$end>::handle_input(self, bytes, now)
            }

            fn wants_input(&self) -> bool {
                $wants(self)
            }

            fn poll_output(&mut self) -> Option<inver_protocols::Output<$event>> {
                <$end>::poll_output(self)
            }

            fn poll_timeout(&self) -> Option<std::time::Instant> {
                <$end>::poll_timeout(self)
            }

            fn handle_timeout(&mut self, now: std::time::Instant) -> Result<(), $error> {
                <$end>::handle_timeout(self, now)
            }

            fn queued(&self) -> usize {
                <$end>::queued(self)
            }
        }
    };
}

pub(crate) use core;

/// One end of a connection with its socket.
///
/// Whoever owns it calls [`Self::next`] for what the peer does; while that waits, the
/// connection is driven. What [`Self::core`] queues leaves with the next call.
pub struct Connection<C: Core> {
    stream: Box<dyn Stream>,
    pub(crate) core: C,
    events: VecDeque<C::Event>,
    /// What waits for the socket; the first `written` bytes of its front have left.
    outgoing: VecDeque<Vec<u8>>,
    written: usize,
    unsent: usize,
    unsent_most: usize,
    /// Bytes were written that the layers below may hold back still.
    unflushed: bool,
    /// Since when the socket takes nothing of what waits.
    stuck: Option<Instant>,
    buffer: Box<[u8]>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<C: Core> std::fmt::Debug for Connection<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("unsent", &self.unsent)
            .finish_non_exhaustive()
    }
}

impl<C: Core> Connection<C> {
    pub(crate) fn with(stream: Box<dyn Stream>, core: C) -> Self {
        Self {
            stream,
            core,
            events: VecDeque::new(),
            outgoing: VecDeque::new(),
            written: 0,
            unsent: 0,
            unsent_most: UNSENT_MOST,
            unflushed: false,
            stuck: None,
            buffer: vec![0; READ_LEN].into_boxed_slice(),
            sleep: None,
        }
    }

    /// The state machine. Call nothing of it that takes input or time, nor `poll_output`.
    pub fn core(&mut self) -> &mut C {
        &mut self.core
    }

    /// Bytes that the socket has not taken yet.
    pub fn unsent(&self) -> usize {
        self.unsent + self.core.queued()
    }

    /// Reads input although media waits for the socket, up to so many bytes: for players, of whose
    /// media the owner keeps account by [`Self::unsent`].
    pub fn allow_unsent(&mut self, bytes: usize) {
        self.unsent_most = bytes.max(UNSENT_MOST);
    }

    /// What the peer does next. Cancel-safe.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn next(&mut self) -> Result<C::Event, End<C::Error>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// What the peer does next, or `None` once no more than `most` bytes wait for the socket.
    /// Cancel-safe.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn next_unless_sent(
        &mut self,
        most: usize,
    ) -> Result<Option<C::Event>, End<C::Error>> {
        poll_fn(|cx| match self.poll_next(cx) {
            Poll::Ready(event) => Poll::Ready(event.map(Some)),
            Poll::Pending if self.unsent <= most => Poll::Ready(Ok(None)),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Sends what is queued and closes.
    pub async fn close(mut self) {
        self.collect();
        let last_words = async {
            while let Some(bytes) = self.outgoing.pop_front() {
                let rest = bytes.get(self.written..).unwrap_or_default();
                self.stream.write_all(rest).await?;
                self.written = 0;
            }
            self.stream.shutdown().await
        };
        if !matches!(timeout(LAST_WORDS, last_words).await, Ok(Ok(()))) {
            return;
        }
        let linger = poll_fn(|cx| {
            loop {
                match self.poll_read(cx) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        // Either way it is over.
        let _ = timeout(LINGER, linger).await;
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<C::Event, End<C::Error>>> {
        loop {
            self.collect();
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(Ok(event));
            }
            self.poll_write(cx)?;
            if self.core.wants_input()
                && self.unsent <= self.unsent_most
                && let Poll::Ready(read) = self.poll_read(cx)
            {
                let len = read.map_err(End::Io)?;
                if len == 0 {
                    return Poll::Ready(Err(End::Closed));
                }
                let bytes = self.buffer.get(..len).unwrap_or_default();
                self.core
                    .handle_input(bytes, now())
                    .map_err(End::Protocol)?;
                continue;
            }
            if !self.poll_deadline(cx)? {
                return Poll::Pending;
            }
        }
    }

    /// Takes what the state machine wants done.
    fn collect(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Send(bytes) if bytes.is_empty() => {}
                Output::Send(bytes) => {
                    self.unsent += bytes.len();
                    self.outgoing.push_back(bytes);
                }
                Output::Event(event) => self.events.push_back(event),
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(&mut self.buffer);
        match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(buffer.filled().len())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Writes what the socket takes now.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), End<C::Error>> {
        while let Some(front) = self.outgoing.front() {
            let rest = front.get(self.written..).unwrap_or_default();
            match Pin::new(&mut self.stream).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Err(End::Io(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(len)) => {
                    self.unflushed = true;
                    self.stuck = None;
                    self.written += len;
                    self.unsent = self.unsent.saturating_sub(len);
                    if self.written >= front.len() {
                        self.outgoing.pop_front();
                        self.written = 0;
                    }
                }
                Poll::Ready(Err(error)) => return Err(End::Io(error)),
                Poll::Pending => {
                    self.stuck.get_or_insert_with(Instant::now);
                    return Ok(());
                }
            }
        }
        // TLS keeps records back until it is told.
        if self.unflushed {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return Err(End::Io(error)),
                Poll::Pending => {
                    self.stuck.get_or_insert_with(Instant::now);
                    return Ok(());
                }
            }
        }
        self.stuck = None;
        Ok(())
    }

    /// True where a deadline passed and was handled.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Result<bool, End<C::Error>> {
        let stalled = self.stuck.map(|since| since + STALLED);
        let core = self.core.poll_timeout().map(Instant::from_std);
        let Some(at) = stalled.into_iter().chain(core).min() else {
            self.sleep = None;
            return Ok(false);
        };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        if sleep.as_mut().poll(cx).is_pending() {
            return Ok(false);
        }
        if stalled.is_some_and(|at| Instant::now() >= at) {
            return Err(End::Stalled);
        }
        self.core.handle_timeout(now()).map_err(End::Protocol)?;
        Ok(true)
    }
}

/// The present, on the clock that tests can hold.
pub(crate) fn now() -> std::time::Instant {
    Instant::now().into_std()
}
