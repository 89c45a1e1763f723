//! HTTP, HTTPS and the end of both.

mod support;

use std::net::SocketAddr;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use inver_shard::CloseReason;
use support::{PATIENCE, Server, certificate, client};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Sends bytes and reads to the end of the connection.
async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(request).await.expect("writes");
    let mut response = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut response))
        .await
        .expect("the server ends the connection in time")
        .expect("reads");
    String::from_utf8_lossy(&response).into_owned()
}

#[tokio::test]
async fn everything_is_served_over_http_1_and_2() {
    let server = Server::start("").await;
    let base = format!("http://127.0.0.1:{}", server.port());
    let http1 = client(None);
    let http2 = reqwest::Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .expect("a client");
    for (client, version) in [
        (http1, reqwest::Version::HTTP_11),
        (http2, reqwest::Version::HTTP_2),
    ] {
        for (path, status) in [
            ("/", 200),
            ("/livez", 200),
            ("/readyz", 200),
            ("/metrics", 200),
            ("/sdk/v1/index.js", 200),
            ("/api/v1/server", 200),
            ("/api/openapi.json", 200),
            ("/nothing", 404),
        ] {
            let response = client
                .get(format!("{base}{path}"))
                .send()
                .await
                .expect("answers");
            assert_eq!(response.status(), status, "{path}");
            assert_eq!(response.version(), version);
            assert_eq!(response.headers()["x-content-type-options"], "nosniff");
            assert_eq!(response.headers()["referrer-policy"], "no-referrer");
        }
    }
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_path() {
    let server = Server::start("").await;
    let base = format!("http://127.0.0.1:{}", server.port());
    let client = client(None);
    for path in ["/whip/session/s3cret", "/nothing/s3cret"] {
        client
            .get(format!("{base}{path}"))
            .send()
            .await
            .expect("answers");
    }
    let metrics = client
        .get(format!("{base}/metrics"))
        .send()
        .await
        .expect("answers");
    let page = metrics.text().await.expect("text");
    assert!(
        page.contains("inver_http_requests_total{route=\"whip\""),
        "{page}"
    );
    let unknown = "inver_http_requests_total{route=\"unknown\",status=\"404\"} 1";
    assert!(page.contains(unknown), "{page}");
    assert!(!page.contains("s3cret"), "{page}");
}

#[tokio::test]
async fn metrics_are_not_for_strangers() {
    let server = Server::start("").await;
    let url = format!("http://127.0.0.1:{}/metrics", server.port());
    let client = client(None);
    // A proxy that nobody told the server of, and a website that points its name here.
    for (name, value) in [
        ("x-forwarded-for", "192.0.2.7"),
        ("forwarded", "for=192.0.2.7"),
        ("host", "evil.example"),
    ] {
        let response = client.get(&url).header(name, value).send().await;
        assert_eq!(response.expect("answers").status(), 403, "{name}");
    }
    let token = server.running.handle.admin_token().reveal().to_owned();
    let response = client
        .get(&url)
        .header("x-forwarded-for", "192.0.2.7")
        .bearer_auth(token)
        .send()
        .await;
    assert_eq!(response.expect("answers").status(), 200);
}

#[tokio::test]
async fn metrics_can_have_a_listener_of_their_own() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let own = taken.local_addr().expect("is bound");
    drop(taken);
    let _server = Server::start(&format!("metrics.listen = '{own}'")).await;
    let client = client(None);
    for (path, status) in [("/metrics", 200), ("/readyz", 200), ("/", 404)] {
        let response = client.get(format!("http://{own}{path}")).send().await;
        assert_eq!(response.expect("answers").status(), status, "{path}");
    }
}

#[tokio::test]
async fn a_base_path_is_served_with_and_without_it() {
    let server = Server::start("server.base_path = '/inver'").await;
    let base = format!("http://127.0.0.1:{}", server.port());
    let client = client(None);
    for path in [
        "/inver/livez",
        "/livez",
        "/inver/",
        "/inver/sdk/v1/index.js",
    ] {
        let response = client.get(format!("{base}{path}")).send().await;
        assert_eq!(response.expect("answers").status(), 200, "{path}");
    }
    assert!(
        server
            .running
            .banner
            .contains(&format!("{base}/inver/watch/live"))
    );
    let lost = client
        .get(format!("{base}/inver/no/such/page"))
        .header("accept", "text/html")
        .send()
        .await
        .expect("answers");
    assert_eq!(lost.status(), 404);
    let page = lost.text().await.expect("a page");
    assert!(page.contains("href=\"/inver/assets/base.css\""), "{page}");
}

#[tokio::test]
async fn a_slow_request_is_given_up() {
    let toml = "limits.header_timeout = '200ms'";
    let server = Server::start(toml).await;
    let begin = Instant::now();
    for slow in [
        "",
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "PRI * HTTP/2.0\r\n\r\n",
    ] {
        raw(server.address(), slow.as_bytes()).await;
    }
    assert!(begin.elapsed() >= Duration::from_millis(600));
}

