//! Runs the project's tasks: `cargo xtask test` and its parts.

use std::process::ExitCode;

fn main() -> ExitCode {
    inver_xtask::run()
}
