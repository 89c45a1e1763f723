//! Decoding, encoding and resampling of sound, so that AAC becomes Opus and Opus AAC.
