//! Pictures of live rooms, as the home page shows them.

use serde_json::Value;

use crate::broadcast::lives;
use crate::harness::{AAC, Client, Ffmpeg, H264, Server, TONE, stage};

/// Red on the left, blue on the right.
const HALVES: &str = "-re -f lavfi -i color=red:size=1280x720:rate=30,\
    drawbox=x=640:y=0:w=640:h=720:color=blue:t=fill";
/// How far a level may be from the pure colour: coding twice and studio levels cost some.
const NEAR: u64 = 30;

fn is_near(seen: &Value, wanted: [u64; 3]) -> bool {
    let levels = seen.as_array().into_iter().flatten();
    let levels: Vec<u64> = levels.filter_map(Value::as_u64).collect();
    levels.len() == 3
        && levels
            .iter()
            .zip(wanted)
            .all(|(one, other)| one.abs_diff(other) < NEAR)
}

#[tokio::test]
async fn the_home_page_shows_what_a_room_shows() {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let url = server.rtmp("room");
    let mut encoder = Ffmpeg::start(&[HALVES, TONE, H264, AAC, "-f flv", &url]);
    lives(&server, "room").await;
    let mut page = Client::page(&server.url("/"));
    let stats = page
        .stats("a picture of the room", |stats| {
            stats["images"][0]["width"].is_u64()
        })
        .await;
    let image = &stats["images"][0];
    assert_eq!(
        (&image["width"], &image["height"]),
        (&640.into(), &360.into())
    );
    assert_eq!(image["alt"], "What room shows");
    assert!(is_near(&image["left"], [255, 0, 0]), "{image:#}");
    assert!(is_near(&image["right"], [0, 0, 255]), "{image:#}");
    encoder.assert_runs();
    server.assert_sound();
}
