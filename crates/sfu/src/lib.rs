//! The data plane: routers, receivers, forwarders. No I/O.
