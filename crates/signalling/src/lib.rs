//! Signalling: the control API and its event stream.
