//! The Service of the design: who outside the server may decide over publishers and viewers, and
//! hears how streams fare.
//!
//! It owns the interface, [`Service`], its implementations (built in, signed webhook, HTTP and
//! GraphQL), the delivery of notifications, and the policy of reports. It knows no sockets of the
//! server's own, no room's state and no packet: what it is asked about comes in, what it decided
//! goes out.

mod asked;
mod built_in;
mod config;
mod fault;
mod graphql;
mod notifier;
mod outbound;
mod reporter;
mod reports;
mod service;
mod signature;
mod stream;
#[cfg(test)]
mod testing;
mod webhook;
mod with_hooks;

pub use asked::{
    Approved, Authority, Denied, DeniedBy, HmacRequest, KeyLookup, Proof, Publish, Read, Start,
    split_at_first_dash,
};
pub use built_in::BuiltIn;
pub use config::{
    Config, ConfigError, Decider, GraphQlConfig, HookConfig, Retry, WebhookConfig, WhenDown, build,
    check_deadline, check_secrets, check_url,
};
pub use fault::Fault;
pub use graphql::GraphQl;
pub use notifier::Hook;
pub use reporter::{AtLimit, Command, EndCause, Outcome, REPORT_INTERVAL, ReportPolicy, Reporter};
pub use reports::{News, report_stream, run_stream};
pub use service::{Answering, Service};
pub use stream::{Event, EventKind, MAX_THUMBNAIL, Metadata, Stream, StreamId, Verdict};
pub use webhook::Webhook;
pub use with_hooks::WithHooks;
