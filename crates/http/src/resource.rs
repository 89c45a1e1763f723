//! What WHIP and WHEP endpoints have in common: the created session, OPTIONS.

use axum::extract::FromRef;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use inver_node::{Handle, Started};
use inver_proto::{Door, IceServer};

use crate::body::{ACCEPT_PATCH, ACCEPT_POST, SDP, SDP_FRAGMENT};
use crate::{Caller, Context, cors, link};

/// Methods of an endpoint.
const ENDPOINT_METHODS: &str = "GET, HEAD, OPTIONS, POST";

/// What the handlers of a door work with.
#[derive(Clone)]
pub struct DoorState {
    /// The node.
    pub handle: Handle,
    /// Settings and limits.
    pub http: Context,
    /// Which door.
    pub door: Door,
}

impl FromRef<DoorState> for Context {
    fn from_ref(state: &DoorState) -> Self {
        state.http.clone()
    }
}

impl DoorState {
    /// Path of a session's resource.
    pub fn session_path(&self, token: &str) -> String {
        format!("/{}/session/{token}", self.door.as_str())
    }
}

/// Answers a POST to an endpoint with the session's description: its absolute `Location`, the
/// strong `ETag` of its ICE session, a `Link` for each ICE server.
///
/// The body has a known length, so the answer is never chunked: FFmpeg cannot read a chunked one.
pub fn created(
    state: &DoorState,
    caller: &Caller,
    status: StatusCode,
    started: Started,
) -> Response {
    let location = caller.url(&state.session_path(started.token.as_str()));
    let mut response = (status, started.sdp).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(SDP));
    for (name, value) in [(header::LOCATION, &location), (header::ETAG, &started.etag)] {
        match HeaderValue::from_str(value) {
            Ok(value) => {
                headers.insert(name, value);
            }
            Err(_) => tracing::error!(header = %name, "left out what cannot stand in a header"),
        }
    }
    headers.insert(
        ACCEPT_PATCH,
        HeaderValue::from_static(accept_patch(state.door)),
    );
    link::ice_servers(headers, &state.handle.ice_servers());
    response
}

/// What PATCH takes on a session of the door.
pub(crate) fn accept_patch(door: Door) -> &'static str {
    match door {
        Door::Whep => "application/trickle-ice-sdpfrag, application/sdp",
        Door::Whip
        | Door::Rtmp
        | Door::Rtsp
        | Door::Srt
        | Door::Ftl
        | Door::Udp
        | Door::Hls
        | Door::Pull
        | Door::Relay
        | Door::Fallback => SDP_FRAGMENT,
    }
}

/// Answers OPTIONS on an endpoint, without credentials.
///
/// Clients that need ICE servers before they can offer read them here, but for those that need
/// a password; a preflight request gets none at all (RFC 9725, section 4.6).
pub fn options_of_endpoint(state: &DoorState, request: &HeaderMap) -> Response {
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    cors::permit(headers, ENDPOINT_METHODS);
    headers.insert(ACCEPT_POST, HeaderValue::from_static(SDP));
    if !request.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        let free: Vec<IceServer> = state
            .handle
            .ice_servers()
            .into_iter()
            .filter(|server| server.credential.is_none())
            .collect();
        link::ice_servers(headers, &free);
    }
    response
}

/// Answers OPTIONS on a resource beside the session, such as its event streams.
pub fn options_of_extension(methods: &'static str) -> Response {
    let mut response = StatusCode::OK.into_response();
    cors::permit(response.headers_mut(), methods);
    response
}
