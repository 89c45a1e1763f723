//! Recordings in object storage: S3 and what speaks like it.
//!
//! What is recorded goes to the disk first, as it always does. A [queue](queue) decides, without
//! any clock, which finished file is uploaded next and when to try again; [workers](upload) do it
//! through a [bucket](Bucket), in parts, so that neither an outage nor a restart begins a large
//! file anew. Nothing here deletes what is not in the bucket with its full length.

mod bucket;
mod queue;
mod removal;
mod send;
mod upload;

pub(super) use bucket::Failure;
pub use bucket::{Bucket, BucketError, StorageConfig};
pub(super) use queue::{Next, Queue};
pub(super) use removal::Kept;
pub(super) use upload::remove_file;

#[cfg(test)]
mod tests;
