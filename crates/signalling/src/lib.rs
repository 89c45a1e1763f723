//! Signalling: what outside programs ask of the control plane and are told by it.

pub mod api;
