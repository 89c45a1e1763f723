//! The header that names the servers which wait for a room.
#![cfg_attr(fuzzing, no_main)]

use inver_proto::{MAX_HOPS, NodeId, RelayPath};

inver_fuzz::target!(run);

/// A server that no input names by chance.
const OWN: NodeId = NodeId(0x5a5a_1234_0fed_cba9);

fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(path) = text.parse::<RelayPath>() else {
        return;
    };
    let written = path.to_string();
    assert_eq!(written.parse(), Ok(path.clone()), "{written}");
    assert!(written.len() <= 16 * 18, "more than is read");
    // Whoever passes it on stands in it, and no way grows for ever.
    let longer = path.then(OWN);
    assert!(longer.holds(OWN) && !longer.is_empty());
    assert!(!path.is_too_long() || longer.is_too_long());
    let mut way = RelayPath::default();
    for _ in 0..=MAX_HOPS {
        assert!(!way.is_too_long());
        way = way.then(OWN);
    }
    assert!(way.is_too_long());
}
