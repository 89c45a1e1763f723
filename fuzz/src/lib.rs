//! What all fuzz targets share.
//!
//! A target is a function over bytes that must return for every input; [`target!`] makes a
//! program of it. With cargo-fuzz that is a libFuzzer target; without it, one that runs the files
//! and folders it is given and, with `--mutate N`, N inputs made from them. Product code never
//! depends on this crate.

mod check;
mod input;
mod link;
mod mutate;
mod program;
pub mod srt;
mod target;

pub use check::check_frame;
pub use input::Input;
pub use link::{Link, SERVER, settings};
pub use program::main;
