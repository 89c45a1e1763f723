//! Pushes to targets that do not take what they are sent.

use std::net::SocketAddr;
use std::time::Duration;

use inver_http::testing::Fixture;
use inver_node::{FrameReader, Read};
use inver_proto::{CreatePush, RestreamState};
use inver_protocols::rtmp::ServerEvent;
use inver_sockets::rtmp::Connection;
use inver_sockets::testing::{frame, h264, second, soon};
use inver_sockets::tls_client;
use tokio::net::TcpSocket;
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;

use crate::support::{feed, put, room};

/// Bytes of each picture: 20 Mbit/s at 25 pictures per second.
const PICTURE: usize = 100_000;

/// Pictures in all: 30 megabytes, many times what may wait for a target.
const PICTURES: usize = 300;

/// What may be in use beside what was before: the target's queue, the readers', the kernel's.
const MEMORY: usize = 16 << 20;

/// A target that lets a publisher in and then reads nothing until it is told to.
async fn target() -> (SocketAddr, oneshot::Sender<()>) {
    let socket = TcpSocket::new_v4().expect("a socket");
    // What the kernel keeps is not what is tested.
    socket.set_recv_buffer_size(64 << 10).expect("a small one");
    let any = "127.0.0.1:0".parse().expect("an address");
    socket.bind(any).expect("a free port");
    let listener = socket.listen(1).expect("listens");
    let address = listener.local_addr().expect("is bound");
    let (go, goes) = oneshot::channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        let mut connection = Connection::new(stream);
        loop {
            let event = connection.next().await.expect("it speaks RTMP");
            if let ServerEvent::PublishRequested(_) = event {
                connection.accept().expect("it may");
                break;
            }
        }
        // The answer has to leave.
        let _ = tokio::time::timeout(Duration::from_millis(200), connection.next()).await;
        if goes.await.is_ok() {
            while connection.next().await.is_ok() {}
        }
    });
    (address, go)
}

/// Memory of this process that is in use.
fn memory() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
    let resident = pages
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    resident.expect("a number") * 4096
}

#[tokio::test]
async fn a_target_that_reads_nothing_costs_little_and_disturbs_nobody() {
    let fixture = Fixture::open().await;
    let mut feed = feed(&fixture, &second(5000)).await;
    let (address, go) = target().await;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(inver_outputs::push::run(
        fixture.handle.clone(),
        tls_client(),
        stopped,
    ));
    let url = format!("rtmp://{address}/live/geheim");
    let request = CreatePush {
        url,
        keep_opus: false,
    };
    let studio = room("studio");
    let made = fixture.handle.create_push(&studio, request).await;
    let id = made.expect("is fit").id;
    let status = || fixture.handle.push(&studio, &id).expect("is there").status;
    // The room's frames come all the while.
    let mut ms = 6000;
    let mut more = |count: usize, size: usize, feed: &mut inver_node::Feed| {
        let video = h264();
        for _ in 0..count {
            put(feed, &[frame(&video, ms, ms % 1000 == 0, size)]);
            ms += 40;
        }
    };
    soon("the target's word", async {
        while status().state != RestreamState::Live {
            more(1, 500, &mut feed);
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;

    let mut other = fixture.handle.tap(&studio, None).expect("it is live");
    let before = memory();
    let mut most = 0;
    let mut seen = 0;
    for _ in 0..PICTURES {
        more(1, PICTURE, &mut feed);
        seen += usize::from(large(&mut other).await);
        // The data plane of tests keeps what it is given.
        fixture.asked.batches.lock().expect("no panic").clear();
        tokio::task::yield_now().await;
        most = most.max(memory());
    }
    assert_eq!(seen, PICTURES, "another reader gets every picture");
    let grown = most.saturating_sub(before);
    assert!(grown < MEMORY, "{grown} bytes more");
    let behind = status();
    assert_eq!(behind.state, RestreamState::Live, "{behind:?}");
    let reason = behind.reason.expect("it says so");
    assert!(reason.contains("left out"), "{reason}");

    go.send(()).expect("the target waits");
    stop.send_replace(true);
}

/// Whether the next picture is one of the large ones.
async fn large(reader: &mut FrameReader) -> bool {
    loop {
        match soon("a picture", reader.next()).await.expect("it is live") {
            Read::Video { frame, .. } if frame.data.len() > PICTURE => return true,
            Read::Lost => return false,
            Read::Video { .. } | Read::Audio(_) | Read::Idle => {}
        }
    }
}
