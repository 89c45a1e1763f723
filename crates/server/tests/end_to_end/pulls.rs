//! Cameras and rooms of other servers, pulled into rooms.

use serde_json::{Value, json};

use crate::broadcast::{codecs, lives};
use crate::control::make_room_with_key;
use crate::harness::{
    AAC, Builder, Client, Encoder, Ffmpeg, H264, H265, PICTURE, Server, TONE, stage,
};
use crate::restream::{make, private, until};

/// Plays the room over RTSP, which carries every codec.
async fn plays(server: &Server, room: &str, codecs: [&str; 2]) {
    let read = "-map 0 -frames:v 45 -frames:a 60 -f null -";
    let url = server.rtsp(room);
    let play = Ffmpeg::start(&["-rtsp_transport tcp -i", &url, read]);
    let (status, said) = play.ended().await;
    assert!(status.success(), "{said}");
    for codec in codecs {
        assert!(said.contains(codec), "{codec}: {said}");
    }
}

/// A camera is pulled: another server that FFmpeg feeds.
async fn pulled(video: &str, audio: &str, transport: &str, names: [&str; 2]) {
    let _stage = stage().await;
    let mut camera = Server::open().await;
    let mut server = private().start().await;
    let url = camera.rtsp("room");
    let format = "-f rtsp -rtsp_transport tcp";
    let _encoder = Ffmpeg::start(&[PICTURE, TONE, video, audio, format, &url]);
    lives(&camera, "room").await;
    let body = json!({"url": format!("{url}{transport}")});
    let pull = make(&server, "here", "pulls", body).await;
    let live = until(&server, &pull, "live").await;
    assert_eq!(live["participant"], "pull-127-0-0-1", "{live:#}");
    plays(&server, "here", names).await;
    let room = server.json("/api/v1/rooms/here").await;
    let door = &crate::control::sessions(&room)[0]["door"];
    assert_eq!(door, "pull", "{room:#}");
    server.assert_sound();
    camera.assert_sound();
}

#[tokio::test]
async fn h264_and_aac_of_a_camera_come_through_the_connection() {
    pulled(H264, AAC, "", ["Video: h264", "Audio: aac"]).await;
}

#[tokio::test]
async fn h265_and_opus_of_a_camera_come_over_udp() {
    let opus = "-c:a libopus -ar 48000 -ac 2 -b:a 64k";
    let names = ["Video: hevc", "Audio: opus"];
    pulled(H265, opus, "?transport=udp", names).await;
}

