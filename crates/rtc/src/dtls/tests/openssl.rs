//! OpenSSL's own client and server, with the RSA certificates that its users have.
//!
//! Needs the `openssl` command; the keying material that it prints must be ours.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use str0m::crypto::dtls::{DtlsInstance, DtlsOutput, DtlsVersion, SrtpProfile};

use crate::dtls::{DtlsProvider, Provider, certificate};

const GREETING: &[u8] = b"hello over DTLS\n";
const PROFILES: [(&str, SrtpProfile); 3] = [
    ("SRTP_AEAD_AES_256_GCM", SrtpProfile::AEAD_AES_256_GCM),
    ("SRTP_AEAD_AES_128_GCM", SrtpProfile::AEAD_AES_128_GCM),
    ("SRTP_AES128_CM_SHA1_80", SrtpProfile::AES128_CM_SHA1_80),
];

/// How long anything may take here; nothing comes near it.
const DEADLINE: Duration = Duration::from_secs(20);

/// A process that outlives neither its test nor [`DEADLINE`].
struct Process {
    child: Arc<Mutex<Child>>,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// Dropped with the process, which ends its watchdog.
    _alive: Sender<()>,
}

impl Process {
    fn new(mut child: Child) -> Self {
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("piped");
        let child = Arc::new(Mutex::new(child));
        let (alive, ended) = mpsc::channel();
        let watched = Arc::clone(&child);
        std::thread::spawn(move || {
            let _ = ended.recv_timeout(DEADLINE);
            let mut child = watched.lock().expect("not poisoned");
            let _ = child.kill();
            let _ = child.wait();
        });
        Self {
            child,
            stdin,
            stdout,
            _alive: alive,
        }
    }

