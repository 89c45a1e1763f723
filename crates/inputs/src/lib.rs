//! Inputs: each turns one outside protocol into publications.

pub mod whip;
