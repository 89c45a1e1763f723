//! Log lines on standard error: standard output is for the banner.

use std::io::IsTerminal as _;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Log, LogFormat};

/// Begins to log. Does nothing when the process logs already, as in tests.
pub fn start(log: &Log) {
    let filter: Targets = log.level.parse().unwrap_or_else(|_| {
        // A configuration that was loaded has a level that parses.
        Targets::new().with_default(tracing::Level::INFO)
    });
    let lines = fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let started = match log.format {
        LogFormat::Text => registry.with(lines.with_ansi(colours)).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    if let Err(error) = started {
        tracing::debug!(%error, "logging was started before");
    }
}
