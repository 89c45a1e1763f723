//! HLS: the rules of its playlists on the running server, what FFmpeg reads, and who may have it.

use inver_outputs::hls::check::{Playlist, check, check_uneven};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::bad_requests::OFFER;
use crate::broadcast::lives;
use crate::control::make_room_with_key;
use crate::harness::{
    AAC, Builder, Client, Ffmpeg, Fixture, Flow, H264_WITH_B_FRAMES, PICTURE, Server, TONE,
    fixture, stage,
};

pub(crate) async fn text(server: &Server, path: &str) -> String {
    let response = server.request(Method::GET, path).send().await;
    let response = response.expect("the server answers");
    let status = response.status();
    let text = response.text().await.expect("text");
    assert_eq!(status, StatusCode::OK, "{path}: {text}");
    text
}

async fn status(server: &Server, path: &str) -> (StatusCode, Value) {
    let response = server.request(Method::GET, path).send().await;
    let response = response.expect("the server answers");
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    (status, serde_json::from_str(&text).unwrap_or_default())
}

/// The segment and part that a playlist announces.
fn announced(text: &str) -> (u64, u64) {
    let hint = text
        .lines()
        .find(|line| line.starts_with("#EXT-X-PRELOAD-HINT"));
    let hint = hint.unwrap_or_else(|| panic!("a hint: {text}"));
    let name = hint.split('"').nth(1).expect("an address");
    let numbers = name
        .trim_end_matches(".m4s")
        .split_once('-')
        .expect("numbers")
        .1;
    let (msn, part) = numbers.split_once('.').expect("a part");
    (
        msn.parse().expect("a number"),
        part.parse().expect("a number"),
    )
}

/// Holds a playlist to the rules.
pub(crate) type Check = fn(&str) -> Result<Playlist, String>;

/// Reloads a playlist as a player of low latency does, checking each, until so many segments are
/// whole.
pub(crate) async fn follow(server: &Server, path: &str, whole: usize, rules: Check) -> String {
    let mut last = text(server, path).await;
    let mut seen = rules(&last).unwrap_or_else(|rule| panic!("{rule}\n{last}"));
    while seen.whole() < whole {
        let (msn, part) = announced(&last);
        last = text(server, &format!("{path}?_HLS_msn={msn}&_HLS_part={part}")).await;
        let next = rules(&last).unwrap_or_else(|rule| panic!("{rule}\n{last}"));
        next.follows(&seen)
            .unwrap_or_else(|rule| panic!("{rule}\n{last}"));
        assert_ne!(next, seen, "the answer waits for something new");
        seen = next;
    }
    last
}

#[tokio::test]
async fn a_player_that_knows_no_parts_may_be_the_first() {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let mut encoder = Ffmpeg::rtmp(&server.rtmp("room"));
    lives(&server, "room").await;
    let url = server.url("/hls/room/index.m3u8");
    let (status, said) = Ffmpeg::start(&["-i", &url, "-frames:v 60 -f null -"])
        .ended()
        .await;
    assert!(status.success(), "{said}");
    assert!(!said.contains("Empty segment"), "{said}");
    encoder.assert_runs();
    server.assert_sound();
}

#[tokio::test]
async fn b_frames_are_kept_and_the_rules_hold() {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let url = server.rtmp("room");
    let mut encoder = Ffmpeg::start(&[PICTURE, TONE, H264_WITH_B_FRAMES, AAC, "-f flv", &url]);
    lives(&server, "room").await;
    let index = text(&server, "/hls/room/index.m3u8").await;
    assert!(index.contains("RESOLUTION=640x360"), "{index}");
    assert!(
        index.contains("mp4a.40.2") && index.contains("avc1."),
        "{index}"
    );

    let video = follow(&server, "/hls/room/v0.m3u8", 3, check).await;
    follow(&server, "/hls/room/a.m3u8", 3, check).await;
    // What is announced is waited for.
    let (msn, part) = announced(&video);
    let next = format!("/hls/room/v0-{msn}.{part}.m4s");
    let response = server
        .request(Method::GET, &next)
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "video/mp4");

    let (ended, said) = Ffmpeg::play(&server.url("/hls/room/index.m3u8"))
        .ended()
        .await;
    assert!(ended.success(), "{said}");
    assert!(
        said.contains("Video: h264") && said.contains("Audio: aac"),
        "{said}"
    );
    for complaint in ["Non-monoton", "error", "Invalid", "corrupt", "missing"] {
        assert!(!said.contains(complaint), "{said}");
    }
    encoder.assert_runs();
    server.assert_sound();
}

