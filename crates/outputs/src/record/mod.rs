//! Recording: rooms kept in files that a crash does not spoil.
//!
//! One file for each participant and stretch of unchanged media, in fragmented MP4 or in WebM, with
//! a manifest that places all of them on one clock. What frames become is decided by a
//! [writer](writer) that knows no file; [files](file) are appended only, and made such that players
//! seek in them at their end.
//! The [recorder](Recorder) starts and stops recordings by policy or by the [API](router), keeps
//! the index, and clears away what is too old or too much. What is finished goes on to object
//! [storage] where there is one. Nothing here codes media again.

mod api;
mod container;
mod download;
mod file;
mod library;
mod manifest;
mod preview;
mod recorder;
mod session;
mod storage;
mod writer;

pub(crate) use file::free_space;

pub use api::{RecordingList, openapi, router};
pub use manifest::{Place, Preview, RecordedFile, Recording, RecordingState, StorageState, Stored};
pub use recorder::{Config, Recorder};
pub use storage::{Bucket, BucketError, StorageConfig};
