//! RTMPS: the same door behind TLS.

use std::sync::Arc;

use inver_http::testing::Fixture;
use inver_inputs::rtmp::{Config, Server};
use inver_protocols::rtmp::Purpose;
use inver_sockets::testing::{RtmpClient, second, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::support::{Handed, frames, keyed_room, media, read, stop};

#[tokio::test]
async fn publishing_works_over_tls_and_plain_bytes_are_turned_away() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let tls = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("a pair");
    let fixture = Fixture::keyed().await;
    let (key, _) = keyed_room(&fixture, "studio").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("is bound");
    let handed = Arc::new(Handed::default());
    let server = Server::new(fixture.handle.clone(), Config::default(), handed);
    let (_stop, stopped) = stop();
    tokio::spawn(async move { server.serve(listener, Some(Arc::new(tls)), stopped).await });

    let mut plain = TcpStream::connect(address).await.expect("listens");
    plain.write_all(&[3; 1537]).await.expect("is taken");
    let mut rest = Vec::new();
    // An alert, a reset or nothing, and the end in any case.
    let _ = soon("the end", plain.read_to_end(&mut rest)).await;

    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.expect("listens");
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = stream.await.expect("the certificate is trusted");
    let url = format!("rtmps://localhost/live/studio-{key}");
    let mut client = RtmpClient::over(stream, &url, Purpose::Publish, true);
    client.started().await;
    client.send_all(&second(0)).await;
    media(&fixture).await;
    let mut reader = read(&fixture, "studio").await;
    client.send_all(&second(1000)).await;
    frames(&mut reader, 50).await;
}
