//! Two ends of ours over a simulated network, in virtual time, and hostile peers.

mod encryption;
mod fuzz;
mod handshakes;
mod hostile;
mod loss;
mod network;
