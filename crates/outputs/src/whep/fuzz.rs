//! Ways into this door's parsers for fuzzing; no product code calls them.

use http::HeaderMap;
use inver_shard::LayerSelection;

use super::{endpoint, events, layer};

/// Reads a body as a list of events and as a wish for a layer.
pub fn fuzz_bodies(body: &[u8]) {
    if let Ok(names) = serde_json::from_slice::<Option<Vec<String>>>(body) {
        let _ = events::wanted(names.as_deref());
    }
    if let Ok(wish) = serde_json::from_slice::<layer::Selection>(body) {
        let _ = LayerSelection::from(wish);
    }
}

/// Looks for preferences (RFC 7240) among header fields. Whether our offer is wanted.
pub fn fuzz_preferences(headers: &HeaderMap) -> bool {
    endpoint::prefers_counter_offer(headers)
}
