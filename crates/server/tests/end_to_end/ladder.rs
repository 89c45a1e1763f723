//! Layers that FFmpeg makes of what an encoder sends as a single one.

use std::time::Duration;

use inver_outputs::hls::check::check_uneven;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::broadcast::lives;
use crate::browser::{inbound, pictures};
use crate::harness::{Builder, Client, Ffmpeg, Flow, PATIENCE, Server, ffmpeg, stage};

fn ladder() -> Builder {
    Builder::new()
        .set("ladder.rooms", "roo*")
        .set("ladder.renditions", "240p@400k,120p@150k")
        .set("ladder.preset", "ultrafast")
        .set("ladder.ffmpeg", &ffmpeg().to_string_lossy())
}

/// Processes that the server has begun and not buried.
fn children(server: &Server) -> Vec<String> {
    let process = server.process().to_string();
    let all = std::fs::read_dir("/proc").expect("there is /proc");
    let stats = all
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    // The name stands in brackets; the state and the parent's number follow it.
    let own = stats.filter(|stat| {
        let rest = stat.rsplit_once(')').map(|(_, rest)| rest);
        rest.and_then(|rest| rest.split_whitespace().nth(1)) == Some(process.as_str())
    });
    own.collect()
}

async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !reached() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(100)).await;
    }
}

async fn text(server: &Server, path: &str) -> String {
    let response = server.request(Method::GET, path).send().await;
    let response = response.expect("the server answers");
    let status = response.status();
    let text = response.text().await.expect("text");
    assert_eq!(status, StatusCode::OK, "{path}: {text}");
    text
}

/// Numbers of the segments that a playlist has whole.
fn numbers(playlist: &str) -> Vec<u64> {
    let lines = playlist.lines().filter(|line| !line.starts_with('#'));
    let names = lines.filter_map(|line| line.trim_end_matches(".m4s").split_once('-'));
    names
        .filter_map(|(_, number)| number.parse().ok())
        .collect()
}

#[tokio::test]
async fn variants_of_hls_are_made_and_play_and_the_child_goes_with_the_publisher() {
    let _stage = stage().await;
    let mut server = ladder().start().await;
    let encoder = Ffmpeg::rtmp(&server.rtmp("room"));
    lives(&server, "room").await;
    assert!(children(&server).is_empty(), "nobody watches");

    // A child that begins slowly misses the first playlist, which players get all the same.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let index = text(&server, "/hls/room/index.m3u8").await;
        let sizes = ["640x360", "426x240", "214x120"];
        let has = |size: &&str| index.contains(&format!("RESOLUTION={size}"));
        if sizes.iter().all(has) {
            break;
        }
        assert!(Instant::now() < deadline, "{index}");
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(children(&server).len(), 1);
    for name in ["v0", "v1", "v2"] {
        let path = format!("/hls/room/{name}.m3u8");
        let deadline = Instant::now() + PATIENCE;
        while text(&server, &path).await.matches("#EXTINF").count() < 2 {
            assert!(Instant::now() < deadline, "{name} has no segments");
            sleep(Duration::from_millis(100)).await;
        }
        let url = server.url(&path);
        let (status, said) = Ffmpeg::start(&["-i", &url, "-frames:v 90 -f null -"])
            .ended()
            .await;
        assert!(status.success(), "{name}: {said}");
        for complaint in ["Non-monoton", "error", "Invalid", "corrupt", "missing"] {
            assert!(!said.contains(complaint), "{name}: {said}");
        }
    }
    // Their segments have the same numbers and begin at the same moments.
    let mut dates: Vec<Vec<String>> = Vec::new();
    let mut common: Vec<Vec<u64>> = Vec::new();
    for name in ["v0", "v1", "v2"] {
        let playlist = text(&server, &format!("/hls/room/{name}.m3u8")).await;
        check_uneven(&playlist).unwrap_or_else(|rule| panic!("{name}: {rule}\n{playlist}"));
        assert!(!playlist.contains("#EXT-X-GAP"), "{name}: {playlist}");
        let lines = playlist.lines();
        let tag = "#EXT-X-PROGRAM-DATE-TIME:";
        let of = lines
            .filter_map(|line| line.strip_prefix(tag))
            .map(str::to_owned);
        dates.push(of.collect());
        common.push(numbers(&playlist));
    }
    let shared = |one: &Vec<u64>| one.iter().filter(|n| common[0].contains(n)).count();
    assert!(common.iter().all(|one| shared(one) >= 1), "{common:?}");
    let meets = |one: &Vec<String>| one.iter().any(|date| dates[0].contains(date));
    assert!(dates.iter().all(meets), "{dates:?}");

    encoder.vanish().await;
    until("the child has gone", || children(&server).is_empty()).await;
    server.assert_sound();
}

fn layers(room: &Value) -> usize {
    let participants = room["participants"].as_array();
    let all = participants.into_iter().flatten();
    let publications = all
        .filter_map(|who| who["publications"].as_array())
        .flatten();
    let counts = publications.filter_map(|one| Some(one["layers"].as_array()?.len()));
    counts.max().unwrap_or(0)
}

#[tokio::test]
async fn viewers_over_webrtc_choose_among_them_and_a_killed_child_is_replaced() {
    let _stage = stage().await;
    let mut server = ladder().start().await;
    let mut encoder = Ffmpeg::rtmp(&server.rtmp("room"));
    lives(&server, "room").await;
    let mut viewer = Client::browser(Flow::Watch, &server.url("/whep/room"), &[]);
    viewer
        .stats("pictures", |stats| pictures(stats) >= 30)
        .await;
    server
        .room_until("room", "three layers", |room| layers(room) == 3)
        .await;
    let stats = viewer.now().await;
    let width = inbound(&stats).map(|flows| flows["video"]["width"].clone());
    assert_eq!(width, Some(Value::from(640)), "the best one: {stats:#}");

    let [child] = &children(&server)[..] else {
        panic!("there is one child");
    };
    let killed = child.split(' ').next().expect("a number").to_owned();
    let kill = tokio::process::Command::new("kill")
        .args(["-KILL", &killed])
        .status()
        .await;
    assert!(kill.expect("kill is a program everywhere").success());
    server.logs(&["tried again", "FFmpeg ended"]).await;
    until("another child", || {
        let now = children(&server);
        now.len() == 1 && !now[0].starts_with(&format!("{killed} "))
    })
    .await;
    let before = viewer.now().await;
    viewer
        .stats("pictures go on", |stats| {
            pictures(stats) >= pictures(&before) + 60
        })
        .await;
    encoder.assert_runs();
    server.assert_sound();
}

#[tokio::test]
async fn without_ffmpeg_the_server_says_so_and_goes_on() {
    let _stage = stage().await;
    let mut server = ladder()
        .set("ladder.ffmpeg", "/nowhere/ffmpeg")
        .start()
        .await;
    server
        .logs(&["no layers are made", "/nowhere/ffmpeg"])
        .await;
    let mut encoder = Ffmpeg::rtmp(&server.rtmp("room"));
    lives(&server, "room").await;
    let index = text(&server, "/hls/room/index.m3u8").await;
    assert_eq!(index.matches("RESOLUTION").count(), 1, "{index}");
    encoder.assert_runs();
    server.assert_sound();
}
