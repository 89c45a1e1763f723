//! Requests: who may have what, and for how long it may be kept.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{FromRef, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use inver_http::{Caller, Context, Path, Problem, Query, bearer, protect};
use inver_node::{Credentials, Handle, ReadFrames};
use inver_proto::{Door, RoomId};
use serde::Deserialize;

use super::Config;
use super::from_frames::Name;
use super::players::Player;
use super::playlist::Wish;
use super::session::{Found, Stream, Streams, compressed, patience};
use super::signature::Signer;

/// A playlist changes with every part; caches in between may answer for those who come at the same
/// time.
const PLAYLIST_AGE: &str = "max-age=1";

/// The multivariant playlist names its reader: caches in between are not to give one name to many.
const INDEX_AGE: &str = "private, max-age=1";

/// Segments and parts have names of their own for ever.
const MEDIA_AGE: &str = "max-age=86400, immutable";

/// Requests for one playlist of one player that wait: more make no sense.
const MAX_PART: usize = 10_000;

/// Why the output cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No signatures.
    #[error("no key for signatures could be made: the system has no randomness")]
    Randomness,
    /// No past.
    #[error("the folder for old segments cannot be made: {0}")]
    Folder(std::io::Error),
}

/// Routes `/hls/...`. Call it within a tokio runtime where streams are always on.
///
/// # Errors
///
/// The system has no randomness, or there can be no folder for old segments.
pub fn router(handle: Handle, http: Context, config: Config) -> Result<Router, OpenError> {
    if let Some((_, disk)) = &config.past {
        disk.clear().map_err(OpenError::Folder)?;
    }
    let streams = Streams::new(handle.clone(), config);
    if streams.config().is_always_on() {
        tokio::spawn(streams.clone().keep_all());
    }
    handle.set_serves_hls();
    let state = Hls {
        handle,
        http: http.clone(),
        streams,
        signer: Arc::new(Signer::new().map_err(|_| OpenError::Randomness)?),
    };
    let routes = Router::new()
        .route("/hls/{room}/index.m3u8", get(index).options(options))
        .route("/hls/{room}/{file}", get(file).options(options))
        .route(
            "/hls/{room}/s/{signature}/index.m3u8",
            get(signed_index).options(options),
        )
        .route(
            "/hls/{room}/s/{signature}/{file}",
            get(signed_file).options(options),
        )
        .with_state(state);
    Ok(protect(routes, &http))
}

#[derive(Clone)]
struct Hls {
    handle: Handle,
    http: Context,
    streams: Streams,
    signer: Arc<Signer>,
}

impl FromRef<Hls> for Context {
    fn from_ref(state: &Hls) -> Self {
        state.http.clone()
    }
}

#[derive(Debug, Deserialize)]
struct Parameters {
    /// For players that can send no header.
    token: Option<String>,
    /// The name that the multivariant playlist gave its reader.
    player: Option<String>,
    #[serde(rename = "_HLS_msn")]
    msn: Option<u64>,
    #[serde(rename = "_HLS_part")]
    part: Option<usize>,
    #[serde(rename = "_HLS_skip")]
    skip: Option<String>,
}

impl Parameters {
    fn credentials(&self, headers: &HeaderMap) -> Credentials {
        match &self.token {
            Some(token) if !headers.contains_key(header::AUTHORIZATION) => {
                Credentials::bearer(token)
            }
            Some(_) | None => bearer(headers),
        }
    }
}

async fn options() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ALLOW, "GET, HEAD, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Range"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The multivariant playlist, for whoever may watch.
async fn index(
    State(state): State<Hls>,
    Path(room): Path<RoomId>,
    Query(parameters): Query<Parameters>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let credentials = parameters.credentials(&headers);
    let shown = credentials.secret().is_some();
    state.may_watch(&room, credentials, &caller).await?;
    // What a service outside allowed is not asked again with every part.
    let anyone = !shown && state.handle.decides_alone();
    let signature = (!anyone).then(|| state.signer.sign(&room, now()));
    state
        .multivariant(&room, signature.as_deref(), &headers)
        .await
}

