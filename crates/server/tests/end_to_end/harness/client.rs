//! Real clients as processes that tell events as JSON lines and take commands likewise.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::PATIENCE;
use super::server::project;

/// Events and messages kept for the report of a failure.
const LOG_LINES: usize = 60;
/// Events on their way to the test; a client that reports four times a second never fills it
/// while the test still listens.
const EVENTS: usize = 4096;

type Log = Arc<Mutex<VecDeque<String>>>;

/// A client process; killed when dropped.
#[derive(Debug)]
pub(crate) struct Client {
    name: String,
    child: Child,
    commands: Option<ChildStdin>,
    events: mpsc::Receiver<Value>,
    log: Log,
}

/// Which way a client's media goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Publish,
    Watch,
}

impl Flow {
    fn word(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Watch => "watch",
        }
    }
}

impl Client {
    /// Chromium with an empty page that speaks WHIP or WHEP to `url`.
    pub(crate) fn browser(flow: Flow, url: &str, options: &[&str]) -> Self {
        Self::script(
            "browser.mjs",
            &[&[flow.word(), "--url", url], options].concat(),
        )
    }

    /// Chromium with an empty page that lets the server behind the WHEP `url` offer.
    pub(crate) fn offered(url: &str, options: &[&str]) -> Self {
        let role = ["offered", "--url", url];
        Self::script("browser.mjs", &[&role, options].concat())
    }

    /// Chromium with a page of the product.
    pub(crate) fn page(url: &str) -> Self {
        Self::page_with(url, &[])
    }

    /// The same with options of the client.
    pub(crate) fn page_with(url: &str, options: &[&str]) -> Self {
        Self::script("browser.mjs", &[&["page", "--url", url], options].concat())
    }

    /// libdatachannel, sending `file` or comparing what arrives with it.
    pub(crate) fn datachannel(flow: Flow, url: &str, options: &[&str]) -> Self {
        Self::script(
            "datachannel.mjs",
            &[&[flow.word(), "--url", url], options].concat(),
        )
    }

    /// The same, run by another program, such as `ip netns exec`.
    pub(crate) fn datachannel_by(by: &[&str], flow: Flow, url: &str, options: &[&str]) -> Self {
        let script = project().join("dev/clients/datachannel.mjs");
        let mut command = Command::new(by[0]);
        command.args(&by[1..]).arg("node").arg(script);
        command.args([flow.word(), "--url", url]).args(options);
        Self::spawn("datachannel.mjs", command)
    }

    /// libdatachannel, telling how far apart the server says that keyframes and tones are.
    pub(crate) fn sync(url: &str) -> Self {
        Self::script("sync.mjs", &["watch", "--url", url])
    }

    /// A client of FTL, sending `--file` to a channel's number.
    pub(crate) fn ftl(address: &str, channel: &str, key: &str, options: &[&str]) -> Self {
        let of = ["publish", "--address", address, "--channel", channel];
        Self::script("ftl.mjs", &[&of, &["--key", key][..], options].concat())
    }

    /// GStreamer's webrtcbin.
    pub(crate) fn gstreamer(flow: Flow, url: &str, options: &[&str]) -> Self {
        // Debian's interpreter: another one first on PATH cannot import GStreamer's bindings.
        let mut command = Command::new("/usr/bin/python3");
        command.arg(project().join("dev/clients/gstreamer.py"));
        command.args([flow.word(), "--url", url]).args(options);
        Self::spawn("gstreamer.py", command)
    }

    /// GStreamer's RTSP: `publish`, `watch`, or `serve` as a camera does.
    pub(crate) fn gstreamer_rtsp(role: &str, options: &[&str]) -> Self {
        let mut command = Command::new("/usr/bin/python3");
        command.arg(project().join("dev/clients/gstreamer_rtsp.py"));
        command.arg(role).args(options);
        Self::spawn("gstreamer_rtsp.py", command)
    }

    fn script(name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("node");
        command
            .arg(project().join("dev/clients").join(name))
            .args(arguments);
        Self::spawn(name, command)
    }

