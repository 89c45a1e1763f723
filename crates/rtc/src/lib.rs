//! One WebRTC peer connection: SDP, ICE, DTLS, SRTP, SCTP.
