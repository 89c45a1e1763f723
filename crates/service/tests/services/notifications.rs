//! Notifications over real connections: who gets which, and that they are tried again.

use std::time::Duration;

use crate::support::{Local, SECRET, publish, room, secret};
use http::StatusCode;
use inver_proto::{CloseCause, Door, ParticipantId, SessionId, Timestamp};
use inver_service::{
    Authority, Config, Decider, Event, EventKind, HookConfig, Retry, WebhookConfig, build,
};
use serde_json::json;

/// Pauses that a test does not have to wait for.
fn quick() -> Retry {
    Retry {
        first: Duration::from_millis(5),
        ..Retry::default()
    }
}

fn hook(local: &Local) -> HookConfig {
    HookConfig {
        allow_private: true,
        retry: quick(),
        ..HookConfig::new(&local.url("/hook"), secret())
    }
}

fn event(kind: EventKind) -> Event {
    Event {
        kind,
        at: Timestamp(1_700_000_000_000),
        room: room("studio"),
        number: None,
        participant: ParticipantId::main(),
        session: SessionId(3),
        door: Door::Whip,
        remote: None,
        stream: None,
        duration: None,
        cause: None,
    }
}

#[tokio::test]
async fn a_hook_is_told_and_told_again_until_it_hears() {
    let local = Local::start(|nth, _| match nth {
        0 => StatusCode::SERVICE_UNAVAILABLE,
        1 => StatusCode::BAD_GATEWAY,
        _ => StatusCode::NO_CONTENT,
    })
    .await;
    let config = Config {
        hooks: vec![hook(&local)],
        ..Config::default()
    };
    let service = build(config).expect("a service");
    service.notify(&event(EventKind::Published));
    service.notify(&Event {
        duration: Some(Duration::from_secs(90)),
        cause: Some(CloseCause::Remote),
        ..event(EventKind::Unpublished)
    });
    let asked = local.asked_for(4).await;
    for one in &asked {
        one.assert_signed(SECRET);
    }
    let kinds: Vec<_> = asked.iter().map(|one| one.json()["type"].clone()).collect();
    assert_eq!(
        kinds,
        [
            "publish.started",
            "publish.started",
            "publish.started",
            "publish.ended"
        ]
    );
    let id = |nth: usize| asked[nth].header("webhook-id").to_owned();
    assert_eq!(id(0), id(2));
    assert_ne!(id(2), id(3));
    assert_eq!(
        asked[3].json(),
        json!({
            "type": "publish.ended",
            "timestamp": "2023-11-14T22:13:20Z",
            "data": {
                "room": "studio",
                "participant": "main",
                "session": 3,
                "door": "whip",
                "duration_seconds": 90,
                "cause": "remote",
            },
        })
    );
}

#[tokio::test]
async fn hooks_beside_built_in_keys_decide_nothing() {
    let local = Local::start(|_, _| StatusCode::FORBIDDEN).await;
    let config = Config {
        hooks: vec![hook(&local)],
        ..Config::default()
    };
    let service = build(config).expect("a service");
    let approved = service.authenticate(publish("studio", "k")).await;
    assert_eq!(approved.expect("approved").authority, Authority::Control);
    assert!(!service.wants_reports());
    service.close(Duration::from_secs(5)).await;
    assert_eq!(local.asked().len(), 0);
}

#[tokio::test]
async fn each_hears_what_it_asked_for_and_closing_lets_it_leave() {
    let (all, some, decider) = tokio::join!(
        Local::start(|_, _| StatusCode::OK),
        Local::start(|_, _| StatusCode::OK),
        Local::start(|_, _| StatusCode::OK),
    );
    let webhook = WebhookConfig {
        allow_private: true,
        viewers: false,
        ..WebhookConfig::new(&decider.url("/"), secret())
    };
    let config = Config {
        decider: Decider::Webhook(webhook),
        hooks: vec![
            hook(&all),
            HookConfig {
                events: vec![EventKind::Unread],
                ..hook(&some)
            },
        ],
    };
    let service = build(config).expect("a service");
    let kinds = [
        EventKind::Published,
        EventKind::Read,
        EventKind::Unread,
        EventKind::Unpublished,
    ];
    for kind in kinds {
        service.notify(&event(kind));
    }
    service.close(Duration::from_secs(10)).await;
    let told = |local: &Local| -> Vec<String> {
        let asked = local.asked();
        let kinds = asked.iter().map(|one| one.json()["type"].clone());
        kinds
            .map(|kind| kind.as_str().expect("text").to_owned())
            .collect()
    };
    let every = [
        "publish.started",
        "read.started",
        "read.ended",
        "publish.ended",
    ];
    assert_eq!(told(&all), every);
    assert_eq!(told(&some), ["read.ended"]);
    // It has not asked to decide over viewers, so it does not hear of them either.
    assert_eq!(told(&decider), ["publish.started", "publish.ended"]);
}
