//! A webhook that decides: what it is asked, how its answers are taken.

use std::convert::Infallible;
use std::time::Duration;

use crate::support::{Local, SECRET, publish, read, room, secret, start};
use axum::Json;
use axum::body::Body;
use http::StatusCode;
use inver_control::Secret;
use inver_service::{
    Approved, Authority, DeniedBy, Fault, HmacRequest, KeyLookup, Metadata, Proof, Retry, Service,
    Verdict, Webhook, WebhookConfig, WhenDown,
};
use serde_json::{Value, json};

pub(crate) fn config(local: &Local) -> WebhookConfig {
    WebhookConfig {
        allow_private: true,
        ..WebhookConfig::new(&local.url("/hook?token=geheim"), secret())
    }
}

pub(crate) fn webhook(local: &Local) -> Webhook {
    Webhook::new(config(local)).expect("a webhook")
}

#[tokio::test]
async fn a_publisher_is_asked_about_with_a_signature() {
    let local = Local::start(|_, _| Json(json!({ "participant": "anna" }))).await;
    let webhook = webhook(&local);
    let approved = webhook.authenticate(publish("studio", "key-1")).await;
    let approved = approved.expect("approved");
    assert_eq!(approved.authority, Authority::Service);
    let anna = "anna".parse().expect("a participant");
    assert_eq!(approved.participant, Some(anna));

    let asked = &local.asked()[0];
    asked.assert_signed(SECRET);
    assert_eq!(asked.path, "/hook");
    assert_eq!(asked.header("content-type"), "application/json");
    let body = asked.json();
    assert_eq!(body["type"], "publish.authorize");
    assert!(body["timestamp"].as_str().expect("text").ends_with('Z'));
    let data = json!({
        "room": "studio",
        "number": 7,
        "proof": "key",
        "key": "key-1",
        "door": "whip",
        "remote": "192.0.2.1",
        "user_agent": "encoder/1",
    });
    assert_eq!(body["data"], data);
}

#[tokio::test]
async fn each_secret_signs_so_that_one_can_be_replaced() {
    let local = Local::start(|_, _| StatusCode::NO_CONTENT).await;
    let other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let webhook = Webhook::new(WebhookConfig {
        secrets: vec![secret(), Secret::new(other)],
        ..config(&local)
    });
    let webhook = webhook.expect("a webhook");
    webhook
        .authenticate(publish("studio", "k"))
        .await
        .expect("approved");
    let asked = &local.asked()[0];
    asked.assert_signed(SECRET);
    asked.assert_signed(other);
}

#[tokio::test]
async fn a_proven_key_is_told_and_not_shown() {
    let local = Local::start(|_, _| StatusCode::OK).await;
    let mut publish = publish("studio", "unused");
    publish.proof = Proof::Challenge;
    let approved = webhook(&local).authenticate(publish).await;
    assert_eq!(approved, Ok(Approved::BY_SERVICE));
    let body = local.asked()[0].json();
    assert_eq!(body["data"]["proof"], "challenge");
    assert_eq!(body["data"].get("key"), None);
}

#[tokio::test]
async fn a_refusal_is_told_in_the_services_words() {
    let local = Local::start(|nth, _| {
        let body = json!({ "reason": "banned\r\nuntil Monday" });
        let status = [StatusCode::FORBIDDEN, StatusCode::UNAUTHORIZED];
        (status[nth], Json(body))
    })
    .await;
    let webhook = Webhook::new(WebhookConfig {
        when_down: WhenDown::Allow,
        ..config(&local)
    });
    let webhook = webhook.expect("a webhook");
    let denied = webhook.authenticate(publish("studio", "k")).await;
    let denied = denied.expect_err("denied");
    assert_eq!(denied.by, DeniedBy::Policy);
    assert_eq!(denied.reason, "banned  until Monday");
    let denied = webhook.authenticate(publish("studio", "k")).await;
    assert_eq!(denied.expect_err("denied").by, DeniedBy::Credentials);
}

