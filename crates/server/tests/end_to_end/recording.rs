//! What comes in is kept: the same frames, in files that FFmpeg reads without a word, whatever
//! happens to the server.

use std::path::Path;

use reqwest::header::{CONTENT_RANGE, ETAG, IF_RANGE, LOCATION, RANGE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, sleep_until};

use crate::broadcast::lives;
use crate::browser::shows_a_picture;
use crate::control::make_room_with_key;
use crate::harness::{
    AAC, Builder, Client, Ffmpeg, Flow, H264, H264_WITH_B_FRAMES, PATIENCE, PICTURE, Server, TONE,
    ffmpeg, stage,
};

/// Runs FFmpeg to its end; gives what it wrote and what it complained of.
pub(crate) async fn run(words: &[&str]) -> (String, String) {
    let mut command = Command::new(ffmpeg());
    command.args(["-hide_banner", "-nostdin", "-y", "-v", "warning"]);
    let output = command.args(words).output().await.expect("FFmpeg starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, said) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{words:?}: {said}");
    (out, said)
}

/// The hash of every frame of a stream, in order.
pub(crate) async fn hashes(file: &str, stream: &str) -> Vec<String> {
    let (out, said) = run(&[
        "-i", file, "-map", stream, "-c", "copy", "-f", "framemd5", "-",
    ])
    .await;
    assert_eq!(said, "", "{file} is read without a word");
    let lines = out.lines().filter(|line| !line.starts_with('#'));
    // Stream, times, duration, size, hash; what the container says beside may follow.
    let hash = |line: &str| line.split(',').nth(5).map(|hash| hash.trim().to_owned());
    lines.filter_map(hash).collect()
}

/// Decodes a whole file; gives seconds of the picture that came out.
pub(crate) async fn decodes(file: &str) -> f64 {
    let (_, said) = run(&["-xerror", "-i", file, "-f", "null", "-"]).await;
    assert_eq!(said, "", "{file} is decoded without a word");
    let count = hashes(file, "0:v").await.len();
    count as f64 / 30.0
}

/// Waits until the only recording fulfils `reached`.
pub(crate) async fn recording_until(
    server: &Server,
    what: &str,
    reached: impl Fn(&Value) -> bool,
) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let list = server.json("/api/v1/recordings").await;
        let recording = &list["recordings"][0];
        if reached(recording) {
            return recording.clone();
        }
        assert!(Instant::now() < deadline, "{what}: {list:#}");
        sleep_until(Instant::now() + std::time::Duration::from_millis(200)).await;
    }
}

fn path_of<'a>(folder: &'a TempDir, name: &str) -> (std::path::PathBuf, &'a Path) {
    (folder.path().join(name), folder.path())
}

/// Fetches a file of a recording by its link, with no token.
pub(crate) async fn download(server: &Server, file: &Value, to: &Path) {
    let url = file["url"].as_str().expect("a link");
    let response = server
        .bare(Method::GET, url)
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), StatusCode::OK, "{url}");
    let bytes = response.bytes().await.expect("a body");
    assert_eq!(Some(bytes.len() as u64), file["size_bytes"].as_u64());
    std::fs::write(to, bytes).expect("a writable folder");
}

