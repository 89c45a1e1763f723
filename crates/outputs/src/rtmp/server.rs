//! Takes connections whose clients want to play.

use inver_node::Handle;
use inver_sockets::rtmp::{Play, Player as Players, Playing};

use super::session;

/// Settings of the door.
#[derive(Debug, Clone)]
pub struct Config {
    /// Bytes that wait for a player's connection before no more frames are taken for it; from
    /// there on it loses frames. Less drops on short stalls, more costs memory for each slow
    /// player.
    pub queue: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { queue: 1 << 20 }
    }
}

/// The door.
#[derive(Debug, Clone)]
pub struct Player {
    pub(super) handle: Handle,
    pub(super) config: Config,
}

impl Player {
    /// A door to this node.
    pub fn new(handle: Handle, config: Config) -> Self {
        Self { handle, config }
    }
}

impl Players for Player {
    fn play(&self, play: Play) -> Playing<'_> {
        Box::pin(session::serve(self, play))
    }
}
