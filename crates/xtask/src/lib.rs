//! Tasks of the project: set-up of the test tools, the test command, tidy rules, fuzzing.
//!
//! A developer's program, never part of the product. It reaches the network only in set-up, and
//! what it installs is pinned: Debian packages by the distribution, everything else by the lock
//! files under `dev/`.
#![expect(
    clippy::print_stdout,
    reason = "a program for the terminal: standard output is its interface"
)]

mod cli;
mod counts;
mod debian;
mod fuzz;
mod process;
mod steps;
pub mod tidy;
mod tools;
mod workspace;

pub use cli::run;
pub use workspace::Workspace;
