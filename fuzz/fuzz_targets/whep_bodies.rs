//! JSON bodies of WHEP's extensions: names of events, the wish for a layer.
#![cfg_attr(fuzzing, no_main)]

inver_fuzz::target!(inver_outputs::whep::fuzz_bodies);
