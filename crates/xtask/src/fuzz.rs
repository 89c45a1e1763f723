//! Fuzzing: every target's committed seeds always, then new inputs: by coverage where cargo-fuzz is
//! installed, else by changing the seeds.
//!
//! A target is a file `fuzz/fuzz_targets/NAME.rs` with its seeds in `fuzz/seeds/NAME/`. Built
//! without cargo-fuzz, a target is a program that runs the files it is given, so the seeds need
//! neither a nightly compiler nor a network.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::Workspace;
use crate::process::{expect_success, succeeds};

/// Memory bound of one target in MiB: an input that makes a parser take more is a finding.
const MEMORY: &str = "512";

/// Changed seeds in place of one second of fuzzing: what the slowest target does in one.
const MUTATIONS: u64 = 50;

/// Runs the seeds and, where it can be, fuzzes each target for `seconds`.
pub(crate) fn run(workspace: &Workspace, seconds: u32) -> Result<()> {
    run_seeds(workspace)?;
    if !succeeds(Command::new("cargo").args(["+nightly", "fuzz", "--version"])) {
        println!(
            "   cargo-fuzz on a nightly toolchain is not installed: changing the seeds instead"
        );
        for target in targets(workspace)? {
            let inputs = (u64::from(seconds) * MUTATIONS).to_string();
            println!("== {target}: {inputs} inputs");
            run_target(workspace, &target, &["--mutate", &inputs])?;
        }
        return Ok(());
    }
    for target in targets(workspace)? {
        let corpus = workspace.tools.join("corpus").join(&target);
        fs::create_dir_all(&corpus).with_context(|| format!("creating {}", corpus.display()))?;
        println!("== {target}: {seconds} s");
        expect_success(
            Command::new("cargo")
                .args(["+nightly", "fuzz", "run", &target])
                .arg(&corpus)
                .arg(seeds(workspace, &target))
                .arg("--")
                .arg(format!("-max_total_time={seconds}"))
                .arg(format!("-rss_limit_mb={MEMORY}"))
                .arg("-timeout=5")
                .current_dir(&workspace.root),
        )?;
    }
    Ok(())
}

/// Runs every target on its committed seeds; errors when one fails or has none.
pub(crate) fn run_seeds(workspace: &Workspace) -> Result<()> {
    let targets = targets(workspace)?;
    if targets.is_empty() {
        bail!("fuzz/fuzz_targets has no target");
    }
    for target in targets {
        run_target(workspace, &target, &[])?;
    }
    Ok(())
}

/// Runs one target as a program on its seeds.
fn run_target(workspace: &Workspace, target: &str, options: &[&str]) -> Result<()> {
    expect_success(
        Command::new("cargo")
            .args(["run", "--quiet", "--locked", "--package", "inver-fuzz"])
            .args(["--bin", target, "--"])
            .args(options)
            .arg(seeds(workspace, target))
            .current_dir(&workspace.root),
    )
    .with_context(|| format!("fuzz target {target}"))
}

fn seeds(workspace: &Workspace, target: &str) -> PathBuf {
    workspace.root.join("fuzz/seeds").join(target)
}

fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root.join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry.context("reading a folder")?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && let Some(name) = path.file_stem()
        {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}
