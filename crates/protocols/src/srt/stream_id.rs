//! The stream id: what a caller wants, said in one string of the handshake.
//!
//! Three ways to say it: `publish:{room}:{key}` and its relations, the standard form
//! `#!::r=room,m=publish,s=key` (SRT Access Control), and `{room}-{key}` as one word. This module
//! reads them; which rooms and keys exist is not its matter.

use std::fmt;

use thiserror::Error;

/// Longer ids do not exist: SRT allows 512 bytes.
pub(super) const MAX_LENGTH: usize = 512;

/// Names in a stream id have at most this many bytes, more than any room, key or user has.
const MAX_PART: usize = 256;

/// What a caller wants.
#[derive(Clone, PartialEq, Eq)]
pub enum StreamId {
    /// To send into a room.
    Publish {
        /// The room's name.
        room: String,
        /// What proves the right.
        credential: Credential,
    },
    /// To receive a room's media.
    Read {
        /// The room's name.
        room: String,
        /// What proves the right, where the room asks for it.
        credential: Credential,
    },
    /// One word that joins room and key, `{room}-{key}`: the door knows where to split, as both
    /// may hold hyphens.
    Joined(String),
}

/// What proves a right.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// Nothing given.
    None,
    /// A stream key or token.
    Key(String),
    /// A user and a password.
    Login {
        /// The user's name.
        user: String,
        /// The password.
        password: String,
    },
}

/// Why a stream id cannot be used, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StreamIdError {
    /// No stream id at all.
    #[error(
        "the stream id is empty; give publish:ROOM:KEY, read:ROOM or #!::r=ROOM,m=publish,s=KEY"
    )]
    Empty,
    /// Too long.
    #[error("the stream id has {0} bytes; at most {MAX_LENGTH} are allowed")]
    Long(usize),
    /// Not text, or with control characters.
    #[error("the stream id has characters that are not printable; give UTF-8 text")]
    Unprintable,
    /// `publish:` with a wrong number of parts.
    #[error(
        "a stream id that begins with publish: is publish:ROOM:KEY, publish:ROOM where rooms need no keys, or \
         publish:ROOM:USER:PASSWORD"
    )]
    Publish,
    /// `read:` with a wrong number of parts.
    #[error(
        "a stream id that begins with read: is read:ROOM, read:ROOM:KEY or read:ROOM:USER:PASSWORD"
    )]
    Read,
    /// A part is missing or too long.
    #[error("{0} is empty or longer than {MAX_PART} bytes")]
    Part(&'static str),
    /// The standard form without a resource.
    #[error("the stream id names no room; the form is #!::r=ROOM,m=publish,s=KEY")]
    NoRoom,
    /// The standard form with something that is not `key=value`.
    #[error("a part of the stream id is not KEY=VALUE; the form is #!::r=ROOM,m=publish,s=KEY")]
    NotPair,
    /// The standard form names something twice.
    #[error("the stream id says {0}= twice")]
    Twice(&'static str),
    /// A mode that does not exist here.
    #[error("the mode is not known; m=publish sends, m=request receives")]
    Mode,
    /// A nested form, which nobody sends.
    #[error(
        "the stream id begins with #! but not with #!::; the form is #!::r=ROOM,m=publish,s=KEY"
    )]
    Nested,
    /// A verb that does not exist.
    #[error("the stream id begins with an unknown word; give publish:ROOM:KEY or read:ROOM")]
    Verb,
}

impl StreamId {
    /// Reads a stream id as it came in the handshake.
    ///
    /// # Errors
    /// Says what is wrong and what would be right, without repeating secrets.
    pub fn parse(id: &str) -> Result<Self, StreamIdError> {
        if id.is_empty() {
            return Err(StreamIdError::Empty);
        }
        if id.len() > MAX_LENGTH {
            return Err(StreamIdError::Long(id.len()));
        }
        if id
            .chars()
            .any(|letter| letter.is_control() || letter == '\u{fffd}')
        {
            return Err(StreamIdError::Unprintable);
        }
        if let Some(pairs) = id.strip_prefix("#!::") {
            return parse_pairs(pairs);
        }
        if id.starts_with("#!") {
            return Err(StreamIdError::Nested);
        }
        let Some((verb, rest)) = id.split_once(':') else {
            return Ok(Self::Joined(part(id, "the stream id")?));
        };
        let parts: Vec<&str> = rest.split(':').collect();
        match (verb, parts.as_slice()) {
            ("publish", [room]) => Ok(Self::Publish {
                room: part(room, "the room")?,
                credential: Credential::None,
            }),
            ("publish", [room, key]) => Ok(Self::Publish {
                room: part(room, "the room")?,
                credential: Credential::Key(part(key, "the key")?),
            }),
            ("publish", [room, user, password]) => Ok(Self::Publish {
                room: part(room, "the room")?,
                credential: login(user, password)?,
            }),
            ("publish", _) => Err(StreamIdError::Publish),
            ("read", [room]) => Ok(Self::Read {
                room: part(room, "the room")?,
                credential: Credential::None,
            }),
            ("read", [room, key]) => Ok(Self::Read {
                room: part(room, "the room")?,
                credential: Credential::Key(part(key, "the key")?),
            }),
            ("read", [room, user, password]) => Ok(Self::Read {
                room: part(room, "the room")?,
                credential: login(user, password)?,
            }),
            ("read", _) => Err(StreamIdError::Read),
            _ => Err(StreamIdError::Verb),
        }
    }
}

