//! `POST /whep/{room}`: the client's offer, our counter-offer, or our offer for an empty body.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use inver_http::{
    Caller, Flag, Path, Problem, Query, SDP, bearer, created, options_of_endpoint, read_sdp,
    relation,
};
use inver_node::{Refusal, RefusalKind, Subscribe};
use inver_proto::{Door, ParticipantId, RELAY_PATH_HEADER, RelayPath, RoomId};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::WhepState;
use super::events::EVENTS;

/// Relation of the event stream's URL.
const REL_EVENTS: &str = "urn:ietf:params:whep:ext:core:server-sent-events";
/// Relation of the layer selection's URL.
const REL_LAYER: &str = "urn:ietf:params:whep:ext:core:layer";
/// Request preferences (RFC 7240).
const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// The preference that asks for our offer in place of an answer.
const COUNTER_OFFER: &str = "counter-offer";
/// How long a counter-offer stays good: the draft's default, and the time after which the node
/// ends a session that never connected.
const COUNTER_OFFER_VALID: Duration = Duration::from_secs(30);

#[derive(Debug, Deserialize)]
pub(super) struct Parameters {
    /// Whether to wait for a publisher where nobody is live, in place of a 409.
    #[serde(default)]
    wait: Flag,
    /// Whether the client takes a 406 with our offer.
    #[serde(default, rename = "counter-offer")]
    counter_offer: Flag,
}

/// A viewer who cannot be shown the room over WebRTC learns where he can see it.
fn sent_elsewhere(mut refusal: Refusal, elsewhere: Option<String>) -> Refusal {
    if let (RefusalKind::Unplayable, Some(url)) = (refusal.kind, elsewhere) {
        refusal.detail = format!("{}; over HLS it can be watched: {url}", refusal.detail);
    }
    refusal
}

/// Tells players that the URL is a WHEP endpoint; GET has no content either way.
pub(super) async fn look() -> Response {
    let mut response = StatusCode::OK.into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(SDP));
    response
}

pub(super) async fn options(State(state): State<WhepState>, headers: HeaderMap) -> Response {
    options_of_endpoint(&state.door, &headers)
}

pub(super) async fn watch_room(
    State(state): State<WhepState>,
    Path(room): Path<RoomId>,
    Query(parameters): Query<Parameters>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    watch(state, room, None, parameters, caller, headers, body).await
}

pub(super) async fn watch_participant(
    State(state): State<WhepState>,
    Path((room, participant)): Path<(RoomId, ParticipantId)>,
    Query(parameters): Query<Parameters>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let participant = Some(participant);
    watch(state, room, participant, parameters, caller, headers, body).await
}

async fn watch(
    state: WhepState,
    room: RoomId,
    participant: Option<ParticipantId>,
    parameters: Parameters,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let offer = read_sdp(&headers, body).await?;
    let preferred = prefers_counter_offer(&headers);
    let counter = parameters.counter_offer.0 || preferred;
    let (offer, status) = if offer.is_empty() {
        (None, StatusCode::CREATED)
    } else if counter {
        (None, StatusCode::NOT_ACCEPTABLE)
    } else {
        (Some(offer), StatusCode::CREATED)
    };
    let relay_path = relay_path(&headers)?;
    let elsewhere = state
        .hls
        .then(|| caller.url(&format!("/hls/{room}/index.m3u8")));
    let started = state
        .door
        .handle
        .subscribe(Subscribe {
            room,
            participant,
            credentials: bearer(&headers),
            client: caller.client(),
            offer,
            wait: parameters.wait.0,
            relay_path,
            door: Door::Whep,
        })
        .await
        .map_err(|refusal| sent_elsewhere(refusal, elsewhere))?;
    let session = state.door.session_path(started.token.as_str());
    let video = video_section(&started.sdp);
    let mut response = created(&state.door, &caller, status, started);
    let headers = response.headers_mut();
    let events = match video {
        Some(index) => format!("{session}/events?video={index}"),
        None => format!("{session}/events"),
    };
    relation(
        headers,
        &caller.url(&events),
        REL_EVENTS,
        Some(&EVENTS.join(",")),
    );
    if video.is_some() {
        let layer = caller.url(&format!("{session}/layer"));
        relation(headers, &layer, REL_LAYER, None);
    }
    if status == StatusCode::NOT_ACCEPTABLE {
        headers.insert(header::CONTENT_TYPE, valid_until(OffsetDateTime::now_utc()));
        if preferred {
            headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static(COUNTER_OFFER));
        }
    }
    Ok(response)
}

/// The servers that wait for the room, where another server asks for it.
fn relay_path(headers: &HeaderMap) -> Result<RelayPath, Problem> {
    let Some(value) = headers.get(RELAY_PATH_HEADER) else {
        return Ok(RelayPath::default());
    };
    let text = value.to_str().unwrap_or_default();
    text.parse::<RelayPath>()
        .map_err(|error| Problem::bad_request(error.to_string()))
}

/// Whether a `Prefer` header lists `counter-offer`.
pub(super) fn prefers_counter_offer(headers: &HeaderMap) -> bool {
    headers
        .get_all(PREFER)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|preference| preference.trim().eq_ignore_ascii_case(COUNTER_OFFER))
}

/// Index of the first video section, which layers are named by.
fn video_section(sdp: &str) -> Option<usize> {
    sdp.lines()
        .filter(|line| line.starts_with("m="))
        .position(|line| line.starts_with("m=video"))
}

/// The content type of a counter-offer, with the time that it ends (RFC 9110, section 5.6.7).
fn valid_until(now: OffsetDateTime) -> HeaderValue {
    let until = now + COUNTER_OFFER_VALID;
    match until.format(&Rfc2822) {
        Ok(until) => {
            // The two formats differ in how they name the zone alone.
            let until = until.replace("+0000", "GMT");
            HeaderValue::try_from(format!("{SDP}; valid-until=\"{until}\""))
                .unwrap_or(HeaderValue::from_static(SDP))
        }
        // Without the parameter the draft's default holds, which is the same time.
        Err(_) => HeaderValue::from_static(SDP),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_offer_names_its_end_as_an_http_date() {
        let now = OffsetDateTime::from_unix_timestamp(1_782_122_385).expect("a time");
        assert_eq!(
            valid_until(now),
            "application/sdp; valid-until=\"Mon, 22 Jun 2026 10:00:15 GMT\""
        );
    }

    #[test]
    fn preferences_are_lists_over_all_lines() {
        let mut headers = HeaderMap::new();
        assert!(!prefers_counter_offer(&headers));
        headers.append(PREFER, HeaderValue::from_static("respond-async"));
        headers.append(PREFER, HeaderValue::from_static("wait=5, Counter-Offer"));
        assert!(prefers_counter_offer(&headers));
    }

    #[test]
    fn layers_are_named_by_the_index_of_the_video_section() {
        let sdp = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\nm=video 9 x\r\n";
        assert_eq!(video_section(sdp), Some(1));
        assert_eq!(video_section("v=0\r\nm=audio 9 x\r\n"), None);
    }
}
