//! The door: who may see a picture, and for how long it may be kept.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use inver_http::{Caller, Context, Path, Problem, Query, bearer, protect};
use inver_media::still;
use inver_node::{Credentials, Handle, ReadFrames, RefusalKind};
use inver_proto::{Door, RoomId};
use serde::Deserialize;

use super::{Failure, Maker, Picture};

/// Type of the problem that there is no decoder for what somebody sends.
const NO_PICTURE: &str = "urn:inver:problem:no-picture";

/// Routes `/thumbnails/{room}.jpg`.
pub fn router(handle: Handle, http: Context, maker: Arc<Maker>) -> Router {
    let state = Thumbnails {
        handle,
        http: http.clone(),
        maker,
    };
    let routes = Router::new()
        .route("/thumbnails/{file}", get(picture))
        .with_state(state);
    protect(routes, &http)
}

#[derive(Clone)]
struct Thumbnails {
    handle: Handle,
    http: Context,
    maker: Arc<Maker>,
}

impl FromRef<Thumbnails> for Context {
    fn from_ref(state: &Thumbnails) -> Self {
        state.http.clone()
    }
}

#[derive(Deserialize)]
struct Parameters {
    /// For pages, whose pictures can carry no header.
    token: Option<String>,
}

async fn picture(
    State(state): State<Thumbnails>,
    Path(file): Path<String>,
    Query(parameters): Query<Parameters>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let room = file.strip_suffix(".jpg").and_then(|room| room.parse().ok());
    let Some(room): Option<RoomId> = room else {
        let detail = "pictures have names like /thumbnails/{room}.jpg";
        return Err(Problem::not_found(detail));
    };
    let credentials = match parameters.token {
        Some(token) if !headers.contains_key(header::AUTHORIZATION) => Credentials::bearer(&token),
        Some(_) | None => bearer(&headers),
    };
    // What a service outside allows one may not be kept for others.
    let is_public = credentials.secret().is_none() && state.handle.decides_alone();
    let request = ReadFrames {
        room: room.clone(),
        participant: None,
        credentials,
        client: caller.client(),
        // A picture shows no more than a WHEP session would.
        door: Door::Whep,
    };
    state.handle.may_watch(request).await?;
    let made = state.maker.picture(&state.handle, &room, None).await;
    let picture = made.map_err(|failure| problem(failure, &room, state.maker.interval()))?;
    Ok(answer(
        &picture,
        &headers,
        is_public,
        state.maker.interval(),
    ))
}

fn answer(picture: &Picture, asked: &HeaderMap, is_public: bool, good: Duration) -> Response {
    let known = asked
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == &*picture.etag);
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = picture.jpeg.clone().into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
        response
    };
    let headers = response.headers_mut();
    let who = if is_public { "public" } else { "private" };
    for (name, value) in [
        (header::ETAG, picture.etag.to_string()),
        (
            header::CACHE_CONTROL,
            format!("{who}, max-age={}", good.as_secs()),
        ),
    ] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    headers.insert(header::VARY, HeaderValue::from_static("Authorization"));
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("cross-origin"),
    );
    response
}

fn problem(failure: Failure, room: &RoomId, good: Duration) -> Problem {
    match failure {
        Failure::Refused(refusal) if refusal.kind == RefusalKind::Conflict => {
            Problem::not_found(refusal.detail)
        }
        Failure::Refused(refusal) => refusal.into(),
        Failure::NoKeyframe => Problem::not_found(format!(
            "no keyframe of {room} came in time: it shows no picture, or its encoder sends \
             keyframes too seldom; one every two seconds is usual"
        ))
        .retry_after(good),
        Failure::Still(error @ still::Error::Damaged) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).retry_after(good)
        }
        Failure::Still(error) => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()).kind(NO_PICTURE)
        }
        Failure::Busy => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the server did not get to this picture in time",
        )
        .retry_after(good),
    }
}
