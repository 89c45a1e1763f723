//! One stream after another on one socket.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use inver_node::{Credentials, Feed, Handle, PublishFeed, Target};
use inver_proto::{Door, RoomId};
use inver_sockets::{Stop, client, stopped};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

use crate::mpegts::ToFrames;

/// Silence that ends a publication. Less would end one over a short fault of the network; more
/// keeps viewers before a still picture.
const SILENCE: Duration = Duration::from_secs(5);

/// Pause after a refusal, for instance because somebody else publishes.
const RETRY: Duration = Duration::from_secs(5);

/// Longest datagram: the longest that UDP has.
const DATAGRAM: usize = 65_535;

/// First byte of a transport packet.
const SYNC: u8 = 0x47;

/// A publication and whose it is.
struct Publication {
    feed: Feed,
    frames: ToFrames,
    /// Others that send to the same address meanwhile would mix with it.
    from: SocketAddr,
    heard: Instant,
}

pub(super) async fn serve(
    socket: &UdpSocket,
    handle: &Handle,
    room: &RoomId,
    mut stop: Stop,
) -> io::Result<()> {
    let mut buffer = vec![0; DATAGRAM];
    let mut publication: Option<Publication> = None;
    let mut refused_until = Instant::now();
    let mut steps = Vec::new();
    loop {
        let silent = publication.as_ref().map(|current| current.heard + SILENCE);
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = closed(publication.as_mut()) => {
                publication = None;
                refused_until = Instant::now() + RETRY;
                continue;
            }
            () = sleep_until(silent.unwrap_or_else(Instant::now)), if silent.is_some() => {
                tracing::info!("publishing ended: nothing comes any more");
                publication = None;
                continue;
            }
            () = stopped(&mut stop) => return Ok(()),
        };
        // Errors are ICMP's and concern one datagram of some peer.
        let Ok((len, from)) = received else { continue };
        let Some(packets) = packets(buffer.get(..len).unwrap_or_default()) else {
            continue;
        };
        if publication.is_none() && Instant::now() >= refused_until {
            publication = begin(handle, room, from).await;
            if publication.is_none() {
                refused_until = Instant::now() + RETRY;
            }
        }
        if let Some(current) = &mut publication
            && current.from == from
        {
            current.heard = Instant::now();
            current.frames.read(packets, &mut steps);
            for step in steps.drain(..) {
                step.feed(&mut current.feed);
            }
        }
    }
}

/// Waits until control ends the publication.
async fn closed(publication: Option<&mut Publication>) {
    match publication {
        Some(current) => {
            let cause = current.feed.closed().await;
            tracing::info!(?cause, "the publication was told to end");
        }
        None => std::future::pending().await,
    }
}

async fn begin(handle: &Handle, room: &RoomId, from: SocketAddr) -> Option<Publication> {
    let request = PublishFeed {
        target: Target::Room(room.clone()),
        participant: None,
        // The operator configured it.
        credentials: Credentials::bearer(handle.admin_token().reveal()),
        client: client(from),
        door: Door::Udp,
    };
    match handle.publish_feed(request).await {
        Ok(feed) => {
            tracing::info!(%from, session = %feed.session(), "publishing");
            Some(Publication {
                feed,
                frames: ToFrames::default(),
                from,
                heard: Instant::now(),
            })
        }
        Err(refusal) => {
            tracing::warn!(%from, detail = refusal.detail, "a stream is not published");
            None
        }
    }
}

/// The transport packets of a datagram, without an RTP header before them; `None` for anything
/// else.
fn packets(datagram: &[u8]) -> Option<&[u8]> {
    let first = *datagram.first()?;
    if first == SYNC {
        return Some(datagram);
    }
    // Version 2, without padding.
    if first & 0xe0 != 0x80 {
        return None;
    }
    let mut rest = datagram.get(12 + 4 * usize::from(first & 0x0f)..)?;
    if first & 0x10 != 0 {
        let words = rest.get(2..)?.first_chunk()?;
        rest = rest.get(4 + 4 * usize::from(u16::from_be_bytes(*words))..)?;
    }
    (rest.first() == Some(&SYNC)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transport_packets_are_found_alone_and_in_rtp() {
        let packet = [SYNC; 188];
        assert_eq!(packets(&packet), Some(packet.as_slice()));
        let mut plain = vec![0x80, 33, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9];
        plain.extend(packet);
        assert_eq!(packets(&plain), Some(packet.as_slice()));
        // One contributing source and an extension of one word.
        let mut full = vec![0x91, 33, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4];
        full.extend([0xbe, 0xde, 0, 1, 0, 0, 0, 0]);
        full.extend(packet);
        assert_eq!(packets(&full), Some(packet.as_slice()));
    }

    #[test]
    fn anything_else_is_passed_over() {
        for other in [
            &[][..],
            &[0x80],
            &[0x9f; 20],
            &[0x90; 30],
            b"hello",
            &[0xff; 500],
        ] {
            assert_eq!(packets(other), None, "{other:?}");
        }
    }
}
