//! The program: configuration, assembly, listeners, embedded pages.
//!
//! This is the top floor: it knows every other crate and none knows it. It decides nothing about
//! rooms and touches no packet.

pub mod assemble;
pub mod banner;
pub mod cli;
pub mod config;
mod doors;
pub mod http;
pub mod listen;
pub mod logging;
pub mod metrics;
mod program;
pub mod running;
pub mod tls;
pub mod turn;

pub use program::main;
