//! A webhook that gives no decision, in every way that there is.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{StatusCode, header};
use inver_service::{
    Approved, DeniedBy, Fault, HmacRequest, Service, Webhook, WebhookConfig, WhenDown,
};

use crate::support::{Local, publish, read, room, secret, start};
use crate::webhook::{config, webhook};

#[tokio::test]
async fn without_a_decision_the_configuration_decides() {
    let oversized = "x".repeat(64 * 1024 + 1);
    let local = Local::start(move |_, asked| {
        let room = asked.json()["data"]["room"].clone();
        match room.as_str().expect("a room") {
            "broken" => (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
            "busy" => (StatusCode::TOO_MANY_REQUESTS, String::new()),
            "moved" => (StatusCode::FOUND, String::new()),
            "odd" => (StatusCode::OK, "<html>".to_owned()),
            "long" => (StatusCode::OK, oversized.clone()),
            other => panic!("{other} is not asked about"),
        }
    })
    .await;
    for name in ["broken", "busy", "moved", "odd", "long"] {
        let denying = webhook(&local);
        let denied = denying.authenticate(publish(name, "k")).await;
        assert_eq!(denied.expect_err(name).by, DeniedBy::Down, "{name}");
        let allowing = Webhook::new(WebhookConfig {
            when_down: WhenDown::Allow,
            ..config(&local)
        });
        let allowing = allowing.expect("a webhook");
        let allowed = allowing.authenticate(publish(name, "k")).await;
        assert_eq!(allowed, Ok(Approved::BY_SERVICE), "{name}");
        let allowed = allowing.authorize_read(read(name, "t")).await;
        assert_eq!(allowed, Ok(Approved::BY_SERVICE), "{name}");
    }
}

#[tokio::test]
async fn nobody_listening_is_no_decision() {
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        listener.local_addr().expect("is bound")
    };
    let webhook = Webhook::new(WebhookConfig {
        allow_private: true,
        ..WebhookConfig::new(&format!("http://{address}/"), secret())
    });
    let webhook = webhook.expect("a webhook");
    let denied = webhook.authenticate(publish("studio", "k")).await;
    assert_eq!(denied.expect_err("down").by, DeniedBy::Down);
    let stream = webhook.start_stream(start("studio")).await;
    assert_eq!(stream.expect_err("down").by, DeniedBy::Down);
}

/// A service that takes connections and never answers, on a listener nobody accepts from.
#[tokio::test]
async fn a_silent_webhook_is_down_after_the_deadline() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("is bound");
    let deadline = Duration::from_millis(100);
    let webhook = Webhook::new(WebhookConfig {
        allow_private: true,
        deadline,
        ..WebhookConfig::new(&format!("http://{address}/"), secret())
    });
    let webhook = webhook.expect("a webhook");
    let request = HmacRequest {
        room: room("7"),
        number: 7,
    };
    let fault = webhook.hmac_key(request).await.expect_err("silent");
    assert_eq!(fault, Fault::Deadline(deadline));
    let denied = webhook.authenticate(publish("studio", "k")).await;
    assert_eq!(denied.expect_err("silent").by, DeniedBy::Down);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Local::start(|_, _| StatusCode::OK).await;
    let there = elsewhere.url("/");
    for status in [301, 302, 303, 307, 308] {
        let there = there.clone();
        let local = Local::start(move |_, _| {
            let status = StatusCode::from_u16(status).expect("a status");
            (status, [(header::LOCATION, there.clone())])
        })
        .await;
        let denied = webhook(&local).authenticate(publish("studio", "k")).await;
        assert_eq!(denied.expect_err("not followed").by, DeniedBy::Down);
        assert_eq!(local.asked().len(), 1);
    }
    assert_eq!(elsewhere.asked().len(), 0);
}

/// Chunked, so that its length is not known beforehand, and without an end.
#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let local = Local::start(|_, _| {
        let chunk = || Ok::<_, std::convert::Infallible>(vec![b' '; 8192]);
        axum::body::Body::from_stream(Endless(chunk))
    })
    .await;
    let request = HmacRequest {
        room: room("7"),
        number: 7,
    };
    let fault = webhook(&local).hmac_key(request).await.expect_err("cut");
    assert_eq!(fault, Fault::Oversized);
}

