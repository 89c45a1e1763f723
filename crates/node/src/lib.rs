//! The shell: joins control, shards and the durable store into one handle for the doors.

mod api;

pub use api::{Client, Patched, Publish, SessionEvent, Started, Subscribe, Target};
