//! Thumbnails: `GET /thumbnails/{room}.jpg`, a small JPEG of what a live room shows.
//!
//! Owns when a picture is made and for how long it is good: only while somebody asks, at most every
//! few seconds, once for all who ask at the same time. It sees a room as its viewers do and asks
//! for the same right. Decoding is `inver_media::still`'s.

mod maker;
mod server;

pub use maker::{Config, Failure, Maker, Picture};
pub use server::router;
