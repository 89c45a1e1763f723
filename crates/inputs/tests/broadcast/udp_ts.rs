//! Transport streams over UDP into a configured room.

use std::net::SocketAddr;

use inver_http::testing::Fixture;
use inver_inputs::udp_ts;
use inver_media::Codec;
use inver_node::Read;
use inver_sockets::testing::{second, soon, transport_stream};
use tokio::net::UdpSocket;

use crate::support::{frames, keyed_room, media, read, room, stop};

/// A port that is free now.
async fn free() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    socket.local_addr().expect("is bound")
}

#[tokio::test]
async fn a_stream_is_published_while_it_comes() {
    let fixture = Fixture::keyed().await;
    keyed_room(&fixture, "studio").await;
    let bind = free().await;
    let (stop, stopped) = stop();
    let handle = fixture.handle.clone();
    let served = tokio::spawn(udp_ts::serve(handle, room("studio"), bind, None, stopped));
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let send = async |start| {
        for datagram in transport_stream(&second(start)) {
            // Until the door is bound, the system says that nobody is there.
            let _ = socket.send_to(&datagram, bind).await;
            tokio::task::yield_now().await;
        }
    };
    let mut start = 0;
    while fixture.asked.batches.lock().expect("no panic").is_empty() {
        send(start).await;
        start += 1000;
    }
    media(&fixture).await;
    let mut reader = read(&fixture, "studio").await;
    send(start).await;
    send(start + 1000).await;
    let got = frames(&mut reader, 40).await;
    assert!(got[0].1.keyframe && got[0].1.codec() == Codec::H264);

    // Then nothing for five seconds.
    tokio::time::pause();
    while !matches!(reader.next().await, Some(Read::Idle) | None) {}
    tokio::time::resume();
    stop.send_replace(true);
    soon("the end", served)
        .await
        .expect("no panic")
        .expect("no error");
}

#[tokio::test]
async fn a_group_that_is_none_is_refused() {
    let fixture = Fixture::open().await;
    let (_stop, stopped) = stop();
    let group = Some([192, 0, 2, 1].into());
    let bind = free().await;
    let served = udp_ts::serve(fixture.handle.clone(), room("studio"), bind, group, stopped);
    let error = soon("an answer", served)
        .await
        .expect_err("no multicast address");
    assert!(error.to_string().contains("multicast"), "{error}");
}
