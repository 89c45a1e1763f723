//! The real program with real clients: browsers, encoders, other WebRTC stacks, hostile input.
//!
//! One file per behaviour. Tools come from `cargo xtask setup`; a missing one fails its tests by
//! name.

mod b_frames;
mod bad_requests;
mod broadcast;
mod browser;
mod control;
mod data;
mod drain;
mod fallback;
mod ffmpeg;
mod ftl;
mod gstreamer;
mod half_open;
mod harness;
mod hls;
mod hostile_datagrams;
mod ladder;
mod loss;
mod network;
mod offers;
mod publishers;
mod pulls;
mod reconnect;
mod recording;
mod relay;
mod restart;
mod restream;
mod rtmp;
mod rtsp;
mod second_stack;
mod simulcast;
mod srt;
mod storage;
mod thumbnails;
mod watch_page;
