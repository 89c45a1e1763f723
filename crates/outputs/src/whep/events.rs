//! Event streams of a WHEP session (server-sent events extension).
//!
//! A POST makes a stream and a GET listens to it. Events are kept from the POST on, within the
//! bounds of the node's watch, so that none is lost while `EventSource` reconnects.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use inver_http::{Caller, Path, Problem, Query, options_of_extension, read_json};
use inver_node::SessionToken;
use inver_node::{SessionEvent, SessionWatch};
use inver_proto::{Layer, MediaKind, Publication};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::WhepState;

/// Names of all events, as advertised.
pub(super) const EVENTS: [&str; 5] = ["active", "inactive", "layers", "viewercount", "reconnect"];
/// Most streams of one session at one time: a player needs one, a second while it replaces it.
/// More would let one viewer hold connections without end.
const MAX_STREAMS: usize = 4;
/// Fewest sessions with streams before ended ones are looked for.
const PRUNE_FROM: usize = 64;
/// How often a comment shows that the stream lives: proxies drop silent ones after 30 to 60 s.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// When `EventSource` tries again after a broken connection.
const RETRY: Duration = Duration::from_secs(1);

/// Keeps proxies of the nginx family from holding events back.
const NO_BUFFERING: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-accel-buffering"),
    HeaderValue::from_static("no"),
);

/// All event streams of this door. Streams of ended sessions are dropped when others are made.
#[derive(Default)]
pub(super) struct Streams(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    by_session: HashMap<SessionToken, Vec<Arc<EventStream>>>,
    next_id: u64,
    prune_at: usize,
}

struct EventStream {
    id: u64,
    /// One flag for each of [`EVENTS`].
    wanted: [bool; EVENTS.len()],
    /// Index of the video section, which the layers event is keyed by.
    video: usize,
    signals: tokio::sync::Mutex<Signals>,
    /// Which listener holds the stream; the newest one wins.
    listener: watch::Sender<Listener>,
}

struct Signals {
    watch: SessionWatch,
    /// A stream never begins with `inactive`: the extension forbids it.
    told_active: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listener {
    Number(u64),
    Deleted,
}

impl Streams {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, token: &SessionToken, id: u64) -> Option<Arc<EventStream>> {
        let inner = self.lock();
        let streams = inner.by_session.get(token)?;
        streams.iter().find(|stream| stream.id == id).cloned()
    }

    fn remove(&self, token: &SessionToken, id: u64) -> Option<Arc<EventStream>> {
        let mut inner = self.lock();
        let streams = inner.by_session.get_mut(token)?;
        let at = streams.iter().position(|stream| stream.id == id)?;
        let stream = streams.swap_remove(at);
        if streams.is_empty() {
            inner.by_session.remove(token);
        }
        Some(stream)
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Parameters {
    /// Index of the video section in the session's SDP.
    #[serde(default)]
    video: usize,
}

pub(super) async fn options_of_list() -> Response {
    options_of_extension("POST, OPTIONS")
}

pub(super) async fn options_of_stream() -> Response {
    options_of_extension("GET, DELETE, OPTIONS")
}

/// `POST .../events` with an array of names, or without a body for all events.
pub(super) async fn create(
    State(state): State<WhepState>,
    Path(token): Path<String>,
    Query(Parameters { video }): Query<Parameters>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let names: Option<Vec<String>> = read_json(&headers, body).await?;
    let wanted = wanted(names.as_deref())?;
    let segment = SessionToken::new(token);
    let watch = state.door.handle.watch_session(&segment)?;

    let mut inner = state.streams.lock();
    if inner.by_session.len() >= inner.prune_at.max(PRUNE_FROM) {
        let handle = &state.door.handle;
        inner
            .by_session
            .retain(|token, _| handle.session_exists(token));
        inner.prune_at = inner.by_session.len() * 2;
    }
    inner.next_id += 1;
    let id = inner.next_id;
    let location = format!("{}/events/{id}", state.door.session_path(segment.as_str()));
    let streams = inner.by_session.entry(segment).or_default();
    if streams.len() >= MAX_STREAMS {
        return Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!("the session has {MAX_STREAMS} event streams already; delete one first"),
        )
        .retry_after(RETRY));
    }
    streams.push(Arc::new(EventStream {
        id,
        wanted,
        video,
        signals: tokio::sync::Mutex::new(Signals {
            watch,
            told_active: false,
        }),
        listener: watch::Sender::new(Listener::Number(0)),
    }));
    drop(inner);

