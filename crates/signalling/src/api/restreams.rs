//! `/api/v1/rooms/{room}/pushes` and `.../pulls`: rooms sent elsewhere, streams brought here.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use inver_http::{Caller, Path, Problem, bearer, read_json};
use inver_node::{Action, Way};
use inver_proto::{CreatePull, CreatePush, Pull, PullList, Push, PushList, RestreamId, RoomId};

use super::{ApiState, require};

/// List a room's pushes
///
/// With how each fares. Addresses come without what may be a key.
#[utoipa::path(
    get,
    path = "/api/v1/rooms/{room}/pushes",
    operation_id = "listPushes",
    tag = "restreams",
    params(("room" = RoomId, Path, description = "The room; it need not exist yet.")),
    security(("bearer" = [])),
    responses((status = 200, description = "The pushes, oldest first.", body = PushList)),
)]
pub(super) async fn pushes(
    State(state): State<ApiState>,
    Path(room): Path<RoomId>,
    headers: HeaderMap,
) -> Result<Json<PushList>, Problem> {
    require(&state, &bearer(&headers), Action::AdministerRoom(&room))?;
    let pushes = state.handle.pushes(&room);
    Ok(Json(PushList { pushes }))
}

/// Push a room to an RTMP or SRT target
///
/// It begins whenever somebody publishes in the room, survives a restart, and is tried again
/// after failures. The address is kept encrypted. Addresses that lead into the server's own
/// network are refused unless its operator allowed them.
#[utoipa::path(
    post,
    path = "/api/v1/rooms/{room}/pushes",
    operation_id = "createPush",
    tag = "restreams",
    params(("room" = RoomId, Path, description = "The room; it need not exist yet.")),
    security(("bearer" = [])),
    request_body = CreatePush,
    responses(
        (status = 201, description = "The push.", body = Push,
         headers(("Location" = String, description = "The push's URL."))),
        (status = 409, description = "The room or the server has as many as it may.",
         body = inver_proto::Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn create_push(
    State(state): State<ApiState>,
    Path(room): Path<RoomId>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    require(&state, &bearer(&headers), Action::AdministerRoom(&room))?;
    let request: CreatePush = read_json(&headers, body).await?;
    let push = state.handle.create_push(&room, request).await?;
    let path = format!("/api/v1/rooms/{room}/pushes/{}", push.id);
    Ok(created(&caller, &path, Json(push)))
}

/// Show a push
#[utoipa::path(
    get,
    path = "/api/v1/rooms/{room}/pushes/{push}",
    operation_id = "getPush",
    tag = "restreams",
    params(
        ("room" = RoomId, Path, description = "The room."),
        ("push" = RestreamId, Path, description = "The push's id."),
    ),
    security(("bearer" = [])),
    responses((status = 200, description = "The push.", body = Push)),
)]
pub(super) async fn push(
    State(state): State<ApiState>,
    Path((room, id)): Path<(RoomId, RestreamId)>,
    headers: HeaderMap,
) -> Result<Json<Push>, Problem> {
    require(&state, &bearer(&headers), Action::AdministerRoom(&room))?;
    Ok(Json(state.handle.push(&room, &id)?))
}