fn part(text: &str, what: &'static str) -> Result<String, StreamIdError> {
    if text.is_empty() || text.len() > MAX_PART {
        return Err(StreamIdError::Part(what));
    }
    Ok(text.to_owned())
}

fn login(user: &str, password: &str) -> Result<Credential, StreamIdError> {
    Ok(Credential::Login {
        user: part(user, "the user")?,
        password: part(password, "the password")?,
    })
}

/// The standard form after its `#!::`. Keys that mean nothing here are passed over.
fn parse_pairs(pairs: &str) -> Result<StreamId, StreamIdError> {
    let mut values: [(&'static str, Option<&str>); 4] =
        [("r", None), ("m", None), ("u", None), ("s", None)];
    for pair in pairs.split(',').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or(StreamIdError::NotPair)?;
        if let Some((name, slot)) = values.iter_mut().find(|(name, _)| *name == key)
            && slot.replace(value).is_some()
        {
            return Err(StreamIdError::Twice(name));
        }
    }
    let [(_, room), (_, mode), (_, user), (_, secret)] = values;
    let room = part(room.ok_or(StreamIdError::NoRoom)?, "the room")?;
    let credential = match (user, secret) {
        (_, None) => Credential::None,
        (None, Some(key)) => Credential::Key(part(key, "the key")?),
        (Some(user), Some(password)) => login(user, password)?,
    };
    match mode {
        Some("publish") => Ok(StreamId::Publish { room, credential }),
        None | Some("request" | "read") => Ok(StreamId::Read { room, credential }),
        Some(_) => Err(StreamIdError::Mode),
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish { room, credential } => write!(f, "publish {room:?} {credential:?}"),
            Self::Read { room, credential } => write!(f, "read {room:?} {credential:?}"),
            Self::Joined(_) => f.write_str("room and key"),
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "without a credential",
            Self::Key(_) => "with a key",
            Self::Login { .. } => "with a login",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &str) -> Credential {
        Credential::Key(key.to_owned())
    }

    fn publish(room: &str, credential: Credential) -> Result<StreamId, StreamIdError> {
        let room = room.to_owned();
        Ok(StreamId::Publish { room, credential })
    }

    fn read(room: &str, credential: Credential) -> Result<StreamId, StreamIdError> {
        let room = room.to_owned();
        Ok(StreamId::Read { room, credential })
    }

    fn login(user: &str, password: &str) -> Credential {
        Credential::Login {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    #[test]
    fn each_form_says_what_the_caller_wants() {
        let cases = [
            ("publish:stage", publish("stage", Credential::None)),
            ("publish:stage:secret", publish("stage", key("secret"))),
            ("publish:stage:ann:pw", publish("stage", login("ann", "pw"))),
            ("read:stage", read("stage", Credential::None)),
            ("read:stage:token", read("stage", key("token"))),
            (
                "#!::r=stage,m=publish,s=secret",
                publish("stage", key("secret")),
            ),
            (
                "#!::m=publish,u=ann,r=stage,s=pw",
                publish("stage", login("ann", "pw")),
            ),
            ("#!::r=stage", read("stage", Credential::None)),
            ("#!::r=stage,m=request,s=token", read("stage", key("token"))),
            (
                "#!::r=stage,h=host,t=stream,u=ann",
                read("stage", Credential::None),
            ),
            (
                "main-stage-k3y",
                Ok(StreamId::Joined("main-stage-k3y".to_owned())),
            ),
        ];
        for (id, expected) in cases {
            assert_eq!(StreamId::parse(id), expected, "{id}");
        }
    }

    #[test]
    fn a_bad_stream_id_gets_an_error_that_says_what_would_be_right() {
        let long = "x".repeat(513);
        let part = format!("read:{}", "x".repeat(257));
        let cases = [
            ("", StreamIdError::Empty),
            (long.as_str(), StreamIdError::Long(513)),
            ("read:a\nb", StreamIdError::Unprintable),
            ("publish:a:b:c:d", StreamIdError::Publish),
            ("publish::key", StreamIdError::Part("the room")),
            ("publish:room:", StreamIdError::Part("the key")),
            (part.as_str(), StreamIdError::Part("the room")),
            ("read:a:b:c:d", StreamIdError::Read),
            ("watch:stage", StreamIdError::Verb),
            ("#!::m=publish", StreamIdError::NoRoom),
            ("#!::r=a,r=b", StreamIdError::Twice("r")),
            ("#!::r=a,publish", StreamIdError::NotPair),
            ("#!::r=a,m=bidirectional", StreamIdError::Mode),
            ("#!:{r=a}", StreamIdError::Nested),
        ];
        for (id, expected) in cases {
            assert_eq!(StreamId::parse(id), Err(expected), "{id}");
        }
        let shown = StreamIdError::Publish.to_string();
        assert!(shown.contains("publish:ROOM:KEY"), "{shown}");
    }

    #[test]
    fn a_secret_is_not_shown() {
        for id in [
            "publish:room:hunter2",
            "publish:room:ann:hunter2",
            "room-hunter2",
        ] {
            let parsed = StreamId::parse(id).expect("it is right");
            assert!(!format!("{parsed:?}").contains("hunter2"), "{id}");
        }
    }
}