    /// Starts a program; what it writes besides JSON lines is kept for the report of a failure.
    pub(crate) fn spawn(name: &str, mut command: Command) -> Self {
        for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(proxy);
        }
        command
            .env("INVER_TOOLS", tools())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{name} is missing: {error}; run `cargo xtask setup`"));
        let log = Log::default();
        let (sender, events) = mpsc::channel(EVENTS);
        read(
            child.stdout.take().expect("piped"),
            Arc::clone(&log),
            Some(sender),
        );
        read(child.stderr.take().expect("piped"), Arc::clone(&log), None);
        Self {
            name: name.to_owned(),
            commands: child.stdin.take(),
            child,
            events,
            log,
        }
    }

    /// Waits for an event of this name.
    pub(crate) async fn event(&mut self, name: &str) -> Value {
        self.until(name, &format!("the event {name}"), |_| true)
            .await
    }

    /// Waits for figures that fulfil `reached`.
    pub(crate) async fn stats(&mut self, what: &str, reached: impl Fn(&Value) -> bool) -> Value {
        self.until("stats", what, reached).await
    }

    /// Waits for the peer connection's state.
    pub(crate) async fn state(&mut self, state: &str) {
        let what = format!("the state {state}");
        self.until("state", &what, |event| event["state"] == state)
            .await;
    }

    /// The next figures.
    pub(crate) async fn now(&mut self) -> Value {
        while self.events.try_recv().is_ok() {}
        self.stats("figures", |_| true).await
    }

    /// Sends a command and waits until it is done.
    pub(crate) async fn command(&mut self, command: Value) -> Value {
        let line = format!("{command}\n");
        let pipe = self
            .commands
            .as_mut()
            .expect("open until the client is dropped");
        pipe.write_all(line.as_bytes())
            .await
            .expect("the client still runs");
        self.until("done", &format!("the end of {command}"), |event| {
            event["do"] == command["do"]
        })
        .await
    }

    /// Waits until the page shows a text, looking whenever figures come.
    pub(crate) async fn shows(&mut self, text: &str) {
        let looking = async {
            loop {
                self.now().await;
                let shown = self.command(json!({"do": "text"})).await;
                if shown["text"]
                    .as_str()
                    .is_some_and(|shown| shown.contains(text))
                {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, looking)
            .await
            .unwrap_or_else(|_| panic!("the page never showed {text:?}"));
    }

    /// Deletes the session as the protocol asks for, and returns the answer's status.
    pub(crate) async fn end(&mut self) -> Value {
        self.command(json!({"do": "end"})).await["status"].clone()
    }

    /// Ends the process with no chance to say goodbye.
    pub(crate) async fn vanish(mut self) {
        self.child.kill().await.expect("the client still ran");
    }

    async fn until(&mut self, name: &str, what: &str, reached: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut last = Value::Null;
        loop {
            let event = match timeout_at(deadline, self.events.recv()).await {
                Ok(Some(event)) => event,
                Ok(None) => self.give_up(what, "the client ended", &last),
                Err(_) => self.give_up(what, &format!("{PATIENCE:?} passed"), &last),
            };
            if event["event"] == "failed" {
                self.give_up(what, "the client failed", &event);
            }
            if event["event"] == name {
                if reached(&event) {
                    return event;
                }
                last = event;
            }
        }
    }

    fn give_up(&self, what: &str, why: &str, last: &Value) -> ! {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let log: Vec<&str> = log.iter().map(String::as_str).collect();
        let name = &self.name;
        panic!(
            "{name}: waiting for {what}: {why}\nlast: {last:#}\nlog:\n{}",
            log.join("\n")
        );
    }
}

fn read(
    output: impl AsyncRead + Unpin + Send + 'static,
    log: Log,
    events: Option<mpsc::Sender<Value>>,
) {
    let mut lines = BufReader::new(output).lines();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            let event = serde_json::from_str::<Value>(&line).ok();
            if !event
                .as_ref()
                .is_some_and(|event| event["event"] == "stats")
            {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                if log.len() == LOG_LINES {
                    log.pop_front();
                }
                log.push_back(line);
            }
            if let (Some(events), Some(event)) = (&events, event) {
                // The test has ended when nobody receives any more.
                let _ = events.send(event).await;
            }
        }
    });
}

/// Folder of the test tools, as set-up made it.
fn tools() -> PathBuf {
    std::env::var_os("INVER_TOOLS").map_or_else(|| project().join("target/tools"), PathBuf::from)
}

/// The FFmpeg that knows WHIP.
///
/// # Panics
///
/// When set-up has not installed it.
pub(crate) fn ffmpeg() -> PathBuf {
    let folder = tools().join("python/imageio_ffmpeg/binaries");
    let found = std::fs::read_dir(&folder).ok().and_then(|entries| {
        entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with("ffmpeg-"))
            })
    });
    found.unwrap_or_else(|| {
        panic!(
            "imageio-ffmpeg is missing in {}: run `cargo xtask setup`",
            folder.display()
        )
    })
}

/// Longest time that FFmpeg may take to write a test file.
pub(super) const ENCODING: Duration = Duration::from_secs(60);
