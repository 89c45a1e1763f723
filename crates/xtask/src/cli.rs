//! The command line.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::steps::{self, StepName};
use crate::{Workspace, debian, fuzz, tidy, tools};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Tasks of the project")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the tests need; the only task that uses a network
    Setup,
    /// Run every check and test; the last line printed is `N passed, N failed, N skipped`
    Test {
        /// Run this step alone, without set-up; may be given several times
        #[arg(long, value_enum)]
        only: Vec<StepName>,
    },
    /// Check the rules that no compiler checks: floors, file sizes, words
    Tidy,
    /// Run every fuzz target on its seeds, and on new inputs where cargo-fuzz is installed
    Fuzz {
        /// Seconds of fuzzing for each target
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
}

/// Parses the command line and runs the task.
pub fn run() -> ExitCode {
    match Arguments::try_parse().map(|arguments| perform(arguments.task)) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
        Err(error) => error.exit(),
    }
}

fn perform(task: Task) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match task {
        Task::Setup => {
            debian::install_missing()?;
            tools::install(&workspace)?;
            tools::fetch_crates(&workspace)?;
        }
        Task::Test { only } => return steps::run(&workspace, &only),
        Task::Tidy => {
            let broken = tidy::check(&workspace)?;
            for rule in &broken {
                println!("{rule}");
            }
            if !broken.is_empty() {
                return Ok(ExitCode::FAILURE);
            }
        }
        Task::Fuzz { seconds } => fuzz::run(&workspace, seconds)?,
    }
    Ok(ExitCode::SUCCESS)
}
