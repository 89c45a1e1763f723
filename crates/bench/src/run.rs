//! A run from the first request to the table.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use inver_media::Codec;
use inver_rtc::Direction;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use reqwest::Url;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::args::{Args, Room};
use crate::clock::Clock;
use crate::engine::{Engine, Results};
use crate::feed::{FeedPublisher, Shape};
use crate::packetizer::Packetizer;
use crate::peer::{CONNECT, Offered, Role};
use crate::process::{Process, Usage, buffer_errors};
use crate::publisher::Publisher;
use crate::report::{Findings, Report, Used};
use crate::signalling::{Client, Failure, Opened};
use crate::synthetic::Encoder;
use crate::table;
use crate::viewer::{Asked, Totals, Viewer};

/// Time from the publishers' connection to the first viewer: media reaches the server first.
const FLOW: Duration = Duration::from_millis(300);

/// A viewer asks again for this long where nobody is live yet or the server is busy.
const PERSISTENCE: Duration = Duration::from_secs(5);

/// Time for viewers to get media after the last of them joined.
const SETTLE: Duration = Duration::from_secs(5);

/// Time for the last retransmissions after publishers fell silent, and for the figures about
/// them, which come once a second.
const RECOVERY: Duration = Duration::from_millis(1100);

/// Time for all sessions to be ended.
const FAREWELL: Duration = Duration::from_secs(10);

/// Sessions that are ended at the same time.
const FAREWELLS: usize = 32;

const LOOK: Duration = Duration::from_millis(100);

/// Exit code after a second Ctrl-C, as shells expect it (128 + SIGINT).
const INTERRUPTED: i32 = 130;

/// Runs the load generator: prints progress to standard error and the result to standard output.
///
/// Ctrl-C ends the run early, with a result of what was measured until then; a second one exits
/// at once.
///
/// # Errors
///
/// The arguments make no sense, the server cannot be reached or refuses the publisher, no viewer
/// got media, or the result cannot be written.
pub fn run(args: Args) -> anyhow::Result<()> {
    let rooms = args.rooms()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    runtime.block_on(Box::pin(measure(args, rooms)))
}

async fn measure(args: Args, rooms: Vec<Room>) -> anyhow::Result<()> {
    let mut bench = Bench::new(args, rooms, interrupted().stopped)?;
    let findings = bench.run().await;
    let report = bench.end(findings).await?;
    bench.progress.clear();
    let own = bench.shared.args.own;
    let json = bench.shared.args.json.as_deref();
    write_result(json, &report, || table::render(&report, own))?;
    if report.joining.asked > 0 && report.joining.playing == 0 && !report.interrupted {
        bail!("no viewer got media");
    }
    Ok(())
}

/// Tells when somebody ended the run.
#[derive(Debug)]
pub(crate) struct Interrupted {
    stopped: watch::Receiver<bool>,
}

impl Interrupted {
    pub(crate) fn is_over(&self) -> bool {
        *self.stopped.borrow()
    }

    pub(crate) async fn wait(&mut self) {
        // The sender is never dropped.
        let _ = self.stopped.wait_for(|stopped| *stopped).await;
    }
}

/// From now on Ctrl-C ends the run; a second one exits at once.
pub(crate) fn interrupted() -> Interrupted {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            // Nobody may be left to hear it.
            let _ = stop.send(true);
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(INTERRUPTED);
            }
        }
        // Dropping the sender would look like an interruption.
        std::future::pending::<()>().await;
    });
    Interrupted { stopped }
}

/// Writes a result as JSON to `path` (`-` is standard output), and as text to standard output
/// unless JSON went there.
///
/// # Errors
///
/// It cannot be written.
pub(crate) fn write_result(
    path: Option<&Path>,
    report: &impl Serialize,
    text: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    let json = || {
        let mut json = serde_json::to_string_pretty(report).context("the result as JSON")?;
        json.push('\n');
        anyhow::Ok(json)
    };
    let mut stdout = std::io::stdout().lock();
    let text = match path {
        Some(path) if path.as_os_str() == "-" => json()?,
        Some(path) => {
            std::fs::write(path, json()?)
                .with_context(|| format!("--json: cannot write {}", path.display()))?;
            text()
        }
        None => text(),
    };
    stdout.write_all(text.as_bytes()).context("standard output")
}

