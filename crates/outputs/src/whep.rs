//! WHEP (draft-ietf-wish-whep-04) and its extensions (webrtc-http-egress-events): watching by one
//! HTTP POST.
//!
//! Owns the endpoint with its aliases, the counter-offer, the early draft's server offer, event
//! streams and layer selection. The session resource is the one that WHIP has too
//! (`inver_http::session`); rights, rooms and media are the node's.

mod endpoint;
mod events;
mod fuzz;
mod layer;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::{get, post};
use inver_http::{Context, DoorState, protect, session};
use inver_node::Handle;
use inver_proto::Door;

use events::Streams;

#[doc(hidden)]
pub use fuzz::{fuzz_bodies, fuzz_preferences};

/// Routes `/whep/...`; `hls` tells whether HLS is served, to which viewers are sent who cannot be
/// shown a room over WebRTC.
pub fn router(handle: Handle, http: Context, hls: bool) -> Router {
    let door = DoorState {
        handle,
        http: http.clone(),
        door: Door::Whep,
    };
    let state = WhepState {
        door: door.clone(),
        streams: Arc::new(Streams::default()),
        hls,
    };
    let of_room = || {
        get(endpoint::look)
            .post(endpoint::watch_room)
            .options(endpoint::options)
    };
    let routes = Router::new()
        .route("/whep/{room}", of_room())
        .route("/whep/watch/{room}", of_room())
        .route("/whep/endpoint/{room}", of_room())
        .route(
            "/whep/{room}/{participant}",
            get(endpoint::look)
                .post(endpoint::watch_participant)
                .options(endpoint::options),
        )
        .route(
            "/whep/session/{token}/events",
            post(events::create).options(events::options_of_list),
        )
        .route(
            "/whep/session/{token}/events/{id}",
            get(events::listen)
                .delete(events::delete)
                .options(events::options_of_stream),
        )
        .route(
            "/whep/session/{token}/layer",
            post(layer::select).options(layer::options),
        )
        .with_state(state)
        .merge(session(door));
    protect(routes, &http)
}

/// What the handlers work with.
#[derive(Clone)]
struct WhepState {
    door: DoorState,
    streams: Arc<Streams>,
    hls: bool,
}

impl FromRef<WhepState> for Context {
    fn from_ref(state: &WhepState) -> Self {
        state.door.http.clone()
    }
}
