//! A virtual network on virtual time, for tests.
