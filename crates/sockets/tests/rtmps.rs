//! Connections to other servers over TLS: who is trusted, which name is told.

use std::sync::Arc;

use inver_outward::Guard;
use inver_protocols::rtmp::{Purpose, ServerEvent, Target};
use inver_sockets::rtmp::{Connection, connect, started};
use inver_sockets::tls_client;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A server that allows one publisher and gives the name that it was asked for by.
async fn server() -> (u16, ClientConfig, tokio::task::JoinHandle<Option<String>>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the default versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("a certificate with its key");
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        let stream = TlsAcceptor::from(Arc::new(config))
            .accept(stream)
            .await
            .ok()?;
        let name = stream.get_ref().1.server_name().map(str::to_owned);
        let mut connection = Connection::new(stream);
        loop {
            match connection.next().await {
                Ok(ServerEvent::PublishRequested(address)) => {
                    assert_eq!(address.stream(), "key");
                    connection.accept().expect("nothing waited");
                }
                Ok(_) => {}
                Err(_) => return name,
            }
        }
    });
    (port, client, serving)
}

fn target(port: u16) -> Target {
    Target::parse(&format!("rtmps://localhost:{port}/app/key")).expect("an address")
}

#[tokio::test]
async fn a_trusted_server_is_told_its_name_and_published_to() {
    let (port, client, serving) = server().await;
    let guard = Guard::new(true);
    let connected = connect(guard, &target(port), &Arc::new(client), Purpose::Publish).await;
    let mut connection = connected.expect("is trusted");
    started(&mut connection).await.expect("is allowed");
    drop(connection);
    let name = serving.await.expect("no panic");
    assert_eq!(name.as_deref(), Some("localhost"));
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_spoken_to() {
    let (port, _, serving) = server().await;
    let refused = connect(
        Guard::new(true),
        &target(port),
        &tls_client(),
        Purpose::Publish,
    )
    .await;
    let error = refused.expect_err("is not trusted").to_string();
    assert!(error.contains("certificate"), "{error}");
    assert_eq!(serving.await.expect("no panic"), None);
}

#[tokio::test]
async fn a_server_inside_is_not_connected_to() {
    let (port, client, _serving) = server().await;
    let guard = Guard::PUBLIC_ONLY;
    let refused = connect(guard, &target(port), &Arc::new(client), Purpose::Publish).await;
    let error = refused.expect_err("is inside").to_string();
    assert!(error.contains("inside the network"), "{error}");
}
