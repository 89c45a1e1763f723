//! Both ends against one another, chunks in every form, and hostile peers.

mod chunks;
mod handshakes;
mod hostile;
mod sessions;
