//! Takes connections whose clients want to read.

use inver_node::Handle;
use inver_sockets::rtsp::{Read, Reader as Readers, Reading};

use super::session;

/// Settings of the door.
#[derive(Debug, Clone)]
pub struct Config {
    /// Bytes that wait for a reader's connection before it loses frames. Less drops on short
    /// stalls, more costs memory for each slow reader.
    pub queue: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { queue: 2 << 20 }
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
