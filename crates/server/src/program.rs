//! What the commands do, and with which exit code they end: 0 done, 1 could not, 2 misused, 130
//! interrupted twice.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{CheckConfig, Cli, Command, Serve};
use crate::config::{effective, load};
use crate::logging;
use crate::running::{DataPlane, Running};

/// Exit code after a second Ctrl-C, as shells expect it (128 + SIGINT).
const INTERRUPTED: i32 = 130;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        None => run(&cli.serve),
        Some(Command::Serve(serve)) => run(&serve),
        Some(Command::CheckConfig(check)) => check_config(&check),
        Some(Command::Bench(args)) => inver_bench::run(*args),
        Some(Command::BenchHls(args)) => inver_bench::run_hls(*args),
        Some(Command::Version) => print(&format!("inver {}\n", env!("CARGO_PKG_VERSION"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed, and then there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "inver: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("standard output")
}

fn check_config(check: &CheckConfig) -> anyhow::Result<()> {
    let loaded = load(&check.serve.sources())?;
    if check.print {
        return print(&effective(&loaded));
    }
    match &loaded.file {
        Some(file) => print(&format!("{} is right\n", file.display())),
        None => print("the configuration is right; there is no file\n"),
    }
}

fn run(serve: &Serve) -> anyhow::Result<()> {
    let loaded = load(&serve.sources())?;
    logging::start(&loaded.config.log);
    if let Some(file) = &loaded.file {
        tracing::info!(file = %file.display(), "configuration");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("inver-control")
        .build()
        .context("cannot start threads")?;
    let config = loaded.config;
    let done = runtime.block_on(async {
        // Before anything else, so that no signal is missed.
        let mut signals = Signals::new().context("cannot handle signals")?;
        let running = Box::pin(Running::start(&config, serve.show_admin_link, start_shards));
        let running = tokio::select! {
            running = running => running?,
            () = signals.end() => return Ok(()),
        };
        print(&running.banner)?;
        while let Signalled::Reload = signals.next().await {
            running.reload();
        }
        tracing::info!(
            sessions = running.sessions(),
            "draining; Ctrl-C again exits at once"
        );
        tokio::select! {
            () = running.drain() => {}
            () = signals.end() => std::process::exit(INTERRUPTED),
        }
        Ok(())
    });
    // What still runs then is a task that nobody waits for.
    runtime.shutdown_background();
    done
}

fn start_shards(config: inver_shard::Config) -> anyhow::Result<DataPlane<inver_shard::Link>> {
    let (media, events) =
        inver_shard::start(config).context("webrtc.port; choose another one with --media-port")?;
    let candidates = media.candidates();
    Ok(DataPlane {
        media,
        events,
        candidates,
    })
}

/// What somebody asked for by a signal.
enum Signalled {
    /// Ctrl-C or SIGTERM.
    End,
    /// SIGHUP.
    Reload,
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    reload: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            reload: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signalled {
        tokio::select! {
            _ = self.interrupt.recv() => Signalled::End,
            _ = self.terminate.recv() => Signalled::End,
            _ = self.reload.recv() => Signalled::Reload,
        }
    }

    /// Comes back at the next Ctrl-C or SIGTERM.
    async fn end(&mut self) {
        while let Signalled::Reload = self.next().await {}
    }
}
