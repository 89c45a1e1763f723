//! `GET /api/v1/events`: what happens in the rooms, as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use http::{HeaderMap, HeaderName, HeaderValue};
use inver_http::{Problem, Query, bearer};
use inver_node::Action;
use inver_node::{EventItem, EventReader};
use inver_proto::{ApiEvent, RoomId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{ApiState, require};

/// How often a comment shows that the stream lives: proxies drop silent ones after 30 to 60 s.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// When `EventSource` tries again after a broken connection.
const RETRY: Duration = Duration::from_secs(1);
/// Where a reader says which event it saw last.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Keeps proxies of the nginx family from holding events back.
const NO_BUFFERING: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-accel-buffering"),
    HeaderValue::from_static("no"),
);

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// Only events of this room.
    #[param(value_type = Option<String>)]
    room: Option<RoomId>,
}

/// Follow events
///
/// Each event has its name as `event:`, its number as `id:` and itself as `data:` in one line of
/// JSON. A reader that comes back with `Last-Event-ID` gets what it missed; where that is lost
/// too, it gets `event: reset` and must ask for the rooms anew. A comment comes every 15 seconds.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    operation_id = "followEvents",
    tag = "events",
    params(
        Parameters,
        ("Last-Event-ID" = Option<u64>, Header, description = "Number of the event seen last."),
    ),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The events.", body = ApiEvent,
         content_type = "text/event-stream"),
    ),
)]
pub(super) async fn listen(
    State(state): State<ApiState>,
    Query(Parameters { room }): Query<Parameters>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let action = match &room {
        Some(room) => Action::AdministerRoom(room),
        None => Action::AdministerServer,
    };
    require(&state, &bearer(&headers), action)?;
    // What is no number was never given by us, so everything after it is lost.
    let last_seen = headers.get(LAST_EVENT_ID).map(|value| {
        let text = value.to_str().unwrap_or_default();
        text.parse().unwrap_or(0)
    });
    let reader = state.handle.events(room.as_ref(), last_seen);
    let sse = Sse::new(told(reader)).keep_alive(KeepAlive::new().interval(HEARTBEAT));
    Ok(([NO_BUFFERING], sse).into_response())
}

fn told(mut reader: EventReader) -> impl Stream<Item = Result<Event, Infallible>> {
    async_stream::stream! {
        // The first bytes go out at once, so that the client knows that it is connected.
        yield Ok(Event::default().retry(RETRY));
        while let Some(item) = reader.next().await {
            yield Ok(match item {
                EventItem::Event(event) => described(&event),
                EventItem::Reset => Event::default().event("reset").data("{}"),
            });
        }
    }
}

fn described(event: &ApiEvent) -> Event {
    let data = serde_json::to_string(event).expect("an event is strings and numbers");
    Event::default()
        .id(event.id.to_string())
        .event(event.what.name())
        .data(data)
}
