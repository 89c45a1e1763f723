//! One reader, from its call to its end.

use inver_node::{FrameReader, ReadFrames, Secret};
use inver_proto::Door;
use inver_protocols::srt::{Event, Rejection, SendError};
use inver_sockets::srt::{Link, Read, read_rejection};
use inver_sockets::{Stop, stopped};

use super::from_frames::FromFrames;
use super::server::Reader;
use crate::frames::{Frames, Opening};

/// Serves a caller until its session ends.
pub(super) async fn serve(reader: &Reader, read: Read) {
    let Read {
        call,
        room,
        participant,
        credentials,
        client,
        stop,
    } = read;
    let config = &reader.config;
    if config.require_encryption && !call.is_encrypted() {
        tracing::info!(%room, "a reader was refused: it does not encrypt, which is required here");
        return call.reject(Rejection::Unsecure).await;
    }
    let shown = credentials.secret().cloned();
    let request = ReadFrames {
        room: room.clone(),
        participant,
        credentials,
        client,
        door: Door::Srt,
    };
    let frames = match reader.handle.read_frames(request).await {
        Ok(frames) => frames,
        Err(refusal) => {
            let rejection = read_rejection(refusal.kind);
            tracing::info!(%room, detail = refusal.detail, %rejection, "a reader was refused");
            return call.reject(rejection).await;
        }
    };
    let session = frames.session().map(tracing::field::display);
    let (frames, opening, stream) = match begin(frames).await {
        Ok(begun) => begun,
        Err((rejection, detail)) => {
            tracing::info!(%room, detail, %rejection, "a reader was refused");
            return call.reject(rejection).await;
        }
    };
    let mut passphrases: Vec<Secret> = Vec::new();
    if call.is_encrypted() {
        match &config.passphrase {
            Some(passphrase) => passphrases.push(passphrase.clone()),
            None => {
                passphrases.extend(shown);
                passphrases.extend(reader.handle.stream_keys(&room));
            }
        }
    }
    match call.accept(passphrases, config.latency).await {
        Ok(link) => {
            tracing::info!(%room, session, encrypted = link.is_encrypted(), "reading");
            // Boxed, for it is large and most of what comes here ends before.
            Box::pin(send(link, frames, opening, stream, stop)).await;
            tracing::info!(%room, "reading ended");
        }
        Err(error) => tracing::info!(%room, %error, "a reader was refused"),
    }
}

/// Finds out what there is, and whether a transport stream carries it.
async fn begin(reader: FrameReader) -> Result<(Frames, Opening, FromFrames), (Rejection, String)> {
    let mut frames = Frames::new(reader);
    let opening = frames.opening().await;
    if opening.frames.is_empty() {
        let detail = "nothing comes from the publisher";
        return Err((Rejection::NotFound, detail.to_owned()));
    }
    match FromFrames::new(&opening) {
        Ok(stream) => Ok((frames, opening, stream)),
        Err(error) => Err((Rejection::UnsupportedMedia, error.to_string())),
    }
}

async fn send(
    mut link: Link,
    mut frames: Frames,
    opening: Opening,
    mut stream: FromFrames,
    mut stop: Stop,
) {
    for frame in &opening.frames {
        if !put(&mut link, &mut stream, frame) {
            frames.skip();
        }
    }
    drop(opening);
    loop {
        tokio::select! {
            event = link.next() => match event {
                // Readers have nothing to say.
                Some(Event::Data(_) | Event::Dropped { .. } | Event::Connected) => {}
                Some(Event::Closed(reason)) => return tracing::debug!(%reason, "the reader is gone"),
                None => return,
            },
            frame = frames.next() => {
                let Some(frame) = frame else { break };
                if !put(&mut link, &mut stream, &frame) {
                    frames.skip();
                }
            }
            () = stopped(&mut stop) => break,
        }
    }
    drop(frames);
    link.close().await;
}

/// False where too much waits for the reader already.
fn put(link: &mut Link, stream: &mut FromFrames, frame: &inver_media::Frame) -> bool {
    let mut result = Ok(());
    let written = stream.write(frame, |datagram| {
        result = link.send(datagram);
        result.is_ok()
    });
    if let Err(error) = written {
        tracing::debug!(%error, "a frame was dropped");
    }
    // Of a connection that is over, the link tells.
    !matches!(result, Err(SendError::QueueFull))
}
