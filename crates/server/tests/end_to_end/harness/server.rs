//! The program under test, as a process of its own.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until, timeout};

use super::PATIENCE;

/// Lines of the log kept for the report of a failure.
const LOG_LINES: usize = 400;
/// Time between two looks at what the control API says.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

type Log = Arc<Mutex<VecDeque<String>>>;

/// How to start a server.
#[derive(Debug)]
pub(crate) struct Builder {
    listen: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    data: Arc<TempDir>,
}

impl Builder {
    /// Free ports on loopback, one shard, an empty data folder.
    pub(crate) fn new() -> Self {
        let data = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        let arguments = ["--media-port", "0", "--shards", "1"];
        let builder = Self {
            listen: "127.0.0.1:0".to_owned(),
            arguments: arguments.map(str::to_owned).to_vec(),
            environment: Vec::new(),
            data,
        };
        // Servers of several tests run side by side.
        ["rtmp.listen", "rtsp.listen", "srt.listen", "ftl.listen"]
            .into_iter()
            .fold(builder, |builder, key| builder.set(key, "127.0.0.1:0"))
    }

    /// A certificate that nobody knows, and with it RTMPS.
    pub(crate) fn self_signed(self) -> Self {
        self.set("rtmp.tls_listen", "127.0.0.1:0")
            .arguments(&["--self-signed"])
    }

    /// One more key of the configuration, as `section.key`.
    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        let name = format!("INVER_{}", key.replace('.', "__").to_uppercase());
        self.environment.push((name, value.to_owned()));
        self
    }

    /// Another address to listen on.
    pub(crate) fn listen(mut self, address: &str) -> Self {
        address.clone_into(&mut self.listen);
        self
    }

    /// More arguments of the command line.
    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Rooms need keys, as on a public address.
    pub(crate) fn keyed(self) -> Self {
        self.set("rooms.open", "false")
            .arguments(&["--show-admin-link"])
    }

    /// Starts the program and waits for its banner.
    pub(crate) async fn start(&self) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_inver"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("INVER_") {
                command.env_remove(name);
            }
        }
        command
            .args(["serve", "--listen", &self.listen])
            .args(&self.arguments)
            .args([
                "--data-dir",
                &self.data.path().join("data").to_string_lossy(),
            ])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.data.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .expect("the program was built with this test");
        let log = Log::default();
        keep(child.stderr.take().expect("piped"), Arc::clone(&log));
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut banner = Vec::new();
        let reading = async {
            while let Some(line) = lines.next_line().await.expect("the banner is text") {
                let last = line.contains("Ctrl-C");
                banner.push(line);
                if last {
                    return true;
                }
            }
            false
        };
        let complete = timeout(PATIENCE, reading).await == Ok(true);
        let log_then = || log.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert!(
            complete,
            "no complete banner: {banner:#?}\nlog: {:#?}",
            log_then()
        );
        keep(lines.into_inner().into_inner(), Arc::clone(&log));

        let field = |name: &str| {
            let line = banner
                .iter()
                .find_map(|line| line.trim().strip_prefix(name));
            line.unwrap_or_else(|| panic!("the banner has no {name}: {banner:#?}"))
                .trim()
        };
        let base = field("Home").trim_end_matches('/').to_owned();
        let ports = field("Media").trim_start_matches(|c: char| !c.is_ascii_digit());
        let port = ports
            .split(|c: char| !c.is_ascii_digit())
            .next()
            .unwrap_or_default();
        let encoders = ["RTMP ", "RTMPS ", "SRT ", "FTL ", "RTSP "].map(|name| {
            let line = banner
                .iter()
                .find_map(|line| line.trim().strip_prefix(name))?;
            let (_, rest) = line.split_once("127.0.0.1:")?;
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse().ok()
        });
        let admin = field("Admin")
            .split_once("#token=")
            .map(|(_, token)| token.to_owned());
        Server {
            child,
            log,
            base,
            media_port: port.parse().expect("the banner tells the media port"),
            encoders,
            admin,
            http: reqwest::Client::builder()
                .timeout(PATIENCE)
                .no_proxy()
                // A server that drains closes idle connections; a request on one of them would
                // race with that.
                .pool_max_idle_per_host(0)
                .build()
                .expect("a client without options that can fail"),
            _data: Arc::clone(&self.data),
        }
    }
}

/// Keeps the last lines of `output`.
fn keep(output: impl AsyncRead + Unpin + Send + 'static, log: Log) {
    let mut lines = BufReader::new(output).lines();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            if log.len() == LOG_LINES {
                log.pop_front();
            }
            log.push_back(line);
        }
    });
}

/// Doors on sockets of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoder {
    Rtmp,
    Rtmps,
    Srt,
    Ftl,
    Rtsp,
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    log: Log,
    base: String,
    /// UDP and TCP port of the only shard.
    pub(crate) media_port: u16,
    /// Ports of RTMP, RTMPS, SRT, FTL and RTSP, where the banner tells them.
    encoders: [Option<u16>; 5],
    /// The administrator's token, where the banner shows it.
    pub(crate) admin: Option<String>,
    http: reqwest::Client,
    _data: Arc<TempDir>,
}

impl Server {
    /// A server with rooms that need no keys.
    pub(crate) async fn open() -> Self {
        Builder::new().start().await
    }

