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

/// A fatal alert in the clear, as a peer sends that refuses the handshake.
const REFUSAL: [u8; 15] = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40];

#[test]
fn the_engine_ends_when_a_datagram_ended_dtls() {
    let mut offerer = End::new(1, crate::dtls::certificate());
    let mut answerer = End::new(2, rsa_certificate());
    let mut changes = offerer.rtc.sdp_api();
    // With a channel there is also data that waits to be sent.
    changes.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
    changes.add_channel("talk".to_owned());
    let (offer, pending) = changes.apply().expect("changes");
    let answer = answerer.rtc.sdp_api().accept_offer(offer);
    let api = offerer.rtc.sdp_api();
    api.accept_answer(pending, answer.expect("accepted"))
        .expect("accepted");
    offerer.step(start());

    let receive = Receive::new(Protocol::Udp, answerer.address, offerer.address, &REFUSAL);
    let receive = Input::Receive(start(), receive.expect("a WebRTC datagram"));
    assert!(offerer.rtc.handle_input(receive).is_err());
    assert!(offerer.rtc.is_alive(), "the engine passes over it");
    let mut now = start();
    let ended = loop {
        match offerer.rtc.poll_output() {
            Ok(Output::Timeout(at)) => now = at.max(now + Duration::from_millis(1)),
            Ok(_) => continue,
            Err(_) => break now,
        }
        assert!(now < start() + Duration::from_secs(1), "ends soon");
        offerer
            .rtc
            .handle_input(Input::Timeout(now))
            .expect("time passes");
    };
    assert!(ended > start() && !offerer.rtc.is_alive());
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