/// This client sends each picture when its timer lets it, and stamps it with that time.
#[tokio::test]
async fn a_room_over_webrtc_becomes_segments_with_aac_for_those_who_ask() {
    let _stage = stage().await;
    let file = fixture(Fixture::H264).await;
    let mut server = Server::open().await;
    let options = ["--codec", "h264", "--file", &file];
    let mut publisher = Client::datachannel(Flow::Publish, &server.url("/whip/room"), &options);
    publisher.state("connected").await;
    lives(&server, "room").await;
    let index = text(&server, "/hls/room/index.m3u8").await;
    assert!(
        index.contains("opus") && index.contains("mp4a.40.2"),
        "{index}"
    );
    follow(&server, "/hls/room/v0.m3u8", 2, check_uneven).await;
    follow(&server, "/hls/room/a.m3u8", 2, check_uneven).await;
    follow(&server, "/hls/room/aac.m3u8", 1, check_uneven).await;
    server.assert_sound();
}

#[tokio::test]
async fn vp8_is_refused_in_clear_words() {
    let _stage = stage().await;
    let file = fixture(Fixture::Vp8).await;
    let mut server = Server::open().await;
    let options = ["--codec", "vp8", "--file", &file];
    let mut publisher = Client::datachannel(Flow::Publish, &server.url("/whip/room"), &options);
    publisher.state("connected").await;
    lives(&server, "room").await;
    let (refused, problem) = status(&server, "/hls/room/index.m3u8").await;
    assert!(refused.is_client_error(), "{problem}");
    let detail = problem["detail"].as_str().unwrap_or_default();
    assert!(
        detail.contains("VP8") && detail.contains("H264"),
        "{problem}"
    );
    server.assert_sound();
}

#[tokio::test]
async fn absurd_requests_are_answered_at_once() {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let mut encoder = Ffmpeg::rtmp(&server.rtmp("room"));
    lives(&server, "room").await;
    text(&server, "/hls/room/index.m3u8").await;
    for (path, expected) in [
        (
            "/hls/room/v0.m3u8?_HLS_msn=99999999999",
            StatusCode::BAD_REQUEST,
        ),
        ("/hls/room/v0.m3u8?_HLS_part=1", StatusCode::BAD_REQUEST),
        ("/hls/room/v0.m3u8?_HLS_msn=-1", StatusCode::BAD_REQUEST),
        (
            "/hls/room/v0.m3u8?_HLS_msn=1&_HLS_part=99999",
            StatusCode::BAD_REQUEST,
        ),
        ("/hls/room/v7.m3u8", StatusCode::NOT_FOUND),
        ("/hls/room/v0-1.m4s", StatusCode::NOT_FOUND),
        ("/hls/room/v0-1.0.m4s", StatusCode::NOT_FOUND),
        ("/hls/room/..%2f..%2fetc%2fpasswd", StatusCode::NOT_FOUND),
        ("/hls/nobody/index.m3u8", StatusCode::CONFLICT),
        ("/hls/nobody/v0-1.m4s", StatusCode::NOT_FOUND),
    ] {
        let (got, problem) = status(&server, path).await;
        assert_eq!(got, expected, "{path}: {problem}");
        assert!(problem["detail"].is_string(), "{path}: {problem}");
    }
    encoder.assert_runs();
    server.assert_sound();
}

#[tokio::test]
async fn private_rooms_are_for_those_who_were_let_in() {
    let _stage = stage().await;
    let mut server = Builder::new()
        .keyed()
        .set("rooms.public_viewing", "false")
        .start()
        .await;
    let key = make_room_with_key(&server, "room").await;
    let mut encoder = Ffmpeg::rtmp(&server.rtmp(&key.stream_key));
    lives(&server, "room").await;
    let wish = json!({"room": "room", "subscribe": true, "ttl_seconds": 600});
    let token = server
        .post("/api/v1/tokens", &wish, StatusCode::CREATED)
        .await;
    let token = token["token"].as_str().expect("a token");

    let bare = async |path: &str| {
        let response = server.bare(Method::GET, &server.url(path)).send().await;
        let response = response.expect("an answer");
        (response.status(), response.text().await.unwrap_or_default())
    };
    for path in [
        "/hls/room/index.m3u8",
        "/hls/room/v0.m3u8",
        "/hls/room/index.m3u8?token=wrong",
    ] {
        let (refused, said) = bare(path).await;
        assert_eq!(refused, StatusCode::UNAUTHORIZED, "{path}: {said}");
    }
    let (allowed, index) = bare(&format!("/hls/room/index.m3u8?token={token}")).await;
    assert_eq!(allowed, StatusCode::OK, "{index}");
    assert!(!index.contains(token), "no token in addresses: {index}");
    let child = index
        .lines()
        .find(|line| line.contains("v0.m3u8"))
        .expect("a variant");
    let (allowed, media) = bare(&format!("/hls/room/{child}")).await;
    assert_eq!(allowed, StatusCode::OK, "{media}");
    check(&media).unwrap_or_else(|rule| panic!("{rule}\n{media}"));
    let forged = child.replacen("s/A", "s/B", 1);
    assert_ne!(forged, child);
    let (refused, said) = bare(&format!("/hls/room/{forged}")).await;
    assert_eq!(refused, StatusCode::FORBIDDEN, "{said}");
    encoder.assert_runs();
    server.assert_sound();
}

