//! Scenarios on virtual time: a sender, a bottleneck, and a receiver that writes feedback.

mod encoder;
mod hostile;
mod link;
mod scenarios;
