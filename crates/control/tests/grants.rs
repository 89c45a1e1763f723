//! Who may do what: open and keyed servers, stream keys, tokens, the admin token.

mod world;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use inver_control::{
    Action, Credentials, Origin, Policy, PublishRequest, PublishTarget, RefusalKind, Scope, Secret,
};
use inver_proto::{CreateRoom, CreateToken, RoomKind};
use world::{ADMIN, World, keyed_policy, publish, publish_with, room, subscribe};

fn kind(world: &World, credentials: &str, action: Action<'_>) -> Result<Origin, RefusalKind> {
    let credentials = Credentials::bearer(credentials);
    let grant = world.control.authorize(&credentials, action, world.now);
    grant
        .map(|grant| grant.origin)
        .map_err(|refusal| refusal.kind)
}

#[test]
fn an_open_server_allows_everything_and_still_knows_who_shows_something() {
    let mut world = World::open();
    world.create("studio", RoomKind::Broadcast);
    let key = world.key("studio");
    let studio = room("studio");
    for action in [
        Action::Publish(&studio),
        Action::Subscribe(&studio),
        Action::AdministerRoom(&studio),
        Action::AdministerServer,
    ] {
        assert_eq!(kind(&world, "", action), Ok(Origin::Anonymous));
        assert_eq!(kind(&world, "anything", action), Ok(Origin::Anonymous));
        assert_eq!(kind(&world, ADMIN, action), Ok(Origin::AdminToken));
        assert_eq!(
            kind(&world, &key.key, action),
            Ok(Origin::StreamKey(key.id.clone()))
        );
    }
}

#[test]
fn a_keyed_server_lets_everybody_watch_and_nobody_else_do_anything() {
    let mut world = World::keyed();
    world.create("studio", RoomKind::Broadcast);
    let studio = room("studio");
    let none = |action| kind(&world, "", action);
    assert_eq!(none(Action::Subscribe(&studio)), Ok(Origin::Anonymous));
    assert_eq!(
        none(Action::Publish(&studio)),
        Err(RefusalKind::Unauthorized)
    );
    assert_eq!(
        none(Action::AdministerRoom(&studio)),
        Err(RefusalKind::Unauthorized)
    );
    assert_eq!(
        none(Action::AdministerServer),
        Err(RefusalKind::Unauthorized)
    );
    let unknown = kind(&world, "wrong", Action::Subscribe(&studio));
    assert_eq!(
        unknown,
        Err(RefusalKind::Unauthorized),
        "a stale token is told so"
    );
    let long = "x".repeat(100_000);
    assert_eq!(
        kind(&world, &long, Action::AdministerServer),
        Err(RefusalKind::Unauthorized)
    );
}

#[test]
fn viewing_can_be_closed() {
    let mut world = World::new(Policy {
        public_viewing: false,
        ..keyed_policy()
    });
    world.create("studio", RoomKind::Broadcast);
    let key = world.key("studio");
    world.live(publish_with("studio", &key.key));
    let refusal = world
        .begin_subscribe(subscribe("studio"))
        .expect_err("needs a grant");
    assert_eq!(refusal.kind, RefusalKind::Unauthorized);
    let request = CreateToken {
        room: Some("studio".to_owned()),
        subscribe: true,
        ..CreateToken::default()
    };
    let token = world
        .control
        .issue_token(&request, world.now)
        .expect("is well formed")
        .token;
    let mut with_token = subscribe("studio");
    with_token.credentials = Credentials::bearer(&token);
    world.viewer(with_token);
    let studio = room("studio");
    assert_eq!(
        kind(&world, &token, Action::Publish(&studio)),
        Err(RefusalKind::Forbidden)
    );
    let other = room("other");
    assert_eq!(
        kind(&world, &token, Action::Subscribe(&other)),
        Err(RefusalKind::Forbidden)
    );
}

#[test]
fn a_stream_key_opens_its_own_room_only() {
    let mut world = World::keyed();
    world.create("studio", RoomKind::Broadcast);
    world.create("other", RoomKind::Broadcast);
    let key = world.key("studio");
    assert!(!key.key.contains('-') && key.key.len() >= 22);
    assert_eq!(key.stream_key, format!("studio-{}", key.key));
    let (studio, other) = (room("studio"), room("other"));
    for shown in [&key.key, &key.stream_key] {
        let origin = Origin::StreamKey(key.id.clone());
        assert_eq!(kind(&world, shown, Action::Publish(&studio)), Ok(origin));
        assert_eq!(
            kind(&world, shown, Action::Publish(&other)),
            Err(RefusalKind::Forbidden)
        );
        let admin = kind(&world, shown, Action::AdministerRoom(&studio));
        assert_eq!(admin, Err(RefusalKind::Forbidden));
    }
    let swapped = format!("other-{}", key.key);
    let refused = kind(&world, &swapped, Action::Publish(&other));
    assert_eq!(refused, Err(RefusalKind::Unauthorized));
}

