//! Recordings go on to object storage: whole, after an outage as well, and leave it when they are
//! deleted.

use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{AAC, Builder, Client, Ffmpeg, H264, PICTURE, SECRET, Storage, TONE, stage};
use crate::recording::{download, hashes, recording_until, run};

/// Bytes beyond which a file is uploaded in parts.
const PART: u64 = 8 << 20;

#[tokio::test]
async fn a_storage_receives_a_recording_and_serves_it() {
    let _stage = stage().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = folder.path().join("source.mp4");
    let source = source.to_string_lossy().into_owned();
    // Noise that takes more than one part.
    let picture = "-f lavfi -i testsrc2=size=640x360:rate=30 -f lavfi -i sine=frequency=440";
    let coded = "-vf noise=alls=80:allf=t -c:v libx264 -preset ultrafast -tune zerolatency \
                 -pix_fmt yuv420p -g 30 -qp 16 -c:a aac -ac 2 -t 5";
    let words = [picture, coded, &source].join(" ");
    run(&words.split_whitespace().collect::<Vec<_>>()).await;

    let storage = Storage::start().await;
    let recordings = folder.path().join("recordings");
    let builder = storage
        .configure(Builder::new())
        .set("recording_s3.delete_local", "true")
        .set("recording.rooms", "*")
        .set("recording.folder", &recordings.to_string_lossy())
        .set("rooms.grace", "1s");
    storage.be_away_after(1);
    let server = builder.start().await;
    let url = server.rtmp("room");
    let publisher = Ffmpeg::start(&["-re", "-i", &source, "-c copy -f flv", &url]);
    let (status, said) = publisher.ended().await;
    assert!(status.success(), "{said}");
    recording_until(&server, "an upload that is interrupted", |recording| {
        recording["storage"]["state"] == "failing"
    })
    .await;
    server.assert_never_logged(SECRET);
    server.kill().await;
    storage.be_away(false);
    let mut server = builder.start().await;
    let recording = recording_until(&server, "an upload", |recording| {
        recording["storage"]["state"] == "complete"
    })
    .await;
    let id = recording["id"].as_str().expect("a name");
    let location = format!("s3://recordings/live/{id}");
    assert_eq!(recording["storage"]["location"], location, "{recording:#}");
    assert_eq!(recording["storage"]["trouble"], Value::Null);
    let file = &recording["files"][0];
    assert_eq!(file["place"], "storage", "{recording:#}");
    let size = file["size_bytes"].as_u64().expect("a number");
    assert!(size > PART, "{size} bytes are no more than one part");
    let parts = usize::try_from(size.div_ceil(PART)).expect("few");
    assert_eq!(storage.parts(), parts, "none was sent twice");

    let stored = storage.file(id, "0001.mp4");
    let there = std::fs::metadata(&stored)
        .expect("the storage has it")
        .len();
    assert_eq!(there, size);
    let left: Vec<String> = std::fs::read_dir(recordings.join(id))
        .expect("the recording's folder")
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.starts_with("0001"))
        .collect();
    assert_eq!(left, [""; 0], "the disk has let go of it");
    let manifest = std::fs::read(storage.file(id, "manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    assert_eq!(manifest["storage"]["state"], "complete");
    assert_eq!(manifest["files"][0]["size_bytes"], size);

    let kept = folder.path().join("kept.mp4");
    download(&server, file, &kept).await;
    let kept = kept.to_string_lossy().into_owned();
    assert_eq!(hashes(&kept, "0:v").await, hashes(&source, "0:v").await);
    let url = file["url"].as_str().expect("a link");
    let part = server.bare(Method::GET, url).header(RANGE, "bytes=4-7");
    let part = part.send().await.expect("an answer");
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()[CONTENT_RANGE], format!("bytes 4-7/{size}"));
    assert_eq!(&part.bytes().await.expect("a body")[..], b"ftyp");
    // Players seek by ranges.
    run(&["-ss", "3", "-i", url, "-frames:v", "1", "-f", "null", "-"]).await;

    let path = format!("/api/v1/recordings/{id}");
    storage.be_away(true);
    let nowhere = server
        .bare(Method::GET, url)
        .send()
        .await
        .expect("an answer");
    assert_eq!(nowhere.status(), StatusCode::SERVICE_UNAVAILABLE);
    let kept = server.request(Method::DELETE, &path).send().await;
    let kept = kept.expect("an answer");
    assert_eq!(kept.status(), StatusCode::SERVICE_UNAVAILABLE);
    let problem = kept.text().await.expect("words");
    assert!(problem.contains(&location), "{problem}");
    storage.be_away(false);
    let gone = server.request(Method::DELETE, &path).send().await;
    assert_eq!(gone.expect("an answer").status(), StatusCode::NO_CONTENT);
    assert!(!stored.exists() && !storage.file(id, "manifest.json").exists());
    assert!(!recordings.join(id).exists());
    let list = server.json("/api/v1/recordings").await;
    assert_eq!(list["recordings"], json!([]));
    server.assert_sound();
    server.assert_never_logged(SECRET);
}

#[tokio::test]
async fn what_a_storage_misses_while_it_is_away_is_uploaded_later() {
    let _stage = stage().await;
    let storage = Storage::start().await;
    storage.be_away(true);
    let builder = storage
        .configure(Builder::new())
        .set("recording.rooms", "*")
        .set("rooms.grace", "1s");
    let server = builder.start().await;
    let url = server.rtmp("room");
    let publisher = Ffmpeg::start(&[PICTURE, TONE, H264, AAC, "-t 3 -f flv", &url]);
    let (status, said) = publisher.ended().await;
    assert!(status.success(), "{said}");
    let waiting = recording_until(&server, "an upload that fails", |recording| {
        recording["storage"]["state"] == "failing"
    })
    .await;
    let trouble = waiting["storage"]["trouble"].as_str().expect("words");
    assert!(trouble.contains("tried again"), "{trouble}");
    assert!(!trouble.contains(SECRET), "{trouble}");
    let mut page = Client::page(&server.url("/recordings"));
    page.event("ready").await;
    page.shows("Not in s3://recordings/live/").await;
    drop(page);
    assert_eq!(waiting["files"][0]["place"], "disk", "{waiting:#}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kept = folder.path().join("kept.mp4");
    download(&server, &waiting["files"][0], &kept).await;
    server.assert_never_logged(SECRET);
    // Neither the storage's absence nor the server's costs anything.
    server.kill().await;
    storage.be_away(false);
    let mut server = builder.start().await;
    let recording = recording_until(&server, "an upload", |recording| {
        recording["storage"]["state"] == "complete"
    })
    .await;
    assert_eq!(recording["files"][0]["place"], "both", "{recording:#}");
    let id = recording["id"].as_str().expect("a name");
    let stored = std::fs::read(storage.file(id, "0001.mp4")).expect("the storage has it");
    assert!(
        stored == std::fs::read(&kept).expect("downloaded"),
        "it is the same file"
    );
    server.assert_sound();
    // Retention reaches what is there.
    server.kill().await;
    let mut server = builder.set("recording.max_total_size", "1B").start().await;
    recording_until(&server, "nothing left", |recording| recording.is_null()).await;
    assert!(!storage.file(id, "0001.mp4").exists());
    assert!(!storage.file(id, "manifest.json").exists());
    server.assert_sound();
}
