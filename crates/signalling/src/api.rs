//! The control API: REST under `/api/v1`, its events, and its own description (OpenAPI 3.1).
//!
//! Translates requests into calls on the node and refusals into problems. It keeps no state and
//! decides no rights: who may see what is the node's to say.

mod document;
mod events;
mod fallback;
mod keys;
mod restreams;
mod rooms;
mod server;
mod tokens;

use std::sync::Arc;

use axum::extract::FromRef;
use axum::response::Response;
use axum::routing::get;
use axum::{Router, middleware};
use http::{HeaderValue, Method, header};
use inver_http::{Context, Problem, options_of_extension, protect};
use inver_node::Handle;
use inver_node::{Action, Credentials, RefusalKind};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Path of the description.
const OPENAPI: &str = "/api/openapi.json";

/// Routes `/api/v1/...` and `/api/openapi.json`. `others` describe operations below `/api/v1` that
/// are served beside these.
pub fn router(
    handle: Handle,
    http: Context,
    others: impl IntoIterator<Item = utoipa::openapi::OpenApi>,
) -> Router {
    let (routes, document) = described(others);
    let document: Arc<str> = document
        .to_json()
        .expect("a description is strings, numbers and lists")
        .into();
    let state = ApiState {
        handle,
        http: http.clone(),
    };
    let describe = move || {
        let document = document.clone();
        async move {
            let json = HeaderValue::from_static("application/json");
            ([(header::CONTENT_TYPE, json)], document.to_string())
        }
    };
    let routes = routes
        .with_state(state)
        .route(OPENAPI, get(describe))
        .layer(middleware::from_fn(preflight));
    protect(routes, &http)
}

/// The description alone, for programs that make clients from it.
pub fn openapi() -> utoipa::openapi::OpenApi {
    described([]).1
}

/// Routes and description come from the same list, so that neither can miss an operation.
fn described(
    others: impl IntoIterator<Item = utoipa::openapi::OpenApi>,
) -> (Router<ApiState>, utoipa::openapi::OpenApi) {
    let (routes, mut document) = OpenApiRouter::with_openapi(document::frame())
        .routes(routes!(server::show))
        .routes(routes!(rooms::list, rooms::create))
        .routes(routes!(rooms::show, rooms::close))
        .routes(routes!(rooms::participants))
        .routes(routes!(rooms::kick))
        .routes(routes!(rooms::end_session))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::rotate))
        .routes(routes!(keys::delete))
        .routes(routes!(restreams::pushes, restreams::create_push))
        .routes(routes!(restreams::push, restreams::delete_push))
        .routes(routes!(restreams::pulls, restreams::create_pull))
        .routes(routes!(restreams::pull, restreams::delete_pull))
        .routes(routes!(fallback::show, fallback::set, fallback::delete))
        .routes(routes!(tokens::create))
        .routes(routes!(events::listen))
        .split_for_parts();
    for other in others {
        document.merge(other);
    }
    document::complete(&mut document);
    (routes, document)
}

/// What the handlers work with.
#[derive(Clone)]
struct ApiState {
    handle: Handle,
    http: Context,
}

impl FromRef<ApiState> for Context {
    fn from_ref(state: &ApiState) -> Self {
        state.http.clone()
    }
}

/// Answers preflight requests of every path: browsers ask without credentials.
async fn preflight(request: axum::extract::Request, next: middleware::Next) -> Response {
    if *request.method() == Method::OPTIONS {
        options_of_extension("GET, HEAD, POST, PUT, DELETE, OPTIONS")
    } else {
        next.run(request).await
    }
}

/// Refuses all but those who may do the action.
fn require(state: &ApiState, credentials: &Credentials, action: Action<'_>) -> Result<(), Problem> {
    state.handle.authorize(credentials, action)?;
    Ok(())
}

/// Whether the action is allowed; credentials that nobody knows are refused rather than ignored,
/// so that a client with an old token learns it.
fn may(state: &ApiState, credentials: &Credentials, action: Action<'_>) -> Result<bool, Problem> {
    match state.handle.authorize(credentials, action) {
        Ok(_) => Ok(true),
        Err(refusal)
            if refusal.kind == RefusalKind::Unauthorized && credentials.secret().is_some() =>
        {
            Err(refusal.into())
        }
        Err(_) => Ok(false),
    }
}
