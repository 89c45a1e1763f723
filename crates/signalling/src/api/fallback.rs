//! `/api/v1/rooms/{room}/fallback`: what is shown while a room's publisher is gone.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use inver_http::{Path, Problem, bearer, read_json};
use inver_node::Action;
use inver_proto::{Fallback, RoomId, SetFallback};

use super::{ApiState, require};

/// Show a room's fallback
///
/// What is shown while the room's publisher is gone, and how it fares. The address comes without
/// what may be a key.
#[utoipa::path(
    get,
    path = "/api/v1/rooms/{room}/fallback",
    operation_id = "getFallback",
    tag = "fallback",
    params(("room" = RoomId, Path, description = "The room; it need not exist yet.")),
    security(("bearer" = [])),
    responses((status = 200, description = "The fallback.", body = Fallback)),
)]
pub(super) async fn show(
    State(state): State<ApiState>,
    Path(room): Path<RoomId>,
    headers: HeaderMap,
) -> Result<Json<Fallback>, Problem> {
    require(&state, &bearer(&headers), Action::AdministerRoom(&room))?;
    Ok(Json(state.handle.fallback(&room)?))
}

/// Set a room's fallback
///
/// A picture, a film that is played in a loop, or another source. It begins when the publisher of
/// a room that was live has been gone for a while, is seen by whoever watches over whatever
/// protocol, and gives way when somebody publishes again. It replaces what was set before,
/// survives a restart, and is not recorded. Addresses that lead into the server's own network are
/// refused unless its operator allowed them.
#[utoipa::path(
    put,
    path = "/api/v1/rooms/{room}/fallback",
    operation_id = "setFallback",
    tag = "fallback",
    params(("room" = RoomId, Path, description = "The room; it need not exist yet.")),
    security(("bearer" = [])),
    request_body = SetFallback,
    responses(
        (status = 200, description = "The fallback.", body = Fallback),
        (status = 409, description = "The server has as many as it may.",
         body = inver_proto::Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn set(
    State(state): State<ApiState>,
    Path(room): Path<RoomId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Fallback>, Problem> {
    require(&state, &bearer(&headers), Action::AdministerRoom(&room))?;
    let request: SetFallback = read_json(&headers, body).await?;
    Ok(Json(state.handle.set_fallback(&room, request).await?))
}

/// Remove a room's fallback
///
/// Where the configuration file has one for the room, that holds again.
#[utoipa::path(
    delete,
    path = "/api/v1/rooms/{room}/fallback",
    operation_id = "deleteFallback",
    tag = "fallback",
    params(("room" = RoomId, Path, description = "The room.")),
    security(("bearer" = [])),
    responses(
        (status = 204, description = "It ends and is forgotten."),
        (status = 409, description = "The configuration file has it.",
         body = inver_proto::Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn delete(
    State(state): State<ApiState>,
    Path(room): Path<RoomId>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    require(&state, &bearer(&headers), Action::AdministerRoom(&room))?;
    state.handle.delete_fallback(&room).await?;
    Ok(StatusCode::NO_CONTENT)
}
