//! A load generator for any WHIP and WHEP server.