#[tokio::test]
async fn connections_are_bounded_and_come_back() {
    let server = Server::start("limits.connections = 2").await;
    let hold = [
        TcpStream::connect(server.address())
            .await
            .expect("connects"),
        TcpStream::connect(server.address())
            .await
            .expect("connects"),
    ];
    let request = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let third = raw(server.address(), request);
    tokio::pin!(third);
    let early = timeout(Duration::from_millis(300), &mut third).await;
    assert!(early.is_err(), "a third connection was served: {early:?}");
    drop(hold);
    assert!(third.await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_certificate_is_replaced_while_connections_last() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let paths = ["tls.crt", "tls.key"].map(|name| folder.path().join(name));
    let write = |(certificate, key): &(String, String)| {
        std::fs::write(&paths[0], certificate).expect("writes");
        std::fs::write(&paths[1], key).expect("writes");
    };
    let (old, new) = (certificate(), certificate());
    write(&old);
    let toml = format!(
        "tls = {{ certificate = '{}', key = '{}', reload_interval = '1h' }}",
        paths[0].display(),
        paths[1].display()
    );
    let server = Server::start(&toml).await;
    let url = format!("https://localhost:{}/livez", server.port());
    let trusts_old = client(Some(old.0.as_bytes()));
    let response = trusts_old.get(&url).send().await.expect("trusts it");
    assert_eq!(response.version(), reqwest::Version::HTTP_2);

    write(&new);
    server.running.reload();
    let begin = Instant::now();
    while let Err(error) = client(Some(new.0.as_bytes())).get(&url).send().await {
        assert!(
            begin.elapsed() < PATIENCE,
            "the new one never came: {error}"
        );
        tokio::task::yield_now().await;
    }
    // The connection from before still serves; a new one of the same trust does not come about.
    let kept = trusts_old.get(&url).send().await;
    assert!(kept.is_ok_and(|response| response.status() == 200));
    let fresh = client(Some(old.0.as_bytes())).get(&url).send().await;
    assert!(fresh.is_err());

    // Half a renewal changes nothing.
    std::fs::write(&paths[1], &old.1).expect("writes");
    server.running.reload();
    let response = client(Some(new.0.as_bytes())).get(&url).send().await;
    assert!(response.is_ok());
}

#[tokio::test]
async fn changed_files_are_noticed_without_a_signal() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let paths = ["tls.crt", "tls.key"].map(|name| folder.path().join(name));
    let (old, new) = (certificate(), certificate());
    std::fs::write(&paths[0], &old.0).expect("writes");
    std::fs::write(&paths[1], &old.1).expect("writes");
    let toml = format!(
        "tls = {{ certificate = '{}', key = '{}', reload_interval = '20ms' }}",
        paths[0].display(),
        paths[1].display()
    );
    let server = Server::start(&toml).await;
    let url = format!("https://localhost:{}/livez", server.port());
    std::fs::write(&paths[0], format!("{}\n", new.0)).expect("writes");
    std::fs::write(&paths[1], format!("{}\n", new.1)).expect("writes");
    let begin = Instant::now();
    while let Err(error) = client(Some(new.0.as_bytes())).get(&url).send().await {
        assert!(
            begin.elapsed() < PATIENCE,
            "the new one never came: {error}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_key_of_another_certificate_is_refused_at_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let paths = ["tls.crt", "tls.key"].map(|name| folder.path().join(name));
    std::fs::write(&paths[0], certificate().0).expect("writes");
    std::fs::write(&paths[1], certificate().1).expect("writes");
    let toml = format!(
        "tls = {{ certificate = '{}', key = '{}' }}",
        paths[0].display(),
        paths[1].display()
    );
    let Err(error) = Server::start_in(folder, &toml, false).await else {
        panic!("started with a wrong key");
    };
    let text = format!("{error:#}");
    assert!(text.contains("do not work together"), "{text}");
}

#[tokio::test]
async fn plain_http_on_a_tls_port_is_redirected() {
    let server = Server::start("tls.self_signed = true").await;
    let response = client(None)
        .get(format!("http://127.0.0.1:{}/watch/a?b=c", server.port()))
        .send()
        .await
        .expect("answers");
    assert_eq!(response.status(), 307);
    let location = format!("https://127.0.0.1:{}/watch/a?b=c", server.port());
    assert_eq!(response.headers()["location"], location.as_str());
    let response = client(None).get(format!("{location}&d")).send().await;
    assert!(response.is_ok(), "{response:?}");
    let banner = &server.running.banner;
    assert!(banner.contains("https://127.0.0.1:"), "{banner}");
    assert!(banner.contains("self-signed, SHA-256 "), "{banner}");
}

#[tokio::test]
async fn the_redirect_listener_leads_to_https() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let plain = taken.local_addr().expect("is bound");
    drop(taken);
    let toml = format!("tls.self_signed = true\nserver.http_redirect = '{plain}'");
    let server = Server::start(&toml).await;
    let response = client(None)
        .post(format!("http://{plain}/whip/live"))
        .send()
        .await
        .expect("answers");
    assert_eq!(response.status(), 307);
    let location = format!("https://127.0.0.1:{}/whip/live", server.port());
    assert_eq!(response.headers()["location"], location.as_str());
}

#[tokio::test]
async fn a_taken_port_names_key_and_flag() {
    let first = Server::start("").await;
    let toml = format!("server.listen = '{}'", first.address());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let Err(error) = Server::start_in(folder, &toml, false).await else {
        panic!("two servers share a port");
    };
    let text = format!("{error:#}");
    assert!(
        text.contains("server.listen") && text.contains("--listen"),
        "{text}"
    );
    assert!(
        !data.exists(),
        "a start that failed at once leaves nothing behind"
    );
}

#[tokio::test]
async fn the_first_run_prints_what_later_runs_do_not() {
    let toml = "rooms.open = false\nserver.drain_timeout = '1s'";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = Server::start_in(folder, toml, false).await.expect("starts");
    let token = first.running.handle.admin_token().reveal().to_owned();
    let banner = &first.running.banner;
    assert!(
        banner.contains(&format!("/admin#token={token}")),
        "{banner}"
    );
    let key = banner
        .lines()
        .find_map(|line| line.trim().strip_prefix("Bearer Token"))
        .expect("the encoder's settings")
        .trim();
    let base = format!("http://127.0.0.1:{}", first.port());
    let client = client(None);
    let publish = |bearer: String| {
        client
            .post(format!("{base}/whip/live"))
            .header("content-type", "application/sdp")
            .bearer_auth(bearer)
            .body("v=0\r\n")
            .send()
    };
    assert_eq!(
        publish("wrong".to_owned()).await.expect("answers").status(),
        401
    );
    assert_eq!(
        publish(key.to_owned()).await.expect("answers").status(),
        201
    );

    let Server {
        running, folder, ..
    } = first;
    running.drain().await;
    let second = Server::start_in(folder, toml, false).await.expect("starts");
    let banner = second.running.banner.clone();
    assert!(!banner.contains(&token), "{banner}");
    let Server {
        running, folder, ..
    } = second;
    running.drain().await;
    let third = Server::start_in(folder, toml, true).await.expect("starts");
    let banner = &third.running.banner;
    assert!(
        banner.contains(&format!("/admin#token={token}")),
        "{banner}"
    );
}

#[tokio::test]
async fn draining_refuses_tells_and_ends_in_time() {
    let server = Server::start("server.drain_timeout = '2s'").await;
    let base = format!("http://127.0.0.1:{}", server.port());
    let client = client(None);
    let publish = |room: &str| {
        client
            .post(format!("{base}/whip/{room}"))
            .header("content-type", "application/sdp")
            .body("v=0\r\n")
            .send()
    };
    assert_eq!(publish("one").await.expect("answers").status(), 201);
    assert_eq!(server.running.sessions(), 1);

    let begin = Instant::now();
    let Server {
        running,
        media,
        folder,
    } = server;
    let drained = tokio::spawn(running.drain());
    let mut ready = String::new();
    while ready != "draining\n" {
        assert!(
            begin.elapsed() < Duration::from_secs(1),
            "readiness stayed {ready:?}"
        );
        let response = client.get(format!("{base}/readyz")).send().await;
        ready = response.expect("answers").text().await.expect("text");
    }
    let refused = publish("two").await.expect("answers");
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));

    timeout(PATIENCE, drained)
        .await
        .expect("ends")
        .expect("does not panic");
    let took = begin.elapsed();
    assert!(
        took >= Duration::from_secs(1),
        "the session got no time to leave: {took:?}"
    );
    assert!(took < Duration::from_millis(2500), "{took:?}");
    let closed = media.closed.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(
        matches!(closed[..], [(_, CloseReason::Drained)]),
        "{closed:?}"
    );
    drop(folder);
}

#[tokio::test]
async fn a_server_without_sessions_ends_at_once() {
    let server = Server::start("").await;
    let begin = Instant::now();
    server.running.drain().await;
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn a_refusal_arrives_though_the_body_was_not_wanted() {
    let server = Server::start("").await;
    let url = format!("http://127.0.0.1:{}/whip/live", server.port());
    let client = client(None);
    for _ in 0..20 {
        let response = client
            .post(&url)
            .header("content-type", "application/sdp")
            .body("v=0\r\n".repeat(80_000))
            .send()
            .await
            .expect("the refusal is read, not lost to a reset");
        assert_eq!(response.status(), 413);
    }
}