fn in_one_string(text: &str) -> PublishRequest {
    PublishRequest {
        target: PublishTarget::RoomWithKey(Secret::new(text)),
        ..publish("unused")
    }
}

#[test]
fn room_and_key_in_one_string_split_where_a_room_is_known() {
    let mut world = World::keyed();
    for id in ["a", "a-b", "a-b-c"] {
        world.create(id, RoomKind::Broadcast);
    }
    for id in ["a", "a-b", "a-b-c"] {
        let key = world.key(id);
        let ticket = world
            .begin_publish(in_one_string(&key.stream_key))
            .expect("its own room");
        assert_eq!(ticket.room, room(id));
    }
    let key = world.key("a");
    for wrong in ["a-b", "a-wrong", "nowhere-key", "-", "", "a-", &key.key] {
        let refusal = world
            .begin_publish(in_one_string(wrong))
            .expect_err("no such pair");
        assert_eq!(refusal.kind, RefusalKind::Unauthorized, "{wrong:?}");
    }
    let dashes = "-".repeat(100_000);
    assert!(world.begin_publish(in_one_string(&dashes)).is_err());
}

#[test]
fn on_an_open_server_a_string_without_a_known_key_is_a_room() {
    let mut world = World::open();
    world.create("my", RoomKind::Broadcast);
    let ticket = world
        .begin_publish(in_one_string("my-show"))
        .expect("open server");
    assert_eq!(ticket.room, room("my-show"));
}

#[test]
fn a_room_without_keys_takes_every_publisher_on_a_keyed_server() {
    let mut world = World::keyed();
    let request = CreateRoom {
        id: Some(room("lobby")),
        keyed: Some(false),
        ..CreateRoom::default()
    };
    let now = world.now;
    let (plan, _) = world
        .control
        .plan_create_room(&request, now)
        .expect("is new");
    world.apply(plan);
    assert_eq!(world.room("lobby").expect("is there").number, None);
    world.begin_publish(publish("lobby")).expect("not keyed");
    let refusal = world
        .begin_publish(publish("elsewhere"))
        .expect_err("not configured");
    assert_eq!(refusal.kind, RefusalKind::Unauthorized);
}

#[test]
fn tokens_end_when_they_say() {
    let mut world = World::keyed();
    let request = CreateToken {
        admin: true,
        ttl_seconds: Some(60),
        ..CreateToken::default()
    };
    let token = world
        .control
        .issue_token(&request, world.now)
        .expect("is well formed");
    assert_eq!(
        token.expires_at,
        world.now.wall.plus(std::time::Duration::from_secs(60))
    );
    world.seconds(59);
    assert_eq!(
        kind(&world, &token.token, Action::AdministerServer),
        Ok(Origin::Token)
    );
    world.seconds(1);
    let late = kind(&world, &token.token, Action::AdministerServer);
    assert_eq!(late, Err(RefusalKind::Unauthorized));
}

#[test]
fn an_admin_of_one_room_is_none_of_the_server() {
    let world = World::keyed();
    let request = CreateToken {
        room: Some("studio".to_owned()),
        admin: true,
        ..CreateToken::default()
    };
    let token = world
        .control
        .issue_token(&request, world.now)
        .expect("is well formed")
        .token;
    let studio = room("studio");
    assert_eq!(
        kind(&world, &token, Action::AdministerRoom(&studio)),
        Ok(Origin::Token)
    );
    let server = kind(&world, &token, Action::AdministerServer);
    assert_eq!(server, Err(RefusalKind::Forbidden));
}

#[test]
fn tokens_that_make_no_sense_are_not_issued() {
    let world = World::keyed();
    let good = CreateToken {
        publish: true,
        ..CreateToken::default()
    };
    for bad in [
        CreateToken::default(),
        CreateToken {
            room: Some("no room".to_owned()),
            ..good.clone()
        },
        CreateToken {
            ttl_seconds: Some(0),
            ..good.clone()
        },
        CreateToken {
            ttl_seconds: Some(u64::MAX),
            ..good.clone()
        },
    ] {
        let refusal = world
            .control
            .issue_token(&bad, world.now)
            .expect_err("makes no sense");
        assert_eq!(refusal.kind, RefusalKind::BadRequest);
    }
}

