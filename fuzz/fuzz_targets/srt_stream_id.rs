//! The stream id of an SRT handshake: its three forms.
#![cfg_attr(fuzzing, no_main)]

use inver_protocols::srt::{Credential, StreamId};

inver_fuzz::target!(run);

/// Longest part, as documented.
const MAX_PART: usize = 256;

fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let id = match StreamId::parse(&text) {
        Ok(id) => id,
        Err(error) => {
            assert!(error.to_string().len() < 200, "an error repeats the input");
            return;
        }
    };
    assert!(text.len() <= 512);
    let (verb, room, credential) = match &id {
        StreamId::Joined(word) => {
            assert_eq!(*word, text);
            return part(word);
        }
        StreamId::Publish { room, credential } => ("publish", room, credential),
        StreamId::Read { room, credential } => ("read", room, credential),
    };
    part(room);
    let rest = match credential {
        Credential::None => Vec::new(),
        Credential::Key(key) => vec![key],
        Credential::Login { user, password } => vec![user, password],
    };
    rest.iter().for_each(|text| part(text));
    let shown = format!("{id:?}");
    let hides = |secret: &&String| !shown.contains(secret.as_str());
    let plain = format!("{verb} {room:?} with a login with a key without a credential");
    assert!(
        rest.iter()
            .all(|secret| plain.contains(secret.as_str()) || hides(secret)),
        "a secret is shown"
    );
    // The form with colons says the same, where no part holds one.
    let parts: Vec<&str> = std::iter::once(room)
        .chain(rest)
        .map(String::as_str)
        .collect();
    if parts.iter().all(|part| !part.contains(':')) {
        let written = format!("{verb}:{}", parts.join(":"));
        if written.len() <= 512 {
            assert_eq!(StreamId::parse(&written), Ok(id));
        }
    }
}

fn part(text: &str) {
    assert!(!text.is_empty() && text.len() <= MAX_PART);
    assert!(!text.chars().any(char::is_control));
}
