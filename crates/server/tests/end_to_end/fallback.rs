//! What stands in for a publisher that was killed: viewers who stay see it, and then the publisher
//! that returns.

use inver_outputs::hls::check::check;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::broadcast::{hears, lives, plays_aloud};
use crate::browser::{inbound, pictures};
use crate::harness::{
    AAC, Builder, Client, Ffmpeg, Flow, H264, PATIENCE, PICTURE, Server, TONE, stage,
};

/// A folder with a picture and a film.
async fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let picture = "-f lavfi -i smptebars=size=320x180 -frames:v 1";
    for name in ["slate.png", "slate.jpg"] {
        let (status, said) = Ffmpeg::start(&[picture, &path(name)]).ended().await;
        assert!(status.success(), "{said}");
    }
    let film = "-f lavfi -i testsrc=size=320x180:rate=30 -f lavfi -i sine=frequency=880 -t 2";
    let words = [film, H264, AAC, "-f mpegts", &path("loop.ts")];
    let (status, said) = Ffmpeg::start(&words).ended().await;
    assert!(status.success(), "{said}");
    folder
}

async fn server(folder: &TempDir) -> Server {
    let path = folder.path().to_string_lossy().into_owned();
    let builder = Builder::new().set("restream.files_dir", &path);
    builder.start().await
}

/// Asks for a room's fallback, and gives what the server says.
async fn put(server: &Server, room: &str, body: Value) -> (StatusCode, Value) {
    let path = format!("/api/v1/rooms/{room}/fallback");
    let request = server.request(Method::PUT, &path);
    let response = request
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .await
        .expect("the server answers");
    let status = response.status();
    let text = response.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or_default())
}

async fn set(server: &Server, room: &str, url: &str) {
    let (status, said) = put(server, room, json!({"url": url, "after_ms": 500})).await;
    assert_eq!(status, StatusCode::OK, "{said:#}");
    assert_eq!(said["status"]["state"], "waiting", "{said:#}");
}

/// Waits until the room shows its fallback, or its publisher.
async fn shows(server: &Server, room: &str, fallback: bool) -> Value {
    let what = format!("fallback: {fallback}");
    server
        .room_until(room, &what, |room| {
            room["live"] == true && room["fallback_since"].is_string() == fallback
        })
        .await
}

fn width(stats: &Value) -> Option<u64> {
    inbound(stats)?["video"]["width"].as_u64()
}

#[tokio::test]
async fn a_picture_stands_in_until_the_publisher_returns() {
    let _stage = stage().await;
    let folder = folder().await;
    let mut server = server(&folder).await;
    set(&server, "room", "file:slate.png").await;
    let url = server.rtmp("room");
    let encoder = Ffmpeg::rtmp(&url);
    lives(&server, "room").await;
    let mut viewer = Client::browser(Flow::Watch, &server.url("/whep/room"), &["--hear", "1"]);
    plays_aloud(&mut viewer, "h264").await;
    // One over RTMP stays as well: it counts more pictures than come before the change.
    let count = "-map 0:v -map 0:a -frames:v 240 -f null -";
    let player = Ffmpeg::start(&["-i", &url, count]);
    server
        .room_until("room", "both watch", |room| room["viewers"] == 2)
        .await;

    encoder.vanish().await;
    let room = shows(&server, "room", true).await;
    assert_eq!(room["participants"][0]["id"], "main", "{room:#}");
    viewer
        .stats("the picture's size", |stats| width(stats) == Some(320))
        .await;
    let before = viewer.now().await;
    viewer
        .stats("the picture stands", |stats| {
            pictures(stats) >= pictures(&before) + 20
        })
        .await;
    let state = server.json("/api/v1/rooms/room/fallback").await;
    assert_eq!(state["status"]["state"], "live", "{state:#}");

    let mut encoder = Ffmpeg::rtmp(&url);
    shows(&server, "room", false).await;
    viewer
        .stats("the publisher's size", |stats| width(stats) == Some(640))
        .await;
    let before = viewer.now().await;
    let after = viewer
        .stats("the publisher's pictures", |stats| {
            pictures(stats) >= pictures(&before) + 60
        })
        .await;
    assert_eq!(after["shown"]["backwards"], 0, "{after:#}");
    hears(&mut viewer, 440.0).await;
    let (status, said) = player.ended().await;
    assert!(status.success(), "{said}");
    encoder.assert_runs();
    server.assert_sound();
}

