//! Inside str0m: ICE below, SCTP and SRTP above, timers told by the engine.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use super::{rsa_certificate, start};

struct End {
    rtc: Rtc,
    address: SocketAddr,
    timeout: Instant,
    inbox: VecDeque<(SocketAddr, Vec<u8>)>,
    is_connected: bool,
    said: Vec<Vec<u8>>,
}

impl End {
    fn new(last_octet: u8, certificate: str0m::crypto::dtls::DtlsCert) -> Self {
        let address = SocketAddr::from(([192, 0, 2, last_octet], 7000));
        let mut rtc = RtcConfig::new()
            .set_crypto_provider(crate::dtls::crypto_provider())
            .set_dtls_cert(certificate)
            .build(start());
        rtc.add_local_candidate(Candidate::host(address, "udp").expect("a host address"));
        Self {
            rtc,
            address,
            timeout: start(),
            inbox: VecDeque::new(),
            is_connected: false,
            said: Vec::new(),
        }
    }

    /// Takes what came, then drains; gives the datagrams to send.
    fn step(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let received = self.inbox.pop_front();
        let input = match &received {
            Some((from, datagram)) => {
                let receive = Receive::new(Protocol::Udp, *from, self.address, datagram);
                Input::Receive(now, receive.expect("a WebRTC datagram"))
            }
            None => Input::Timeout(now),
        };
        self.rtc.handle_input(input).expect("a sound session");
        let mut datagrams = Vec::new();
        loop {
            match self.rtc.poll_output().expect("a sound session") {
                Output::Transmit(transmit) => datagrams.push(transmit.contents.to_vec()),
                Output::Event(Event::Connected) => self.is_connected = true,
                Output::Event(Event::ChannelOpen(id, _)) => {
                    let mut channel = self.rtc.channel(id).expect("just opened");
                    channel.write(true, b"hello").expect("room");
                }
                Output::Event(Event::ChannelData(data)) => self.said.push(data.data),
                Output::Event(_) => {}
                Output::Timeout(at) => {
                    self.timeout = at;
                    return datagrams;
                }
            }
        }
    }
}

#[test]
fn the_engine_connects_and_talks_over_it() {
    // The answering end is DTLS client and has an RSA certificate, as GStreamer would.
    let mut ends = [
        End::new(1, crate::dtls::certificate()),
        End::new(2, rsa_certificate()),
    ];
    let mut changes = ends[0].rtc.sdp_api();
    changes.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
    changes.add_channel("talk".to_owned());
    let (offer, pending) = changes.apply().expect("changes");
    let answer = ends[1].rtc.sdp_api().accept_offer(offer).expect("accepted");
    ends[0]
        .rtc
        .sdp_api()
        .accept_answer(pending, answer)
        .expect("accepted");

    let mut now = start();
    while ends
        .iter()
        .any(|end| !end.is_connected || end.said.is_empty())
    {
        assert!(now - start() < Duration::from_secs(10), "connects at once");
        for index in 0..2 {
            let from = ends[index].address;
            for datagram in ends[index].step(now) {
                ends[1 - index].inbox.push_back((from, datagram));
            }
        }
        if ends.iter().all(|end| end.inbox.is_empty()) {
            let next = ends.iter().map(|end| end.timeout).min().expect("two ends");
            now = next.clamp(
                now + Duration::from_millis(1),
                now + Duration::from_millis(100),
            );
        }
    }
    assert!(ends.iter().all(|end| end.said == [b"hello"]));
}
