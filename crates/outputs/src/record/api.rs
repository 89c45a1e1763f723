//! `/api/v1/recordings` and `/api/v1/rooms/{room}/recordings`: start, stop, index, files.

use std::sync::Arc;

use axum::extract::{FromRef, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, middleware};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use inver_http::{Caller, Context, Path, Problem, Query, bearer, options_of_extension, protect};
use inver_node::{Action, Credentials, Refusal};
use inver_proto::RoomId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::download::{self, Signer, Source};
use super::manifest::{Place, Recording};
use super::recorder::{Recorder, unknown};

/// Recordings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecordingList {
    /// The recordings, the latest first.
    pub recordings: Vec<Recording>,
}

/// What the handlers work with.
#[derive(Clone)]
struct Api {
    recorder: Recorder,
    http: Context,
    signer: Arc<Signer>,
}

impl FromRef<Api> for Context {
    fn from_ref(state: &Api) -> Self {
        state.http.clone()
    }
}

/// Routes of recordings below `/api/v1`.
pub fn router(recorder: Recorder, http: Context) -> Router {
    let (routes, _) = described();
    let state = Api {
        recorder,
        http: http.clone(),
        signer: Arc::new(Signer::default()),
    };
    let routes = routes
        .with_state(state)
        .layer(middleware::from_fn(preflight));
    protect(routes, &http)
}

/// The description of [`router`]'s operations.
pub fn openapi() -> utoipa::openapi::OpenApi {
    described().1
}

fn described() -> (Router<Api>, utoipa::openapi::OpenApi) {
    OpenApiRouter::new()
        .routes(routes!(start))
        .routes(routes!(stop))
        .routes(routes!(list))
        .routes(routes!(show, delete))
        .routes(routes!(file))
        .split_for_parts()
}

/// Answers preflight requests: browsers ask without credentials.
async fn preflight(request: Request, next: middleware::Next) -> Response {
    if *request.method() == Method::OPTIONS {
        options_of_extension("GET, HEAD, POST, DELETE, OPTIONS")
    } else {
        next.run(request).await
    }
}

impl Api {
    /// Refuses all but those who administer the room.
    fn require(&self, credentials: &Credentials, room: &RoomId) -> Result<(), Refusal> {
        let handle = &self.recorder.0.handle;
        handle
            .authorize(credentials, Action::AdministerRoom(room))
            .map(|_| ())
    }

    /// A recording for those who administer its room. Whoever may not learns nothing of what there
    /// is.
    fn visible(&self, credentials: &Credentials, id: &str) -> Result<Recording, Refusal> {
        let handle = &self.recorder.0.handle;
        let all = handle.authorize(credentials, Action::AdministerServer);
        match (self.recorder.one(id), all) {
            (Ok(recording), Ok(_)) => Ok(recording),
            (Ok(recording), Err(_)) => {
                self.require(credentials, &recording.room)?;
                Ok(recording)
            }
            (Err(missing), Ok(_)) => Err(missing),
            (Err(_), Err(refusal)) => Err(refusal),
        }
    }

    /// Adds to each file where it can be had.
    fn linked(&self, mut recording: Recording, caller: &Caller) -> Recording {
        for file in &mut recording.files {
            let query = self.signer.sign(&recording.id, &file.name);
            let path = path_of_file(&recording.id, &file.name);
            file.url = Some(caller.url(&format!("{path}?{query}")));
        }
        if let Some(preview) = &mut recording.preview {
            let query = self.signer.sign(&recording.id, &preview.name);
            let path = path_of_file(&recording.id, &preview.name);
            preview.url = Some(caller.url(&format!("{path}?{query}")));
        }
        recording
    }
}

fn path_of_file(id: &str, name: &str) -> String {
    format!("/api/v1/recordings/{id}/files/{name}")
}

/// Start recording a room
///
/// Everybody who publishes there is recorded, until the recording is stopped or nobody publishes
/// any more. A DELETE of the Location stops it.
#[utoipa::path(
    post,
    path = "/api/v1/rooms/{room}/recordings",
    operation_id = "startRecording",
    tag = "recordings",
    params(("room" = RoomId, Path, description = "The room.")),
    security(("bearer" = [])),
    responses(
        (status = 201, description = "The recording.", body = Recording,
         headers(("Location" = String, description = "The URL whose DELETE stops it."))),
        (status = 409, description = "Nobody publishes, or the room is recorded already.",
         body = inver_proto::Problem, content_type = "application/problem+json"),
    ),
)]
async fn start(
    State(state): State<Api>,
    caller: Caller,
    Path(room): Path<RoomId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    state.require(&bearer(&headers), &room)?;
    let recording = state.recorder.record(&room).await?;
    let url = caller.url(&format!("/api/v1/rooms/{room}/recordings/{}", recording.id));
    let location = HeaderValue::try_from(url)
        .map_err(|_| Problem::bad_request("the Host header cannot stand in a Location"))?;
    let location = [(header::LOCATION, location)];
    Ok((StatusCode::CREATED, location, Json(recording)).into_response())
}

