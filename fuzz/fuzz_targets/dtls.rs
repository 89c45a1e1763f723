//! Datagrams of DTLS before, during and after a handshake.
#![cfg_attr(fuzzing, no_main)]

inver_fuzz::target!(inver_rtc::fuzz_dtls);