    /// URL of a path that begins with `/`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Where media clients on this machine send to.
    pub(crate) fn media(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.media_port))
    }

    /// Where encoders send to.
    pub(crate) fn encoder(&self, encoder: Encoder) -> SocketAddr {
        let port = self.encoders[encoder as usize];
        let port = port.unwrap_or_else(|| panic!("the banner has no {encoder:?}"));
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// URL of a stream over RTMP.
    pub(crate) fn rtmp(&self, stream: &str) -> String {
        format!("rtmp://{}/live/{stream}", self.encoder(Encoder::Rtmp))
    }

    /// URL of a stream over RTSP.
    pub(crate) fn rtsp(&self, stream: &str) -> String {
        format!("rtsp://{}/{stream}", self.encoder(Encoder::Rtsp))
    }

    /// URL of a stream over SRT; `options` begin with `&`.
    pub(crate) fn srt(&self, stream_id: &str, options: &str) -> String {
        let address = self.encoder(Encoder::Srt);
        format!("srt://{address}?streamid={stream_id}&transtype=live{options}")
    }

    /// Waits until a line of the log holds all of `parts`.
    pub(crate) async fn logs(&self, parts: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = {
                let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
                log.iter()
                    .find(|line| parts.iter().all(|part| line.contains(part)))
                    .cloned()
            };
            if let Some(line) = found {
                return line;
            }
            let now = Instant::now();
            assert!(now < deadline, "no line of the log has {parts:?}");
            sleep_until((now + LOOK_AGAIN).min(deadline)).await;
        }
    }

    /// Number of the process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id().expect("the server still runs")
    }

    /// A request to a path, with the administrator's token where there is one.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, self.url(path));
        match &self.admin {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// A request to a whole URL, with no credentials.
    pub(crate) fn bare(&self, method: Method, url: &str) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// Posts an SDP offer to a path, with a token if there is one.
    pub(crate) async fn offer(&self, path: &str, token: Option<&str>, sdp: &str) -> Response {
        let mut request = self
            .bare(Method::POST, &self.url(path))
            .header("content-type", "application/sdp")
            .body(sdp.to_owned());
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.expect("the server answers")
    }

    /// JSON of a path; panics unless the answer is 200.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let response = self
            .request(Method::GET, path)
            .send()
            .await
            .expect("the server answers");
        let status = response.status();
        let text = response.text().await.expect("a body");
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
    }

    /// Posts JSON to a path and returns the answer's; panics unless the status is the given one.
    pub(crate) async fn post(&self, path: &str, body: &Value, expected: StatusCode) -> Value {
        let request = self.request(Method::POST, path);
        let response = request
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await
            .expect("the server answers");
        let status = response.status();
        let text = response.text().await.expect("a body");
        assert_eq!(status, expected, "POST {path}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
    }

    /// Waits until the room's state, as the control API tells it, fulfils `reached`.
    pub(crate) async fn room_until(
        &self,
        room: &str,
        what: &str,
        reached: impl Fn(&Value) -> bool,
    ) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let path = format!("/api/v1/rooms/{room}");
        loop {
            let response = self.request(Method::GET, &path).send().await;
            let response = response.expect("the server answers");
            // A room that nobody has entered yet does not exist.
            let state = if response.status() == StatusCode::NOT_FOUND {
                Value::Null
            } else {
                let text = response.text().await.expect("a body");
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
            };
            if reached(&state) {
                return state;
            }
            let now = Instant::now();
            assert!(
                now < deadline,
                "{what}: not within {PATIENCE:?}; the room is {state:#}"
            );
            sleep_until((now + LOOK_AGAIN).min(deadline)).await;
        }
    }

    /// The sum of a counter over its labels, from the metrics.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let response = self.request(Method::GET, "/metrics").send().await;
        let text = response
            .expect("the server answers")
            .text()
            .await
            .expect("a body");
        let values: Vec<f64> = text
            .lines()
            .filter(|line| {
                line.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(['{', ' ']))
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        assert!(!values.is_empty(), "/metrics has no {name}:\n{text}");
        values.iter().sum()
    }

    /// Waits until a counter of the metrics reaches `least`.
    pub(crate) async fn metric_reaches(&self, name: &str, least: f64) -> f64 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.metric(name).await;
            if value >= least {
                return value;
            }
            let now = Instant::now();
            assert!(
                now < deadline,
                "{name} is {value} after {PATIENCE:?}, not {least}"
            );
            sleep_until((now + LOOK_AGAIN).min(deadline)).await;
        }
    }

    /// Resident memory in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process());
        let status = std::fs::read_to_string(&path).expect("the server still runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes: u64 = line
            .and_then(|line| line.split_whitespace().next()?.parse().ok())
            .expect("the kernel tells resident memory");
        kibibytes * 1024
    }

    /// Ends the process with no chance to clean up.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("the server still ran");
    }

    /// Sends SIGTERM.
    pub(crate) async fn terminate(&self) {
        let status = Command::new("kill")
            .args(["-TERM", &self.process().to_string()])
            .status()
            .await
            .expect("kill is a program everywhere");
        assert!(status.success());
    }

    /// Waits for the process to end by itself.
    pub(crate) async fn ended(&mut self, within: Duration) -> ExitStatus {
        timeout(within, self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("the server did not end within {within:?}"))
            .expect("the process is our child")
    }

    /// Panics if the server has ended or a thread of it panicked.
    #[track_caller]
    pub(crate) fn assert_sound(&mut self) {
        assert!(
            matches!(self.child.try_wait(), Ok(None)),
            "the server ended by itself"
        );
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let panicked: Vec<_> = log
            .iter()
            .filter(|line| line.contains("panicked at"))
            .collect();
        assert!(panicked.is_empty(), "{panicked:#?}");
    }

    /// Panics if a line of the log has this in it.
    #[track_caller]
    pub(crate) fn assert_never_logged(&self, secret: &str) {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let found: Vec<_> = log.iter().filter(|line| line.contains(secret)).collect();
        assert!(found.is_empty(), "{found:#?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            eprintln!("-- the server's last {} lines:", log.len());
            for line in log.iter() {
                eprintln!("{line}");
            }
        }
    }
}

/// Folder of the project's sources.
pub(super) fn project() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
