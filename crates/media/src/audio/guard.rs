//! Keeps a panic of a codec library from ending more than one bridge.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Error;

/// Runs `work` and turns a panic inside it into [`Error::Panicked`].
///
/// The codecs are young libraries, one of them with unsafe code, and they read what strangers
/// send: indexing is checked there, but a check that fails is a panic, and that would end the
/// thread and every other publication on it. What `work` leaves half-changed must not be used
/// again; that is why unwind safety can be asserted: the caller ends itself.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Error::Panicked)
}
