//! What may be logged of what clients say.

use inver_node::Handle;
use inver_proto::{MAX_NAME, RoomId};

/// Longest text of a client in a log line.
const MAX_TEXT: usize = 128;

/// Text of a client as a log line may show it: short and without control characters.
pub fn shown(text: &str) -> String {
    text.chars()
        .filter(|char| !char.is_control())
        .take(MAX_TEXT)
        .collect()
}

/// The room that a text names which may hold a key behind it, right or wrong; `None` where it
/// names none that exists. Never a part of the key: only rooms that exist are told.
pub fn room_in(handle: &Handle, text: &str) -> Option<RoomId> {
    let known = |name: &str| {
        let room: RoomId = name.parse().ok()?;
        handle.room(&room).is_ok().then_some(room)
    };
    known(text).or_else(|| {
        // More dashes than a room id has letters name no room.
        let ends = text.rmatch_indices('-').take(MAX_NAME);
        ends.into_iter()
            .find_map(|(end, _)| known(text.get(..end)?))
    })
}