/// Signs claims with HMAC-SHA-256 as a server with the same secret would.
fn forge(header: &str, claims: &str, key: &[u8]) -> String {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", encode(header), encode(claims));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    let tag = aws_lc_rs::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

/// The key that tokens of the test server are signed with, derived as documented.
fn signing_key() -> Vec<u8> {
    struct Length;
    impl aws_lc_rs::hkdf::KeyType for Length {
        fn len(&self) -> usize {
            32
        }
    }
    let salt = aws_lc_rs::hkdf::Salt::new(aws_lc_rs::hkdf::HKDF_SHA256, b"inver");
    let mut key = vec![0; 32];
    let material = salt.extract(&[7; 32]);
    let material = material
        .expand(&[b"tokens"], Length)
        .expect("is short enough");
    material.fill(&mut key).expect("has the length");
    key
}

const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

#[test]
fn forged_and_foreign_tokens_are_refused() {
    let world = World::keyed();
    let claims = r#"{"room":"*","admin":true,"exp":1800000000}"#;
    let key = signing_key();
    let good = forge(HS256, claims, &key);
    assert_eq!(
        kind(&world, &good, Action::AdministerServer),
        Ok(Origin::Token)
    );
    let none = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let without_expiry = forge(HS256, r#"{"room":"*","admin":true}"#, &key);
    let without_room = forge(HS256, r#"{"admin":true,"exp":1800000000}"#, &key);
    let later = forge(
        HS256,
        r#"{"room":"*","admin":true,"exp":1800000000,"nbf":1790000000}"#,
        &key,
    );
    for (bad, why) in [
        (none, "unsigned"),
        (forge(HS256, claims, b"another key"), "another key"),
        (
            forge(r#"{"alg":"HS512"}"#, claims, &key),
            "another algorithm",
        ),
        (forge(r#"{"alg":"RS256"}"#, claims, &key), "another family"),
        (without_expiry, "good for ever"),
        (without_room, "no room"),
        (later, "not yet valid"),
        ("a.b.c".to_owned(), "no token"),
        ("..".to_owned(), "nothing"),
    ] {
        let refused = kind(&world, &bad, Action::AdministerServer);
        assert_eq!(refused, Err(RefusalKind::Unauthorized), "{why}");
    }
}

#[test]
fn grants_in_the_video_claim_are_understood() {
    let world = World::keyed();
    let key = signing_key();
    let grant = |video: &str| {
        let claims = format!(r#"{{"exp":1800000000,"sub":"anna@example.com","video":{video}}}"#);
        let token = Credentials::bearer(&forge(HS256, &claims, &key));
        let studio = room("studio");
        world
            .control
            .authorize(&token, Action::Publish(&studio), world.now)
    };
    let full = grant(r#"{"room":"studio","roomJoin":true}"#).expect("may publish");
    assert!(full.publish && full.subscribe && !full.admin);
    assert_eq!(full.scope, Scope::Room(room("studio")));
    let subject = full.subject.expect("has one");
    assert!(
        subject.as_str().starts_with("sub-"),
        "a mail address gets a name of its own"
    );
    let again = grant(r#"{"room":"studio","roomJoin":true}"#).expect("may publish");
    assert_eq!(again.subject, Some(subject), "always the same one");
    for (video, refusal) in [
        (
            r#"{"room":"studio","roomJoin":true,"canPublish":false}"#,
            RefusalKind::Forbidden,
        ),
        (r#"{"room":"studio"}"#, RefusalKind::Forbidden),
        (
            r#"{"room":"other","roomJoin":true}"#,
            RefusalKind::Forbidden,
        ),
        (
            r#"{"roomJoin":true,"roomAdmin":true}"#,
            RefusalKind::Unauthorized,
        ),
    ] {
        assert_eq!(grant(video).expect_err(video).kind, refusal, "{video}");
    }
}

#[test]
fn secrets_do_not_print() {
    let mut world = World::keyed();
    world.create("studio", RoomKind::Broadcast);
    let key = world.key("studio");
    let ticket = world
        .begin_publish(publish_with("studio", &key.key))
        .expect("its key");
    let token = world
        .control
        .issue_token(
            &CreateToken {
                admin: true,
                ..CreateToken::default()
            },
            world.now,
        )
        .expect("is well formed");
    let printed = format!(
        "{:?} {:?} {:?} {:?} {:?} {:?}",
        publish_with("studio", &key.key),
        in_one_string(&key.stream_key),
        ticket,
        key,
        token,
        world.commands,
    );
    for secret in [
        key.key.as_str(),
        ticket.token.as_str(),
        token.token.as_str(),
    ] {
        assert!(!printed.contains(secret), "{printed}");
    }
}