/// Stop a recording
///
/// Its files are completed and stay.
#[utoipa::path(
    delete,
    path = "/api/v1/rooms/{room}/recordings/{id}",
    operation_id = "stopRecording",
    tag = "recordings",
    params(
        ("room" = RoomId, Path, description = "The room."),
        ("id" = String, Path, description = "The recording."),
    ),
    security(("bearer" = [])),
    responses((status = 204, description = "It is stopped.")),
)]
async fn stop(
    State(state): State<Api>,
    Path((room, id)): Path<(RoomId, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    state.require(&bearer(&headers), &room)?;
    state.recorder.finish(&room, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List recordings
///
/// Those of all rooms that the caller administers, the latest first.
#[utoipa::path(
    get,
    path = "/api/v1/recordings",
    operation_id = "listRecordings",
    tag = "recordings",
    security(("bearer" = [])),
    responses((status = 200, description = "The recordings.", body = RecordingList)),
)]
async fn list(
    State(state): State<Api>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Json<RecordingList>, Problem> {
    let credentials = bearer(&headers);
    let handle = &state.recorder.0.handle;
    let mut recordings = state.recorder.all();
    if let Err(refusal) = handle.authorize(&credentials, Action::AdministerServer) {
        recordings.retain(|recording| state.require(&credentials, &recording.room).is_ok());
        if recordings.is_empty() {
            return Err(refusal.into());
        }
    }
    let linked = recordings.into_iter();
    let linked = linked.map(|recording| state.linked(recording, &caller));
    Ok(Json(RecordingList {
        recordings: linked.collect(),
    }))
}

/// Show a recording
///
/// With a link to each file that is good for some hours without a token.
#[utoipa::path(
    get,
    path = "/api/v1/recordings/{id}",
    operation_id = "getRecording",
    tag = "recordings",
    params(("id" = String, Path, description = "The recording.")),
    security(("bearer" = [])),
    responses((status = 200, description = "The recording.", body = Recording)),
)]
async fn show(
    State(state): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Recording>, Problem> {
    let recording = state.visible(&bearer(&headers), &id)?;
    Ok(Json(state.linked(recording, &caller)))
}

/// Delete a recording
///
/// With all its files, in object storage too. One that goes on has to be stopped first.
#[utoipa::path(
    delete,
    path = "/api/v1/recordings/{id}",
    operation_id = "deleteRecording",
    tag = "recordings",
    params(("id" = String, Path, description = "The recording.")),
    security(("bearer" = [])),
    responses(
        (status = 204, description = "It is gone."),
        (status = 409, description = "It goes on.",
         body = inver_proto::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The storage that has it cannot be asked; nothing was deleted.",
         body = inver_proto::Problem, content_type = "application/problem+json"),
    ),
)]
async fn delete(
    State(state): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let recording = state.visible(&bearer(&headers), &id)?;
    state.recorder.delete(&recording.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Signed {
    /// Until when the link is good, in seconds since 1970.
    expires: Option<u64>,
    /// What makes the link good.
    signature: Option<String>,
}

/// Get a file of a recording
///
/// MP4 or WebM, or the recording's picture: by the link that the recording tells, or with a token.
/// Ranges are served; of a recording that goes on what is written so far. What is in object storage
/// only is fetched from there.
#[utoipa::path(
    get,
    path = "/api/v1/recordings/{id}/files/{name}",
    operation_id = "getRecordingFile",
    tag = "recordings",
    params(
        ("id" = String, Path, description = "The recording."),
        ("name" = String, Path, description = "The file's name, as the recording tells it."),
        Signed,
    ),
    security((), ("bearer" = [])),
    responses(
        (status = 200, description = "The file.", body = Vec<u8>, content_type = "video/mp4"),
        (status = 206, description = "The range.", body = Vec<u8>, content_type = "video/mp4"),
        (status = 416, description = "The range is none of the file's.",
         body = inver_proto::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The storage that has the file does not give it.",
         body = inver_proto::Problem, content_type = "application/problem+json"),
    ),
)]
async fn file(
    State(state): State<Api>,
    Path((id, name)): Path<(String, String)>,
    Query(signed): Query<Signed>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let recording = match (signed.expires, &signed.signature) {
        (Some(expires), Some(signature)) => {
            state.signer.verify(&id, &name, expires, signature)?;
            state.recorder.one(&id)?
        }
        (None, _) | (_, None) => state.visible(&bearer(&headers), &id)?,
    };
    // Only names that the recording has itself: nothing of a request becomes a path.
    if let Some(preview) = recording.preview.filter(|preview| preview.name == name) {
        let path = state.recorder.0.folder(&recording.id).join(&preview.name);
        let shown = format!("{}-{}", recording.id, preview.name);
        return download::serve(Source::Disk(path), &shown, &headers).await;
    }
    let file = recording.files.iter().find(|file| file.name == name);
    let file = file.ok_or_else(|| unknown(&format!("{id}/{name}")))?;
    let path = state.recorder.0.folder(&recording.id).join(&file.name);
    let on_disk = match file.place {
        Place::Disk => true,
        // Whoever needs space may have deleted it there.
        Place::Both => tokio::fs::try_exists(&path).await.unwrap_or(true),
        Place::Storage => false,
    };
    let source = match recording.storage.filter(|_| !on_disk) {
        None => Source::Disk(path),
        Some(storage) => {
            let bucket = state.recorder.0.bucket();
            let Some(bucket) = bucket.filter(|bucket| bucket.holds(&storage.location)) else {
                let detail = format!(
                    "the file lies at {}, and the server is not set to this storage",
                    storage.location
                );
                return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
            };
            Source::Stored {
                bucket: bucket.clone(),
                location: storage.location,
                name: file.name.clone(),
                len: file.size_bytes,
            }
        }
    };
    let shown = format!("{}-{}-{}", recording.id, file.participant, file.name);
    download::serve(source, &shown, &headers).await
}
