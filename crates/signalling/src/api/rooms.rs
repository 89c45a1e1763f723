//! `/api/v1/rooms`: rooms, who is in them, their sessions.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use inver_http::{Caller, Path, Problem, bearer, read_json};
use inver_node::Action;
use inver_proto::{CreateRoom, ParticipantId, ParticipantList, Room, RoomId, RoomList, SessionId};

use super::{ApiState, require};

/// List rooms
///
/// Administrators see all about all rooms. Everybody else sees the rooms that they may watch,
/// without sessions, addresses, numbers and viewers' names.
#[utoipa::path(
    get,
    path = "/api/v1/rooms",
    operation_id = "listRooms",
    tag = "rooms",
    security((), ("bearer" = [])),
    responses((status = 200, description = "The rooms, by name.", body = RoomList)),
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    headers: HeaderMap,
) -> Result<Json<RoomList>, Problem> {
    let rooms = state.handle.visible_rooms(&bearer(&headers))?;
    Ok(Json(RoomList { rooms }))
}

/// Create a room
///
/// The room is configured: it stays when nobody is in it and survives a restart.
#[utoipa::path(
    post,
    path = "/api/v1/rooms",
    operation_id = "createRoom",
    tag = "rooms",
    security(("bearer" = [])),
    request_body = CreateRoom,
    responses(
        (status = 201, description = "The room.", body = Room,
         headers(("Location" = String, description = "The room's URL."))),
        (status = 409, description = "There is a room of this name already.",
         body = inver_proto::Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    require(&state, &bearer(&headers), Action::AdministerServer)?;
    let request: CreateRoom = read_json(&headers, body).await?;
    let room = state.handle.create_room(request).await?;
    let url = caller.url(&format!("/api/v1/rooms/{}", room.id));
    let location = HeaderValue::try_from(url)
        .map_err(|_| Problem::bad_request("the Host header cannot stand in a Location"))?;
    let location = [(header::LOCATION, location)];
    Ok((StatusCode::CREATED, location, Json(room)).into_response())
}

/// Show a room
///
/// Those who may only watch it get the form without sessions, addresses and viewers' names.
#[utoipa::path(
    get,
    path = "/api/v1/rooms/{room}",
    operation_id = "getRoom",
    tag = "rooms",
    params(("room" = RoomId, Path, description = "The room.")),
    security((), ("bearer" = [])),
    responses((status = 200, description = "The room.", body = Room)),
)]
pub(super) async fn show(
    State(state): State<ApiState>,
    Path(room): Path<RoomId>,
    headers: HeaderMap,
) -> Result<Json<Room>, Problem> {
    let room = state.handle.visible_room(&bearer(&headers), &room)?;
    Ok(Json(room))
}

/// Close a room
///
/// Ends its sessions and forgets its configuration and its keys.
#[utoipa::path(
    delete,
    path = "/api/v1/rooms/{room}",
    operation_id = "closeRoom",
    tag = "rooms",
    params(("room" = RoomId, Path, description = "The room.")),
    security(("bearer" = [])),
    responses((status = 204, description = "The room is gone.")),
)]
pub(super) async fn close(
    State(state): State<ApiState>,
    Path(room): Path<RoomId>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    require(&state, &bearer(&headers), Action::AdministerServer)?;
    state.handle.close_room(&room).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List a room's participants
///
/// Publishers and viewers, with their sessions.
#[utoipa::path(
    get,
    path = "/api/v1/rooms/{room}/participants",
    operation_id = "listParticipants",
    tag = "rooms",
    params(("room" = RoomId, Path, description = "The room.")),
    security(("bearer" = [])),
    responses((status = 200, description = "Everyone in the room.", body = ParticipantList)),
)]
pub(super) async fn participants(
    State(state): State<ApiState>,
    Path(room): Path<RoomId>,
    headers: HeaderMap,
) -> Result<Json<ParticipantList>, Problem> {
    require(&state, &bearer(&headers), Action::AdministerRoom(&room))?;
    let participants = state.handle.participants(&room)?;
    Ok(Json(ParticipantList { participants }))
}

/// Kick a participant
///
/// Ends all its sessions. It may come back unless its key or token is withdrawn too.
#[utoipa::path(
    delete,
    path = "/api/v1/rooms/{room}/participants/{participant}",
    operation_id = "kickParticipant",
    tag = "rooms",
    params(
        ("room" = RoomId, Path, description = "The room."),
        ("participant" = ParticipantId, Path, description = "Who."),
    ),
    security(("bearer" = [])),
    responses((status = 204, description = "The participant is out.")),
)]
pub(super) async fn kick(
    State(state): State<ApiState>,
    Path((room, participant)): Path<(RoomId, ParticipantId)>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    require(&state, &bearer(&headers), Action::AdministerRoom(&room))?;
    state.handle.kick(&room, &participant)?;
    Ok(StatusCode::NO_CONTENT)
}

/// End a session
#[utoipa::path(
    delete,
    path = "/api/v1/rooms/{room}/sessions/{session}",
    operation_id = "endSession",
    tag = "rooms",
    params(
        ("room" = RoomId, Path, description = "The room."),
        ("session" = SessionId, Path, description = "The session's number."),
    ),
    security(("bearer" = [])),
    responses((status = 204, description = "The session is over.")),
)]
pub(super) async fn end_session(
    State(state): State<ApiState>,
    Path((room, session)): Path<(RoomId, SessionId)>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    require(&state, &bearer(&headers), Action::AdministerRoom(&room))?;
    state.handle.end_session(&room, session)?;
    Ok(StatusCode::NO_CONTENT)
}
