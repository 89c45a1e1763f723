//! Containers of media: what they hold is taken apart into frames and put together again.

pub mod flv;
pub mod fmp4;
pub mod mpegts;
pub mod webm;
