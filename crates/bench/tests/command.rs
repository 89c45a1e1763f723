//! The whole command against the real data plane behind a small WHIP and WHEP server.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use clap::Parser as _;
use inver_proto::{SessionId, SourceId};
use inver_shard::{ClientHint, CloseReason, Config, DataForwarding, Link, Publish, Subscribe};

#[derive(Debug, clap::Parser)]
struct Command {
    #[command(flatten)]
    args: inver_bench::Args,
}

/// A server with one thing that each test looks at.
struct Server {
    link: Link,
    sessions: AtomicU64,
    ended: AtomicU64,
    /// Requests to watch that are refused with 409 before one is granted.
    not_live: AtomicU64,
    /// Whether viewers get their media through [`lossy_relay`].
    lossy: bool,
    rooms: HashMap<&'static str, SourceId>,
}

type Shared = State<Arc<Server>>;

impl Server {
    fn created(&self, session: SessionId, sdp: String) -> Response {
        let headers = [
            (header::CONTENT_TYPE, "application/sdp".to_owned()),
            // Relative, as RFC 9725 allows.
            (header::LOCATION, format!("../session/{}", session.0)),
        ];
        (StatusCode::CREATED, headers, sdp).into_response()
    }
}

fn authorized(headers: &HeaderMap) -> bool {
    headers
        .get(header::AUTHORIZATION)
        .is_some_and(|value| value == "Bearer open")
}

async fn whip(
    State(server): Shared,
    Path(room): Path<String>,
    headers: HeaderMap,
    offer: String,
) -> Response {
    if !authorized(&headers) {
        let problem = r#"{"status":401,"detail":"this room has a key"}"#;
        return (StatusCode::UNAUTHORIZED, problem).into_response();
    }
    let Some(source) = server.rooms.get(room.as_str()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let session = SessionId(server.sessions.fetch_add(1, Ordering::Relaxed) + 1);
    let publish = Publish {
        session,
        source: *source,
        offer,
        client: ClientHint::default(),
        data: DataForwarding::Off,
    };
    match server.link.publish(publish).await {
        Ok(answer) => server.created(session, answer.sdp),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

async fn whep(State(server): Shared, Path(room): Path<String>, offer: String) -> Response {
    let left = server
        .not_live
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
    if left.is_ok() {
        return (StatusCode::CONFLICT, "nobody is live").into_response();
    }
    let Some(source) = server.rooms.get(room.as_str()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let session = SessionId(server.sessions.fetch_add(1, Ordering::Relaxed) + 1);
    let subscribe = Subscribe {
        session,
        source: *source,
        offer: Some(offer),
        client: ClientHint::default(),
    };
    match server.link.subscribe(subscribe).await {
        Ok(answer) if server.lossy => {
            let relay = lossy_relay(server.link.candidates()[0]);
            server.created(session, through(&answer.sdp, relay))
        }
        Ok(answer) => server.created(session, answer.sdp),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

/// One media packet in this many is lost on the lossy way.
const LOSS: u64 = 25;

/// Forwards datagrams between one client and `server`; loses some media on the way down. Ends
/// when nothing comes any more.
fn lossy_relay(server: SocketAddr) -> SocketAddr {
    let down = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let up = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let addr = down.local_addr().expect("bound");
    for socket in [&down, &up] {
        let idle = Some(Duration::from_secs(3));
        socket.set_read_timeout(idle).expect("a time");
    }
    up.connect(server).expect("an address");
    let (down2, up2) = (
        down.try_clone().expect("a handle"),
        up.try_clone().expect("a handle"),
    );
    let (client, known) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = down.recv_from(&mut buffer) {
            let _ = client.send(from);
            let _ = up.send(&buffer[..len]);
        }
    });
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        let mut client = None;
        let mut media = 0;
        while let Ok(len) = up2.recv(&mut buffer) {
            client = known.try_iter().last().or(client);
            let is_media = (128..192).contains(&buffer[0]) && !(192..224).contains(&buffer[1]);
            media += u64::from(is_media);
            if is_media && media % LOSS == 0 {
                continue;
            }
            if let Some(client) = client {
                let _ = down2.send_to(&buffer[..len], client);
            }
        }
    });
    addr
}

/// An answer whose only candidate is `relay`.
fn through(answer: &str, relay: SocketAddr) -> String {
    let mut sdp: String = answer
        .split_inclusive("\r\n")
        .filter(|line| !line.starts_with("a=candidate:"))
        .collect();
    let candidate = format!(
        "a=candidate:1 1 udp 2130706431 {} {} typ host\r\na=end-of-candidates",
        relay.ip(),
        relay.port()
    );
    sdp = sdp.replacen("a=end-of-candidates", &candidate, 1);
    sdp
}

async fn moved(Path((door, room)): Path<(String, String)>) -> Response {
    let location = format!("/{door}/{room}");
    (
        StatusCode::TEMPORARY_REDIRECT,
        [(header::LOCATION, location)],
    )
        .into_response()
}

/// To the same server by another name: another origin.
async fn away(headers: HeaderMap, Path((door, room)): Path<(String, String)>) -> Response {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let port = host.and_then(|host| host.rsplit(':').next());
    let location = format!("http://localhost:{}/{door}/{room}", port.unwrap_or("80"));
    (
        StatusCode::TEMPORARY_REDIRECT,
        [(header::LOCATION, location)],
    )
        .into_response()
}

async fn end(State(server): Shared, Path(session): Path<u64>) -> StatusCode {
    server.ended.fetch_add(1, Ordering::Relaxed);
    server.link.close(SessionId(session), CloseReason::Asked);
    StatusCode::OK
}

/// Runs `test` in a thread while a server runs.
fn with_server(not_live: u64, lossy: bool, test: impl FnOnce(SocketAddr, &Server)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let config = Config {
        bind: vec![Ipv4Addr::LOCALHOST.into()],
        port: 0,
        shards: 1,
        ..Config::default()
    };
    let guard = runtime.enter();
    let (link, mut events) = inver_shard::start(config).expect("ports");
    drop(guard);
    runtime.spawn(async move { while events.recv().await.is_some() {} });
    let server = Arc::new(Server {
        link,
        sessions: AtomicU64::new(0),
        ended: AtomicU64::new(0),
        not_live: AtomicU64::new(not_live),
        lossy,
        rooms: HashMap::from([
            ("bench", SourceId(1)),
            ("bench-1", SourceId(2)),
            ("bench-2", SourceId(3)),
        ]),
    });
    let router = Router::new()
        .route("/whip/{room}", post(whip))
        .route("/whep/{room}", post(whep))
        .route("/old/{door}/{room}", post(moved))
        .route("/away/{door}/{room}", post(away))
        .route("/session/{session}", delete(end))
        .with_state(Arc::clone(&server));
    let addr = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        let addr = listener.local_addr().expect("bound");
        tokio::spawn(async move { axum::serve(listener, router).await });
        addr
    });
    test(addr, &server);
    runtime.block_on(server.link.stop());
}

