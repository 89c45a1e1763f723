//! Transport-wide feedback on packets that were and were not sent.
#![cfg_attr(fuzzing, no_main)]

inver_fuzz::target!(inver_rtc::fuzz_estimate);