    let location = HeaderValue::try_from(caller.url(&location))
        .map_err(|_| Problem::bad_request("the Host header cannot stand in a Location"))?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)]).into_response())
}

/// Reads the names; any unknown one refuses all.
pub(super) fn wanted(names: Option<&[String]>) -> Result<[bool; EVENTS.len()], Problem> {
    let Some(names) = names else {
        return Ok([true; EVENTS.len()]);
    };
    let mut wanted = [false; EVENTS.len()];
    for name in names {
        match EVENTS.iter().position(|known| known == name) {
            Some(at) => wanted[at] = true,
            None => {
                return Err(Problem::bad_request(format!(
                    "there is no event {name:?}; known are {}",
                    EVENTS.join(", ")
                )));
            }
        }
    }
    Ok(wanted)
}

/// `GET .../events/{id}`. A second listener takes the stream over from the first.
pub(super) async fn listen(
    State(state): State<WhepState>,
    Path((token, id)): Path<(String, u64)>,
) -> Result<Response, Problem> {
    let token = SessionToken::new(token);
    let stream = state.streams.find(&token, id).ok_or_else(unknown)?;
    if !state.door.handle.session_exists(&token) {
        state.streams.remove(&token, id);
        return Err(unknown());
    }
    let events = listening(state.streams, token, stream);
    let sse = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT));
    Ok(([NO_BUFFERING], sse).into_response())
}

/// `DELETE .../events/{id}`.
pub(super) async fn delete(
    State(state): State<WhepState>,
    Path((token, id)): Path<(String, u64)>,
) -> Result<StatusCode, Problem> {
    let token = SessionToken::new(token);
    let stream = state.streams.remove(&token, id).ok_or_else(unknown)?;
    stream.listener.send_replace(Listener::Deleted);
    Ok(StatusCode::OK)
}

fn unknown() -> Problem {
    Problem::not_found("the event stream is unknown or has ended")
}

fn listening(
    streams: Arc<Streams>,
    token: SessionToken,
    stream: Arc<EventStream>,
) -> impl Stream<Item = Result<Event, Infallible>> {
    async_stream::stream! {
        let mut mine = Listener::Deleted;
        stream.listener.send_if_modified(|listener| {
            if let Listener::Number(number) = *listener {
                *listener = Listener::Number(number + 1);
                mine = *listener;
            }
            mine != Listener::Deleted
        });
        if mine == Listener::Deleted {
            return;
        }
        let mut listener = stream.listener.subscribe();
        // The first bytes go out at once, so that the client knows that it is connected.
        yield Ok(Event::default().retry(RETRY));
        let mut signals = stream.signals.lock().await;
        loop {
            let next = tokio::select! {
                replaced = listener.wait_for(|now| *now != mine) => {
                    let _ = replaced;
                    return;
                }
                next = signals.watch.next() => next,
            };
            let Some(event) = next else { break };
            match event {
                SessionEvent::Ended(_) => break,
                SessionEvent::Inactive if !signals.told_active => continue,
                SessionEvent::Active => signals.told_active = true,
                _ => {}
            }
            if let Some((at, data)) = described(&event, stream.video)
                && stream.wanted[at]
            {
                yield Ok(Event::default().event(EVENTS[at]).data(data.to_string()));
            }
        }
        drop(signals);
        streams.remove(&token, stream.id);
    }
}