fn bench(line: &str, json: &FilePath) -> anyhow::Result<serde_json::Value> {
    let words = std::iter::once("bench").chain(line.split_whitespace());
    let mut args = Command::parse_from(words).args;
    args.json = Some(json.to_owned());
    inver_bench::run(args)?;
    let text = std::fs::read_to_string(json)?;
    Ok(serde_json::from_str(&text)?)
}

fn number(report: &serde_json::Value, path: &str) -> f64 {
    let value = report.pointer(path);
    value
        .and_then(serde_json::Value::as_f64)
        .unwrap_or_else(|| panic!("{path} is no number in {report:#}"))
}

#[test]
fn five_viewers_get_everything_that_is_published() {
    let folder = tempfile::tempdir().expect("a folder");
    with_server(2, false, |addr, server| {
        let line = format!(
            "--server http://{addr}/old --token open --viewers 5 --join-rate 100 --duration 2s \
             --server-pid {} --own",
            std::process::id()
        );
        let report = bench(&line, &folder.path().join("report.json")).expect("a result");
        assert_eq!(number(&report, "/joining/playing"), 5.0, "{report:#}");
        assert_eq!(number(&report, "/joining/retries"), 2.0);
        assert_eq!(report["joining"]["failures"], serde_json::json!({}));
        assert_eq!(
            number(&report, "/quality/packets_lost_raw"),
            0.0,
            "{report:#}"
        );
        assert_eq!(number(&report, "/quality/packets_lost"), 0.0);
        assert_eq!(number(&report, "/quality/frames_broken"), 0.0);
        // Every viewer saw a keyframe and what followed it.
        assert_eq!(number(&report, "/joining/first_keyframe_ms/count"), 5.0);
        assert!(number(&report, "/quality/frames") > 5.0 * 55.0);
        // Two seconds of 2.5 Mbit/s and sound, five times; each packet was timed.
        let rate = number(&report, "/throughput/bits_per_second") / 5.0;
        assert!((2e6..4e6).contains(&rate), "{rate}");
        let timed = number(&report, "/forwarding_delay_ms/count");
        assert!(
            timed > 0.95 * number(&report, "/throughput/packets"),
            "{report:#}"
        );
        assert!(number(&report, "/forwarding_delay_ms/p50") < 100.0);
        assert!(number(&report, "/server/us_per_packet") > 0.0);
        assert_eq!(
            server.ended.load(Ordering::Relaxed),
            6,
            "every session was ended"
        );
    });
}