/// The multivariant playlist again, for who was let in before.
async fn signed_index(
    State(state): State<Hls>,
    Path((room, signature)): Path<(RoomId, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    state.check(&room, &signature)?;
    state.multivariant(&room, None, &headers).await
}

async fn file(
    State(state): State<Hls>,
    Path((room, file)): Path<(RoomId, String)>,
    Query(parameters): Query<Parameters>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let credentials = parameters.credentials(&headers);
    if credentials.secret().is_none() && !state.handle.decides_alone() {
        let detail = "begin with index.m3u8, whose addresses carry a signature";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    let private = credentials.secret().is_some();
    state.may_watch(&room, credentials, &caller).await?;
    state
        .serve(&room, &file, &parameters, &headers, &caller, private)
        .await
}

async fn signed_file(
    State(state): State<Hls>,
    Path((room, signature, file)): Path<(RoomId, String, String)>,
    Query(parameters): Query<Parameters>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    state.check(&room, &signature)?;
    state
        .serve(&room, &file, &parameters, &headers, &caller, false)
        .await
}

impl Hls {
    async fn may_watch(
        &self,
        room: &RoomId,
        credentials: Credentials,
        caller: &Caller,
    ) -> Result<(), Problem> {
        let request = ReadFrames {
            room: room.clone(),
            participant: None,
            credentials,
            client: caller.client(),
            door: Door::Hls,
        };
        Ok(self.handle.may_watch(request).await?)
    }

    fn check(&self, room: &RoomId, signature: &str) -> Result<(), Problem> {
        let checked = self.signer.check(signature, room, now());
        checked.map_err(|refused| Problem::new(StatusCode::FORBIDDEN, refused.to_string()))
    }

    async fn multivariant(
        &self,
        room: &RoomId,
        signature: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        self.handle.check_place(room)?;
        let text = self.open(room).await?.1;
        let text = addressed(&text, signature, &self.signer.name(room));
        let gzip = accepts_gzip(headers);
        let body: Bytes = if gzip {
            compressed(text.as_bytes()).into()
        } else {
            text.into()
        };
        // A signature is one person's.
        let public = signature.is_none();
        Ok(playlist(
            body,
            gzip,
            if public { INDEX_AGE } else { "no-store" },
        ))
    }

    /// The room's stream, which begins where it is not there, and its multivariant playlist.
    async fn open(&self, room: &RoomId) -> Result<(Arc<Stream>, String), Problem> {
        let target = self.streams.config().shape().target();
        let deadline = patience(target);
        self.handle.summon(room, Door::Hls, deadline).await?;
        self.handle.want(room);
        let stream = self.streams.open(room)?;
        let made = self.handle.layers_to_come(room);
        let text = stream.multivariant(room, made, deadline).await?;
        Ok((stream, text))
    }

    /// Who asks.
    fn player(&self, room: &RoomId, parameters: &Parameters, caller: &Caller) -> Player {
        let named = parameters.player.as_deref();
        match named.and_then(|name| self.signer.named(name, room)) {
            Some(name) => Player::Named(name),
            None => caller.address().map_or(Player::Unknown, Player::At),
        }
    }

    async fn serve(
        &self,
        room: &RoomId,
        file: &str,
        parameters: &Parameters,
        headers: &HeaderMap,
        caller: &Caller,
        private: bool,
    ) -> Result<Response, Problem> {
        let asked = Asked::parse(file).ok_or_else(|| no_such_file(file))?;
        let stream = match (self.streams.get(room), asked) {
            (Some(stream), _) => stream,
            // A player that paused goes on where the stream has ended meanwhile.
            (None, Asked::Playlist(_)) => self.open(room).await?.0,
            (None, Asked::Map(..) | Asked::Segment(..) | Asked::Part(..)) => {
                return Err(gone(file));
            }
        };
        let target = self.streams.config().shape().target();
        let found = match asked {
            Asked::Playlist(name) => {
                let until = until(parameters)?;
                let player = self.player(room, parameters, caller);
                stream.admit(&self.handle, room, player)?;
                let wish = Wish {
                    skip: parameters
                        .skip
                        .as_deref()
                        .is_some_and(|skip| skip.starts_with("YES") || skip == "v2"),
                };
                let gzip = accepts_gzip(headers);
                let deadline = patience(target);
                let age = if private { "no-store" } else { PLAYLIST_AGE };
                return match stream.media(name, wish, until, gzip, deadline).await {
                    Found::Text(text) => Ok(playlist(text, gzip, age)),
                    Found::Nothing => Err(no_such_file(file)),
                    Found::TooFar(next) => Err(Problem::bad_request(format!(
                        "_HLS_msn is too far ahead: the segment that comes next is {next}"
                    ))),
                    Found::Late => Err(Problem::new(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "what the playlist was to contain did not come in time: the publisher pauses",
                    )
                    .retry_after(Duration::from_secs(2))),
                };
            }
            Asked::Map(name, number) => stream.map(name, number),
            Asked::Segment(name, msn) => stream.segment(name, msn).await,
            Asked::Part(name, msn, part) => stream.part(name, msn, part, patience(target)).await,
        };
        let age = if private {
            "private, max-age=86400"
        } else {
            MEDIA_AGE
        };
        found
            .map(|bytes| media(bytes, age))
            .ok_or_else(|| gone(file))
    }
}

/// What the last part of a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Playlist(Name),
    Map(Name, u64),
    Segment(Name, u64),
    Part(Name, u64, usize),
}

impl Asked {
    fn parse(file: &str) -> Option<Self> {
        if let Some(name) = file.strip_suffix(".m3u8") {
            return Some(Self::Playlist(name.parse().ok()?));
        }
        if let Some(file) = file.strip_suffix(".mp4") {
            let (name, number) = file.split_once("-i")?;
            return Some(Self::Map(name.parse().ok()?, whole(number)?));
        }
        let (name, numbers) = file.strip_suffix(".m4s")?.split_once('-')?;
        let name = name.parse().ok()?;
        Some(match numbers.split_once('.') {
            Some((msn, part)) => Self::Part(name, whole(msn)?, usize::try_from(whole(part)?).ok()?),
            None => Self::Segment(name, whole(numbers)?),
        })
    }
}

/// A number as we write it: one name for one thing, or caches would keep it several times.
fn whole(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn until(parameters: &Parameters) -> Result<Option<(u64, Option<usize>)>, Problem> {
    match (parameters.msn, parameters.part) {
        (None, Some(_)) => Err(Problem::bad_request("_HLS_part needs _HLS_msn beside it")),
        (Some(_), Some(part)) if part > MAX_PART => Err(Problem::bad_request(format!(
            "_HLS_part is above {MAX_PART}"
        ))),
        (None, None) => Ok(None),
        (Some(msn), part) => Ok(Some((msn, part))),
    }
}

/// Puts the signature before every address, so that players who know it ask for nothing without,
/// and the player's name behind. Addresses in media playlists inherit the signature alone: caches
/// may keep parts and segments for all.
fn addressed(text: &str, signature: Option<&str>, name: &str) -> String {
    let before = signature.map_or_else(String::new, |signature| format!("s/{signature}/"));
    let of = |address: &str| format!("{before}{address}?player={name}");
    let mut out = String::with_capacity(text.len() + 512);
    for line in text.lines() {
        if line.is_empty() || line.starts_with('#') {
            match line
                .split_once("URI=\"")
                .and_then(|(head, rest)| Some((head, rest.split_once('"')?)))
            {
                Some((head, (address, tail))) => {
                    out.push_str(&format!("{head}URI=\"{}\"{tail}", of(address)));
                }
                None => out.push_str(line),
            }
        } else {
            out.push_str(&of(line));
        }
        out.push('\n');
    }
    out
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("gzip"))
                && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0"))
        })
}