/// End a push
#[utoipa::path(
    delete,
    path = "/api/v1/rooms/{room}/pushes/{push}",
    operation_id = "deletePush",
    tag = "restreams",
    params(
        ("room" = RoomId, Path, description = "The room."),
        ("push" = RestreamId, Path, description = "The push's id."),
    ),
    security(("bearer" = [])),
    responses(
        (status = 204, description = "It ends and is forgotten."),
        (status = 409, description = "The configuration file has it.",
         body = inver_proto::Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn delete_push(
    State(state): State<ApiState>,
    Path((room, id)): Path<(RoomId, RestreamId)>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    require(&state, &bearer(&headers), Action::AdministerRoom(&room))?;
    state.handle.delete_restream(&room, Way::Push, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List a room's pulls
///
/// With how each fares. Addresses come without what may be a key.
#[utoipa::path(
    get,
    path = "/api/v1/rooms/{room}/pulls",
    operation_id = "listPulls",
    tag = "restreams",
    params(("room" = RoomId, Path, description = "The room; it need not exist yet.")),
    security(("bearer" = [])),
    responses((status = 200, description = "The pulls, oldest first.", body = PullList)),
)]
pub(super) async fn pulls(
    State(state): State<ApiState>,
    Path(room): Path<RoomId>,
    headers: HeaderMap,
) -> Result<Json<PullList>, Problem> {
    require(&state, &bearer(&headers), Action::AdministerRoom(&room))?;
    let pulls = state.handle.pulls(&room);
    Ok(Json(PullList { pulls }))
}

/// Pull a stream into a room
///
/// From RTMP, RTSP (cameras), SRT, WHEP or a file in the server's folder for such files that is played in
/// a loop (MPEG transport stream or FLV); always, or only while somebody watches. It survives a restart
/// and is tried again after failures. Addresses that lead into the server's own network are
/// refused unless its operator allowed them.
#[utoipa::path(
    post,
    path = "/api/v1/rooms/{room}/pulls",
    operation_id = "createPull",
    tag = "restreams",
    params(("room" = RoomId, Path, description = "The room; it need not exist yet.")),
    security(("bearer" = [])),
    request_body = CreatePull,
    responses(
        (status = 201, description = "The pull.", body = Pull,
         headers(("Location" = String, description = "The pull's URL."))),
        (status = 409, description = "The room or the server has as many as it may.",
         body = inver_proto::Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn create_pull(
    State(state): State<ApiState>,
    Path(room): Path<RoomId>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    require(&state, &bearer(&headers), Action::AdministerRoom(&room))?;
    let request: CreatePull = read_json(&headers, body).await?;
    let pull = state.handle.create_pull(&room, request).await?;
    let path = format!("/api/v1/rooms/{room}/pulls/{}", pull.id);
    Ok(created(&caller, &path, Json(pull)))
}

/// Show a pull
#[utoipa::path(
    get,
    path = "/api/v1/rooms/{room}/pulls/{pull}",
    operation_id = "getPull",
    tag = "restreams",
    params(
        ("room" = RoomId, Path, description = "The room."),
        ("pull" = RestreamId, Path, description = "The pull's id."),
    ),
    security(("bearer" = [])),
    responses((status = 200, description = "The pull.", body = Pull)),
)]
pub(super) async fn pull(
    State(state): State<ApiState>,
    Path((room, id)): Path<(RoomId, RestreamId)>,
    headers: HeaderMap,
) -> Result<Json<Pull>, Problem> {
    require(&state, &bearer(&headers), Action::AdministerRoom(&room))?;
    Ok(Json(state.handle.pull(&room, &id)?))
}

/// End a pull
#[utoipa::path(
    delete,
    path = "/api/v1/rooms/{room}/pulls/{pull}",
    operation_id = "deletePull",
    tag = "restreams",
    params(
        ("room" = RoomId, Path, description = "The room."),
        ("pull" = RestreamId, Path, description = "The pull's id."),
    ),
    security(("bearer" = [])),
    responses(
        (status = 204, description = "It ends and is forgotten."),
        (status = 409, description = "The configuration file has it.",
         body = inver_proto::Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn delete_pull(
    State(state): State<ApiState>,
    Path((room, id)): Path<(RoomId, RestreamId)>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    require(&state, &bearer(&headers), Action::AdministerRoom(&room))?;
    state.handle.delete_restream(&room, Way::Pull, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn created(caller: &Caller, path: &str, body: impl IntoResponse) -> Response {
    let mut response = (StatusCode::CREATED, body).into_response();
    if let Ok(location) = HeaderValue::from_str(&caller.url(path)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
