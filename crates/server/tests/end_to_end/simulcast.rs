//! Simulcast: three layers from a browser, and a viewer that chooses among them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::control::sessions;
use crate::harness::{Client, Flow, Server, stage};

fn width(stats: &Value) -> u64 {
    stats["peers"][0]["inbound"]["video"]["width"]
        .as_u64()
        .unwrap_or(0)
}

/// Waits until the room has three layers.
pub(crate) async fn three_layers(server: &Server) {
    server
        .room_until("room", "three layers are active", |room| {
            let publications = room["participants"][0]["publications"].as_array();
            let video = publications.and_then(|all| all.iter().find(|one| one["kind"] == "video"));
            let layers = video.and_then(|video| video["layers"].as_array());
            layers.is_some_and(|layers| {
                layers.len() == 3 && layers.iter().all(|layer| layer["active"] == true)
            })
        })
        .await;
}

#[tokio::test]
async fn a_viewer_gets_the_layer_it_asks_for() {
    let _stage = stage().await;
    let mut server = Server::open().await;
    let options = ["--codec", "vp8", "--simulcast", "3"];
    let mut publisher = Client::browser(Flow::Publish, &server.url("/whip/room"), &options);
    publisher.event("answered").await;
    three_layers(&server).await;

    let mut viewer = Client::browser(Flow::Watch, &server.url("/whep/room"), &[]);
    let answered = viewer.event("answered").await;
    let location = answered["location"].as_str().expect("a session has a URL");
    viewer.stats("a picture", |stats| width(stats) > 0).await;
    for (rid, expected) in [("l", 240), ("h", 960), ("m", 480)] {
        let response = server
            .bare(Method::POST, &format!("{location}/layer"))
            .header("content-type", "application/json")
            .body(json!({"mediaId": "0", "rid": rid}).to_string())
            .send()
            .await
            .expect("the server answers");
        assert!(
            response.status().is_success(),
            "{rid}: {}",
            response.status()
        );
        let what = format!("the layer {rid} of width {expected}");
        viewer.stats(&what, |stats| width(stats) == expected).await;
    }
    server
        .room_until("room", "the API tells the viewer's layer", |room| {
            sessions(room)
                .iter()
                .any(|session| session["stats"]["rid"] == "m")
        })
        .await;
    server.assert_sound();
}