#[tokio::test]
async fn viewers_are_asked_about_where_that_is_configured() {
    let local = Local::start(|_, asked| {
        let key = asked.json()["data"]["key"].clone();
        if key == "good" {
            StatusCode::OK
        } else {
            StatusCode::FORBIDDEN
        }
    })
    .await;
    let asking = webhook(&local);
    let approved = asking.authorize_read(read("studio", "good")).await;
    assert_eq!(approved, Ok(Approved::BY_SERVICE));
    let denied = asking.authorize_read(read("studio", "bad")).await;
    assert_eq!(denied.expect_err("denied").by, DeniedBy::Policy);
    // Nothing was shown: come back with something.
    let denied = asking.authorize_read(read("studio", "")).await;
    assert_eq!(denied.expect_err("denied").by, DeniedBy::Credentials);
    assert_eq!(local.asked()[0].json()["type"], "read.authorize");

    let not_asking = Webhook::new(WebhookConfig {
        viewers: false,
        ..config(&local)
    });
    let not_asking = not_asking.expect("a webhook");
    let approved = not_asking.authorize_read(read("studio", "bad")).await;
    assert_eq!(approved, Ok(Approved::BY_CONTROL));
    assert_eq!(local.asked().len(), 3);
}

#[tokio::test]
async fn a_rooms_key_is_looked_up() {
    let local = Local::start(|_, asked| {
        let number = asked.json()["data"]["number"].clone();
        match number.as_u64() {
            Some(7) => (StatusCode::OK, Json(json!({ "key": "geheim" }))),
            Some(8) => (StatusCode::OK, Json(json!({ "key": "" }))),
            Some(9) => (StatusCode::OK, Json(json!({}))),
            _ => (StatusCode::NOT_FOUND, Json(Value::Null)),
        }
    })
    .await;
    let webhook = webhook(&local);
    let look_up = |number: u32| {
        webhook.hmac_key(HmacRequest {
            room: room(&number.to_string()),
            number,
        })
    };
    let found = look_up(7).await.expect("found");
    let KeyLookup::Key(key) = &found else {
        panic!("there is a key");
    };
    assert_eq!(key.reveal(), "geheim");
    assert!(!format!("{found:?}").contains("geheim"));
    assert!(matches!(look_up(10).await, Ok(KeyLookup::Unknown)));
    // An empty key would let everybody in who knows that it is empty.
    assert!(matches!(look_up(8).await, Err(Fault::Malformed(_))));
    assert!(matches!(look_up(9).await, Err(Fault::Malformed(_))));
}

#[tokio::test]
async fn a_stream_lives_from_start_to_end() {
    let local = Local::start(|_, asked| {
        let body = asked.json();
        let answer = match body["type"].as_str() {
            Some("stream.start") => json!({ "stream_id": "live-9" }),
            _ => json!({}),
        };
        Json(answer)
    })
    .await;
    let webhook = Webhook::new(WebhookConfig {
        thumbnails: true,
        ..config(&local)
    });
    let webhook = webhook.expect("a webhook");
    let stream = webhook.start_stream(start("studio")).await.expect("starts");
    assert_eq!(stream.id.as_str(), "live-9");
    let metadata = Metadata {
        video_codec: Some("H264".to_owned()),
        width: Some(1920),
        lost_packets: 3,
        viewers: 12,
        duration: Duration::from_millis(65_900),
        ..Metadata::default()
    };
    let verdict = webhook.report(&stream, &metadata).await;
    assert_eq!(verdict, Ok(Verdict::Continue));
    let jpeg = bytes::Bytes::from_static(b"\xff\xd8jpeg");
    webhook.thumbnail(&stream, jpeg).await.expect("taken");
    webhook.end_stream(&stream).await.expect("queued");
    let asked = local.asked_for(4).await;
    for one in &asked {
        one.assert_signed(SECRET);
    }
    let told: Vec<_> = asked.iter().map(|one| one.json()["data"].clone()).collect();
    assert_eq!(
        told[1],
        json!({
            "stream_id": "live-9",
            "room": "studio",
            "metadata": {
                "video_codec": "H264",
                "width": 1920,
                "lost_packets": 3,
                "nack_packets": 0,
                "received_packets": 0,
                "viewers": 12,
                "duration_seconds": 65,
            },
        })
    );
    assert_eq!(told[2]["jpeg"], "/9hqcGVn");
    assert_eq!(asked[3].json()["type"], "stream.end");
    assert_eq!(told[3], json!({ "stream_id": "live-9", "room": "studio" }));
}

