//! Running other programs: shown as they go, read as they go, ended when they take too long.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Bound on any one program started by a step. Far above what the slowest step takes from cold
/// on two cores; a hang must end before the whole run's hour does.
const DEADLINE: Duration = Duration::from_secs(45 * 60);

/// Runs `command`, prints its standard output and hands each line of it to `line`.
///
/// Returns whether it succeeded. Errors when it cannot start or outlives [`DEADLINE`].
pub(crate) fn run(command: &mut Command, mut line: impl FnMut(&str)) -> Result<bool> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let stdout = child.stdout.take().context("standard output is piped")?;
    // A thread reads so that the deadline holds while nothing is printed. Its queue is short:
    // a slow terminal slows the program, as it would without us.
    let (sender, lines) = mpsc::sync_channel::<String>(64);
    std::thread::spawn(move || {
        for text in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            if sender
                .send(String::from_utf8_lossy(&text).into_owned())
                .is_err()
            {
                return;
            }
        }
    });
    let deadline = Instant::now() + DEADLINE;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(text) => {
                println!("{text}");
                line(&text);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                child.kill().with_context(|| format!("cannot end {name}"))?;
                child.wait().with_context(|| format!("cannot end {name}"))?;
                bail!(
                    "{name} did not end within {} minutes",
                    DEADLINE.as_secs() / 60
                );
            }
        }
    }
    Ok(child
        .wait()
        .with_context(|| format!("waiting for {name}"))?
        .success())
}

/// Runs `command` and errors with what it wrote when it fails.
pub(crate) fn expect_success(command: &mut Command) -> Result<()> {
    let name = format!("{command:?}");
    println!("   {name}");
    if run(command, |_| ()).with_context(|| format!("running {name}"))? {
        return Ok(());
    }
    bail!("{name} failed; its messages are above")
}

/// Whether `command` runs and succeeds, with nothing shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
