//! Rooms pushed to FFmpeg and to another server, and streams pulled from them and from files.

use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::broadcast::{codecs, lives};
use crate::control::make_room_with_key;
use crate::harness::{AAC, Builder, Ffmpeg, H264, PATIENCE, PICTURE, Server, TONE, stage};

/// What a listener has to get before it ends: pictures and sound, counted.
const COUNTED: &str = "-map 0:v -map 0:a -frames:v 45 -frames:a 60 -f null -";

/// A server whose API may lead to this machine.
pub(crate) fn private() -> Builder {
    Builder::new().set("restream.allow_private", "true")
}

fn free_tcp() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

fn free_udp() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("bound").port()
}

/// Makes a push or pull and gives the path of its resource.
pub(crate) async fn make(server: &Server, room: &str, what: &str, body: Value) -> String {
    let path = format!("/api/v1/rooms/{room}/{what}");
    let made = server.post(&path, &body, StatusCode::CREATED).await;
    assert!(
        !made["url"]
            .as_str()
            .is_some_and(|url| url.contains("geheim")),
        "{made:#}"
    );
    format!("{path}/{}", made["id"].as_str().expect("an id"))
}

/// Waits until a push or pull is in a state.
pub(crate) async fn until(server: &Server, path: &str, state: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = server.json(path).await;
        if now["status"]["state"] == state {
            return now;
        }
        assert!(Instant::now() < deadline, "not {state}: {now:#}");
        sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_room_is_pushed_to_an_rtmp_listener_and_again_after_it_was_killed() {
    let _stage = stage().await;
    let mut server = private().start().await;
    let target = format!("rtmp://127.0.0.1:{}/live/geheim", free_tcp());
    let listener = || Ffmpeg::start(&["-listen 1 -f flv -i", &target, COUNTED]);
    let push = make(&server, "room", "pushes", json!({"url": target})).await;
    assert_eq!(server.json(&push).await["status"]["state"], "waiting");

    let _encoder = Ffmpeg::rtmp(&server.rtmp("room"));
    lives(&server, "room").await;
    let failed = until(&server, &push, "retrying").await;
    let status = &failed["status"];
    assert!(
        status["reason"].is_string() && status["retry_at"].is_string(),
        "{failed:#}"
    );
    for _ in 0..2 {
        // It ends by itself once it has what it counts; then the push tries again.
        let (status, said) = listener().ended().await;
        assert!(status.success(), "{said}");
        assert!(said.contains("Video: h264"), "{said}");
        assert!(said.contains("Audio: aac"), "{said}");
    }
    let gone = server.request(Method::DELETE, &push).send().await;
    assert_eq!(gone.expect("an answer").status(), StatusCode::NO_CONTENT);
    let gone = server.request(Method::GET, &push).send().await;
    assert_eq!(gone.expect("an answer").status(), StatusCode::NOT_FOUND);
    server.assert_sound();
}

#[tokio::test]
async fn opus_is_pushed_to_an_srt_listener_as_aac() {
    let _stage = stage().await;
    let mut server = private().start().await;
    let port = free_udp();
    let listener = format!("srt://127.0.0.1:{port}?mode=listener&passphrase=geheimgeheim");
    let target = format!("srt://127.0.0.1:{port}?streamid=geheim&passphrase=geheimgeheim");
    let push = make(&server, "room", "pushes", json!({"url": target})).await;
    let opus = "-c:a libopus -ar 48000 -ac 2 -b:a 64k";
    let url = server.srt("publish:room", "");
    let _encoder = Ffmpeg::start(&[PICTURE, TONE, H264, opus, "-f mpegts", &url]);
    let (status, said) = Ffmpeg::start(&["-i", &listener, COUNTED]).ended().await;
    assert!(status.success(), "{said}");
    assert!(said.contains("Video: h264"), "{said}");
    assert!(said.contains("Audio: aac"), "{said}");
    until(&server, &push, "retrying").await;
    server.assert_sound();
}

#[tokio::test]
async fn a_push_needs_the_other_servers_key_and_says_when_it_is_wrong() {
    let _stage = stage().await;
    let mut server = private().start().await;
    let mut other = Builder::new().keyed().start().await;
    let key = make_room_with_key(&other, "there").await;
    let wrong = json!({"url": other.rtmp("there-geheim")});
    let wrong = make(&server, "room", "pushes", wrong).await;
    let right = json!({"url": other.rtmp(&key.stream_key)});
    let right = make(&server, "room", "pushes", right).await;
    let encoder = Ffmpeg::rtmp(&server.rtmp("room"));

    let refused = until(&server, &wrong, "retrying").await;
    let reason = refused["status"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("refuses"), "{refused:#}");
    assert!(!refused.to_string().contains("geheim"), "{refused:#}");
    until(&server, &right, "live").await;
    let there = other
        .room_until("there", "both tracks", |room| codecs(room).len() == 2)
        .await;
    assert_eq!(codecs(&there), ["AAC", "H264"], "{there:#}");

    // Without a publisher nothing is pushed; the next one is.
    encoder.vanish().await;
    let _encoder = Ffmpeg::rtmp(&server.rtmp("room"));
    until(&server, &right, "live").await;
    server.assert_sound();
    other.assert_sound();
}

#[tokio::test]
async fn a_stream_is_pulled_from_another_server_while_somebody_watches() {
    let _stage = stage().await;
    let mut origin = Server::open().await;
    let mut server = private().start().await;
    let _encoder = Ffmpeg::rtmp(&origin.rtmp("room"));
    lives(&origin, "room").await;
    let body = json!({"url": origin.rtmp("room"), "on_demand": true});
    let pull = make(&server, "here", "pulls", body).await;
    assert_eq!(server.json(&pull).await["status"]["state"], "waiting");
    assert_eq!(origin.json("/api/v1/rooms/room").await["viewers"], 0);

    let (status, said) = Ffmpeg::play(&server.rtmp("here")).ended().await;
    assert!(status.success(), "{said}");
    assert!(said.contains("Video: h264"), "{said}");
    assert!(said.contains("Audio: aac"), "{said}");
    let live = until(&server, &pull, "live").await;
    assert_eq!(live["participant"], "pull-127-0-0-1", "{live:#}");
    until(&server, &pull, "waiting").await;
    origin
        .room_until("room", "nobody watches", |room| room["viewers"] == 0)
        .await;
    server.assert_sound();
    origin.assert_sound();
}

#[tokio::test]
async fn a_stream_is_pulled_from_an_srt_listener() {
    let _stage = stage().await;
    let mut server = private().start().await;
    let port = free_udp();
    let listener = format!("srt://127.0.0.1:{port}?mode=listener");
    let body = json!({"url": format!("srt://127.0.0.1:{port}?latency=200")});
    let pull = make(&server, "room", "pulls", body).await;
    let source = Ffmpeg::srt(&listener);
    let room = server
        .room_until("room", "both tracks", |room| codecs(room).len() == 2)
        .await;
    assert_eq!(codecs(&room), ["AAC", "H264"], "{room:#}");
    let (status, said) = Ffmpeg::play(&server.rtmp("room")).ended().await;
    assert!(status.success(), "{said}");
    source.vanish().await;
    until(&server, &pull, "retrying").await;
    let _source = Ffmpeg::srt(&listener);
    until(&server, &pull, "live").await;
    server.assert_sound();
}

/// Makes a file of two seconds in a folder.
async fn file(folder: &tempfile::TempDir, name: &str) -> PathBuf {
    let path = folder.path().join(name);
    let short = |input: &str| format!("-t 2 {}", input.replace("-re ", ""));
    let (picture, tone) = (short(PICTURE), short(TONE));
    let format = if name.ends_with("flv") {
        "-f flv"
    } else {
        "-f mpegts"
    };
    let out = path.to_string_lossy().into_owned();
    let words = [picture.as_str(), &tone, H264, AAC, format, &out];
    let (status, said) = Ffmpeg::start(&words).ended().await;
    assert!(status.success(), "{said}");
    path
}

#[tokio::test]
async fn files_are_played_again_and_again_and_others_are_refused() {
    let _stage = stage().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let outside = tempfile::tempdir().expect("a temporary folder");
    let secret = file(&outside, "outside.ts").await;
    let inside = folder.path().to_string_lossy().into_owned();
    std::os::unix::fs::symlink(&secret, folder.path().join("link.ts")).expect("a link");
    let mut server = Builder::new()
        .set("restream.files_dir", &inside)
        .start()
        .await;
    for name in ["loop.ts", "loop.flv"] {
        file(&folder, name).await;
        let room = name.replace('.', "-");
        let body = json!({"url": format!("file:{name}")});
        make(&server, &room, "pulls", body).await;
        lives(&server, &room).await;
        // Three times as long as the file, and nothing to complain of.
        let url = server.rtmp(&room);
        let play = ["-i", &url, "-map 0 -frames:v 180 -frames:a 250 -f null -"];
        let (status, said) = Ffmpeg::start(&play).ended().await;
        assert!(status.success(), "{said}");
        assert!(
            !said.contains("non monoton") && !said.contains("Non-monoton"),
            "{said}"
        );
    }
    let pull = make(&server, "out", "pulls", json!({"url": "file:link.ts"})).await;
    let refused = until(&server, &pull, "retrying").await;
    let reason = refused["status"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("leads out"), "{refused:#}");
    for url in ["file:../x.ts", "file:/etc/passwd", "file:a.mp4"] {
        let path = "/api/v1/rooms/out/pulls";
        server
            .post(path, &json!({"url": url}), StatusCode::UNPROCESSABLE_ENTITY)
            .await;
    }
    server.assert_sound();
}

#[tokio::test]
async fn addresses_inside_are_refused_and_those_of_the_configuration_are_not() {
    let _stage = stage().await;
    let port = free_tcp();
    let target = format!("rtmp://127.0.0.1:{port}/live/geheim");
    let configured = format!("[{{room = 'room', url = '{target}'}}]");
    let builder = Builder::new().set("restream.pushes", &configured);
    let mut server = builder.start().await;
    for what in ["pushes", "pulls"] {
        let path = format!("/api/v1/rooms/room/{what}");
        for url in [
            target.as_str(),
            "rtmp://localhost/live/geheim",
            "rtmp://127.1/live/geheim",
            "rtmps://[::1]/live/geheim",
            "srt://[::ffff:127.0.0.1]:9000?streamid=geheim",
            "srt://169.254.169.254:80",
            "srt://0.0.0.0:9000",
            "srt://224.0.0.1:9000",
        ] {
            let body = json!({"url": url});
            let refused = server
                .post(&path, &body, StatusCode::UNPROCESSABLE_ENTITY)
                .await;
            let detail = refused["detail"].as_str().unwrap_or_default();
            assert!(detail.contains("allow_private"), "{url}: {refused:#}");
            assert!(!detail.contains("geheim"), "{url}: {refused:#}");
        }
    }
    let list = server.json("/api/v1/rooms/room/pushes").await;
    let only = &list["pushes"][0];
    assert_eq!(only["configured"], true, "{list:#}");
    assert_eq!(only["url"], format!("rtmp://127.0.0.1:{port}/live/***"));
    let path = format!(
        "/api/v1/rooms/room/pushes/{}",
        only["id"].as_str().expect("an id")
    );
    let kept = server.request(Method::DELETE, &path).send().await;
    assert_eq!(kept.expect("an answer").status(), StatusCode::CONFLICT);
    server.assert_sound();
}

#[tokio::test]
async fn a_push_survives_a_restart_with_its_key_encrypted() {
    let _stage = stage().await;
    let builder = private();
    let server = builder.start().await;
    let target = format!("rtmp://127.0.0.1:{}/live/geheim", free_tcp());
    let push = make(&server, "room", "pushes", json!({"url": target})).await;
    server.kill().await;
    let mut server = builder.start().await;
    let _encoder = Ffmpeg::rtmp(&server.rtmp("room"));
    let (status, said) = Ffmpeg::start(&["-listen 1 -f flv -i", &target, COUNTED])
        .ended()
        .await;
    assert!(status.success(), "{said}");
    server.json(&push).await;
    server.assert_sound();
}