#[tokio::test]
async fn a_recording_has_the_frames_that_came() {
    let _stage = stage().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (source, _) = path_of(&folder, "source.mp4");
    let source = source.to_string_lossy().into_owned();
    let picture = PICTURE.trim_start_matches("-re ");
    let tone = TONE.trim_start_matches("-re ");
    let words = [picture, tone, "-t 6", H264_WITH_B_FRAMES, AAC, &source].join(" ");
    run(&words.split_whitespace().collect::<Vec<_>>()).await;

    let builder = Builder::new().keyed().set("recording.rooms", "ro*");
    let mut server = builder.set("rooms.grace", "1s").start().await;
    let key = make_room_with_key(&server, "room").await;
    let url = server.rtmp(&key.stream_key);
    let publisher = Ffmpeg::start(&["-re", "-i", &source, "-c copy -f flv", &url]);
    let (status, said) = publisher.ended().await;
    assert!(status.success(), "{said}");
    let recording = recording_until(&server, "the publisher is gone", |recording| {
        recording["state"] == "finished"
    })
    .await;
    assert_eq!(recording["warnings"], json!([]), "{recording:#}");
    assert_eq!(
        recording["files"].as_array().map(Vec::len),
        Some(1),
        "{recording:#}"
    );
    let file = &recording["files"][0];
    assert_eq!(file["codecs"], json!(["H264", "AAC"]), "{recording:#}");
    assert_eq!(
        (&file["finished"], &file["gaps"]),
        (&json!(true), &json!(0))
    );
    let duration = recording["duration_ms"].as_u64().expect("a number");
    assert!((5_900..6_200).contains(&duration), "{recording:#}");

    let (kept, _) = path_of(&folder, "kept.mp4");
    download(&server, file, &kept).await;
    let kept = kept.to_string_lossy().into_owned();
    assert_eq!(hashes(&kept, "0:v").await, hashes(&source, "0:v").await);
    let (sound, sent) = (hashes(&kept, "0:a").await, hashes(&source, "0:a").await);
    let fits = sent.windows(sound.len()).any(|part| *part == *sound);
    assert!(
        fits && sound.len() + 3 >= sent.len(),
        "{} of {}",
        sound.len(),
        sent.len()
    );
    decodes(&kept).await;
    // What is sought is found: an ordinary MP4.
    run(&["-ss", "4", "-i", &kept, "-frames:v", "1", "-f", "null", "-"]).await;
    refuses_what_it_should(&server, &recording).await;
    server.assert_sound();
}

/// Ranges, rights and paths of a finished recording.
async fn refuses_what_it_should(server: &Server, recording: &Value) {
    let id = recording["id"].as_str().expect("a name");
    let file = &recording["files"][0];
    let url = file["url"].as_str().expect("a link");
    let size = file["size_bytes"].as_u64().expect("a number");
    let get = |range: String| server.bare(Method::GET, url).header(RANGE, range);
    let part = get("bytes=4-7".to_owned()).send().await.expect("an answer");
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()[CONTENT_RANGE], format!("bytes 4-7/{size}"));
    let tag = part.headers()[ETAG].clone();
    assert_eq!(&part.bytes().await.expect("a body")[..], b"ftyp");
    let beyond = get(format!("bytes={size}-"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.headers()[CONTENT_RANGE], format!("bytes */{size}"));
    for (condition, status) in [
        (tag.to_str().expect("text"), StatusCode::PARTIAL_CONTENT),
        ("\"other\"", StatusCode::OK),
    ] {
        let request = get("bytes=0-0".to_owned()).header(IF_RANGE, condition);
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), status, "{condition}");
    }
    let head = server
        .bare(Method::HEAD, url)
        .send()
        .await
        .expect("an answer");
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()["content-length"], size.to_string());

    let plain = format!("/api/v1/recordings/{id}/files/0001.mp4");
    let forged = server.url(&format!("{plain}?expires=99999999999&signature=AAAA"));
    for (method, url) in [
        (Method::GET, forged),
        (Method::GET, server.url(&plain)),
        (Method::GET, server.url("/api/v1/recordings")),
        (Method::GET, server.url("/api/v1/recordings/nothing")),
        (
            Method::DELETE,
            server.url(&format!("/api/v1/recordings/{id}")),
        ),
        (Method::POST, server.url("/api/v1/rooms/room/recordings")),
    ] {
        for token in [None, Some("wrong")] {
            let mut request = server.bare(method.clone(), &url);
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let response = request.send().await.expect("an answer");
            assert_eq!(
                response.status(),
                StatusCode::UNAUTHORIZED,
                "{method} {url}"
            );
        }
    }
    for trick in [
        format!("/api/v1/recordings/{id}/files/..%2Fmanifest.json"),
        format!("/api/v1/recordings/{id}/files/manifest.json"),
        "/api/v1/recordings/..%2F..%2Fetc/files/passwd".to_owned(),
        "/api/v1/recordings/%2E%2E".to_owned(),
    ] {
        let response = server.request(Method::GET, &trick).send().await;
        let status = response.expect("an answer").status();
        assert_eq!(status, StatusCode::NOT_FOUND, "{trick}");
    }
    let idle = server.request(Method::POST, "/api/v1/rooms/room/recordings");
    let idle = idle.send().await.expect("an answer");
    assert_eq!(idle.status(), StatusCode::CONFLICT);
    let gone = server.request(Method::DELETE, &format!("/api/v1/recordings/{id}"));
    let gone = gone.send().await.expect("an answer");
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    let list = server.json("/api/v1/recordings").await;
    assert_eq!(list["recordings"], json!([]));
}

