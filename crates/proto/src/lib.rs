//! Ids and every wire message of the control API.
//!
//! Pure data: parsing, printing and JSON shapes. It never performs I/O, never reads a clock and
//! knows nothing of media.

mod ids;

pub use ids::{SessionId, SourceId};
