//! `POST /api/v1/tokens`: signed grants.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use inver_http::{Problem, bearer, read_json};
use inver_node::Action;
use inver_proto::{CreateToken, CreatedToken};

use super::{ApiState, require};

/// Make a token
///
/// A signed token (JWT, HS256) that lets its bearer publish, watch or administer until it ends.
/// Tokens cannot be withdrawn one by one: give them short lives.
#[utoipa::path(
    post,
    path = "/api/v1/tokens",
    operation_id = "createToken",
    tag = "tokens",
    security(("bearer" = [])),
    request_body = CreateToken,
    responses((status = 201, description = "The token, shown once.", body = CreatedToken)),
)]
pub(super) async fn create(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<CreatedToken>), Problem> {
    require(&state, &bearer(&headers), Action::AdministerServer)?;
    let request: CreateToken = read_json(&headers, body).await?;
    let token = state.handle.issue_token(&request)?;
    Ok((StatusCode::CREATED, Json(token)))
}
