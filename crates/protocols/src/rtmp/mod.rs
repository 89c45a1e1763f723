//! RTMP and Enhanced RTMP.
