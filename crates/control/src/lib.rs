//! Decisions about rooms, participants, sessions and grants. Never touches a packet, never reads a clock.
