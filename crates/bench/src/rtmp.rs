//! The connection of a publication over RTMP.

use std::time::Instant;

use anyhow::{Context as _, bail};
use inver_media::container::flv::{TagWriter, Track};
use inver_media::{Kind, MediaTime};
use inver_protocols::rtmp::{Client, ClientConfig, ClientEvent, Output, Purpose, Target};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::feed::{Media, START, State};

/// Publishes until `state` says that it is over.
///
/// # Errors
///
/// The server cannot be reached, refuses or ends it.
pub(crate) async fn publish(
    target: &Target,
    mut media: Media,
    state: &State,
    started: oneshot::Sender<()>,
) -> anyhow::Result<()> {
    let address = (target.host.as_str(), target.port);
    let mut stream = tokio::time::timeout(START, TcpStream::connect(address))
        .await
        .context("no connection in time")?
        .context("no connection")?;
    stream.set_nodelay(true)?;
    let config = ClientConfig {
        address: target.address.clone(),
        purpose: Purpose::Publish,
        flash_version: "FMLE/3.0 (compatible; inver bench)".to_owned(),
        enhanced: true,
    };
    let mut client = Client::new(config, Instant::now());
    let mut started = Some(started);
    let mut began: Option<Instant> = None;
    let mut writer = TagWriter::with_origin(MediaTime::ZERO);
    let mut buffer = vec![0; 16 << 10];
    loop {
        while let Some(output) = client.poll_output() {
            match output {
                Output::Send(bytes) => stream.write_all(&bytes).await.context("the connection")?,
                Output::Event(ClientEvent::Started) => {
                    began = Some(Instant::now());
                    if let Some(started) = started.take() {
                        // Whoever waited may have given up.
                        let _ = started.send(());
                    }
                }
                Output::Event(ClientEvent::Refused { code, description }) => {
                    bail!("the server refuses: {code} ({description})")
                }
                Output::Event(ClientEvent::Ended { code }) => bail!("the server ended it: {code}"),
                Output::Event(ClientEvent::Closed) => bail!("the server closed the connection"),
                Output::Event(
                    ClientEvent::Connected { .. }
                    | ClientEvent::Media(_)
                    | ClientEvent::ReconnectRequested { .. },
                ) => {}
            }
        }
        if state.stopped() {
            client.finish();
            while let Some(output) = client.poll_output() {
                if let Output::Send(bytes) = output {
                    stream.write_all(&bytes).await.context("the connection")?;
                }
            }
            return Ok(());
        }
        let due = began.map(|began| began + media.next());
        let timeout = client.poll_timeout();
        let wake = match (due, timeout) {
            (Some(due), Some(timeout)) => due.min(timeout),
            (Some(at), None) | (None, Some(at)) => at,
            (None, None) => Instant::now() + START,
        };
        tokio::select! {
            read = stream.read(&mut buffer) => match read.context("the connection")? {
                0 => bail!("the server closed the connection"),
                size => client.handle_input(&buffer[..size], Instant::now())?,
            },
            () = tokio::time::sleep_until(wake.into()) => {
                let now = Instant::now();
                client.handle_timeout(now)?;
                if due.is_some_and(|due| due <= now) {
                    let (kind, frame) = media.make(state)?;
                    let track = match kind {
                        Kind::Audio => Track::AUDIO,
                        Kind::Video => Track::VIDEO,
                    };
                    for tag in writer.write(track, &frame)? {
                        client.send(tag.tag_type, tag.timestamp, &tag.body);
                    }
                }
            }
        }
    }
}