#[tokio::test]
async fn the_api_starts_stops_and_splits() {
    let _stage = stage().await;
    let builder = Builder::new().set("recording.split_duration", "2s");
    let mut server = builder.start().await;
    let mut encoder = Ffmpeg::start(&[PICTURE, TONE, H264, AAC, "-f flv", &server.rtmp("room")]);
    lives(&server, "room").await;
    let started = server.request(Method::POST, "/api/v1/rooms/room/recordings");
    let started = started.send().await.expect("an answer");
    assert_eq!(started.status(), StatusCode::CREATED);
    let location = started.headers()[LOCATION]
        .to_str()
        .expect("text")
        .to_owned();
    let again = server.request(Method::POST, "/api/v1/rooms/room/recordings");
    let again = again.send().await.expect("an answer");
    assert_eq!(again.status(), StatusCode::CONFLICT);
    recording_until(&server, "a third file", |recording| {
        recording["files"].as_array().map_or(0, Vec::len) >= 3
    })
    .await;
    let stopped = server.bare(Method::DELETE, &location).send().await;
    assert_eq!(stopped.expect("an answer").status(), StatusCode::NO_CONTENT);
    let recording = recording_until(&server, "an end", |recording| {
        recording["state"] == "finished"
    })
    .await;
    // On the common clock each file begins where the one before has ended, but for sound that the
    // encoder, on a busy machine, sends behind the picture that it belongs to.
    let files = recording["files"].as_array().expect("a list");
    let figure = |file: &Value, name: &str| file[name].as_u64().expect("a number");
    for pair in files.windows(2) {
        let ends = figure(&pair[0], "offset_ms") + figure(&pair[0], "duration_ms");
        let begins = figure(&pair[1], "offset_ms");
        assert!(ends.abs_diff(begins) < 250, "{recording:#}");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    for file in files {
        let (to, _) = path_of(&folder, file["name"].as_str().expect("a name"));
        download(&server, file, &to).await;
        decodes(&to.to_string_lossy()).await;
    }
    encoder.assert_runs();
    server.assert_sound();
}

#[tokio::test]
async fn what_a_killed_server_wrote_plays() {
    let _stage = stage().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let builder = Builder::new().set("recording.rooms", "*");
    let builder = builder.set("recording.folder", &folder.path().to_string_lossy());
    let server = builder.start().await;
    let url = server.rtmp("room");
    let words = [PICTURE, TONE, H264_WITH_B_FRAMES, AAC, "-f flv", &url];
    let encoder = Ffmpeg::start(&words);
    let before = recording_until(&server, "some seconds", |recording| {
        recording["duration_ms"].as_u64() > Some(6_000)
    })
    .await;
    server.kill().await;
    drop(encoder);
    let id = before["id"].as_str().expect("a name").to_owned();
    let wrote = before["duration_ms"].as_u64().expect("a number") as f64 / 1000.0;
    let file = folder.path().join(&id).join("0001.mp4");
    let left = file.to_string_lossy().into_owned();
    // A fragment may have been cut off; all before it is there.
    let (out, _) = run(&[
        "-i", &left, "-map", "0:v", "-c", "copy", "-f", "framemd5", "-",
    ])
    .await;
    let frames = out.lines().filter(|line| !line.starts_with('#')).count();
    assert!(
        frames as f64 / 30.0 > wrote - 1.0,
        "{frames} frames of {wrote} s"
    );

    let mut server = builder.start().await;
    let after = recording_until(&server, "a repair", |recording| {
        recording["state"] == "finished"
    })
    .await;
    assert_eq!(after["id"], before["id"]);
    assert_eq!(after["files"][0]["finished"], true, "{after:#}");
    assert_eq!(
        after["warnings"].as_array().map(Vec::len),
        Some(1),
        "{after:#}"
    );
    assert!(decodes(&left).await > wrote - 1.0);
    server.assert_sound();
}

/// How many keyframes a file has.
async fn keyframes(file: &str) -> usize {
    let (out, said) = run(&[
        "-skip_frame",
        "nokey",
        "-i",
        file,
        "-map",
        "0:v",
        "-fps_mode",
        "passthrough",
        "-f",
        "framemd5",
        "-",
    ])
    .await;
    assert_eq!(said, "", "{file} is decoded without a word");
    out.lines().filter(|line| !line.starts_with('#')).count()
}

/// The picture of a recording, fetched by its link; gives its size.
async fn preview(server: &Server, recording: &Value) -> (u64, u64) {
    let preview = &recording["preview"];
    let url = preview["url"].as_str().expect("a link");
    let picture = server.bare(Method::GET, url).send().await;
    let picture = picture.expect("an answer");
    assert_eq!(picture.status(), StatusCode::OK, "{url}");
    assert_eq!(picture.headers()["content-type"], "image/jpeg");
    let bytes = picture.bytes().await.expect("a body");
    assert_eq!(bytes[..3], [0xff, 0xd8, 0xff]);
    let side = |name: &str| preview[name].as_u64().expect("a number");
    (side("width"), side("height"))
}

#[tokio::test]
async fn a_browsers_vp8_is_kept_in_webm_that_a_crash_does_not_spoil() {
    let _stage = stage().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let builder = Builder::new()
        .set("recording.rooms", "*")
        .set("recording.folder", &folder.path().to_string_lossy());
    let server = builder.start().await;
    let whip = server.url("/whip/room");
    let publisher = Client::browser(Flow::Publish, &whip, &["--codec", "vp8"]);
    let before = recording_until(&server, "some seconds", |recording| {
        recording["duration_ms"].as_u64() > Some(6_000) && recording["preview"].is_object()
    })
    .await;
    assert_eq!(before["files"][0]["codecs"], json!(["VP8", "Opus"]));
    assert_eq!(before["warnings"], json!([]), "{before:#}");
    let (width, height) = preview(&server, &before).await;
    assert!(width == 640 && height >= 360, "{width}x{height}");
    server.kill().await;
    drop(publisher);
    let id = before["id"].as_str().expect("a name").to_owned();
    let file = folder.path().join(&id).join("0001.webm");
    let left = file.to_string_lossy().into_owned();
    let (out, _) = run(&[
        "-i", &left, "-map", "0:v", "-c", "copy", "-f", "framemd5", "-",
    ])
    .await;
    let cut_off = out.lines().filter(|line| !line.starts_with('#')).count();
    assert!(cut_off > 60, "{cut_off} frames play as the crash left them");

    let mut server = builder.start().await;
    let after = recording_until(&server, "a repair", |recording| {
        recording["state"] == "finished"
    })
    .await;
    let kept = &after["files"][0];
    assert_eq!(
        (&kept["name"], &kept["finished"]),
        (&json!("0001.webm"), &json!(true))
    );
    assert!(keyframes(&left).await >= 2, "players can seek");
    let frames = hashes(&left, "0:v").await.len();
    assert!(frames.abs_diff(cut_off) <= 1, "{frames} of {cut_off}");
    assert!(!hashes(&left, "0:a").await.is_empty());
    let (_, said) = run(&["-xerror", "-i", &left, "-f", "null", "-"]).await;
    assert_eq!(said, "", "it is decoded without a word");
    let (_, said) = run(&["-ss", "3", "-i", &left, "-frames:v", "1", "-f", "null", "-"]).await;
    assert_eq!(said, "", "what is sought is found");

    let mut page = Client::page(&server.url("/recordings"));
    page.event("ready").await;
    page.command(json!({"do": "click", "role": "button", "name": "Play"}))
        .await;
    page.stats("the recording on its page", shows_a_picture)
        .await;
    server.assert_sound();
}

#[tokio::test]
async fn a_browsers_vp9_is_split_into_webm_files() {
    let _stage = stage().await;
    let builder = Builder::new().set("recording.split_duration", "2s");
    let mut server = builder.start().await;
    let whip = server.url("/whip/room");
    let mut publisher = Client::browser(Flow::Publish, &whip, &["--codec", "vp9"]);
    lives(&server, "room").await;
    let started = server
        .post(
            "/api/v1/rooms/room/recordings",
            &json!({}),
            StatusCode::CREATED,
        )
        .await;
    let id = started["id"].as_str().expect("a name").to_owned();
    recording_until(&server, "a second file", |recording| {
        recording["files"][1]["duration_ms"].as_u64() > Some(1_000)
    })
    .await;
    let stop = format!("/api/v1/rooms/room/recordings/{id}");
    let stopped = server.request(Method::DELETE, &stop).send().await;
    assert_eq!(stopped.expect("an answer").status(), StatusCode::NO_CONTENT);
    let recording = recording_until(&server, "an end", |recording| {
        recording["state"] == "finished"
    })
    .await;
    assert_eq!(recording["warnings"], json!([]), "{recording:#}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    for file in recording["files"].as_array().expect("a list") {
        assert_eq!(file["codecs"], json!(["VP9", "Opus"]), "{recording:#}");
        let (to, _) = path_of(&folder, file["name"].as_str().expect("a name"));
        assert!(to.extension().is_some_and(|ending| ending == "webm"));
        download(&server, file, &to).await;
        let path = to.to_string_lossy().into_owned();
        assert!(!hashes(&path, "0:v").await.is_empty());
        assert!(keyframes(&path).await >= 1);
        let told = file["duration_ms"].as_u64().expect("a number") as f64 / 1000.0;
        let (_, said) = run(&["-xerror", "-i", &path, "-f", "null", "-"]).await;
        assert_eq!(said, "", "{path} is decoded without a word");
        let lasts = duration(&path).await;
        assert!(
            (lasts - told).abs() < 0.2,
            "{lasts} s, and {told} s in the index"
        );
    }
    publisher.end().await;
    server.assert_sound();
}

/// How long a file says that it lasts, in seconds.
async fn duration(file: &str) -> f64 {
    let mut command = Command::new(ffmpeg());
    let output = command.args(["-hide_banner", "-i", file]).output().await;
    let said = output.expect("FFmpeg starts").stderr;
    let said = String::from_utf8_lossy(&said);
    let told = said.split_once("Duration: ").map(|(_, rest)| rest);
    let told = told.and_then(|rest| rest.split(',').next());
    let parts = told.unwrap_or_default().split(':');
    let parts: Option<Vec<f64>> = parts.map(|part| part.trim().parse().ok()).collect();
    let parts = parts.unwrap_or_else(|| panic!("no duration: {said}"));
    parts.iter().fold(0.0, |sum, part| sum * 60.0 + part)
}

#[tokio::test]
async fn publishers_learn_that_the_disk_is_too_full_to_record_them() {
    let _stage = stage().await;
    let builder = Builder::new()
        .set("recording.min_free_space", "9000TB")
        .set("recording.rooms", "*");
    let mut server = builder.start().await;
    let _encoder = Ffmpeg::rtmp(&server.rtmp("room"));
    let room = server
        .room_until("room", "a warning", |room| {
            let warnings = room["warnings"].as_array();
            warnings.is_some_and(|all| all.iter().any(|one| one["kind"] == "recording"))
        })
        .await;
    let said = room["warnings"].to_string();
    assert!(said.contains("the disk is nearly full"), "{said}");
    let mut page = Client::page(&server.url("/publish/room"));
    page.event("ready").await;
    page.shows("the disk is nearly full").await;
    server.assert_sound();
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_is_left_alone() {
    let _stage = stage().await;
    let builder = Builder::new().set("recording.min_free_space", "9000TB");
    let mut server = builder.start().await;
    let _encoder = Ffmpeg::rtmp(&server.rtmp("room"));
    lives(&server, "room").await;
    let path = "/api/v1/rooms/room/recordings";
    let problem = server
        .post(path, &json!({}), StatusCode::SERVICE_UNAVAILABLE)
        .await;
    let detail = problem["detail"].as_str().expect("words");
    assert!(detail.contains("recording.min_free_space"), "{detail}");
    server.assert_sound();
}
