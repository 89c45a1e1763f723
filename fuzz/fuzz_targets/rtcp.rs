//! Feedback of a player on a connection that only sends.
#![cfg_attr(fuzzing, no_main)]

inver_fuzz::target!(inver_rtc::fuzz_rtcp);