/// The address of the picture's playlist, as a multivariant playlist has it.
fn picture_of(index: &str) -> &str {
    let mut lines = index.lines();
    let found = lines.find(|line| !line.starts_with('#') && line.contains("v0.m3u8"));
    found.unwrap_or_else(|| panic!("a variant: {index}"))
}

#[tokio::test]
async fn players_are_viewers_and_take_places() {
    let _stage = stage().await;
    let mut server = Builder::new().set("rooms.max_viewers", "2").start().await;
    let mut encoder = Ffmpeg::rtmp(&server.rtmp("room"));
    lives(&server, "room").await;
    let mut addresses = Vec::new();
    for _ in 0..3 {
        let index = text(&server, "/hls/room/index.m3u8").await;
        addresses.push(format!("/hls/room/{}", picture_of(&index)));
    }
    let room = server.json("/api/v1/rooms/room").await;
    assert_eq!(room["viewers"], 0, "they have not begun to play: {room:#}");
    for path in &addresses[..2] {
        text(&server, path).await;
        text(&server, path).await;
    }
    let room = server.json("/api/v1/rooms/room").await;
    assert_eq!(room["viewers"], 2, "{room:#}");
    for path in [&addresses[2], "/hls/room/index.m3u8"] {
        let (refused, problem) = status(&server, path).await;
        assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("2 viewers"), "{problem}");
    }
    let refused = server.offer("/whep/room", None, OFFER).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    server
        .room_until("room", "players that ask no more are gone", |room| {
            room["viewers"] == 0
        })
        .await;
    // FFmpeg reads the picture's playlist and the sound's: it is one player.
    let player = Ffmpeg::start(&["-i", &server.url("/hls/room/index.m3u8"), "-f null -"]);
    server
        .room_until("room", "FFmpeg is one viewer", |room| room["viewers"] == 1)
        .await;
    player.vanish().await;
    encoder.assert_runs();
    server.assert_sound();
}

/// Date and first part of each whole segment that lists its parts, by its number.
fn beginnings(text: &str) -> std::collections::BTreeMap<u64, (String, bool)> {
    let mut found = std::collections::BTreeMap::new();
    let (mut date, mut first) = (String::new(), None);
    for line in text.lines() {
        if let Some(value) = line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:") {
            (date, first) = (value.to_owned(), None);
        } else if line.starts_with("#EXT-X-PART:") {
            first.get_or_insert(line.contains("INDEPENDENT=YES"));
        } else if let (Some(number), Some(first)) = (
            line.strip_suffix(".m4s")
                .and_then(|name| name.split('-').nth(1)),
            first,
        ) && let Ok(number) = number.parse()
        {
            found.insert(number, (date.clone(), first));
        }
    }
    found
}

#[tokio::test]
async fn layers_of_a_browser_are_variants_whose_segments_begin_together() {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let options = ["--codec", "h264", "--simulcast", "3"];
    let whip = server.url("/whip/room");
    let mut publisher = Client::browser(Flow::Publish, &whip, &options);
    publisher.event("answered").await;
    crate::simulcast::three_layers(&server).await;
    let index = text(&server, "/hls/room/index.m3u8").await;
    for layer in ["v0", "v1", "v2"] {
        let path = format!("/hls/room/{layer}.m3u8");
        follow(&server, &path, 3, check_uneven).await;
    }
    // What is promised of each tells players which to choose, from the beginning.
    let bandwidth = |size: &str| {
        let mut variants = index.lines().filter(|line| line.contains(size));
        let attribute = variants
            .next()
            .and_then(|line| line.split_once("BANDWIDTH="));
        let (_, value) = attribute.unwrap_or_else(|| panic!("{size} in {index}"));
        let digits = value.split(',').next().unwrap_or_default();
        digits.parse::<u64>().unwrap_or_else(|_| panic!("{index}"))
    };
    let sizes = ["=960x540", "=480x270", "=240x13"].map(bandwidth);
    // More than the sound's.
    assert!(sizes.iter().all(|size| *size > 200_000), "{index}");
    let mut all = Vec::new();
    for layer in ["v0", "v1", "v2"] {
        let playlist = text(&server, &format!("/hls/room/{layer}.m3u8")).await;
        all.push(beginnings(&playlist));
    }
    let best = &all[0];
    assert!(!best.is_empty());
    // The seconds of a date, with milliseconds.
    let seconds = |date: &str| -> f64 {
        let of = date.trim_end_matches('Z').rsplit(':').next();
        of.and_then(|text| text.parse().ok()).expect("a date")
    };
    let mut compared = 0;
    for (number, (date, independent)) in best {
        assert!(independent, "segment {number}: {all:#?}");
        for other in &all[1..] {
            if let Some((other, independent)) = other.get(number) {
                assert!(independent, "segment {number}: {all:#?}");
                let apart = (seconds(other) - seconds(date)).abs();
                assert!(!(0.02..59.0).contains(&apart), "segment {number}: {all:#?}");
                compared += 1;
            }
        }
    }
    assert!(compared >= 2, "{all:#?}");
    server.assert_sound();
}
