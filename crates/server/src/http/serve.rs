//! The accept loop: TCP, TLS, HTTP/1.1 and HTTP/2, each with its deadline, all within one bound.
//!
//! A listener with TLS that is spoken to in plain HTTP answers with a redirect to https, since
//! people type addresses without a scheme.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::linger::Lingering;
use super::redirect;

/// Requests that one HTTP/2 connection may have open. A page has a dozen and an event stream or
/// two; more lets one client hold more memory.
const STREAMS: u32 = 128;
/// Header of a request, in bytes; a token and a dozen fields have a few thousand.
const HEADER: u32 = 32 * 1024;
/// First byte of a TLS record that carries a handshake (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// What an HTTP/2 client sends first (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Pause after the kernel refused to accept, mostly for want of file descriptors: without it the
/// loop would spin, and a longer one keeps people waiting.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What all listeners share.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Connections that may still be accepted.
    pub connections: Arc<Semaphore>,
    /// Longest time for a request's header.
    pub header_timeout: Duration,
    /// Longest time for a TLS handshake.
    pub handshake_timeout: Duration,
}

/// Serves until `stop` becomes true, then finishes the requests that run. The caller bounds how
/// long that may take by dropping the future.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    tls: Option<Arc<ServerConfig>>,
    bounds: Bounds,
    mut stop: watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    let protocols = Arc::new(Protocols::new(&bounds));
    let tls = tls.map(TlsAcceptor::from);
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &bounds) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else {
            break;
        };
        let connection = Connection {
            peer,
            local: stream.local_addr().ok(),
            app: app.clone(),
            tls: tls.clone(),
            bounds: bounds.clone(),
            protocols: Arc::clone(&protocols),
            watcher: graceful.watcher(),
        };
        tokio::spawn(async move {
            connection.run(stream).await;
            drop(permit);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// The next connection, once there is room for it; `None` when the bound itself is gone.
async fn accept(
    listener: &TcpListener,
    bounds: &Bounds,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(&bounds.connections).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return Some((stream, peer, permit)),
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Settings per protocol, made once.
struct Protocols {
    either: auto::Builder<TokioExecutor>,
    http1: auto::Builder<TokioExecutor>,
    http2: auto::Builder<TokioExecutor>,
}

impl Protocols {
    fn new(bounds: &Bounds) -> Self {
        let mut either = auto::Builder::new(TokioExecutor::new());
        either
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(bounds.header_timeout)
            .max_buf_size(HEADER as usize);
        either
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEADER)
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(20));
        Self {
            http1: either.clone().http1_only(),
            http2: either.clone().http2_only(),
            either,
        }
    }
}

struct Connection {
    peer: SocketAddr,
    local: Option<SocketAddr>,
    app: Router,
    tls: Option<TlsAcceptor>,
    bounds: Bounds,
    protocols: Arc<Protocols>,
    watcher: Watcher,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        // Signalling is small writes that people wait for.
        let _ = stream.set_nodelay(true);
        let Some(acceptor) = self.tls.clone() else {
            let guarded = FirstBytes::new(stream, self.bounds.header_timeout);
            let protocols = Arc::clone(&self.protocols);
            return Box::pin(self.http(guarded, &protocols.either, false)).await;
        };
        let mut first = [0];
        match timeout(self.bounds.handshake_timeout, stream.peek(&mut first)).await {
            Ok(Ok(1)) => {}
            Ok(_) | Err(_) => return,
        }
        let protocols = Arc::clone(&self.protocols);
        if first[0] != TLS_HANDSHAKE {
            let plain = Self {
                app: redirect::same_address(),
                ..self
            };
            return Box::pin(plain.http(stream, &protocols.http1, false)).await;
        }
        let handshake = Box::pin(timeout(
            self.bounds.handshake_timeout,
            acceptor.accept(stream),
        ));
        let stream = match handshake.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(peer = %self.peer, %error, "no TLS handshake"),
            Err(_) => return tracing::debug!(peer = %self.peer, "the TLS handshake took too long"),
        };
        let protocol = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => &protocols.http2,
            Some(crate::tls::acme::ALPN) => return,
            Some(_) | None => &protocols.http1,
        };
        Box::pin(self.http(stream, protocol, true)).await;
    }

    async fn http<S>(self, stream: S, protocol: &auto::Builder<TokioExecutor>, tls: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            peer,
            local,
            app,
            watcher,
            ..
        } = self;
        let origin = inver_http::Connection {
            remote: peer,
            local,
            tls,
        };
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let mut request: Request = request.map(|body| Body::new(Lingering::new(body)));
            request.extensions_mut().insert(origin);
            let app = app.clone();
            async move {
                let Ok(response) = app.oneshot(request).await;
                Ok::<_, Infallible>(response)
            }
        });
        let connection = protocol
            .serve_connection_with_upgrades(TokioIo::new(stream), service)
            .into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%peer, error, "a connection ended early");
        }
    }
}

/// Ends a connection whose protocol cannot be told in time. HTTP/1.1 has a deadline for each
/// header and HTTP/2 its pings; what comes before the choice between them has neither.
struct FirstBytes {
    stream: TcpStream,
    /// Bytes of the HTTP/2 preface seen so far, and the deadline; `None` once all is told.
    pending: Option<(usize, Pin<Box<Sleep>>)>,
}

impl FirstBytes {
    fn new(stream: TcpStream, deadline: Duration) -> Self {
        Self {
            stream,
            pending: Some((0, Box::pin(tokio::time::sleep(deadline)))),
        }
    }
}

impl AsyncRead for FirstBytes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let Some((seen, deadline)) = &mut self.pending else {
            return polled;
        };
        if polled.is_pending() {
            let late = |()| Err(std::io::ErrorKind::TimedOut.into());
            return deadline.as_mut().poll(cx).map(late);
        }
        let new = &buf.filled()[before..];
        let rest = &PREFACE[*seen..];
        if new.len() < rest.len() && rest.starts_with(new) {
            *seen += new.len();
        } else {
            self.pending = None;
        }
        polled
    }
}

impl AsyncWrite for FirstBytes {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