#[tokio::test]
async fn names_and_addresses_inside_the_network_are_not_reached() {
    let local = Local::start(|_, _| StatusCode::OK).await;
    let port = local.address.port();
    let literal = WebhookConfig::new(&local.url("/"), secret());
    let error = Webhook::new(literal).expect_err("refused").to_string();
    assert!(error.contains("allow_private"), "{error}");

    // A name is checked by what it stands for when it is used.
    let named = WebhookConfig::new(&format!("http://localhost:{port}/"), secret());
    let webhook = Webhook::new(named).expect("a name may stand for anything");
    let request = HmacRequest {
        room: room("7"),
        number: 7,
    };
    let fault = webhook.hmac_key(request).await.expect_err("inside");
    let host = "localhost".to_owned();
    assert_eq!(fault, Fault::Inside { host });
    let denied = webhook.authenticate(publish("studio", "k")).await;
    assert_eq!(denied.expect_err("inside").by, DeniedBy::Down);
    assert_eq!(local.asked().len(), 0);

    let allowed = Webhook::new(WebhookConfig {
        allow_private: true,
        ..WebhookConfig::new(&format!("http://localhost:{port}/"), secret())
    });
    let allowed = allowed.expect("a webhook");
    let approved = allowed.authenticate(publish("studio", "k")).await;
    assert_eq!(approved, Ok(Approved::BY_SERVICE));
}

/// In pieces, so that only counting tells how long it is.
#[tokio::test]
async fn an_answer_may_have_64_kib_and_no_byte_more() {
    let local = Local::start(|nth, _| {
        let length = 64 * 1024 + nth;
        let pieces = (0..length).step_by(1000).map(move |start| {
            let spaces = vec![b' '; 1000.min(length - start)];
            Ok::<_, std::convert::Infallible>(spaces)
        });
        axum::body::Body::from_stream(futures::stream::iter(pieces))
    })
    .await;
    let webhook = webhook(&local);
    let look_up = || {
        let (room, number) = (room("7"), 7);
        webhook.hmac_key(HmacRequest { room, number })
    };
    // Read to its end, and found to name no key.
    let whole = look_up().await.expect_err("no key");
    assert!(matches!(whole, Fault::Malformed(_)), "{whole}");
    assert_eq!(look_up().await.expect_err("cut"), Fault::Oversized);
}

/// A stream that repeats itself for ever.
struct Endless<F>(F);

impl<T, F: Fn() -> T + Unpin> futures::Stream for Endless<F> {
    type Item = T;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<T>> {
        std::task::Poll::Ready(Some((self.0)()))
    }
}

/// What is logged, to be looked at.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut log = self.0.lock().expect("no test panics with the lock");
        log.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_states_what_was_decided_and_shows_no_secret() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let local = Local::start(|_, _| StatusCode::INTERNAL_SERVER_ERROR).await;
    for when_down in [WhenDown::Deny, WhenDown::Allow] {
        let webhook = Webhook::new(WebhookConfig {
            when_down,
            ..config(&local)
        });
        let webhook = webhook.expect("a webhook");
        let _ = webhook.authenticate(publish("studio", "key-1")).await;
    }
    let log = log.0.lock().expect("no test panics with the lock");
    let log = String::from_utf8_lossy(&log);
    let decided: Vec<_> = log.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(decided.len(), 2, "{log}");
    for (line, words) in decided.iter().zip(["denied", "let in unchecked"]) {
        assert!(line.contains(words), "{line}");
        assert!(line.contains("room=studio"), "{line}");
        assert!(line.contains("status 500"), "{line}");
    }
    assert!(decided[0].contains("when_down=\"deny\""), "{}", decided[0]);
    assert!(decided[1].contains("when_down=\"allow\""), "{}", decided[1]);
    for hidden in ["geheim", "key-1", "MfKQ9r8"] {
        assert!(!log.contains(hidden), "{hidden} in {log}");
    }
}
