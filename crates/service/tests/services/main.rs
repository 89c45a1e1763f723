//! Services over real connections on this machine, one file per behaviour.

mod graphql;
mod notifications;
mod support;
mod webhook;
mod without_a_decision;
