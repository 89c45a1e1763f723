//! Frames into RTP payloads and back, codec by codec.
