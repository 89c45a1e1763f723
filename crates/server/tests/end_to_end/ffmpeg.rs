//! FFmpeg's WHIP muxer as publisher.

use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::browser::plays;
use crate::harness::{Builder, Client, Ffmpeg, Fixture, Flow, Server, ffmpeg, fixture, stage};
use crate::second_stack::{assert_exact, enough};

/// FFmpeg sends the frames of the H264 test file, unchanged, and a tone as Opus.
async fn publish(whip: &str, token: Option<&str>) -> Child {
    let file = fixture(Fixture::H264Opus).await;
    let mut command = Command::new(ffmpeg());
    command
        .args([
            "-v",
            "warning",
            "-re",
            "-stream_loop",
            "-1",
            "-i",
            &file,
            "-c",
            "copy",
        ])
        .args(["-f", "whip"])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if let Some(token) = token {
        command.args(["-authorization", token]);
    }
    command.arg(whip).spawn().expect("FFmpeg starts")
}

#[tokio::test]
async fn ffmpeg_publishes_and_another_stack_gets_its_frames_exactly() {
    let _stage = stage().await;
    let file = fixture(Fixture::H264).await;
    let mut server = Server::open().await;
    let _publisher = publish(&server.url("/whip/room"), None).await;
    server
        .room_until("room", "FFmpeg is live", |room| room["live"] == true)
        .await;
    let options = ["--codec", "h264", "--file", &file];
    let mut viewer = Client::datachannel(Flow::Watch, &server.url("/whep/room"), &options);
    let stats = viewer.stats("frames and sound", enough).await;
    assert_exact(&stats);
    server.assert_sound();
}

#[tokio::test]
async fn ffmpeg_publishes_with_a_stream_key_and_chromium_plays_it() {
    let _stage = stage().await;
    let server = Builder::new().keyed().start().await;
    let key = crate::control::make_room_with_key(&server, "room").await;
    let _publisher = publish(&server.url("/whip/room"), Some(&key.secret)).await;
    server
        .room_until("room", "FFmpeg is live", |room| room["live"] == true)
        .await;
    let mut viewer = Client::browser(Flow::Watch, &server.url("/whep/room"), &[]);
    plays(&mut viewer, "h264").await;
}

#[tokio::test]
async fn what_came_over_webrtc_plays_over_rtmp() {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let _publisher = publish(&server.url("/whip/room"), None).await;
    server
        .room_until("room", "FFmpeg is live", |room| room["live"] == true)
        .await;
    let (status, said) = Ffmpeg::play(&server.rtmp("room")).ended().await;
    assert!(status.success(), "{said}");
    assert!(said.contains("Video: h264"), "{said}");
    assert!(said.contains("Audio: "), "{said}");
    server.assert_sound();
}
