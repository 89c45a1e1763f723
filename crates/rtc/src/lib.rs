//! One WebRTC peer connection: SDP, ICE, DTLS, SRTP, SCTP.
//!
//! Sans-IO around the crate `str0m`, which only this crate names: datagrams, packets and time go
//! in, datagrams, packets and events come out. It never opens a socket, never reads a clock and
//! knows nothing of rooms.
//!
//! After every change (a datagram, a timeout, written packets) call
//! [`PeerConnection::poll_output`] until it gives [`Output::Timeout`].

mod candidate;
mod codecs;
mod dtls;
mod estimate;
mod payload_types;
mod peer_connection;
mod sdp;
mod sender;
mod settings;
mod types;

#[doc(hidden)]
pub use dtls::fuzz_dtls;
#[doc(hidden)]
pub use estimate::fuzz_estimate;
#[doc(hidden)]
pub use sender::fuzz_rtcp;

pub use candidate::{Candidate, Transport, order_for};
pub use peer_connection::PeerConnection;
pub use sdp::{Fragment, MediaLine, Offer, SdpError};
pub use sender::Burst;
pub use settings::{OfferedMedia, PendingAnswer, Settings};
pub use types::{
    ChannelId, Direction, Error, Event, Layer, Output, Received, Statistics, TrackId,
    TrackStatistics, Transmit, Unplayable, Write,
};
