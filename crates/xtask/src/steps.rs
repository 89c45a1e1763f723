//! The test command: its steps in order, and the totals.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::counts::{Counts, Reader};
use crate::{Workspace, debian, fuzz, process, tidy, tools};

/// One step of the test command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StepName {
    /// Tools that the tests need
    Setup,
    /// Formatting
    Format,
    /// Rules over crates, files and words
    Tidy,
    /// Lints of every target, warnings refused
    Clippy,
    /// Every Rust test; those of the server drive real clients
    Rust,
    /// Types of the web pages
    Types,
    /// Tests of the web pages' modules
    Web,
    /// Fuzz targets on their committed seeds
    Seeds,
}

/// How one step went.
struct Outcome {
    name: StepName,
    took: Duration,
    counts: Counts,
    /// What failed, by name.
    failures: Vec<String>,
    /// What could not run here, and why.
    skips: Vec<String>,
}

/// Runs the steps of `only`, or all of them, to the end whatever fails, and prints the totals.
pub(crate) fn run(workspace: &Workspace, only: &[StepName]) -> Result<ExitCode> {
    let steps: Vec<StepName> = StepName::value_variants()
        .iter()
        .copied()
        .filter(|step| only.is_empty() || only.contains(step))
        .collect();
    let mut outcomes = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        println!("\n== step {} of {}: {step:?}", index + 1, steps.len());
        let outcome = perform(workspace, *step);
        println!("== {step:?}: {}", outcome.summary());
        outcomes.push(outcome);
    }

    let mut total = Counts::default();
    println!("\n== summary");
    for outcome in &outcomes {
        println!("{:8} {}", format!("{:?}", outcome.name), outcome.summary());
        for skip in &outcome.skips {
            println!("         skipped {skip}");
        }
        for failure in &outcome.failures {
            println!("         FAILED {failure}");
        }
        total += outcome.counts;
    }
    println!();
    println!(
        "{} passed, {} failed, {} skipped",
        total.passed, total.failed, total.skipped
    );
    Ok(if total.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Outcome {
    fn summary(&self) -> String {
        let Counts {
            passed,
            failed,
            skipped,
        } = self.counts;
        let verdict = if failed == 0 { "ok" } else { "FAILED" };
        let seconds = self.took.as_secs_f32();
        format!("{verdict} in {seconds:.1} s ({passed} passed, {failed} failed, {skipped} skipped)")
    }
}

fn perform(workspace: &Workspace, name: StepName) -> Outcome {
    let started = Instant::now();
    let result = match name {
        StepName::Setup => check(|| {
            debian::install_missing()?;
            tools::install(workspace)?;
            tools::fetch_crates(workspace)
        }),
        StepName::Format => check(|| cargo_check(workspace, &["fmt", "--all", "--check"])),
        StepName::Tidy => rules(workspace),
        StepName::Clippy => check(|| {
            cargo_check(
                workspace,
                &[
                    "clippy",
                    "--workspace",
                    "--all-targets",
                    "--locked",
                    "--",
                    "-D",
                    "warnings",
                ],
            )
        }),
        StepName::Rust => rust_tests(workspace),
        StepName::Types => check(|| types(workspace)),
        StepName::Web => web_tests(workspace),
        StepName::Seeds => check(|| fuzz::run_seeds(workspace)),
    };
    let mut outcome = result.unwrap_or_else(|error| {
        println!("{error:#}");
        Outcome::of(Counts::one(false), vec![format!("{error:#}")])
    });
    outcome.name = name;
    outcome.took = started.elapsed();
    outcome
}

impl Outcome {
    fn of(counts: Counts, failures: Vec<String>) -> Self {
        let took = Duration::ZERO;
        Self {
            name: StepName::Setup,
            took,
            counts,
            failures,
            skips: Vec::new(),
        }
    }

    /// The outcome of a test program: one that fails without naming a test failed as a whole.
    fn of_tests(what: &str, succeeded: bool, reader: Reader) -> Self {
        let mut outcome = Self::of(reader.counts, reader.failures);
        if !succeeded && outcome.counts.failed == 0 {
            outcome.counts.failed = 1;
            outcome
                .failures
                .push(format!("{what} did not build or did not run"));
        }
        outcome
    }
}

/// A step that passes or fails as one.
fn check(step: impl FnOnce() -> Result<()>) -> Result<Outcome> {
    step().map(|()| Outcome::of(Counts::one(true), Vec::new()))
}

fn cargo(workspace: &Workspace) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(&workspace.root);
    command
}

fn cargo_check(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    process::expect_success(cargo(workspace).args(arguments))
}

fn rules(workspace: &Workspace) -> Result<Outcome> {
    let broken = tidy::check(workspace)?;
    for rule in &broken {
        println!("{rule}");
    }
    let counts = Counts {
        passed: usize::from(broken.is_empty()),
        failed: broken.len(),
        skipped: 0,
    };
    Ok(Outcome::of(counts, broken))
}

fn rust_tests(workspace: &Workspace) -> Result<Outcome> {
    let skips = workspace.skips();
    fs::create_dir_all(&workspace.tools).context("creating the folder of the tools")?;
    fs::write(&skips, "").context("clearing the list of skipped tests")?;
    let mut reader = Reader::default();
    let mut command = cargo(workspace);
    command
        .args(["test", "--workspace", "--locked", "--no-fail-fast"])
        .env("INVER_TOOLS", &workspace.tools)
        .env("INVER_SKIPS", &skips);
    let succeeded = process::run(&mut command, |line| reader.line(line))?;
    let mut outcome = Outcome::of_tests("cargo test", succeeded, reader);
    // A test that finds it cannot run here notes so and returns; the harness counts it as passed.
    let skipped = fs::read_to_string(&skips).context("reading the list of skipped tests")?;
    outcome.skips = skipped.lines().map(str::to_owned).collect();
    outcome.counts.skipped += outcome.skips.len();
    outcome.counts.passed = outcome.counts.passed.saturating_sub(outcome.skips.len());
    Ok(outcome)
}

fn types(workspace: &Workspace) -> Result<()> {
    let web = workspace.root.join("web");
    let project = ["tsconfig.json", "jsconfig.json"].map(|name| web.join(name));
    let Some(project) = project.iter().find(|file| file.exists()) else {
        bail!("web/ has neither tsconfig.json nor jsconfig.json");
    };
    let tsc = workspace
        .node_tools()
        .join("node_modules/typescript/bin/tsc");
    if !tsc.exists() {
        bail!("typescript is missing: run `cargo xtask setup`");
    }
    process::expect_success(
        Command::new("node")
            .arg(tsc)
            .arg("--project")
            .arg(project)
            .current_dir(&workspace.root),
    )
}

fn web_tests(workspace: &Workspace) -> Result<Outcome> {
    let mut files = Vec::new();
    test_files(&workspace.root.join("web/tests"), &mut files)?;
    if files.is_empty() {
        bail!("web/tests has no file named *.test.js or *.test.mjs");
    }
    let mut reader = Reader::default();
    let mut command = Command::new("node");
    command
        .args(["--test", "--test-reporter=tap"])
        .args(&files)
        .env("INVER_TOOLS", &workspace.tools)
        .current_dir(&workspace.root);
    let succeeded = process::run(&mut command, |line| reader.line(line))?;
    Ok(Outcome::of_tests("node --test", succeeded, reader))
}

fn test_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let path = entry.context("reading a folder")?.path();
        let name = path.to_string_lossy();
        if path.is_dir() {
            test_files(&path, files)?;
        } else if name.ends_with(".test.js") || name.ends_with(".test.mjs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(())
}
