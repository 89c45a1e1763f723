//! The session resource that WHIP (RFC 9725) and WHEP share: trickle ICE and ICE restart by PATCH,
//! the end by DELETE, and answers to our own offers where the door makes some.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use inver_node::Patched;
use inver_node::SessionToken;
use inver_proto::Door;

use crate::body::{self, ACCEPT_PATCH, ACCEPT_POST, MAX_SDP, SDP, SDP_FRAGMENT};
use crate::resource::accept_patch;
use crate::{DoorState, Path, Problem, cors};

/// Routes `/{door}/session/{token}`.
pub fn session(state: DoorState) -> Router {
    let path = state.session_path("{token}");
    let mut methods = get(look).patch(patch).delete(end).options(options);
    if state.door == Door::Whep {
        methods = methods.post(answer);
    }
    Router::new().route(&path, methods).with_state(state)
}

fn methods(door: Door) -> &'static str {
    match door {
        Door::Whep => "GET, HEAD, OPTIONS, PATCH, POST, DELETE",
        Door::Whip
        | Door::Rtmp
        | Door::Rtsp
        | Door::Srt
        | Door::Ftl
        | Door::Udp
        | Door::Hls
        | Door::Pull
        | Door::Relay
        | Door::Fallback => "GET, HEAD, OPTIONS, PATCH, DELETE",
    }
}

/// A session has no representation: success without content.
async fn look(
    State(state): State<DoorState>,
    Path(token): Path<String>,
) -> Result<StatusCode, Problem> {
    if state.handle.session_exists(&SessionToken::new(token)) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("the session is unknown or has ended"))
    }
}

async fn options(State(state): State<DoorState>) -> Response {
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    cors::permit(headers, methods(state.door));
    headers.insert(
        ACCEPT_PATCH,
        HeaderValue::from_static(accept_patch(state.door)),
    );
    if state.door == Door::Whep {
        headers.insert(ACCEPT_POST, HeaderValue::from_static(SDP));
    }
    response
}

async fn end(
    State(state): State<DoorState>,
    Path(token): Path<String>,
) -> Result<StatusCode, Problem> {
    state.handle.end(&SessionToken::new(token)).await?;
    Ok(StatusCode::OK)
}

async fn patch(
    State(state): State<DoorState>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let token = SessionToken::new(token);
    match (body::media_type(&headers).as_deref(), state.door) {
        (Some(SDP_FRAGMENT), _) => patch_ice(&state, &token, &headers, body).await,
        (Some(SDP), Door::Whep) => accept_answer(&state, &token, &headers, body).await,
        (found, door) => Err(body::unsupported(found, ACCEPT_PATCH, accept_patch(door))),
    }
}

async fn patch_ice(
    state: &DoorState,
    token: &SessionToken,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let if_match = headers
        .get(header::IF_MATCH)
        .map(|value| value.to_str().map(str::trim))
        .transpose()
        .map_err(|_| Problem::bad_request("If-Match must be an entity tag or *"))?;
    let fragment = body::read_text(headers, body, MAX_SDP).await?;
    match state.handle.patch_ice(token, if_match, fragment).await? {
        Patched::Trickled => Ok(StatusCode::NO_CONTENT.into_response()),
        Patched::Restarted { fragment, etag } => {
            let etag = HeaderValue::from_str(&etag).map_err(|_| {
                Problem::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the new ICE session has an entity tag that cannot stand in a header",
                )
            })?;
            let mut response = (StatusCode::OK, fragment).into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(SDP_FRAGMENT));
            headers.insert(header::ETAG, etag);
            Ok(response)
        }
    }
}

/// The early WHEP draft's relays POST their answer where later ones PATCH it.
async fn answer(
    State(state): State<DoorState>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let found = body::media_type(&headers);
    if found.as_deref() != Some(SDP) {
        return Err(body::unsupported(found.as_deref(), ACCEPT_POST, SDP));
    }
    accept_answer(&state, &SessionToken::new(token), &headers, body).await
}

async fn accept_answer(
    state: &DoorState,
    token: &SessionToken,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let sdp = body::read_text(headers, body, MAX_SDP).await?;
    body::check_sdp(&sdp)?;
    state.handle.accept_answer(token, sdp).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