#[tokio::test]
async fn a_report_ends_a_stream_only_by_an_explicit_refusal() {
    let answers = [
        (200, r#"{"end":true,"reason":"over"}"#),
        (403, r#"{"end":true,"reason":"over"}"#),
        (403, r#"{"reason":"over"}"#),
        (404, ""),
        (500, r#"{"end":true}"#),
        (200, r#"{"end":false}"#),
    ];
    let local = Local::start(move |nth, _| {
        // The first question is the stream's start.
        let (status, body) = nth.checked_sub(1).map_or((200, ""), |nth| answers[nth]);
        (StatusCode::from_u16(status).expect("a status"), body)
    })
    .await;
    let webhook = webhook(&local);
    let stream = webhook.start_stream(start("studio")).await.expect("starts");
    let mut verdicts = Vec::new();
    for _ in answers {
        verdicts.push(webhook.report(&stream, &Metadata::default()).await);
    }
    let end = Ok(Verdict::End {
        reason: "over".to_owned(),
    });
    assert_eq!(
        verdicts,
        [
            end.clone(),
            end,
            Err(Fault::Status(403)),
            Err(Fault::Status(404)),
            Err(Fault::Status(500)),
            Ok(Verdict::Continue),
        ]
    );
}

/// Reports of many streams, none of which is answered, leave publishers their place.
#[tokio::test]
async fn reports_do_not_hold_up_publishers() {
    let local = Local::start(|_, asked| {
        if asked.json()["type"] == "stream.report" {
            let silent = futures::stream::pending::<Result<Vec<u8>, Infallible>>();
            return Body::from_stream(silent);
        }
        Body::empty()
    })
    .await;
    let webhook = webhook(&local);
    let stream = webhook.start_stream(start("studio")).await.expect("starts");
    let metadata = Metadata::default();
    let reports = (0..200).map(|_| webhook.report(&stream, &metadata));
    let publisher = async {
        local.asked_for(1 + 32).await;
        webhook.authenticate(publish("studio", "k")).await
    };
    let reports = futures::future::join_all(reports);
    let first = futures::future::select(reports, Box::pin(publisher)).await;
    let futures::future::Either::Right((approved, _)) = first else {
        panic!("the publisher waited for the reports");
    };
    assert_eq!(approved, Ok(Approved::BY_SERVICE));
}

#[tokio::test]
async fn a_thumbnail_beyond_bounds_is_not_sent() {
    let local = Local::start(|_, _| StatusCode::OK).await;
    let webhook = webhook(&local);
    let stream = webhook.start_stream(start("studio")).await.expect("starts");
    let large = bytes::Bytes::from(vec![0; inver_service::MAX_THUMBNAIL + 1]);
    let fault = webhook.thumbnail(&stream, large).await.expect_err("large");
    assert!(matches!(fault, Fault::Unsendable(_)));
    assert_eq!(local.asked().len(), 1);
}

#[tokio::test]
async fn no_secret_shows_up_in_debug_output() {
    let local = Local::start(|_, _| StatusCode::OK).await;
    let config = config(&local);
    let shown = format!("{config:?} {:?}", publish("studio", "key-1"));
    let webhook = Webhook::new(config).expect("a webhook");
    let shown = format!("{shown} {webhook:?}");
    for hidden in ["geheim", "key-1", "MfKQ9r8"] {
        assert!(!shown.contains(hidden), "{hidden} in {shown}");
    }
}

#[tokio::test]
async fn unfit_settings_are_refused() {
    let fit = WebhookConfig::new("https://example.com/", secret());
    for deadline in [Duration::ZERO, Duration::from_secs(3600)] {
        let unfit = WebhookConfig {
            deadline,
            ..fit.clone()
        };
        assert!(Webhook::new(unfit).is_err(), "{deadline:?}");
    }
    let at_once = Retry {
        first: Duration::ZERO,
        ..Retry::default()
    };
    let endless = Retry {
        give_up: Duration::MAX,
        ..Retry::default()
    };
    for retry in [at_once, endless] {
        let unfit = WebhookConfig {
            retry,
            ..fit.clone()
        };
        let error = Webhook::new(unfit).expect_err("refused").to_string();
        assert!(error.contains("notifications"), "{error}");
    }
    let unfit = WebhookConfig {
        secrets: vec![Secret::new("geheim")],
        ..fit
    };
    let error = Webhook::new(unfit).expect_err("refused").to_string();
    assert!(
        error.contains("whsec_") && !error.contains("geheim"),
        "{error}"
    );
}
