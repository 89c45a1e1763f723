//! FFmpeg publishes over SRT, in the clear and encrypted, and reads out again.

use crate::broadcast::{codecs, lives, plays_aloud};
use crate::control::{make_room_with_key, sessions};
use crate::harness::{
    AAC, Builder, Client, Ffmpeg, Flow, H264, H265, PICTURE, Server, TONE, stage,
};
use crate::rtmp::b_frames_in_order;

#[tokio::test]
async fn a_transport_stream_is_seen_and_heard_and_read_out() {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let mut encoder = Ffmpeg::srt(&server.srt("publish:room", ""));
    lives(&server, "room").await;
    let room = server
        .room_until("room", "codecs of both tracks", |room| {
            codecs(room).len() == 2
        })
        .await;
    assert_eq!(codecs(&room), ["AAC", "H264"], "{room:#}");
    assert_eq!(sessions(&room)[0]["door"], "srt", "{room:#}");

    let mut viewer = Client::browser(Flow::Watch, &server.url("/whep/room"), &["--hear", "1"]);
    plays_aloud(&mut viewer, "h264").await;

    for url in [server.srt("read:room", ""), server.rtmp("room")] {
        let (status, said) = Ffmpeg::play(&url).ended().await;
        assert!(status.success(), "{url}: {said}");
        assert!(said.contains("Video: h264"), "{url}: {said}");
        assert!(said.contains("Audio: aac"), "{url}: {said}");
    }
    encoder.assert_runs();
    server.assert_sound();
}

#[tokio::test]
async fn b_frames_of_a_transport_stream_are_shown_in_order() {
    let _stage = stage().await;
    let server = Server::open().await;
    let url = server.srt("publish:room", "");
    b_frames_in_order(server, "-f mpegts", &url).await;
}

#[tokio::test]
async fn a_transport_stream_over_udp_feeds_its_room() {
    let _stage = stage().await;
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("is bound");
    drop(socket);
    let inputs = format!("[\"room={address}\"]");
    let mut server = Builder::new().set("udp.inputs", &inputs).start().await;
    let url = format!("udp://{address}?pkt_size=1316");
    let mut encoder = Ffmpeg::start(&[PICTURE, TONE, H264, AAC, "-f mpegts", &url]);
    let room = lives(&server, "room").await;
    assert_eq!(sessions(&room)[0]["door"], "udp", "{room:#}");
    let mut viewer = Client::browser(Flow::Watch, &server.url("/whep/room"), &["--hear", "1"]);
    plays_aloud(&mut viewer, "h264").await;
    encoder.assert_runs();
    server.assert_sound();
}

#[tokio::test]
async fn h265_comes_as_a_transport_stream_and_is_read_out() {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let picture = PICTURE.replace("640x360", "320x180");
    let url = server.srt("publish:room", "");
    let mut encoder = Ffmpeg::start(&[&picture, TONE, H265, AAC, "-f mpegts", &url]);
    lives(&server, "room").await;
    let room = server
        .room_until("room", "codecs of both tracks", |room| {
            codecs(room).len() == 2
        })
        .await;
    assert_eq!(codecs(&room), ["AAC", "H265"], "{room:#}");
    let (status, said) = Ffmpeg::play(&server.srt("read:room", "")).ended().await;
    assert!(status.success(), "{said}");
    assert!(said.contains("Video: hevc"), "{said}");
    encoder.assert_runs();
    server.assert_sound();
}

/// With a passphrase of the wrong words first: it is refused, and the log says where.
async fn encrypted(key_bytes: &str) {
    let _stage = stage().await;
    let mut server = Builder::new().keyed().start().await;
    let key = make_room_with_key(&server, "room").await;
    let stream_id = format!("publish:room:{}", key.secret);
    let options = |passphrase: &str| format!("&passphrase={passphrase}&pbkeylen={key_bytes}");

    let wrong = server.srt(&stream_id, &options("not-the-key-at-all"));
    let (status, said) = Ffmpeg::srt(&wrong).ended().await;
    assert!(!status.success(), "{said}");
    server
        .logs(&["publisher was refused", "room=\"room\""])
        .await;

    let mut encoder = Ffmpeg::srt(&server.srt(&stream_id, &options(&key.secret)));
    server.logs(&["publishing", "encrypted=true"]).await;
    lives(&server, "room").await;
    let mut viewer = Client::browser(Flow::Watch, &server.url("/whep/room"), &["--hear", "1"]);
    plays_aloud(&mut viewer, "h264").await;
    encoder.assert_runs();
    server.assert_sound();
}

#[tokio::test]
async fn aes_128_is_seen_and_heard() {
    encrypted("16").await;
}

#[tokio::test]
async fn aes_256_is_seen_and_heard() {
    encrypted("32").await;
}

#[tokio::test]
async fn wrong_keys_are_refused_and_the_log_says_where() {
    let mut server = Builder::new().keyed().start().await;
    make_room_with_key(&server, "room").await;
    for stream_id in ["publish:room:wrong", "publish:room", "room-wrong"] {
        let (status, said) = Ffmpeg::srt(&server.srt(stream_id, "")).ended().await;
        assert!(!status.success(), "{stream_id}: {said}");
    }
    server
        .logs(&["publisher was refused", "room=\"room\""])
        .await;
    server.assert_sound();
}
