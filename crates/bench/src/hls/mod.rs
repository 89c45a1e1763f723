//! Many players of one LL-HLS stream.

mod player;
mod playlist;
mod report;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use inver_media::Codec;
use reqwest::Url;
use reqwest::header::HeaderValue;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::args::{endpoint, parse_bitrate, parse_duration};
use crate::clock::Clock;
use crate::feed::{FeedPublisher, Shape, Target};
use crate::packetizer::Packetizer;
use crate::process::{Process, Usage};
use crate::run::{Progress, interrupted, raise_file_limit, write_result};
use crate::synthetic::Encoder;

use player::{Figures, Shared, play};
use report::{Findings, Report};

/// Players at most: each takes a few connections.
const MAX_PLAYERS: usize = 10_000;

/// Time for a new stream to have its first segments.
const FLOW: Duration = Duration::from_secs(5);

/// Time for all players to have media after the last of them joined.
const SETTLE: Duration = Duration::from_secs(10);

/// Time between two looks at the figures.
const LOOK: Duration = Duration::from_millis(200);

/// Size that the picture claims to have.
const SIZE: (u32, u32) = (1280, 720);

/// Watch one LL-HLS stream with many players, and measure.
///
/// Each player follows the playlists of the best variant and of its sound with blocking reloads and
/// delta updates, and fetches every part as soon as it is listed. With --rtmp the stream is
/// published from here, and the time of every part is known.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  \
    inver bench-hls --url http://127.0.0.1:8080/hls/bench/index.m3u8 \\\n    \
    --rtmp rtmp://127.0.0.1:1935/live/bench --players 500 --server-pid $(pidof inver)")]
