//! FTL: the control connection and the media beside it.
//!
//! [`Control`] is the server's end of the TCP connection: lines in, replies and events out, and
//! nothing before the challenge is answered rightly. [`Media`] is what comes over UDP: pings to
//! echo, sender reports, RTP put in order, requests for what is lost. Both are as Mixer's client
//! library speaks, the protocol having no specification. They know no rooms, keep no keys and
//! never decode media.

mod attributes;
mod code;
mod control;
mod datagram;
mod media;
mod receiver;

#[cfg(test)]
mod tests;

pub use attributes::{Attributes, Stream};
pub use code::Code;
pub use control::{Closed, Control, Event, MAX_LINE, READ_TIMEOUT, verify};
pub(crate) use datagram::rtp;
pub use datagram::{Datagram, Rtp, SenderReport, classify};
pub use media::{Media, Reaction};
pub use receiver::{Counters, Received, Receiver, Settings};
