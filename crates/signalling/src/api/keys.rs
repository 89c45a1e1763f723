//! `/api/v1/rooms/{room}/keys`: stream keys.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use inver_http::{Path, Problem, bearer, read_json};
use inver_node::Action;
use inver_proto::{CreateKey, CreatedKey, KeyId, KeyList, RoomId};

use super::{ApiState, require};

/// List a room's stream keys
///
/// Without their secrets, oldest first.
#[utoipa::path(
    get,
    path = "/api/v1/rooms/{room}/keys",
    operation_id = "listKeys",
    tag = "keys",
    params(("room" = RoomId, Path, description = "The room.")),
    security(("bearer" = [])),
    responses((status = 200, description = "The keys.", body = KeyList)),
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    Path(room): Path<RoomId>,
    headers: HeaderMap,
) -> Result<Json<KeyList>, Problem> {
    require(&state, &bearer(&headers), Action::AdministerRoom(&room))?;
    let keys = state.handle.keys(&room)?;
    Ok(Json(KeyList { keys }))
}

/// Make a stream key
///
/// The secret is in the answer and nowhere else: the server keeps it hashed.
#[utoipa::path(
    post,
    path = "/api/v1/rooms/{room}/keys",
    operation_id = "createKey",
    tag = "keys",
    params(("room" = RoomId, Path, description = "The room; it must be configured.")),
    security(("bearer" = [])),
    request_body = CreateKey,
    responses(
        (status = 201, description = "The key with its secret.", body = CreatedKey),
        (status = 409, description = "The room is not configured, or has as many keys as it may.",
         body = inver_proto::Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn create(
    State(state): State<ApiState>,
    Path(room): Path<RoomId>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<CreatedKey>), Problem> {
    require(&state, &bearer(&headers), Action::AdministerRoom(&room))?;
    let request: CreateKey = read_json(&headers, body).await?;
    let key = state.handle.create_key(&room, request).await?;
    Ok((StatusCode::CREATED, Json(key)))
}

/// Give a stream key a new secret
///
/// The old secret stops working at once; sessions that it let in go on.
#[utoipa::path(
    post,
    path = "/api/v1/rooms/{room}/keys/{key}/rotate",
    operation_id = "rotateKey",
    tag = "keys",
    params(
        ("room" = RoomId, Path, description = "The room."),
        ("key" = KeyId, Path, description = "The key's id."),
    ),
    security(("bearer" = [])),
    responses((status = 200, description = "The key with its new secret.", body = CreatedKey)),
)]
pub(super) async fn rotate(
    State(state): State<ApiState>,
    Path((room, key)): Path<(RoomId, KeyId)>,
    headers: HeaderMap,
) -> Result<Json<CreatedKey>, Problem> {
    require(&state, &bearer(&headers), Action::AdministerRoom(&room))?;
    let key = state.handle.rotate_key(&room, &key).await?;
    Ok(Json(key))
}

/// Delete a stream key
///
/// Sessions that it let in end.
#[utoipa::path(
    delete,
    path = "/api/v1/rooms/{room}/keys/{key}",
    operation_id = "deleteKey",
    tag = "keys",
    params(
        ("room" = RoomId, Path, description = "The room."),
        ("key" = KeyId, Path, description = "The key's id."),
    ),
    security(("bearer" = [])),
    responses((status = 204, description = "The key is gone.")),
)]
pub(super) async fn delete(
    State(state): State<ApiState>,
    Path((room, key)): Path<(RoomId, KeyId)>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    require(&state, &bearer(&headers), Action::AdministerRoom(&room))?;
    state.handle.delete_key(&room, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}