pub struct HlsArgs {
    /// The stream's multivariant or media playlist.
    #[arg(long, value_name = "URL")]
    pub url: String,
    /// Publish H.264 and Opus over RTMP meanwhile.
    #[arg(long, value_name = "URL")]
    pub rtmp: Option<String>,
    /// Bearer token of the players.
    #[arg(long, env = "BENCH_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Accept any TLS certificate.
    #[arg(long)]
    pub insecure: bool,
    /// Players in all.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub players: usize,
    /// Players that join per second.
    #[arg(long, default_value_t = 50.0, value_name = "N")]
    pub join_rate: f64,
    /// Time to measure, once all players have joined: 20s, 500ms, 2m.
    #[arg(long, default_value = "20s", value_parser = parse_duration)]
    pub duration: Duration,
    /// Video bitrate of what is published, in bits per second: 2.5M, 800k.
    #[arg(long, default_value = "2.5M", value_parser = parse_bitrate)]
    pub bitrate: u64,
    /// Frames per second of what is published.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=240))]
    pub fps: u32,
    /// Time between keyframes of what is published.
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    pub keyframe_interval: Duration,
    /// Publish no sound.
    #[arg(long)]
    pub no_audio: bool,
    /// Seed of the frame sizes: the same seed publishes the same frames.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Process to measure, on this machine: CPU by thread and resident memory.
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// Report the generator's CPU by thread as well.
    #[arg(long)]
    pub own: bool,
    /// Threads that play.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub threads: usize,
    /// Write the result as JSON to a file, or to standard output with `-`.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Runs the players: prints progress to standard error and the result to standard output.
///
/// Ctrl-C ends the run early, with a result of what was measured until then; a second one exits at
/// once.
///
/// # Errors
///
/// The arguments make no sense, the server cannot be reached or refuses the publisher, no player got
/// media, or the result cannot be written.
pub fn run_hls(args: HlsArgs) -> anyhow::Result<()> {
    let url = endpoint("--url", &args.url)?;
    ensure!(
        (1..=MAX_PLAYERS).contains(&args.players),
        "--players must be 1 to {MAX_PLAYERS}"
    );
    ensure!(
        args.join_rate.is_finite() && args.join_rate > 0.0,
        "--join-rate must be above 0"
    );
    ensure!(
        (1..=64).contains(&args.threads),
        "--threads must be 1 to 64"
    );
    ensure!(!args.duration.is_zero(), "--duration must be above 0");
    let target = args.rtmp.as_deref().map(Target::rtmp).transpose()?;
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(args.threads)
        .thread_name("players")
        .enable_all()
        .build()
        .context("cannot start")?;
    runtime.block_on(Box::pin(measure(args, url, target)))
}

async fn measure(args: HlsArgs, url: Url, target: Option<Target>) -> anyhow::Result<()> {
    let mut interrupted = interrupted();
    let progress = Progress::new();
    let server = args.server_pid.map(Process::open).transpose();
    let server = server.context("--server-pid: no such process")?;
    let own = Process::open(std::process::id()).context("the own process")?;
    let run = fastrand::u32(..);
    let clock = Clock::start();
    let publisher = match target {
        Some(target) => {
            progress.show("publishing over RTMP");
            let encoder = Encoder::new(args.bitrate, args.fps, args.keyframe_interval, args.seed);
            let packetizer = Packetizer::new(Codec::H264, SIZE, run, args.seed);
            let shape = Shape {
                fps: args.fps,
                size: SIZE,
                sound: !args.no_audio,
            };
            Some(FeedPublisher::start(target, encoder, packetizer, shape, clock).await?)
        }
        None => None,
    };
    let token = args.token.as_ref().map(|token| {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))?;
        value.set_sensitive(true);
        anyhow::Ok(value)
    });
    let shared = Arc::new(Shared {
        client: reqwest::Client::builder()
            .danger_accept_invalid_certs(args.insecure)
            .tcp_nodelay(true)
            .http1_only()
            .no_proxy()
            .pool_max_idle_per_host(usize::MAX)
            .build()
            .context("no client can be made")?,
        token: token.transpose().context("--token")?,
        run,
        clock,
        figures: Mutex::new(Figures::default()),
    });
    let usage = || -> anyhow::Result<(Option<Usage>, Usage)> {
        let server = server.as_ref().map(Process::usage).transpose();
        let server = server.context("the server's process has ended")?;
        Ok((server, own.usage().context("the own process")?))
    };

    if publisher.is_some() {
        progress.show("waiting for the first segments");
        first_segments(&shared, &url).await?;
    }
    let before = usage()?;
    let (stop, stopped) = watch::channel(false);
    let mut players = JoinSet::new();
    let start = tokio::time::Instant::now();
    for index in 0..args.players {
        let at = start + Duration::from_secs_f64(index as f64 / args.join_rate);
        tokio::select! {
            () = tokio::time::sleep_until(at) => {}
            () = interrupted.wait() => break,
        }
        players.spawn(play(Arc::clone(&shared), url.clone(), stopped.clone()));
        progress.show(&format!("{} of {} players", index + 1, args.players));
    }
    let settled = Instant::now() + SETTLE;
    let known = || shared.figures().known();
    while Instant::now() < settled && !interrupted.is_over() && known() < args.players as u64 {
        tokio::time::sleep(LOOK).await;
    }

    let begin = usage()?;
    let began = Instant::now();
    shared.figures().measuring = true;
    while began.elapsed() < args.duration && !interrupted.is_over() {
        let left = args.duration.saturating_sub(began.elapsed()).min(LOOK);
        tokio::select! {
            () = tokio::time::sleep(left) => {}
            () = interrupted.wait() => {}
        }
        if let Some(publisher) = &publisher {
            publisher.check()?;
        }
        let figures = shared.figures();
        progress.show(&format!(
            "measuring: {:.0} of {:.0} s, {} players, {} parts, {} failed",
            began.elapsed().as_secs_f64(),
            args.duration.as_secs_f64(),
            figures.playing,
            figures.parts,
            figures.failures.values().sum::<u64>()
        ));
    }
    shared.figures().measuring = false;
    let seconds = began.elapsed().as_secs_f64();
    let end = usage()?;
    // All of them may have failed.
    let _ = stop.send(true);
    while players.join_next().await.is_some() {}
    if let Some(publisher) = publisher {
        publisher.stop();
    }
    progress.clear();

    let report = {
        let figures = shared.figures();
        Report::new(Findings {
            interrupted: interrupted.is_over(),
            asked: args.players as u64,
            seconds,
            figures: &figures,
            server: before
                .0
                .zip(begin.0)
                .zip(end.0)
                .map(|((a, b), c)| (a, b, c)),
            own: (before.1, begin.1, end.1),
        })
    };
    write_result(args.json.as_deref(), &report, || report.render(args.own))?;
    if report.playing == 0 && !report.interrupted {
        bail!("no player got media");
    }
    Ok(())
}

/// The first request makes the server begin: what that takes is not part of what is measured.
async fn first_segments(shared: &Arc<Shared>, url: &Url) -> anyhow::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let mut first = tokio::spawn(play(Arc::clone(shared), url.clone(), stopped));
    let waited = tokio::time::timeout(FLOW, &mut first).await.is_err();
    // It may have failed already.
    let _ = stop.send(true);
    if waited {
        // It heard that it is over.
        let _ = first.await;
    }
    let figures = std::mem::take(&mut *shared.figures());
    if let Some(failure) = figures.failures.keys().next() {
        bail!("the stream cannot be played: {failure}");
    }
    Ok(())
}