#[test]
fn h264_in_two_rooms_without_sound() {
    let folder = tempfile::tempdir().expect("a folder");
    with_server(0, false, |addr, _| {
        let line = format!(
            "--whip http://{addr}/whip/bench-{{}} --whep http://{addr}/whep/bench-{{}} \
             --token open --publishers 2 --viewers 4 --codec h264 --no-audio --bitrate 1M \
             --duration 1s --no-gro --threads 2"
        );
        let report = bench(&line, &folder.path().join("report.json")).expect("a result");
        assert_eq!(number(&report, "/joining/playing"), 4.0, "{report:#}");
        assert_eq!(number(&report, "/joining/first_keyframe_ms/count"), 4.0);
        assert_eq!(number(&report, "/quality/packets_lost"), 0.0);
        assert_eq!(number(&report, "/publishing/publishers"), 2.0);
        assert_eq!(report["generator"]["receive_offload"], false);
    });
}

#[test]
fn losses_are_counted_before_and_after_their_repair() {
    let folder = tempfile::tempdir().expect("a folder");
    with_server(0, true, |addr, _| {
        let line = format!(
            "--server http://{addr} --token open --viewers 3 --duration 3s --no-audio --bitrate 1M"
        );
        let report = bench(&line, &folder.path().join("report.json")).expect("a result");
        assert_eq!(number(&report, "/joining/playing"), 3.0, "{report:#}");
        let expected = number(&report, "/quality/packets_expected");
        let raw = number(&report, "/quality/packets_lost_raw");
        let share = raw / expected * LOSS as f64;
        assert!((0.7..1.3).contains(&share), "one in {LOSS}: {report:#}");
        let lost = number(&report, "/quality/packets_lost");
        assert!(lost < raw / 10.0, "retransmissions mend it: {report:#}");
        // Those that were lost again had to be sent again.
        let repaired = number(&report, "/quality/retransmissions");
        assert!(repaired >= raw - lost, "{report:#}");
        assert!(number(&report, "/quality/nacks") >= raw / 2.0, "{report:#}");
    });
}

#[test]
fn watching_only_measures_no_delay_and_says_who_got_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    with_server(0, false, |addr, _| {
        let line = format!("--server http://{addr} --no-publish --viewers 1 --duration 100ms");
        let error = bench(&line, &folder.path().join("report.json")).expect_err("no media");
        assert!(
            error.to_string().contains("no viewer got media"),
            "{error:#}"
        );
        let text = std::fs::read_to_string(folder.path().join("report.json")).expect("written");
        let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(report["joining"]["failures"]["no media"], 1, "{report:#}");
        assert!(report["forwarding_delay_ms"].is_null());
    });
}

#[test]
fn a_token_goes_to_another_origin_only_when_told_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("report.json");
    with_server(0, false, |addr, _| {
        let line = format!("--server http://{addr}/away --token open --viewers 1 --duration 100ms");
        let error = format!("{:#}", bench(&line, &json).expect_err("no token there"));
        assert!(
            error.contains("localhost") && error.contains("401"),
            "{error}"
        );
        let report = bench(&format!("{line} --redirect-token"), &json).expect("a result");
        assert_eq!(number(&report, "/joining/playing"), 1.0);
    });
}

#[test]
fn refusals_are_told_with_their_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("report.json");
    with_server(0, false, |addr, _| {
        let error = bench(&format!("--server http://{addr}"), &json).expect_err("no token");
        let error = format!("{error:#}");
        for needle in ["cannot publish", "401", "this room has a key", "--token"] {
            assert!(error.contains(needle), "{needle:?} is missing in {error}");
        }
        let line = format!("--server http://{addr} --token open --room nobody");
        let error = format!("{:#}", bench(&line, &json).expect_err("no such room"));
        assert!(error.contains("404"), "{error}");
    });
    let closed = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a port");
    let error = bench(&format!("--server http://{closed}"), &json).expect_err("nobody listens");
    let error = format!("{error:#}");
    assert!(
        error.contains("cannot be reached") && error.contains("refused"),
        "{error}"
    );
    let line = format!("--server http://{closed} --server-pid 4294967295");
    let error = format!("{:#}", bench(&line, &json).expect_err("no such process"));
    assert!(error.contains("--server-pid 4294967295"), "{error}");
}
