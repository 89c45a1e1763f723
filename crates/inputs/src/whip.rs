//! WHIP (RFC 9725): publishing by one HTTP POST.
//!
//! Owns the endpoint and its aliases. The session resource is the one that WHEP has too
//! (`inver_http::session`); rights, rooms and media are the node's.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use inver_http::{
    Caller, Context, DoorState, Path, Problem, Query, bearer, created, options_of_endpoint,
    protect, read_sdp, session,
};
use inver_node::Secret;
use inver_node::{Handle, Publish, Target};
use inver_proto::{Door, ParticipantId, RoomId};
use serde::Deserialize;

/// Routes `/whip/...`.
pub fn router(handle: Handle, http: Context) -> Router {
    let state = DoorState {
        handle,
        http: http.clone(),
        door: Door::Whip,
    };
    let to_room = || get(look).post(publish_to_room).options(options);
    let routes = Router::new()
        .route("/whip/{room}", to_room())
        .route("/whip/endpoint/{room}", to_room())
        .route(
            "/whip/stream/{room_key}",
            get(look).post(publish_with_key).options(options),
        )
        .with_state(state.clone())
        .merge(session(state));
    protect(routes, &http)
}

#[derive(Debug, Deserialize)]
struct Parameters {
    /// Whose publication it is; the token's subject or `main` where absent.
    participant: Option<ParticipantId>,
}

/// An endpoint has no representation: success without content, and nothing comes to be.
async fn look() -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn options(State(state): State<DoorState>, headers: HeaderMap) -> Response {
    options_of_endpoint(&state, &headers)
}

async fn publish_to_room(
    State(state): State<DoorState>,
    Path(room): Path<RoomId>,
    Query(parameters): Query<Parameters>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    publish(state, Target::Room(room), parameters, caller, headers, body).await
}

async fn publish_with_key(
    State(state): State<DoorState>,
    Path(room_key): Path<String>,
    Query(parameters): Query<Parameters>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let target = Target::RoomWithKey(Secret::new(room_key));
    publish(state, target, parameters, caller, headers, body).await
}

async fn publish(
    state: DoorState,
    target: Target,
    parameters: Parameters,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let offer = read_sdp(&headers, body).await?;
    if offer.is_empty() {
        return Err(Problem::bad_request(
            "the body is empty; it must be the offer of the publisher",
        ));
    }
    let started = state
        .handle
        .publish(Publish {
            target,
            participant: parameters.participant,
            credentials: bearer(&headers),
            client: caller.client(),
            offer,
            door: Door::Whip,
        })
        .await?;
    Ok(created(&state, &caller, StatusCode::CREATED, started))
}
