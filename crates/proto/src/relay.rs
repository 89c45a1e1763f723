//! The way of a room over several servers, so that none is relayed back to where it comes from.

use std::fmt;
use std::str::FromStr;

/// Name of the request header that carries the way.
pub const RELAY_PATH_HEADER: &str = "inver-relay-path";

/// Most servers that a room passes behind the one where it is published. More is a chain that
/// nobody meant, and each adds delay.
pub const MAX_HOPS: usize = 3;

/// Longest way that is read at all: beyond [`MAX_HOPS`] it is refused either way.
const MAX_READ: usize = 16;

/// Number of a server process, random at each start: 16 hexadecimal digits in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for NodeId {
    type Err = RelayPathError;

    fn from_str(text: &str) -> Result<Self, RelayPathError> {
        let fits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let id = fits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        id.map(Self).ok_or(RelayPathError)
    }
}

/// The header's text is no list of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "Inver-Relay-Path must be a list of at most {MAX_READ} servers, each of 16 hexadecimal digits, \
     divided by commas"
)]
pub struct RelayPathError;

/// The servers that wait for a room, the one with the viewer first. Empty for a viewer's own wish.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RelayPath(Vec<NodeId>);

impl RelayPath {
    /// Whether the wish is a viewer's own.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the room would come back to this server.
    pub fn holds(&self, node: NodeId) -> bool {
        self.0.contains(&node)
    }

    /// Whether it names more servers than a room may pass.
    pub fn is_too_long(&self) -> bool {
        self.0.len() > MAX_HOPS
    }

    /// The way with one more server at its end.
    #[must_use]
    pub fn then(&self, node: NodeId) -> Self {
        let mut longer = self.0.clone();
        longer.push(node);
        Self(longer)
    }
}

impl fmt::Display for RelayPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, node) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{node}")?;
        }
        Ok(())
    }
}

impl FromStr for RelayPath {
    type Err = RelayPathError;

    fn from_str(text: &str) -> Result<Self, RelayPathError> {
        let nodes = text.split(',').map(|node| node.trim().parse());
        let nodes: Vec<NodeId> = nodes.take(MAX_READ + 1).collect::<Result<_, _>>()?;
        if nodes.len() > MAX_READ {
            return Err(RelayPathError);
        }
        Ok(Self(nodes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_read_as_it_is_written() {
        let way = RelayPath::default().then(NodeId(1)).then(NodeId(u64::MAX));
        assert_eq!(way.to_string(), "0000000000000001, ffffffffffffffff");
        assert_eq!(way.to_string().parse(), Ok(way.clone()));
        assert!(way.holds(NodeId(1)) && !way.holds(NodeId(2)));
        assert!(!way.then(NodeId(3)).is_too_long());
        assert!(way.then(NodeId(3)).then(NodeId(4)).is_too_long());
    }

    #[test]
    fn what_is_no_way_is_refused() {
        let long = vec!["0000000000000001"; 17].join(",");
        let wrong = [
            "",
            "1",
            "000000000000000g",
            "0000000000000001,",
            "+000000000000001",
            &long,
        ];
        for text in wrong {
            assert_eq!(text.parse::<RelayPath>(), Err(RelayPathError), "{text:?}");
        }
    }
}
