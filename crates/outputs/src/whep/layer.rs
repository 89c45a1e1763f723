//! Layer selection: the viewer says which simulcast or SVC layer it wants, or what limits hold.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use inver_http::{Path, Problem, options_of_extension, read_json};
use inver_node::SessionToken;
use inver_shard::LayerSelection;
use serde::Deserialize;

use super::WhepState;

/// The extension's request; nothing given returns to the server's own choice.
///
/// Unknown members are ignored, so that clients of later drafts are understood in part.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Selection {
    /// Section that it is about. There is one video section, so it decides nothing.
    #[serde(rename = "mediaId")]
    _media_id: Option<MediaId>,
    /// Simulcast id; `encodingId` in earlier drafts.
    #[serde(alias = "encodingId")]
    rid: Option<String>,
    spatial_layer_id: Option<u8>,
    temporal_layer_id: Option<u8>,
    max_spatial_layer_id: Option<u8>,
    max_temporal_layer_id: Option<u8>,
    max_width: Option<u32>,
    max_height: Option<u32>,
    /// Bits per second; an addition of this server.
    max_bitrate: Option<u64>,
}

/// Text in the draft, a number in some clients.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum MediaId {
    Text(#[expect(dead_code, reason = "read for its type only")] String),
    Number(#[expect(dead_code, reason = "read for its type only")] u32),
}

impl From<Selection> for LayerSelection {
    fn from(wish: Selection) -> Self {
        Self {
            rid: wish.rid,
            spatial: lower(wish.spatial_layer_id, wish.max_spatial_layer_id),
            temporal: lower(wish.temporal_layer_id, wish.max_temporal_layer_id),
            max_width: wish.max_width,
            max_height: wish.max_height,
            max_bitrate: wish.max_bitrate,
        }
    }
}

/// The stricter of two limits.
fn lower(one: Option<u8>, other: Option<u8>) -> Option<u8> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

pub(super) async fn options() -> Response {
    options_of_extension("POST, OPTIONS")
}

pub(super) async fn select(
    State(state): State<WhepState>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let wish: Selection = read_json(&headers, body).await?;
    let token = SessionToken::new(token);
    state.door.handle.select_layer(&token, wish.into()).await?;
    Ok(StatusCode::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> LayerSelection {
        serde_json::from_str::<Selection>(json)
            .expect("a selection")
            .into()
    }

    #[test]
    fn all_drafts_words_are_understood() {
        let rid = LayerSelection {
            rid: Some("hd".to_owned()),
            ..LayerSelection::default()
        };
        assert_eq!(read(r#"{"mediaId":"0","rid":"hd"}"#), rid);
        assert_eq!(read(r#"{"mediaId":1,"encodingId":"hd","later":true}"#), rid);
        assert_eq!(read(r#"{"mediaId":"0"}"#), LayerSelection::default());
        let limits = LayerSelection {
            spatial: Some(1),
            temporal: Some(2),
            max_width: Some(1280),
            max_height: Some(720),
            max_bitrate: Some(1_000_000),
            ..LayerSelection::default()
        };
        assert_eq!(
            read(
                r#"{"spatialLayerId":1,"maxSpatialLayerId":2,"maxTemporalLayerId":2,
                    "maxWidth":1280,"maxHeight":720,"maxBitrate":1000000}"#
            ),
            limits
        );
    }
}
