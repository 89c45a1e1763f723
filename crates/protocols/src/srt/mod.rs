//! SRT: secure reliable transport of live media over UDP.
