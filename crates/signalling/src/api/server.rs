//! `GET /api/v1/server`: what everybody may know of the server.

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use inver_http::{Caller, Problem, bearer};
use inver_node::Action;
use inver_proto::ServerInfo;

use super::{ApiState, may};

/// Tell about the server
///
/// Public. ICE servers that need a password are listed for administrators only; everybody else
/// gets them with the answer to WHIP and WHEP.
#[utoipa::path(
    get,
    path = "/api/v1/server",
    operation_id = "getServer",
    tag = "server",
    security((), ("bearer" = [])),
    responses((status = 200, description = "The server.", body = ServerInfo)),
)]
pub(super) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Json<ServerInfo>, Problem> {
    let administers = may(&state, &bearer(&headers), Action::AdministerServer)?;
    let mut info = state.handle.server_info(&caller.url(""));
    if !administers {
        info.ice_servers
            .retain(|server| server.credential.is_none());
    }
    Ok(Json(info))
}