    fn write(&mut self, data: &[u8]) {
        self.stdin
            .as_mut()
            .expect("open")
            .write_all(data)
            .expect("written");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.child.lock().expect("not poisoned");
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn openssl(arguments: &[&str], profile: (&str, SrtpProfile)) -> Process {
    let len = profile.1.keying_material_len().to_string();
    let child = Command::new("openssl")
        .args(arguments)
        .args(["-dtls1_2", "-use_srtp", profile.0])
        .args([
            "-keymatexport",
            "EXTRACTOR-dtls_srtp",
            "-keymatexportlen",
            &len,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("this test needs the `openssl` command");
    Process::new(child)
}

/// A self-signed RSA-2048 certificate and its key as PEM files.
fn write_rsa(folder: &Path) -> [String; 2] {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("RSA-2048");
    let params = rcgen::CertificateParams::new(vec!["test".to_owned()]).expect("a name");
    let cert = params.self_signed(&key).expect("self-signed");
    let write = |name: &str, contents: String| {
        let path = folder.join(name);
        std::fs::write(&path, contents).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    [
        write("cert.pem", cert.pem()),
        write("key.pem", key.serialize_pem()),
    ]
}

#[derive(Debug, Default)]
struct Seen {
    is_connected: bool,
    keys: Option<(Vec<u8>, SrtpProfile)>,
    certificate: Option<Vec<u8>>,
    data: Vec<u8>,
}

/// Runs our end until `is_done`.
#[expect(
    clippy::disallowed_methods,
    reason = "the other end is a process in real time"
)]
fn run(
    dtls: &mut dyn DtlsInstance,
    socket: &UdpSocket,
    mut peer: Option<SocketAddr>,
    seen: &mut Seen,
    is_done: impl Fn(&Seen) -> bool,
) {
    let end = Instant::now() + DEADLINE;
    let mut buf = [0; 4096];
    loop {
        let timeout = loop {
            match dtls.poll_output(&mut buf) {
                DtlsOutput::Packet(datagram) => {
                    let to = peer.expect("nothing is sent before a peer is known");
                    socket.send_to(datagram, to).expect("sent");
                }
                DtlsOutput::Connected => seen.is_connected = true,
                DtlsOutput::PeerCert(der) => seen.certificate = Some(der.to_vec()),
                DtlsOutput::KeyingMaterial(keys, profile) => {
                    seen.keys = Some((keys.to_vec(), profile));
                }
                DtlsOutput::ApplicationData(data) => seen.data.extend_from_slice(data),
                DtlsOutput::Timeout(at) => break at,
                other => panic!("unexpected output {other:?}"),
            }
        };
        if is_done(seen) {
            return;
        }
        let now = Instant::now();
        assert!(now < end, "not done: {seen:?}");
        let wait = timeout
            .saturating_duration_since(now)
            .clamp(Duration::from_millis(1), Duration::from_secs(1));
        socket
            .set_read_timeout(Some(wait))
            .expect("a positive wait");
        match socket.recv_from(&mut buf) {
            Ok((len, from)) => {
                peer = Some(from);
                dtls.handle_packet(&buf[..len])
                    .expect("OpenSSL's datagrams are fine");
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("receiving: {error}"),
        }
        dtls.handle_timeout(Instant::now()).expect("in time");
    }
}

/// Reads the process's output until it has told the keying material.
fn exported_keys(process: &mut Process) -> Vec<u8> {
    let mut text = String::new();
    let mut buf = [0; 4096];
    loop {
        if let Some((_, rest)) = text.split_once("Keying material: ")
            && let Some((hex, _)) = rest.split_once('\n')
        {
            let digit = |byte: &u8| (*byte as char).to_digit(16).expect("hex") as u8;
            return hex
                .trim()
                .as_bytes()
                .chunks(2)
                .map(|pair| digit(&pair[0]) << 4 | digit(&pair[1]))
                .collect();
        }
        let len = process.stdout.read(&mut buf).expect("readable");
        assert_ne!(len, 0, "openssl ended: {text}");
        text.push_str(&String::from_utf8_lossy(&buf[..len]));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the other end is a process in real time"
)]
fn our_end(is_active: bool) -> Box<dyn DtlsInstance> {
    let mut dtls = Provider
        .new_dtls(&certificate(), Instant::now(), DtlsVersion::Dtls12, None)
        .expect("an end");
    dtls.set_active(is_active);
    dtls.handle_timeout(Instant::now()).expect("nothing is due");
    dtls
}

#[test]
fn server_takes_openssl_with_an_rsa_certificate() {
    let folder = tempfile::tempdir().expect("a folder");
    let [cert, key] = write_rsa(folder.path());
    for profile in PROFILES {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
        let address = socket.local_addr().expect("bound").to_string();
        let arguments = [
            "s_client", "-connect", &address, "-cert", &cert, "-key", &key,
        ];
        let mut client = openssl(&arguments, profile);
        client.write(GREETING);
        let (mut dtls, mut seen) = (our_end(false), Seen::default());
        run(dtls.as_mut(), &socket, None, &mut seen, |seen| {
            seen.data == GREETING
        });
        assert!(seen.is_connected && seen.certificate.is_some());
        assert_eq!(seen.keys, Some((exported_keys(&mut client), profile.1)));
    }
}

#[test]
fn client_takes_openssl_with_an_rsa_certificate() {
    let folder = tempfile::tempdir().expect("a folder");
    let [cert, key] = write_rsa(folder.path());
    // With and without a cookie first.
    for (flag, profile) in [("-listen", PROFILES[0]), ("-quiet", PROFILES[2])] {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
        let spare = UdpSocket::bind("127.0.0.1:0").expect("bound");
        let address = spare.local_addr().expect("bound");
        drop(spare);
        let port = address.port().to_string();
        // `-Verify` asks for our certificate and insists on it.
        let arguments = [
            "s_server", "-port", &port, "-cert", &cert, "-key", &key, "-Verify", "1", "-naccept",
            "1", flag,
        ];
        let mut server = openssl(&arguments, profile);
        let (mut dtls, mut seen) = (our_end(true), Seen::default());
        run(dtls.as_mut(), &socket, Some(address), &mut seen, |seen| {
            seen.is_connected
        });
        assert_eq!(seen.keys.as_ref().map(|keys| keys.1), Some(profile.1));
        server.write(GREETING);
        dtls.send_application_data(GREETING).expect("open");
        run(dtls.as_mut(), &socket, Some(address), &mut seen, |seen| {
            !seen.data.is_empty()
        });
        // The server tells its keys when it ends, which it does after one session.
        dtls.close().expect("closes");
        run(dtls.as_mut(), &socket, Some(address), &mut seen, |_| true);
        drop(server.stdin.take());
        if flag == "-listen" {
            assert_eq!(
                seen.keys.map(|keys| keys.0),
                Some(exported_keys(&mut server))
            );
        }
    }
}