/// What the tasks of joining viewers share.
#[derive(Debug)]
struct Shared {
    args: Args,
    rooms: Vec<Room>,
    publisher: Client,
    viewer: Client,
    run: u32,
    clock: Clock,
    bind: IpAddr,
    /// Endpoint and session of everything that was opened, with whether it publishes.
    sessions: Mutex<Vec<(bool, Url, Url)>>,
    watching: Vec<Engine>,
}

impl Shared {
    fn remember(&self, publishes: bool, endpoint: &Url, opened: &Opened) {
        if let Some(session) = &opened.session {
            self.sessions
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((publishes, endpoint.clone(), session.clone()));
        }
    }

    /// Joins one viewer. Gives the number of requests that were made again.
    async fn join(&self, index: usize) -> Result<u64, String> {
        let endpoint = self.rooms[index % self.rooms.len()].whep.as_ref();
        let endpoint = endpoint.ok_or_else(|| "no WHEP endpoint".to_owned())?;
        let deadline = Instant::now() + PERSISTENCE;
        let mut retries = 0;
        loop {
            let first = self.args.codec.codec();
            let mut codecs = vec![Codec::Opus, first];
            let others = Codec::ALL.into_iter();
            codecs.extend(others.filter(|codec| *codec != Codec::Opus && *codec != first));
            let (offered, offer) = Offered::new(
                Direction::Receive,
                !self.args.no_audio,
                &codecs,
                self.bind,
                !self.args.no_gro,
            )
            .map_err(|error| format!("{error:#}"))?;
            let opened = match self.viewer.open(endpoint, offer).await {
                Ok(opened) => opened,
                Err(failure) => {
                    let wait = failure.retry_after();
                    match wait.filter(|wait| Instant::now() + *wait < deadline) {
                        Some(wait) => tokio::time::sleep(wait).await,
                        None => return Err(failure.reason()),
                    }
                    retries += 1;
                    continue;
                }
            };
            self.remember(false, endpoint, &opened);
            let asked = Asked {
                at: opened.asked,
                answered: opened.answered,
            };
            let viewer = Viewer::new(self.run, asked, &opened.answer);
            let peer = offered
                .answered(&opened.answer, Role::Viewer(Box::new(viewer)))
                .map_err(|error| format!("unusable answer: {error}"))?;
            self.watching[index % self.watching.len()]
                .add(peer)
                .await
                .map_err(|gone| gone.to_string())?;
            return Ok(retries);
        }
    }
}

struct Bench {
    shared: Arc<Shared>,
    publishing: Engine,
    feeds: Vec<FeedPublisher>,
    process: Option<Process>,
    own: Process,
    stopped: watch::Receiver<bool>,
    progress: Progress,
    refused: BTreeMap<String, u64>,
    retries: u64,
    buffer_errors: u64,
}

/// What was measured, before the results of single viewers are known.
#[derive(Debug)]
struct Measured {
    interrupted: bool,
    seconds: f64,
    totals: Totals,
    server: Option<Used>,
    own: Used,
}

