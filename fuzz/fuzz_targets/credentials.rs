//! What clients show to prove their rights: stream keys, room and key in one, signed tokens. And
//! `If-Match`, by which they name the ICE session that they change.
//!
//! The first byte chooses: a text as it came, claims that are signed as ours, header and claims
//! with a signature, or an entity tag.
#![cfg_attr(fuzzing, no_main)]

use std::time::Duration;

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use inver_control::{
    Action, ClientInfo, Control, Credentials, Entropy, Now, Policy, PublishRequest, PublishTarget,
    Secret, Secrets, ServerSecret, SessionToken, Stored,
};
use inver_fuzz::Input;
use inver_proto::{CreateKey, CreateRoom, Door, RoomId, SessionId, Timestamp};

inver_fuzz::target!(run);

const SECRET: [u8; 32] = [7; 32];
const ADMIN: &str = "the-admin-token";

/// The same random numbers in every run.
struct Seeded(fastrand::Rng);

impl Entropy for Seeded {
    fn fill(&mut self, buffer: &mut [u8]) {
        self.0.fill(buffer);
    }
}

struct Server {
    control: Control,
    now: Now,
    room: RoomId,
    key: String,
    session: SessionId,
}

fn run(data: &[u8]) {
    let mut server = Server::new();
    let mut input = Input::new(data);
    let choice = input.byte();
    let text = String::from_utf8_lossy(input.rest()).replace("{key}", &server.key);
    match choice % 4 {
        0 => server.show(&text),
        1 => server.show(&sign(r#"{"alg":"HS256","typ":"JWT"}"#, &text)),
        2 => {
            let (header, claims) = text.split_once('\n').unwrap_or((&text, "{}"));
            server.show(&sign(header, claims));
        }
        _ => {
            let (tag, ufrag) = text.split_once('\n').unwrap_or((&text, ""));
            let _ = server.control.check_ice_patch(
                server.session,
                Some(tag),
                Some(ufrag).filter(|ufrag| !ufrag.is_empty()),
            );
        }
    }
}

impl Server {
    /// A server that asks for keys, with one room, its key and its publisher.
    fn new() -> Self {
        let now = Now {
            elapsed: Duration::ZERO,
            wall: Timestamp(1_700_000_000_000),
        };
        let secrets = Secrets {
            server: ServerSecret::from_bytes(SECRET),
            admin_token: Secret::new(ADMIN),
        };
        let policy = Policy {
            open: false,
            public_viewing: false,
            ..Policy::default()
        };
        let entropy = Box::new(Seeded(fastrand::Rng::with_seed(1)));
        let mut control = Control::new(policy, secrets, Stored::default(), entropy, now);
        let room: RoomId = "my-studio-2".parse().expect("a room id");
        let wish = CreateRoom {
            id: Some(room.clone()),
            keyed: Some(true),
            ..CreateRoom::default()
        };
        let (plan, _) = control
            .plan_create_room(&wish, now)
            .expect("there is no such room");
        control.apply(plan.changes, now);
        let (plan, created) = control
            .plan_create_key(&room, CreateKey::default(), now)
            .expect("the room has no key");
        control.apply(plan.changes, now);
        let ticket = control
            .begin_publish(
                PublishRequest {
                    target: PublishTarget::Room(room.clone()),
                    participant: None,
                    credentials: Credentials::bearer(&created.key),
                    client: ClientInfo {
                        ufrag: Some("them".to_owned()),
                        ..ClientInfo::default()
                    },
                    door: Door::Whip,
                    vouched: None,
                },
                now,
            )
            .expect("the key is good");
        control
            .accepted(ticket.session, "us", now)
            .expect("the session is there");
        Self {
            control,
            now,
            room,
            key: created.key,
            session: ticket.session,
        }
    }

    fn show(&mut self, text: &str) {
        let credentials = Credentials::bearer(text);
        let known = text.trim() == ADMIN || text.contains(&self.key) || text.contains('.');
        for action in [
            Action::Publish(&self.room),
            Action::Subscribe(&self.room),
            Action::AdministerRoom(&self.room),
            Action::AdministerServer,
        ] {
            if let Ok(grant) = self.control.authorize(&credentials, action, self.now) {
                assert!(known, "{text:?} proves nothing");
                assert!(grant.allows(action));
            }
        }
        let _ = self.control.session(&SessionToken::new(text));
        let request = PublishRequest {
            target: PublishTarget::RoomWithKey(Secret::new(text)),
            participant: None,
            credentials,
            client: ClientInfo::default(),
            door: Door::Whip,
            vouched: None,
        };
        if self.control.begin_publish(request, self.now).is_ok() {
            assert!(known, "{text:?} publishes");
        }
    }
}

/// A token with this header and these claims, signed as the server signs.
fn sign(header: &str, claims: &str) -> String {
    struct Length;
    impl KeyType for Length {
        fn len(&self) -> usize {
            32
        }
    }
    let mut key = [0; 32];
    Salt::new(HKDF_SHA256, b"inver")
        .extract(&SECRET)
        .expand(&[b"tokens"], Length)
        .and_then(|material| material.fill(&mut key))
        .expect("HKDF gives 32 bytes");
    let message = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), message.as_bytes());
    format!("{message}.{}", BASE64.encode(tag))
}