#[tokio::test]
async fn a_camera_wants_its_password_and_is_left_when_nobody_watches() {
    let _stage = stage().await;
    let keyed = Builder::new().keyed().set("rooms.public_viewing", "false");
    let mut camera = keyed.start().await;
    let key = make_room_with_key(&camera, "room").await;
    let _encoder = Ffmpeg::rtmp(&camera.rtmp(&key.stream_key));
    lives(&camera, "room").await;
    let mut server = private().start().await;
    let address = camera.encoder(Encoder::Rtsp);
    let url = |login: &str| format!("rtsp://{login}{address}/room");
    for (login, words) in [
        ("", "user and password"),
        ("admin:geheim@", "refuses this user"),
    ] {
        let pull = make(&server, "here", "pulls", json!({"url": url(login)})).await;
        let failed = until(&server, &pull, "retrying").await;
        let reason = failed["status"]["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(words), "{failed:#}");
        assert!(!failed.to_string().contains("geheim"), "{failed:#}");
        let gone = server.request(reqwest::Method::DELETE, &pull).send().await;
        assert!(gone.expect("an answer").status().is_success());
    }

    let login = format!("admin:{}@", key.secret);
    let body = json!({"url": url(&login), "on_demand": true});
    let pull = make(&server, "here", "pulls", body).await;
    assert_eq!(server.json(&pull).await["status"]["state"], "waiting");
    plays(&server, "here", ["Video: h264", "Audio: aac"]).await;
    until(&server, &pull, "live").await;
    until(&server, &pull, "waiting").await;
    camera
        .room_until("room", "nobody watches", |room| room["viewers"] == 0)
        .await;
    server.assert_sound();
    camera.assert_sound();
}

/// GStreamer's server is the camera, and takes its password as a digest only.
async fn gstreamer(transport: &str, query: &str) {
    let _stage = stage().await;
    let login = [
        "--user",
        "admin",
        "--password",
        "geheim",
        "--transport",
        transport,
    ];
    let mut camera = Client::gstreamer_rtsp("serve", &login);
    let port = camera.event("address").await["port"].clone();
    let mut server = private().start().await;
    let url = |login: &str| format!("rtsp://{login}127.0.0.1:{port}/camera{query}");
    let wrong = json!({"url": url("admin:wrong@")});
    let wrong = make(&server, "here", "pulls", wrong).await;
    let failed = until(&server, &wrong, "retrying").await;
    let reason = failed["status"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("refuses this user"), "{failed:#}");
    let gone = server.request(reqwest::Method::DELETE, &wrong).send().await;
    assert!(gone.expect("an answer").status().is_success());

    let body = json!({"url": url("admin:geheim@"), "on_demand": true});
    let pull = make(&server, "here", "pulls", body).await;
    plays(&server, "here", ["Video: h264", "Audio: opus"]).await;
    until(&server, &pull, "live").await;
    until(&server, &pull, "waiting").await;
    let nobody = |stats: &Value| stats["counts"]["clients"] == 0;
    camera.stats("nobody is connected", nobody).await;
    server.assert_sound();
}

#[tokio::test]
async fn a_camera_of_gstreamer_is_pulled_through_the_connection() {
    gstreamer("tcp", "").await;
}

/// It refuses media through the connection, so UDP is tried by itself.
#[tokio::test]
async fn a_camera_of_gstreamer_that_only_has_udp_is_pulled_over_it() {
    gstreamer("udp", "").await;
}

#[tokio::test]
async fn a_room_of_another_server_is_pulled_over_whep_with_a_token() {
    let _stage = stage().await;
    let keyed = Builder::new().keyed().set("rooms.public_viewing", "false");
    let mut origin = keyed.start().await;
    let key = make_room_with_key(&origin, "room").await;
    let encoder = Ffmpeg::rtmp(&origin.rtmp(&key.stream_key));
    lives(&origin, "room").await;
    let mut server = private().start().await;
    let base = origin.url("/whep/room");
    let with = |token: &str| base.replace("://", &format!("://:{token}@"));
    let wrong = make(&server, "here", "pulls", json!({"url": with("geheim")})).await;
    let failed = until(&server, &wrong, "retrying").await;
    let reason = failed["status"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("token"), "{failed:#}");
    let gone = server.request(reqwest::Method::DELETE, &wrong).send().await;
    assert!(gone.expect("an answer").status().is_success());

    let admin = origin.admin.clone().expect("a token");
    let pull = make(&server, "here", "pulls", json!({"url": with(&admin)})).await;
    until(&server, &pull, "live").await;
    let room = server
        .room_until("here", "both tracks", |room| codecs(room).len() == 2)
        .await;
    assert_eq!(codecs(&room), ["H264", "opus"], "{room:#}");
    let (status, said) = Ffmpeg::play(&server.rtmp("here")).ended().await;
    assert!(status.success(), "{said}");
    // The origin's session ends with the pull.
    let gone = server.request(reqwest::Method::DELETE, &pull).send().await;
    assert!(gone.expect("an answer").status().is_success());
    origin
        .room_until("room", "nobody watches", |room| room["viewers"] == 0)
        .await;
    drop(encoder);
    server.assert_sound();
    origin.assert_sound();
}

#[tokio::test]
async fn servers_that_pull_a_room_from_one_another_are_told() {
    let _stage = stage().await;
    let (mut one, mut other) = (private().start().await, private().start().await);
    let of = |server: &Server| json!({"url": server.url("/whep/room"), "on_demand": true});
    let first = make(&one, "room", "pulls", of(&other)).await;
    let second = make(&other, "room", "pulls", of(&one)).await;
    let whep = one.url("/whep/room");
    let offer = one.bare(reqwest::Method::POST, &whep);
    let offer = offer.header("content-type", "application/sdp");
    let asking = offer.body(crate::bad_requests::OFFER).send();
    let told = until(&other, &second, "retrying");
    let (answer, told) = tokio::join!(asking, told);
    assert!(!answer.expect("an answer").status().is_success());
    let reason = told["status"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("must not relay"), "{told:#}");
    // Nobody asks any more, so both come to rest.
    for (server, pull) in [(&one, &first), (&other, &second)] {
        let _: Value = until(server, pull, "waiting").await;
    }
    one.assert_sound();
    other.assert_sound();
}