impl Bench {
    fn new(args: Args, rooms: Vec<Room>, stopped: watch::Receiver<bool>) -> anyhow::Result<Self> {
        let process = args
            .server_pid
            .map(|pid| Process::open(pid).with_context(|| format!("--server-pid {pid}")))
            .transpose()?;
        let own = Process::open(std::process::id()).context("the own process")?;
        let client = |token: &Option<String>| {
            Client::new(token.as_deref(), args.redirect_token, args.insecure)
        };
        let publisher = client(&args.token)?;
        let viewer = client(&args.viewer_token.clone().or_else(|| args.token.clone()))?;
        let bind = match args.bind {
            Some(bind) => bind,
            None => local_address(&rooms)?,
        };
        raise_file_limit();
        let clock = Clock::start();
        let watching = (0..args.threads)
            .map(|index| Engine::start(&format!("watch-{index}"), clock))
            .collect::<Result<_, _>>()
            .context("cannot start a thread")?;
        let publishing = Engine::start("publish", clock).context("cannot start a thread")?;
        let shared = Shared {
            args,
            rooms,
            publisher,
            viewer,
            run: fastrand::u32(..),
            clock,
            bind,
            sessions: Mutex::new(Vec::new()),
            watching,
        };
        Ok(Self {
            shared: Arc::new(shared),
            publishing,
            feeds: Vec::new(),
            process,
            own,
            stopped,
            progress: Progress::new(),
            refused: BTreeMap::new(),
            retries: 0,
            buffer_errors: buffer_errors(),
        })
    }

    async fn run(&mut self) -> anyhow::Result<Measured> {
        let mut stopped = self.stopped.clone();
        let mut interrupted = false;
        tokio::select! {
            done = self.publish() => done?,
            _ = stopped.changed() => interrupted = true,
        }
        let server_before = self.server_usage()?;
        let own_before = self.own.usage().context("the own process")?;
        if !interrupted {
            tokio::select! {
                done = self.join() => done?,
                _ = stopped.changed() => interrupted = true,
            }
        }
        let begin = self.measure(true).await?;
        let server_begin = self.server_usage()?;
        let own_begin = self.own.usage().context("the own process")?;
        let since = Instant::now();
        if !interrupted {
            let wait = self.shared.args.duration;
            tokio::select! {
                done = self.wait(since, wait) => done?,
                _ = stopped.changed() => interrupted = true,
            }
        }
        let end = self.measure(false).await?;
        let seconds = since.elapsed().as_secs_f64();
        let server = match (server_before, server_begin, self.server_usage()?) {
            (Some(before), Some(begin), Some(end)) => Some(Used {
                before,
                during: end.since(&begin),
            }),
            _ => None,
        };
        let own_end = self.own.usage().context("the own process")?;
        Ok(Measured {
            interrupted,
            seconds,
            totals: Totals {
                packets: end.packets - begin.packets,
                bytes: end.bytes - begin.bytes,
                ..end
            },
            server,
            own: Used {
                before: own_before,
                during: own_end.since(&own_begin),
            },
        })
    }

    fn server_usage(&self) -> anyhow::Result<Option<Usage>> {
        self.process
            .as_ref()
            .map(|process| process.usage().context("the server's process has ended"))
            .transpose()
    }