fn playlist(body: Bytes, gzip: bool, age: &'static str) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/vnd.apple.mpegurl"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(age));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn media(body: Bytes, age: &'static str) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("video/mp4"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(age));
    response
}

fn no_such_file(file: &str) -> Problem {
    let shown: String = file.chars().take(80).collect();
    Problem::not_found(format!(
        "there is no {shown:?} in this room's stream; begin with index.m3u8"
    ))
}

fn gone(file: &str) -> Problem {
    let shown: String = file.chars().take(80).collect();
    Problem::not_found(format!("{shown:?} is not there, or not any more"))
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_one_name() {
        let video = Name::Video(0);
        assert_eq!(Asked::parse("v0.m3u8"), Some(Asked::Playlist(video)));
        assert_eq!(Asked::parse("aac.m3u8"), Some(Asked::Playlist(Name::Aac)));
        assert_eq!(Asked::parse("v0-i12.mp4"), Some(Asked::Map(video, 12)));
        assert_eq!(
            Asked::parse("a-12.m4s"),
            Some(Asked::Segment(Name::Audio, 12))
        );
        assert_eq!(Asked::parse("v0-12.3.m4s"), Some(Asked::Part(video, 12, 3)));
        for bad in [
            "",
            "v9.m3u8",
            "v0",
            "v0-.m4s",
            "v0-1.2.3.m4s",
            "v0-01.m4s",
            "v0-1.+2.m4s",
            "../v0.m3u8",
            "v0-i.mp4",
            "v0-99999999999999999999.m4s",
            "x-1.m4s",
        ] {
            assert_eq!(Asked::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn addresses_have_a_signature_before_and_a_name_behind() {
        let text =
            "#EXTM3U\n#EXT-X-MEDIA:URI=\"a.m3u8\",CHANNELS=\"2\"\n#EXT-X-STREAM-INF:B\nv0.m3u8\n";
        assert_eq!(
            addressed(text, Some("sig"), "me"),
            "#EXTM3U\n#EXT-X-MEDIA:URI=\"s/sig/a.m3u8?player=me\",CHANNELS=\"2\"\n\
             #EXT-X-STREAM-INF:B\ns/sig/v0.m3u8?player=me\n"
        );
        assert_eq!(addressed("v0.m3u8\n", None, "me"), "v0.m3u8?player=me\n");
    }

    #[test]
    fn gzip_is_for_those_who_take_it() {
        let accepts = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            accepts_gzip(&headers)
        };
        assert!(accepts("gzip, deflate, br"));
        assert!(accepts("br, GZIP;q=0.5"));
        assert!(!accepts("br"));
        assert!(!accepts("gzip;q=0"));
    }
}
