//! What may name a room, participant or key, and what a refusal tells.

use inver_proto::{KeyId, NameError, ParticipantId, RESERVED_ROOMS, RoomId};

#[test]
fn names_are_letters_digits_dashes_and_underscores() {
    let longest = "a".repeat(64);
    for good in ["a", "7", "Studio-1_b", "a--", "x_", "main", &longest] {
        assert_eq!(good.parse::<RoomId>().expect(good).as_str(), good);
        assert!(good.parse::<ParticipantId>().is_ok());
        assert!(good.parse::<KeyId>().is_ok());
    }
    let too_long = "a".repeat(65);
    let what = "room id";
    for (bad, error) in [
        ("", NameError::Empty { what }),
        (too_long.as_str(), NameError::TooLong { what, bytes: 65 }),
        (
            "-a",
            NameError::Character {
                what,
                found: '-',
                at: 0,
            },
        ),
        (
            "_a",
            NameError::Character {
                what,
                found: '_',
                at: 0,
            },
        ),
        (
            "a b",
            NameError::Character {
                what,
                found: ' ',
                at: 1,
            },
        ),
        (
            "a/b",
            NameError::Character {
                what,
                found: '/',
                at: 1,
            },
        ),
        (
            "a.b",
            NameError::Character {
                what,
                found: '.',
                at: 1,
            },
        ),
        (
            "a\n",
            NameError::Character {
                what,
                found: '\n',
                at: 1,
            },
        ),
        (
            "ab\u{fc}",
            NameError::Character {
                what,
                found: '\u{fc}',
                at: 2,
            },
        ),
        (
            "a\0",
            NameError::Character {
                what,
                found: '\0',
                at: 1,
            },
        ),
    ] {
        assert_eq!(bad.parse::<RoomId>(), Err(error));
    }
}

#[test]
fn path_segments_of_the_doors_name_no_room() {
    for name in RESERVED_ROOMS {
        let error = name.parse::<RoomId>().expect_err(name);
        assert!(error.to_string().contains("reserved"), "{error}");
        assert!(
            name.parse::<ParticipantId>().is_ok(),
            "a participant may be called so"
        );
        let upper = name.to_uppercase();
        assert!(upper.parse::<RoomId>().is_ok(), "names are case-sensitive");
    }
}

#[test]
fn json_is_checked_like_everything_else() {
    assert_eq!(
        serde_json::from_str::<RoomId>(r#""a-b""#)
            .expect("is a room")
            .as_str(),
        "a-b"
    );
    for bad in [r#""a b""#, r#""watch""#, r#""""#, "7", "null"] {
        assert!(serde_json::from_str::<RoomId>(bad).is_err(), "{bad}");
    }
}
