//! Names of rooms, participants and keys, and the JSON bodies of the control API.
#![cfg_attr(fuzzing, no_main)]

use std::fmt::Display;
use std::str::FromStr;

use inver_proto::{
    ApiEvent, CreateKey, CreateRoom, CreateToken, KeyId, MAX_NAME, ParticipantId, RESERVED_ROOMS,
    RoomId,
};

inver_fuzz::target!(run);

fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let room = name::<RoomId>(&text);
    assert!(!room || !RESERVED_ROOMS.contains(&&*text));
    name::<ParticipantId>(&text);
    name::<KeyId>(&text);
    let _ = serde_json::from_slice::<CreateRoom>(data);
    let _ = serde_json::from_slice::<CreateKey>(data);
    let _ = serde_json::from_slice::<CreateToken>(data);
    if let Ok(event) = serde_json::from_slice::<ApiEvent>(data) {
        let written = serde_json::to_vec(&event).expect("an event has a JSON form");
        let again = serde_json::from_slice::<ApiEvent>(&written).expect("our own JSON is read");
        assert_eq!(again, event);
    }
}

/// Whether the text is a name; if so it can stand in a URL, a path and a log as it is.
fn name<T: FromStr + Display>(text: &str) -> bool {
    let Ok(name) = text.parse::<T>() else {
        return false;
    };
    assert_eq!(name.to_string(), text);
    assert!((1..=MAX_NAME).contains(&text.len()));
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    assert!(text.chars().all(plain) && !text.starts_with(['-', '_']));
    true
}
