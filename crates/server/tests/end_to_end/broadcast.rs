//! What every way in for encoders has in common: what viewers see and hear of it, and strangers
//! at its port.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use serde_json::Value;

use crate::browser::{pictures, plays};
use crate::harness::{Builder, Client, Encoder, Ffmpeg, Flow, Server, stage};

/// How far a heard frequency may be from the sent one, as a share.
const NEAR: f64 = 0.05;
/// Decibels of full scale above which a tone counts as heard. The encoders' tone has some -20.
const LOUD: f64 = -45.0;

/// Waits until media of the room flows.
pub(crate) async fn lives(server: &Server, room: &str) -> Value {
    server
        .room_until(room, "the room is live", |room| room["live"] == true)
        .await
}

/// The codecs of everything that is published, in the order of the alphabet.
pub(crate) fn codecs(room: &Value) -> Vec<String> {
    let participants = room["participants"].as_array();
    let mut codecs: Vec<String> = participants
        .into_iter()
        .flatten()
        .filter_map(|participant| participant["publications"].as_array())
        .flatten()
        .filter_map(|publication| publication["codec"].as_str())
        .map(str::to_owned)
        .collect();
    codecs.sort();
    codecs
}

/// Waits until a viewer hears a tone of this frequency.
pub(crate) async fn hears(viewer: &mut Client, frequency: f64) {
    let what = format!("a tone of {frequency} Hz");
    viewer
        .stats(&what, |stats| {
            let heard = &stats["heard"];
            let near = |heard: f64| (heard - frequency).abs() < frequency * NEAR;
            heard["frequency"].as_f64().is_some_and(near) && heard["level"].as_f64() > Some(LOUD)
        })
        .await;
}

/// Waits until pictures of the codec flow and the encoders' tone is heard.
pub(crate) async fn plays_aloud(viewer: &mut Client, codec: &str) {
    plays(viewer, codec).await;
    hears(viewer, 440.0).await;
}

/// Connections or datagrams of each kind.
const EACH: usize = 40;

fn noise(length: usize, random: &mut fastrand::Rng) -> Vec<u8> {
    (0..length).map(|_| random.u8(..)).collect()
}

/// Says `bytes` on a connection of its own, and hangs up once the other end has or will not.
fn tell(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream
        .set_read_timeout(Some(Duration::from_millis(20)))
        .expect("a time that is not zero");
    // The server may refuse and close before it has read everything.
    if stream.write_all(bytes).is_ok() && stream.shutdown(Shutdown::Write).is_ok() {
        let mut rest = [0; 4096];
        while matches!(stream.read(&mut rest), Ok(1..)) {}
    }
}

#[tokio::test]
async fn garbage_at_the_ports_disturbs_nobody() {
    let _stage = stage().await;
    let mut server = Builder::new().self_signed().start().await;
    let mut encoder = Ffmpeg::rtmp(&server.rtmp("room"));
    let whep = server.url("/whep/room?wait=1");
    let mut viewer = Client::browser(Flow::Watch, &whep, &["--hear", "1"]);
    plays_aloud(&mut viewer, "h264").await;
    let before = viewer.now().await;

    let mut random = fastrand::Rng::with_seed(7);
    // Half handshakes that stay open for as long as the test runs.
    let mut open = Vec::new();
    for encoder in [Encoder::Rtmp, Encoder::Rtmps, Encoder::Rtsp, Encoder::Ftl] {
        let address = server.encoder(encoder);
        for number in 0..EACH {
            let mut bytes = noise(random.usize(1..6000), &mut random);
            match number % 4 {
                // What begins as RTMP's handshake does, and goes on with chunks of noise.
                0 => bytes[0] = 3,
                1 => bytes = [b"HMAC\r\n\r\n".as_slice(), &bytes].concat(),
                2 => bytes.truncate(10),
                _ => {}
            }
            tell(address, &bytes);
        }
        let mut half = TcpStream::connect(address).expect("the server listens");
        half.write_all(&[3]).expect("a byte goes into any buffer");
        open.push(half);
    }
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a free port on loopback");
    for encoder in [Encoder::Srt, Encoder::Ftl] {
        let address = server.encoder(encoder);
        for number in 0..EACH * 10 {
            let mut datagram = noise(random.usize(0..1500), &mut random);
            if number % 2 == 0 && datagram.len() >= 16 {
                // A control packet of SRT: a handshake with anything in it.
                datagram[..4].copy_from_slice(&[0x80, 0, 0, 0]);
            }
            stranger
                .send_to(&datagram, address)
                .expect("loopback takes datagrams");
        }
    }

    let after = viewer
        .stats("pictures go on", |stats| {
            pictures(stats) >= pictures(&before) + 90
        })
        .await;
    assert_eq!(after["shown"]["backwards"], 0, "{after:#}");
    hears(&mut viewer, 440.0).await;
    encoder.assert_runs();
    drop(open);
    server.assert_sound();
}
