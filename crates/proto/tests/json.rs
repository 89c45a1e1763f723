//! The JSON of the control API, field by field: other programs read it.

use inver_proto::{
    ApiEvent, CreateRoom, CreateToken, Door, Problem, RoomEvent, RoomKind, SessionId, Timestamp,
    Warning, WarningKind,
};
use serde_json::{from_str, from_value, json, to_value};

#[test]
fn a_room_reads_back_as_it_was_written() {
    let room = json!({
        "id": "studio", "kind": "broadcast", "number": 1001, "keyed": true, "configured": true,
        "live": true, "viewers": 2,
        "created_at": "2026-01-31T12:00:00Z", "live_since": "2026-01-31T12:00:01.25Z",
        "participants": [{
            "id": "main", "publishing": true,
            "sessions": [{
                "id": 7, "participant": "main", "door": "whip", "direction": "publish",
                "state": "reconnecting", "since": "2026-01-31T12:00:00.5Z",
                "remote": "192.0.2.1:4000", "user_agent": "OBS", "transport": "udp",
                "stats": {
                    "round_trip_ms": 12.5, "bitrate_in": 2500000, "bitrate_out": 0, "loss": 0.25,
                    "nacks": 3, "keyframe_requests": 1
                }
            }],
            "publications": [{
                "kind": "video", "codec": "H264", "loss": 0.0,
                "layers": [{
                    "rid": "h", "width": 1280, "height": 720, "frames_per_second": 30.0,
                    "bitrate": 2500000, "keyframe_interval_ms": 2000, "active": true,
                    "spatial_layers": 1, "temporal_layers": 3
                }]
            }]
        }],
        "warnings": [{"kind": "b_frames", "message": "no"}]
    });
    let parsed: inver_proto::Room = from_value(room.clone()).expect("is a room");
    assert_eq!(to_value(&parsed).expect("is plain"), room);
}

#[test]
fn events_carry_their_name_and_what_happened() {
    let event = ApiEvent {
        id: 9,
        at: Timestamp(1_769_860_800_250),
        room: "studio".parse().expect("is a room id"),
        what: RoomEvent::Warning {
            participant: "main".parse().expect("is a participant id"),
            warning: Warning {
                kind: WarningKind::NoAudio,
                message: "no sound".to_owned(),
            },
        },
    };
    let expected = json!({
        "id": 9, "at": "2026-01-31T12:00:00.25Z", "room": "studio", "event": "warning",
        "participant": "main", "warning": {"kind": "no_audio", "message": "no sound"}
    });
    assert_eq!(to_value(&event).expect("is plain"), expected);
    assert_eq!(expected["event"], event.what.name());
    let back: ApiEvent = from_value(expected).expect("reads back");
    assert_eq!(back, event);
}

#[test]
fn requests_have_defaults_and_refuse_what_they_do_not_know() {
    let empty: CreateRoom = from_str("{}").expect("all is optional");
    assert_eq!(empty, CreateRoom::default());
    let call: CreateRoom = from_str(r#"{"id":"a","kind":"call","keyed":false}"#).expect("is good");
    assert_eq!((call.kind, call.keyed), (RoomKind::Call, Some(false)));
    let unknown = from_str::<CreateRoom>(r#"{"name":"a"}"#).expect_err("is no field");
    assert!(unknown.to_string().contains("`name`"), "{unknown}");
    assert!(from_str::<CreateRoom>(r#"{"max_viewers":-1}"#).is_err());
    assert!(from_str::<CreateToken>(r#"{"subject":"a b"}"#).is_err());
}

#[test]
fn small_things_look_as_documented() {
    assert_eq!(to_value(SessionId(7)).expect("is plain"), json!(7));
    assert_eq!(to_value(Door::Whep).expect("is plain"), json!("whep"));
    let problem = Problem {
        kind: "about:blank".to_owned(),
        title: "Conflict".to_owned(),
        status: 409,
        detail: "taken".to_owned(),
    };
    assert_eq!(to_value(problem).expect("is plain")["type"], "about:blank");
}

#[test]
fn times_are_rfc_3339_in_utc() {
    assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00Z");
    let parsed: Timestamp = from_str(r#""2026-01-31T13:00:00.25+01:00""#).expect("is a time");
    assert_eq!(parsed, Timestamp(1_769_860_800_250));
    for bad in [r#""yesterday""#, r#""1969-12-31T23:59:59Z""#, "0"] {
        assert!(from_str::<Timestamp>(bad).is_err(), "{bad}");
    }
    assert!(
        Timestamp(u64::MAX).to_string().starts_with("9999"),
        "no panic at the end of time"
    );
}
