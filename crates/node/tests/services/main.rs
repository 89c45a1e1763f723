//! A service outside that decides and is told, with a scripted data plane.

mod decisions;
#[path = "../fake/mod.rs"]
mod fake;
mod pictures;
mod receiver;
mod reports;
mod told;