/// A playlist's text, once it fulfils `reached`; each that comes is held to the rules.
async fn playlist(server: &Server, path: &str, reached: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let response = server.request(Method::GET, path).send().await;
        let response = response.expect("the server answers");
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let text = response.text().await.expect("text");
        check(&text).unwrap_or_else(|rule| panic!("{rule}\n{text}"));
        if reached(&text) {
            return text;
        }
        assert!(Instant::now() < deadline, "{text}");
        sleep(std::time::Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn players_of_hls_go_on_over_a_discontinuity() {
    let _stage = stage().await;
    let folder = folder().await;
    let mut server = server(&folder).await;
    set(&server, "room", "file:slate.jpg").await;
    let encoder = Ffmpeg::rtmp(&server.rtmp("room"));
    lives(&server, "room").await;
    let index = server.request(Method::GET, "/hls/room/index.m3u8");
    let index = index.send().await.expect("the server answers");
    assert_eq!(index.status(), StatusCode::OK);
    playlist(&server, "/hls/room/v0.m3u8", |text| {
        text.contains("#EXTINF")
    })
    .await;
    encoder.vanish().await;
    shows(&server, "room", true).await;
    for name in ["v0", "a"] {
        let path = format!("/hls/room/{name}.m3u8");
        playlist(&server, &path, |text| {
            let behind = text.split("#EXT-X-DISCONTINUITY\n").nth(1);
            behind.is_some_and(|behind| behind.matches("#EXTINF").count() >= 2)
        })
        .await;
    }
    let _encoder = Ffmpeg::rtmp(&server.rtmp("room"));
    shows(&server, "room", false).await;
    playlist(&server, "/hls/room/v0.m3u8", |text| {
        let behind = text.split("#EXT-X-DISCONTINUITY\n").nth(2);
        behind.is_some_and(|behind| behind.matches("#EXTINF").count() >= 1)
    })
    .await;
    server.assert_sound();
}

#[tokio::test]
async fn a_film_stands_in_before_anybody_has_published() {
    let _stage = stage().await;
    let folder = folder().await;
    let mut server = server(&folder).await;
    let wish = json!({"url": "file:loop.ts", "after_ms": 100, "always": true});
    let (status, said) = put(&server, "room", wish).await;
    assert_eq!(status, StatusCode::OK, "{said:#}");
    shows(&server, "room", true).await;
    let mut viewer = Client::browser(Flow::Watch, &server.url("/whep/room"), &["--hear", "1"]);
    hears(&mut viewer, 880.0).await;
    let mut encoder = Ffmpeg::start(&[PICTURE, TONE, H264, AAC, "-f flv", &server.rtmp("room")]);
    shows(&server, "room", false).await;
    hears(&mut viewer, 440.0).await;
    encoder.assert_runs();

    let path = "/api/v1/rooms/room/fallback";
    let gone = server.request(Method::DELETE, path).send().await;
    assert_eq!(gone.expect("an answer").status(), StatusCode::NO_CONTENT);
    let gone = server.request(Method::GET, path).send().await;
    assert_eq!(gone.expect("an answer").status(), StatusCode::NOT_FOUND);
    server.assert_sound();
}

#[tokio::test]
async fn what_cannot_be_shown_is_refused_or_says_why() {
    let _stage = stage().await;
    let folder = folder().await;
    let mut server = server(&folder).await;
    for (body, word) in [
        (json!({"url": "file:../slate.png"}), "below"),
        (json!({"url": "file:slate.gif"}), ".png"),
        (
            json!({"url": "rtmp://127.0.0.1/live/geheim"}),
            "allow_private",
        ),
        (
            json!({"url": "file:slate.png", "after_ms": 60_000}),
            "rooms.grace",
        ),
        (json!({}), "url"),
    ] {
        let (status, said) = put(&server, "room", body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{said:#}");
        let detail = said["detail"].as_str().unwrap_or_default();
        assert!(
            detail.contains(word) && !detail.contains("geheim"),
            "{said:#}"
        );
    }
    let wish = json!({"url": "file:gone.png", "after_ms": 0, "always": true});
    let (status, said) = put(&server, "room", wish).await;
    assert_eq!(status, StatusCode::OK, "{said:#}");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let state = server.json("/api/v1/rooms/room/fallback").await;
        let reason = state["status"]["reason"].as_str().unwrap_or_default();
        if reason.contains("gone.png cannot be opened") {
            break;
        }
        assert!(Instant::now() < deadline, "{state:#}");
        sleep(std::time::Duration::from_millis(50)).await;
    }
    // It is no publisher: whoever comes is let in.
    let mut encoder = Ffmpeg::rtmp(&server.rtmp("room"));
    lives(&server, "room").await;
    encoder.assert_runs();
    server.assert_sound();
}