    async fn publish(&mut self) -> anyhow::Result<()> {
        let shared = Arc::clone(&self.shared);
        let args = &shared.args;
        let codec = args.codec.codec();
        let mut count = 0;
        for (index, room) in shared.rooms.iter().enumerate() {
            let seed = args.seed.wrapping_add(index as u64);
            let encoder = Encoder::new(args.bitrate, args.fps, args.keyframe_interval, seed);
            let packetizer = Packetizer::new(codec, args.size, shared.run, seed);
            if let Some(target) = &room.feed {
                let protocol = target.protocol();
                let shape = Shape {
                    fps: args.fps,
                    size: args.size,
                    sound: !args.no_audio,
                };
                self.progress.show(&format!("publishing over {protocol}"));
                let published =
                    FeedPublisher::start(target.clone(), encoder, packetizer, shape, shared.clock);
                self.feeds.push(published.await?);
                continue;
            }
            let Some(endpoint) = &room.whip else {
                continue;
            };
            self.progress.show(&format!("publishing to {endpoint}"));
            let (offered, offer) = Offered::new(
                Direction::Send,
                !args.no_audio,
                &[Codec::Opus, codec],
                shared.bind,
                true,
            )?;
            let opened = shared
                .publisher
                .open(endpoint, offer)
                .await
                .context("cannot publish")?;
            shared.remember(true, endpoint, &opened);
            let publisher = Publisher::new(encoder, packetizer, codec, args.fps);
            let peer = offered
                .answered(&opened.answer, Role::Publisher(Box::new(publisher)))
                .with_context(|| format!("{endpoint} gave an unusable answer"))?;
            self.publishing.add(peer).await?;
            count += 1;
        }
        let deadline = Instant::now() + CONNECT + Duration::from_secs(1);
        loop {
            let totals = self.publishing.look().await?;
            if totals.failed > 0 || Instant::now() >= deadline {
                let results = self.publishing.report(Instant::now()).await?;
                let reasons: Vec<&str> = results.failures.keys().copied().collect();
                bail!(
                    "the publisher's media did not get through: {}",
                    reasons.join(", ")
                );
            }
            if totals.connected == count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if count > 0 || !self.feeds.is_empty() {
            tokio::time::sleep(FLOW).await;
        }
        Ok(())
    }

    async fn join(&mut self) -> anyhow::Result<()> {
        let viewers = self.shared.args.viewers;
        let interval = Duration::from_secs_f64(1.0 / self.shared.args.join_rate);
        let start = tokio::time::Instant::now();
        let mut tasks = JoinSet::new();
        for index in 0..viewers {
            let shared = Arc::clone(&self.shared);
            let at = start + interval.saturating_mul(u32::try_from(index).unwrap_or(u32::MAX));
            tasks.spawn(async move {
                tokio::time::sleep_until(at).await;
                Box::pin(shared.join(index)).await
            });
        }
        let mut joined = 0;
        let mut look = tokio::time::interval(LOOK);
        while !tasks.is_empty() {
            tokio::select! {
                Some(done) = tasks.join_next() => match done.context("a viewer's task")? {
                    Ok(retries) => {
                        joined += 1;
                        self.retries += retries;
                    }
                    Err(reason) => *self.refused.entry(reason).or_default() += 1,
                },
                _ = look.tick() => {
                    self.watch_publishers().await?;
                    let totals = self.look().await?;
                    self.progress.show(&format!(
                        "joining: {joined} of {viewers} answered, {} got media", totals.playing
                    ));
                }
            }
        }
        let deadline = Instant::now() + SETTLE;
        while Instant::now() < deadline {
            let totals = self.look().await?;
            if totals.playing + totals.failed >= joined {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    async fn wait(&mut self, since: Instant, wait: Duration) -> anyhow::Result<()> {
        let first = self.look().await?;
        let mut look = tokio::time::interval(LOOK);
        loop {
            let left = wait.saturating_sub(since.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep(left) => return Ok(()),
                _ = look.tick() => {
                    self.watch_publishers().await?;
                    let totals = self.look().await?;
                    let seconds = since.elapsed().as_secs_f64();
                    let mbits = (totals.bytes - first.bytes) as f64 * 8e-6 / seconds.max(0.001);
                    self.progress.show(&format!(
                        "measuring: {seconds:.0} of {:.0} s, {} viewers, {mbits:.1} Mbit/s, {} failed",
                        wait.as_secs_f64(), totals.playing, totals.failed
                    ));
                }
            }
        }
    }

    /// Without its publishers a run measures nothing.
    async fn watch_publishers(&self) -> anyhow::Result<()> {
        for publisher in &self.feeds {
            publisher.check()?;
        }
        if self.publishing.look().await?.failed > 0 {
            let results = self.publishing.report(Instant::now()).await?;
            let reasons: Vec<&str> = results.failures.keys().copied().collect();
            bail!("a publisher's session ended: {}", reasons.join(", "));
        }
        Ok(())
    }

    async fn look(&self) -> anyhow::Result<Totals> {
        let mut sum = Totals::default();
        for engine in &self.shared.watching {
            sum.add(&engine.look().await?);
        }
        Ok(sum)
    }

    async fn measure(&self, on: bool) -> anyhow::Result<Totals> {
        let mut sum = Totals::default();
        for engine in &self.shared.watching {
            sum.add(&engine.measure(on).await?);
        }
        Ok(sum)
    }

    /// Collects the results and ends all sessions, whatever came of the run.
    async fn end(&mut self, measured: anyhow::Result<Measured>) -> anyhow::Result<Report> {
        self.progress.show("ending");
        let results = match &measured {
            Ok(_) => self.results().await,
            Err(_) => Ok(Vec::new()),
        };
        self.farewell().await;
        let measured = measured?;
        Ok(Report::new(
            &self.shared.args,
            Findings {
                interrupted: measured.interrupted,
                seconds: measured.seconds,
                packets: measured.totals.packets,
                bytes: measured.totals.bytes,
                results: results?,
                refused: std::mem::take(&mut self.refused),
                retries: self.retries,
                server: measured.server,
                own: measured.own,
                buffer_errors: buffer_errors().saturating_sub(self.buffer_errors),
            },
        ))
    }

    async fn results(&mut self) -> anyhow::Result<Vec<Results>> {
        let until = Instant::now();
        self.publishing.quiet().await?;
        let fed: Vec<_> = self.feeds.drain(..).map(FeedPublisher::stop).collect();
        tokio::time::sleep(RECOVERY).await;
        let mut results = vec![self.publishing.report(until).await?];
        results[0].published.extend(fed);
        for engine in &self.shared.watching {
            results.push(engine.report(until).await?);
        }
        Ok(results)
    }

    /// Ends the sessions: viewers' before publishers', so that no server sees them abandoned.
    async fn farewell(&mut self) {
        let sessions = std::mem::take(
            &mut *self
                .shared
                .sessions
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        let ending = async {
            for publishers in [false, true] {
                let mut tasks = JoinSet::new();
                for (_, endpoint, session) in sessions
                    .iter()
                    .filter(|(publishes, ..)| *publishes == publishers)
                {
                    if tasks.len() >= FAREWELLS {
                        tasks.join_next().await;
                    }
                    let client = if publishers {
                        self.shared.publisher.clone()
                    } else {
                        self.shared.viewer.clone()
                    };
                    let (endpoint, session) = (endpoint.clone(), session.clone());
                    // A session that is gone already has ended as it should.
                    tasks.spawn(async move { client.close(&endpoint, &session).await });
                }
                while tasks.join_next().await.is_some() {}
            }
        };
        // What is not ended by then ends when the server misses its viewer.
        let _ = tokio::time::timeout(FAREWELL, ending).await;
        for engine in self.shared.watching.iter().chain([&self.publishing]) {
            engine.stop().await;
        }
    }
}

/// The address of ours that reaches the server.
fn local_address(rooms: &[Room]) -> anyhow::Result<IpAddr> {
    let url = rooms
        .iter()
        .find_map(|room| room.whip.as_ref().or(room.whep.as_ref()))
        .context("no endpoint")?;
    let addresses = url
        .socket_addrs(|| None)
        .map_err(|error| Failure::Unreachable {
            url: url.to_string(),
            cause: error.to_string(),
        })?;
    let server = addresses
        .iter()
        .find(|addr| addr.is_ipv4())
        .or(addresses.first())
        .with_context(|| format!("{url} names no address"))?;
    let any: IpAddr = if server.is_ipv4() {
        IpAddr::from([0_u8; 4])
    } else {
        IpAddr::from([0_u16; 8])
    };
    // Connecting a UDP socket sends nothing; it only asks for the route.
    let socket = UdpSocket::bind((any, 0)).context("cannot open a UDP socket")?;
    socket
        .connect(server)
        .and_then(|()| socket.local_addr())
        .map(|addr| addr.ip())
        .with_context(|| format!("there is no way to {server}; choose an address with --bind"))
}

/// Each viewer takes a file descriptor; the usual soft limit of 1024 is far below what may be had.
pub(crate) fn raise_file_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // Where it is refused, opening sockets says so.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// One line on a terminal that is written over and over; nothing elsewhere.
pub(crate) struct Progress {
    terminal: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
        }
    }

    pub(crate) fn show(&self, text: &str) {
        if self.terminal {
            // Progress that cannot be shown is no reason to end.
            let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
        }
    }

    pub(crate) fn clear(&self) {
        self.show("");
    }
}