/// Index in [`EVENTS`] and data of an event; `None` for the end, which has no event.
fn described(event: &SessionEvent, video: usize) -> Option<(usize, Value)> {
    Some(match event {
        SessionEvent::Active => (0, json!({})),
        SessionEvent::Inactive => (1, json!({})),
        SessionEvent::Layers(publications) => (2, layers(publications, video)),
        SessionEvent::ViewerCount(viewers) => (3, json!({ "viewercount": viewers })),
        SessionEvent::Reconnect { url, after } => {
            let mut data =
                json!({ "retryAfterMs": u64::try_from(after.as_millis()).unwrap_or(u64::MAX) });
            if let Some(url) = url {
                data["url"] = json!(url);
            }
            (4, data)
        }
        SessionEvent::Ended(_) => return None,
    })
}

/// The layers of the video publication, keyed by the index of its section.
fn layers(publications: &[Publication], video: usize) -> Value {
    let list: Vec<Value> = publications
        .iter()
        .filter(|publication| publication.kind == MediaKind::Video)
        .take(1)
        .flat_map(|publication| publication.layers.iter().rev())
        .flat_map(layer)
        .collect();
    json!({ (video.to_string()): list })
}

/// One entry for each spatial and temporal layer of a simulcast layer, highest first.
///
/// Only the whole stream's bitrate is measured, so each entry carries it as an upper bound; a
/// layer without packets has none, which is how the extension marks it inactive.
fn layer(layer: &Layer) -> Vec<Value> {
    let mut entries = Vec::new();
    for spatial in (0..layer.spatial_layers.max(1)).rev() {
        for temporal in (0..layer.temporal_layers.max(1)).rev() {
            let mut entry = json!({ "spatialLayerId": spatial, "temporalLayerId": temporal });
            if let Some(rid) = &layer.rid {
                entry["rid"] = json!(rid);
            }
            if layer.active {
                entry["bitrate"] = json!(layer.bitrate);
            }
            if let Some(width) = layer.width {
                entry["width"] = json!(width);
            }
            if let Some(height) = layer.height {
                entry["height"] = json!(height);
            }
            entries.push(entry);
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_body_means_all_events_and_an_unknown_name_refuses_all() {
        assert_eq!(wanted(None), Ok([true; 5]));
        let some = ["layers".to_owned(), "active".to_owned()];
        assert_eq!(wanted(Some(&some)), Ok([true, false, true, false, false]));
        let unknown = ["active".to_owned(), "scte35".to_owned()];
        let problem = wanted(Some(&unknown)).expect_err("an unknown event");
        assert_eq!(problem.status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn layers_are_listed_highest_first_and_inactive_ones_without_a_bitrate() {
        let simulcast = |rid: &str, active| Layer {
            rid: Some(rid.to_owned()),
            width: Some(640),
            height: Some(360),
            bitrate: 1000,
            active,
            spatial_layers: 1,
            temporal_layers: 2,
            ..Layer::default()
        };
        let publication = |kind, layers| Publication {
            kind,
            codec: None,
            loss: 0.0,
            layers,
        };
        let publications = [
            publication(MediaKind::Audio, vec![Layer::default()]),
            publication(
                MediaKind::Video,
                vec![simulcast("l", true), simulcast("h", false)],
            ),
        ];
        assert_eq!(
            layers(&publications, 1),
            json!({ "1": [
                { "rid": "h", "spatialLayerId": 0, "temporalLayerId": 1, "width": 640, "height": 360 },
                { "rid": "h", "spatialLayerId": 0, "temporalLayerId": 0, "width": 640, "height": 360 },
                { "rid": "l", "spatialLayerId": 0, "temporalLayerId": 1, "bitrate": 1000, "width": 640, "height": 360 },
                { "rid": "l", "spatialLayerId": 0, "temporalLayerId": 0, "bitrate": 1000, "width": 640, "height": 360 },
            ] })
        );
    }
}
