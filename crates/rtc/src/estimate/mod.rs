//! How much one receiver's path carries: send-side bandwidth estimation.
//!
//! Congestion control as draft-ietf-rmcat-gcc-02 describes it and browsers practise it, over
//! transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01). It owns the
//! history of what was sent, reads feedback, and gives one number: bits per second.
//!
//! | part | answers |
//! | --- | --- |
//! | `history` | when did packet *n* leave, and how large was it? |
//! | `feedback` | which packets arrived, and when by the receiver's clock? |
//! | `groups`, `trend` | does the queue on the path grow? |
//! | `delay` | how long is that queue now? |
//! | `throughput` | how much arrives, how much leaves? |
//! | `loss` | how much is lost? |
//! | `rate` | so where may the estimate go? |
//! | `probe` | when, how fast and how long is padding sent to prove more? |
//!
//! It never sends, never reads a clock, never decides what is worth sending. A packet costs one
//! write into a ring and a few additions; the arithmetic runs once per group of packets and once
//! per feedback. Everything in it is bounded, whatever the receiver says.

mod delay;
mod estimator;
mod feedback;
mod fuzz;
mod groups;
mod history;
mod loss;
mod probe;
mod rate;
mod throughput;
mod trend;

#[cfg(test)]
mod tests;

pub(crate) use estimator::Estimator;
pub(crate) use feedback::MalformedFeedback;
pub use fuzz::fuzz_estimate;
