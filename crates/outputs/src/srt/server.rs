//! Takes callers that want to read.

use std::time::Duration;

use inver_node::{Handle, Secret};
use inver_sockets::srt::{Read, Reader as Readers, Reading};

use super::session;

/// Settings of the door.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long a packet is sent again while it is lost, at least; a caller may want more.
    pub latency: Duration,
    /// Whether readers have to encrypt.
    pub require_encryption: bool,
    /// The passphrase of readers that encrypt, 10 to 79 bytes. Where absent, it is what their
    /// stream id shows, or a stream key of the room.
    pub passphrase: Option<Secret>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(120),
            require_encryption: false,
            passphrase: None,
        }
    }
}

/// The door.
#[derive(Debug, Clone)]
pub struct Reader {
    pub(super) handle: Handle,
    pub(super) config: Config,
}

impl Reader {
    /// A door to this node.
    pub fn new(handle: Handle, config: Config) -> Self {
        Self { handle, config }
    }
}

impl Readers for Reader {
    fn read(&self, read: Read) -> Reading<'_> {
        Box::pin(session::serve(self, read))
    }
}
