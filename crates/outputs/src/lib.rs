//! Outputs: each turns publications into one outside protocol.

pub mod whep;
